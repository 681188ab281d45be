"""Kernels to test in: one process of each ipykernel for all tests, made new when one is broken."""

from collections import deque
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fake_answers import Answer, status
from tests.fake_model import FakeModelInThread, run_in_thread
from tests.notebook.kernel_driver import Kernel, kernel_pythons, provider_config

PYTHONS = kernel_pythons()

_RESET = """\
%reset -f
{load} codex_jupyter
%codex new
%config CodexMagics.headless = ''
%config CodexMagics.page_wait = 4.0
from codex_jupyter.notebook.runtime import get_runtime as _get
_get().headless = None
"""


@dataclass(slots=True)
class Model:
    """The model that the kernels ask: what it shall answer, and what it was asked in this test."""

    fake: FakeModelInThread
    script: "deque[Answer]"
    before: int = 0

    def will(self, *answers: Answer) -> None:
        """Answer so next."""
        self.script.extend(answers)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Bodies of this test's requests."""
        return self.fake.requests[self.before :]

    def wait_for_requests(self, count: int) -> None:
        """Wait until this test has made so many requests."""
        self.fake.wait_for_requests(self.before + count, timeout=10)


@pytest.fixture(scope="session")
def fake_for_kernels() -> Generator[Model]:
    script: deque[Answer] = deque()

    def answer(body: dict[str, Any]) -> Answer:
        return script.popleft() if script else status(400, "the script has no answer")

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
    """One kernel of each Python, started when first used, replaced when it does not answer."""

    def __init__(self, folder: Path, model: Model) -> None:
        self._folder = folder
        self._config = provider_config(model.fake.base_url)
        self._kernels: dict[Path, tuple[Kernel, ExitStack]] = {}
        self._made = 0

    def get(self, python: Path) -> Kernel:
        """Return a kernel that answers, with nothing of earlier tests in it."""
        if python in self._kernels:
            kernel = self._kernels[python][0]
            try:
                kernel.forget()
                assert kernel.execute("pass", limit=5).status == "ok"
            except AssertionError:
                self._kernels.pop(python)[1].close()
        if python not in self._kernels:
            stack = ExitStack()
            self._kernels[python] = (stack.enter_context(self._start(python)), stack)
        kernel = self._kernels[python][0]
        config = kernel.home / "config.toml"
        changed = config.exists() and config.read_text() != self._config
        config.write_text(self._config)
        reset = kernel.execute(_RESET.format(load="%reload_ext" if changed else "%load_ext"))
        assert reset.status == "ok", reset.traceback
        kernel.forget()
        return kernel

    def _start(self, python: Path) -> Kernel:
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir()
        return Kernel(python, folder, {})

    def close(self) -> None:
        """End every kernel."""
        for _, stack in self._kernels.values():
            stack.close()


@pytest.fixture(scope="session")
def kernel_pool(
    tmp_path_factory: pytest.TempPathFactory, fake_for_kernels: Model
) -> Generator[KernelPool]:
    pool = KernelPool(tmp_path_factory.mktemp("kernels"), fake_for_kernels)
    yield pool
    pool.close()


@pytest.fixture(scope="session", params=list(PYTHONS.values()), ids=list(PYTHONS))
def kernel_python(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def kernel(kernel_pool: KernelPool, kernel_python: Path, model: Model) -> Kernel:
    return kernel_pool.get(kernel_python)
