"""The magics in real kernels: `%codex` and its words, options of `%%codex`, and mistakes."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.fake_model import garbage, say, status
from tests.notebook.conftest import EMBEDDED, Model
from tests.notebook.kernel_driver import Kernel, OwnKernel, provider_config
from tests.ports import free_port

pytestmark = pytest.mark.notebook

WORDS = (
    "status",
    "new",
    "resume",
    "threads",
    "notebook",
    "replay",
    "review",
    "server",
    "interrupt",
    "login",
    "headless",
    "use",
    "help",
)


def line_of(kernel: Kernel, cell: str, limit: float = 20.0) -> str:
    """Run a cell that fails, and return the one line that is shown for it."""
    run = kernel.execute(cell, limit=limit)
    assert run.status == "error"
    (line,) = run.traceback
    return line


@EMBEDDED
def test_status_says_what_there_is(kernel: Kernel, model: Model) -> None:
    said = kernel.execute("%codex").stdout
    assert said == kernel.execute("%codex status").stdout
    for fact in ("fake-model", "Fake", "none yet", "on-request", "not sandboxed", str(kernel.home)):
        assert fact in said
    model.will(say("Done."))
    kernel.execute("%%codex\nGo.")
    said = kernel.execute("%codex status").stdout
    assert kernel.turn()["threadId"] in said
    assert "nothing" in said


def test_help_names_every_word(kernel: Kernel, model: Model) -> None:
    said = kernel.execute("%codex help").stdout
    assert [line.split()[1] for line in said.splitlines()] == list(WORDS)
    assert all(len(line.split()) > 4 for line in said.splitlines())


def test_login_says_how_to_connect_a_model(kernel: Kernel, model: Model) -> None:
    said = kernel.execute("%codex login").stdout
    assert "OPENAI_API_KEY" in said
    assert str(kernel.home / "config.toml") in said
    assert said == kernel.execute("%codex login help").stdout


def test_new_begins_a_new_thread_and_resume_goes_back(kernel: Kernel, model: Model) -> None:
    model.will(say("One."), say("Two."), say("Three."))
    kernel.execute("%%codex\nFirst thing.")
    first = kernel.turn()["threadId"]
    kernel.execute("%codex new")
    kernel.execute("%%codex\nSecond thing.")
    assert kernel.turn()["threadId"] != first
    assert "First thing." not in json.dumps(model.requests[1]["input"])
    listed = kernel.execute("%codex threads").stdout.splitlines()
    assert listed[0].endswith("Second thing.")
    assert listed[1].startswith(first)
    said = kernel.execute(f"%codex resume {first.upper()}").stdout
    assert said == f"Going on with {first} (1 turns): First thing.\n"
    kernel.execute("%%codex\nGo on.")
    assert kernel.turn()["threadId"] == first
    assert "First thing." in json.dumps(model.requests[2]["input"])


@EMBEDDED
def test_a_thread_goes_on_in_a_new_kernel(
    kernel: Kernel, kernel_python: Path, model: Model, tmp_path: Path
) -> None:
    model.will(say("Remembered."), say("Yes."))
    kernel.execute("%%codex\nRemember seven.")
    thread_id = kernel.turn()["threadId"]
    kernel.execute("%unload_ext codex_jupyter")
    with OwnKernel(kernel_python, tmp_path, {"CODEX_JUPYTER_HOME": str(kernel.home)}) as another:
        another.execute("%load_ext codex_jupyter")
        assert another.execute(f"%codex resume {thread_id}").status == "ok"
        run = another.execute("%%codex\nWhich number?")
        assert run.traceback == []
        assert another.turn()["threadId"] == thread_id
    assert "Remember seven." in json.dumps(model.requests[1]["input"])
    assert "Remembered." in json.dumps(model.requests[1]["input"])


@EMBEDDED
def test_a_thread_another_kernel_has_open_is_refused(
    kernel: Kernel, kernel_python: Path, model: Model, tmp_path: Path
) -> None:
    model.will(say("Mine."))
    kernel.execute("%%codex\nStay.")
    thread_id = kernel.turn()["threadId"]
    with OwnKernel(kernel_python, tmp_path, {"CODEX_JUPYTER_HOME": str(kernel.home)}) as another:
        another.execute("%load_ext codex_jupyter")
        assert "another process" in line_of(another, f"%codex resume {thread_id}")


def test_the_options_of_a_cell_reach_the_turn(kernel: Kernel, model: Model) -> None:
    model.will(say("One."), say("Two."))
    (kernel.folder / "sub folder").mkdir(exist_ok=True)
    options = "--model other --approval never --sandbox read-only --cwd 'sub folder'"
    run = kernel.execute(f"%%codex {options}\nGo.")
    assert run.traceback == []
    assert model.requests[0]["model"] == "other"
    said = json.dumps(model.requests[0]["input"])
    assert str(kernel.folder / "sub folder") in said
    kernel.execute("%%codex --model fake-model\nAgain.")
    assert model.requests[1]["model"] == "fake-model"


def test_a_cell_can_name_its_thread(kernel: Kernel, model: Model) -> None:
    model.will(say("One."), say("Two."), say("Three."))
    kernel.execute("%%codex\nFirst.")
    first = kernel.turn()["threadId"]
    kernel.execute("%codex new")
    kernel.execute("%%codex\nSecond.")
    assert kernel.execute(f"%%codex --thread {first}\nThird.").traceback == []
    assert kernel.turn()["threadId"] == first


@pytest.mark.parametrize(
    ("cell", "named"),
    [
        ("%%codex --modle x\nGo.", "--modle"),
        ("%%codex --approval maybe\nGo.", "maybe"),
        ("%%codex --sandbox none\nGo.", "none"),
        ("%%codex --model\nGo.", "--model"),
        ("%%codex 'unclosed\nGo.", "quot"),
        ("%%codex extra words\nGo.", "extra words"),
        ("%%codex\n  \n", "empty"),
        ("%%codex --cwd no/such/folder\nGo.", "no/such/folder"),
        ("%%codex --thread nonsense\nGo.", "nonsense"),
        (f"%%codex --thread {uuid.UUID(int=7)}\nGo.", str(uuid.UUID(int=7))),
        ("%codex dance", "dance"),
        ("%codex status now", "now"),
        ("%codex resume", "threads"),
        ("%codex resume nonsense", "nonsense"),
        (f"%codex resume {uuid.UUID(int=7)}", str(uuid.UUID(int=7))),
        ("%codex headless perhaps", "headless"),
        ("%codex use nothing_like_it", "nothing_like_it"),
        ("%codex use ollama a b", "ollama"),
        (
            "import codex_jupyter; codex_jupyter.thread(approval='maybe').run('Go.')",
            "approvalPolicy",
        ),
        (
            "import codex_jupyter; codex_jupyter.thread(sandbox='none').run('Go.')",
            "workspace-write",
        ),
        ("import codex_jupyter; codex_jupyter.thread(id='nonsense')", "nonsense"),
        ("import codex_jupyter; codex_jupyter.thread(cwd='no/such').run('Go.')", "no/such"),
        ("import codex_jupyter; codex_jupyter.thread().run('')", "empty"),
    ],
)
def test_a_mistake_is_told_in_one_line_that_names_it(
    kernel: Kernel, model: Model, cell: str, named: str
) -> None:
    assert named in line_of(kernel, cell)
    model.will(say("Fine."))
    run = kernel.execute("%%codex\nAnd now?")
    assert run.traceback == []
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (status(401, {"error": {"message": "Incorrect API key"}}), "key"),
        (garbage(), "event stream"),
        (status(500, "down"), "500"),
        (status(404, {"error": {"message": "no such model"}}), "no such model"),
        (say("One two.", deltas=2).cut_after(3), "stream"),
        (say("One.").end_without_completed(), "stream"),
    ],
)
def test_a_model_that_fails_is_told_in_one_line(
    kernel: Kernel, model: Model, answer: Any, named: str
) -> None:
    model.will(answer)
    line = line_of(kernel, "%%codex\nKeep my words.")
    assert line.startswith("TurnFailedError: ")
    assert named.lower() in line.lower()
    assert "Keep my words." in json.dumps(kernel.turn()["items"])
    assert kernel.turn()["status"] == "failed"
    model.script.clear()
    model.will(say("Fine."))
    assert kernel.execute("%%codex\nAnd now?").traceback == []
    assert "Keep my words." in json.dumps(model.requests[-1]["input"])


@EMBEDDED
def test_a_model_that_is_not_there_is_told_in_one_line(kernel: Kernel, model: Model) -> None:
    address = f"http://127.0.0.1:{free_port()}/v1"
    (kernel.home / "config.toml").write_text(provider_config(address))
    kernel.execute("%reload_ext codex_jupyter")
    line = line_of(kernel, "%%codex\nGo.")
    assert line.startswith("TurnFailedError: ")
    assert "connect" in line.lower()


@EMBEDDED
def test_a_missing_key_is_told_in_one_line(kernel: Kernel, model: Model) -> None:
    config = provider_config(model.fake.base_url).replace("FAKE_KEY", "NO_SUCH_KEY")
    (kernel.home / "config.toml").write_text(config)
    kernel.execute("%reload_ext codex_jupyter")
    assert "NO_SUCH_KEY" in line_of(kernel, "%%codex\nGo.")
    assert model.requests == []


@EMBEDDED
@pytest.mark.parametrize(
    ("text", "named"),
    [("model = \n", "line 1"), ('model = "x"\noffline_pace = "fast"\n', "offline_pace")],
)
@pytest.mark.parametrize("cell", ["%%codex\nGo.", "%codex status", "%codex threads"])
def test_a_mistake_in_the_file_is_told_and_mended_without_a_restart(
    kernel: Kernel, model: Model, text: str, named: str, cell: str
) -> None:
    config = kernel.home / "config.toml"
    good = config.read_text()
    config.write_text(text)
    kernel.execute("%reload_ext codex_jupyter")
    line = line_of(kernel, cell)
    assert line.startswith("ConfigError: ")
    assert str(config) in line
    assert named in line
    assert line_of(kernel, cell) == line
    config.write_text(good)
    model.will(say("Fine."))
    assert kernel.execute("%%codex\nAnd now?").traceback == []


@EMBEDDED
def test_a_mistake_in_the_file_is_told_to_who_awaits(kernel: Kernel, model: Model) -> None:
    config = kernel.home / "config.toml"
    good = config.read_text()
    config.write_text("model = \n")
    kernel.execute("%reload_ext codex_jupyter")
    cell = "import codex_jupyter\nawait codex_jupyter.thread().arun('Go.')"
    assert line_of(kernel, cell).startswith("ConfigError: ")
    config.write_text(good)
    model.will(say("Fine."))
    assert kernel.execute(cell).traceback == []


@EMBEDDED
def test_an_unknown_key_is_one_warning(kernel: Kernel, model: Model) -> None:
    config = kernel.home / "config.toml"
    config.write_text('modle = "x"\n' + config.read_text())
    kernel.execute("%reload_ext codex_jupyter")
    said = kernel.execute("%codex status").stdout
    assert said.count("modle") == 1
    assert "warning" in said


@EMBEDDED
def test_a_provider_is_chosen_and_forgotten(kernel: Kernel, model: Model) -> None:
    (kernel.home / "config.toml").write_text("offline_pace = 0\n")
    kernel.execute("%reload_ext codex_jupyter")
    assert kernel.execute("%codex use offline").stdout == "From the next cell on: offline.\n"
    run = kernel.execute("%%codex\nHello there.")
    assert run.traceback == []
    assert "offline" in kernel.turns()[-1]["text/plain"].lower()
    assert "Forgotten" in kernel.execute("%codex use auto").stdout
    assert (
        not (kernel.home / "use.json").exists()
        or "offline" not in (kernel.home / "use.json").read_text()
    )


def test_a_thread_outlives_the_core_it_began_in(kernel: Kernel, model: Model) -> None:
    model.will(say("One."), say("Two."), say("Three."))
    cell = "import codex_jupyter\nthread, other = codex_jupyter.thread(), codex_jupyter.thread()\n"
    kernel.execute(f"{cell}thread.run('First.')\nother.open()")
    kernel.execute("%reload_ext codex_jupyter")
    assert kernel.execute("thread.run('Second.').text").result == "'Two.'"
    assert "First." in json.dumps(model.requests[1]["input"])
    assert kernel.execute("(await other.arun('Third.')).text").result == "'Three.'"


def test_the_extension_unloads_and_loads_again(kernel: Kernel, model: Model) -> None:
    model.will(say("One."), say("Two."))
    kernel.execute("%%codex\nGo.")
    assert kernel.execute("%unload_ext codex_jupyter").traceback == []
    assert kernel.execute("%load_ext codex_jupyter").traceback == []
    assert kernel.execute("%%codex\nGo.").traceback == []
