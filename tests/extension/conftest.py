"""One server for most tests, and a model that does what the prompt says."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.behaviour.talk import Json, write_config
from tests.extension.jupyter import Jupyter, jupyter_server
from tests.fake_answers import Answer, call, say
from tests.fake_model import FakeModelInThread, run_in_thread


def obey(body: Json) -> Answer:
    """Answer by what was said: ``hang``, ``run: COMMAND``, ``ask``, or anything."""
    last = body["input"][-1]
    if last.get("type") == "function_call_output":
        return say("Done.")
    said = last["content"][0]["text"]
    if said == "hang":
        return say("Let me think about it for long.", deltas=4).hang(after=4)
    if said.startswith("run: "):
        return call("shell_command", {"command": said.removeprefix("run: ")})
    if said == "ask":
        question = {
            "header": "Colour",
            "id": "colour",
            "question": "Which?",
            "options": [
                {"label": "Red", "description": "warm"},
                {"label": "Blue", "description": "cold"},
            ],
        }
        return call("request_user_input", {"questions": [question]})
    return say("Hello.")


@pytest.fixture(scope="session")
def model() -> Generator[FakeModelInThread]:
    with run_in_thread(obey) as fake:
        yield fake
        fake.resume()


def configure(folder: Path, model: FakeModelInThread) -> None:
    write_config(folder / "home", model.base_url)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, model: FakeModelInThread
) -> Generator[Jupyter]:
    """A server with strict settings under a path that has to be escaped."""
    folder = tmp_path_factory.mktemp("jupyter")
    (folder / "home").mkdir()
    configure(folder, model)
    with jupyter_server(
        folder, "--ServerApp.allow_unauthenticated_access=False", base_url="/user/x%40y/"
    ) as running:
        yield running
