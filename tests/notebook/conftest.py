"""Kernels to test in: one process of each ipykernel for all tests, made new when one is broken."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fake_answers import Answer, status
from tests.fake_model import FakeModelInThread, run_in_thread
from tests.notebook.answering import Answerer, ControlAnswerer, PageAnswerer
from tests.notebook.kernel_driver import Kernel, OwnKernel, kernel_pythons, provider_config
from tests.notebook.server_driver import JupyterServer, Page

PYTHONS = kernel_pythons()

EMBEDDED = pytest.mark.parametrize("core", ["embedded"], indirect=True)
"""For tests of what only a kernel with a core of its own does."""

SERVED = pytest.mark.parametrize("core", ["server"], indirect=True)
"""For tests of what only a kernel of a Jupyter server does."""

_RESET = """\
%reset -f
{load} codex_jupyter
%codex new
%config CodexMagics.headless = ''
%config CodexMagics.page_wait = 4.0
from codex_jupyter.notebook.runtime import get_runtime as _get
_get().headless = None
"""


Planned = Answer | Callable[[dict[str, Any]], Answer]
"""What the model answers, or how it finds its answer in a request."""


@dataclass(slots=True)
class Model:
    """The model that the kernels ask: what it shall answer, and what it was asked in this test."""

    fake: FakeModelInThread
    script: "deque[Planned]"
    before: int = 0

    def will(self, *answers: "Planned") -> None:
        """Answer so next."""
        self.script.extend(answers)

    def will_first(self, answer: "Planned") -> None:
        """Answer so before all that is planned."""
        self.script.appendleft(answer)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Bodies of this test's requests."""
        return self.fake.requests[self.before :]

    def wait_for_requests(self, count: int) -> None:
        """Wait until this test has made so many requests."""
        self.fake.wait_for_requests(self.before + count, timeout=10)


@pytest.fixture(scope="session")
def fake_for_kernels() -> Generator[Model]:
    script: deque[Planned] = deque()

    def answer(body: dict[str, Any]) -> Answer:
        planned = script.popleft() if script else status(400, "the script has no answer")
        return planned(body) if callable(planned) else planned

    with run_in_thread(answer) as fake:
        yield Model(fake, script)
        fake.resume()


@pytest.fixture
def model(fake_for_kernels: Model) -> Iterator[Model]:
    fake_for_kernels.script.clear()
    fake_for_kernels.before = len(fake_for_kernels.fake.requests)
    yield fake_for_kernels
    fake_for_kernels.fake.resume()


class KernelPool:
    """Kernels of one core and each Python, started when first used, replaced when one is broken."""

    def __init__(self, start: Callable[[str, int], Kernel], config: str) -> None:
        self._start = start
        self._config = config
        self._kernels: dict[str, tuple[Kernel, ExitStack]] = {}
        self._made = 0

    def get(self, name: str) -> Kernel:
        """Return a kernel that answers, with nothing of earlier tests in it."""
        if name in self._kernels:
            kernel = self._kernels[name][0]
            try:
                kernel.forget()
                assert kernel.execute("pass", limit=5).status == "ok"
            except AssertionError:
                self._kernels.pop(name)[1].close()
        if name not in self._kernels:
            stack = ExitStack()
            self._made += 1
            kernel = stack.enter_context(self._start(name, self._made))
            self._kernels[name] = (kernel, stack)
        kernel = self._kernels[name][0]
        config = kernel.home / "config.toml"
        changed = config.exists() and config.read_text() != self._config
        config.write_text(self._config)
        reset = kernel.execute(_RESET.format(load="%reload_ext" if changed else "%load_ext"))
        assert reset.status == "ok", reset.traceback
        kernel.forget()
        return kernel

    def close(self) -> None:
        """End every kernel."""
        for _, stack in self._kernels.values():
            stack.close()


@pytest.fixture(scope="session")
def embedded_pool(
    tmp_path_factory: pytest.TempPathFactory, fake_for_kernels: Model
) -> Generator[KernelPool]:
    folder = tmp_path_factory.mktemp("kernels")

    def start(name: str, number: int) -> Kernel:
        (folder / str(number)).mkdir()
        return OwnKernel(PYTHONS[name], folder / str(number), {})

    pool = KernelPool(start, provider_config(fake_for_kernels.fake.base_url))
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def jupyter_server(
    tmp_path_factory: pytest.TempPathFactory, fake_for_kernels: Model
) -> Generator[JupyterServer]:
    folder = tmp_path_factory.mktemp("server")
    config = provider_config(fake_for_kernels.fake.base_url)
    with JupyterServer(folder, PYTHONS, config) as server:
        yield server


@pytest.fixture(scope="session")
def served_pool(jupyter_server: JupyterServer, fake_for_kernels: Model) -> Generator[KernelPool]:
    def start(name: str, number: int) -> Kernel:
        return jupyter_server.start_kernel(name, str(number))

    pool = KernelPool(start, provider_config(fake_for_kernels.fake.base_url))
    yield pool
    pool.close()


@pytest.fixture(scope="session", params=["embedded", "server"])
def core(request: pytest.FixtureRequest) -> str:
    """Where the kernels of a test have their core."""
    return request.param


@pytest.fixture(scope="session", params=list(PYTHONS))
def kernel_name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def kernel_python(kernel_name: str) -> Path:
    return PYTHONS[kernel_name]


@pytest.fixture
def kernel(
    request: pytest.FixtureRequest, core: str, kernel_name: str, model: Model
) -> Iterator[Kernel]:
    pool: KernelPool = request.getfixturevalue(
        "served_pool" if core == "server" else "embedded_pool"
    )
    kernel = pool.get(kernel_name)
    yield kernel
    if kernel.core == "server":
        # A turn that a failed test leaves must not ask the pages of the next ones.
        kernel.execute("%codex interrupt")


@pytest.fixture
def page(kernel: Kernel, jupyter_server: JupyterServer) -> Iterator[Page]:
    """A page at the Jupyter server."""
    page = jupyter_server.page()
    yield page
    page.close()


@pytest.fixture
def answerer(request: pytest.FixtureRequest, kernel: Kernel) -> Answerer:
    """Whoever answers the kernel's questions."""
    if kernel.core == "server":
        return PageAnswerer(kernel, request.getfixturevalue("page"))
    return ControlAnswerer(kernel)
