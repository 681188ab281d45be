"""A real cluster for all tests: two worker processes, and a model that answers each prompt."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.fake_answers import Answer, say
from tests.fake_model import FakeModelInThread, run_in_thread
from tests.notebook.kernel_driver import provider_config

LIMIT = 60
"""Seconds that no wait of a test takes unless something hangs."""

Json = dict[str, Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@dataclass(slots=True)
class Model:
    """The model that all workers ask; it answers by what the user said last."""

    scripts: dict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    asked: list[str] = field(default_factory=list[str])
    changed: threading.Condition = field(default_factory=threading.Condition)
    fake: FakeModelInThread | None = None

    def will(self, prompt: str, *answers: Answer) -> None:
        """Answer the requests of a conversation that begins with ``prompt``."""
        self.scripts[prompt].extend(answers)

    def answer(self, body: Json) -> Answer:
        said = [
            part["text"]
            for item in body["input"]
            if item.get("role") == "user"
            for part in item["content"]
        ]
        prompt = said[-1]
        with self.changed:
            self.asked.append(prompt)
            self.changed.notify_all()
        script = self.scripts.get(prompt)
        return script.popleft() if script else say(f"Answer to {prompt}")

    def wait_until(self, is_true: Callable[[], bool]) -> None:
        """Wait until something holds of what was asked."""
        with self.changed:
            assert self.changed.wait_for(is_true, LIMIT), self.asked


@pytest.fixture(scope="session")
def _served() -> Generator[Model]:
    model = Model()
    with run_in_thread(model.answer) as fake:
        model.fake = fake
        yield model
        fake.resume()


@pytest.fixture
def model(_served: Model) -> Iterator[Model]:
    _served.scripts.clear()
    _served.asked.clear()
    yield _served
    assert _served.fake is not None
    _served.fake.resume()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, _served: Model) -> Path:
    """The home folder that all workers share."""
    assert _served.fake is not None
    folder = tmp_path_factory.mktemp("home")
    (folder / "config.toml").write_text(provider_config(_served.fake.base_url))
    return folder


def start_cluster(workers: int) -> Any:
    """Return a cluster of worker processes with the environment of this one."""
    made: Any = import_module("distributed").LocalCluster  # the extra may be missing here
    return made(n_workers=workers, threads_per_worker=2, processes=True, dashboard_address=":0")


@pytest.fixture(scope="session")
def for_workers(home: Path) -> Generator[None]:
    """The environment that worker processes inherit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODEX_JUPYTER_HOME", str(home))
        patch.delenv("CODEX_JUPYTER_MODEL_PROVIDER", raising=False)
        patch.setenv("FAKE_KEY", "secret")
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        yield


@pytest.fixture(scope="session")
def cluster(for_workers: None) -> Generator[Any]:
    """Two worker processes of two threads; one that dies is replaced."""
    with start_cluster(2) as made:
        yield made


@pytest.fixture
def client(cluster: Any) -> Generator[Any]:
    with import_module("distributed").Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=LIMIT)
        yield client
