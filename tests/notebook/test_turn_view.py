import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from codex_jupyter._version import __version__
from codex_jupyter.notebook.any_view import AnyTurnView
from codex_jupyter.notebook.page_script import page_script, page_style
from codex_jupyter.notebook.turn_view import TurnView
from codex_jupyter.view.diff_rows import change_rows
from codex_jupyter.view.op_batches import MIN_GAP
from codex_jupyter.view.python_code import python_runs
from codex_jupyter.view.terminal_text import Run, styled_lines
from codex_jupyter.view.turn_state import TurnState
from tests.view.turn_stories import THREAD, TURN, finished_story

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "codex_jupyter" / "view" / "static"


class Recording:
    """Keeps a view's messages to the page instead of sending them."""

    def __init__(self, snapshot: dict[str, Any] | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.states: list[Any] = []
        super().__init__(snapshot)  # pyright: ignore[reportCallIssue] - it stands before a view

    def send(self, content: Any, buffers: Any = None) -> None:
        self.sent.append(content)

    def send_state(self, key: Any = None) -> None:
        self.states.append(key)


class RecordingView(Recording, TurnView): ...


class RecordingAnyView(Recording, AnyTurnView): ...


FORMS = pytest.mark.parametrize("form", [RecordingView, RecordingAnyView])


TERMINAL = (
    "plain\n\x1b[1;31mred\x1b[0m \x1b[92mgreen\x1b[39m\r\nnext",
    "10%\r\x1b[32m100%\x1b[0m\n\x1b[38;5;9mx\x1b[2;4mdim\x1b[22;24mnot",
    "\x1b]52;c;aGk=\x07a\x00b\x9b2Jc\x1bPq\x1b\\d\u202ee\x08f\x1b[?25lg\ttab",
    "",
    "\x1b[31mtwo\nlines\x1b[m\n\n",
)
PYTHON = (
    'x = f"a{b}" # c\ndef f(y):\n    return """open',
    "async with a.b(1_000, 2.5e-3) as c: pass  # 'not a string'",
    "s = 'it\\'s' + rb\"x\" if None else lambda: 0",
)
CHANGES = (
    {"path": "a", "kind": {"type": "add"}, "diff": "x\n\ny\n"},
    {"path": "a", "kind": {"type": "delete"}, "diff": "x"},
    {
        "path": "a",
        "kind": {"type": "update"},
        "diff": "@@ -3,2 +3,2 @@ f\n a\n-b\n+c\n\\ No newline\n",
    },
    {"path": "a", "kind": {"type": "add"}, "diff": "--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+x\n"},
)


def run_pairs(runs: list[Run]) -> list[list[str]]:
    return [[run.text, run.style] for run in runs]


def row_triples(change: dict[str, Any]) -> list[list[Any]]:
    return [[row.kind, row.number, row.text] for row in change_rows(change)]


def append(delta: str) -> dict[str, Any]:
    return {"op": "append", "id": "m", "field": "text", "index": 0, "delta": delta}


@FORMS
def test_batches_are_numbered_and_settling_folds_their_number(form: Any) -> None:
    view = form()
    view.push([append("a")], 0.0)
    view.push([append("b")], 0.001)
    assert view.due_in(0.001) == pytest.approx(MIN_GAP - 0.001)
    view.settle({"schema": 1}, 0.002)
    view.push([append("c")], 1.0)
    assert [(message["seq"], message["ops"][0]["delta"]) for message in view.sent] == [
        (1, "a"),
        (2, "b"),
        (3, "c"),
    ]
    assert (view.snapshot, view.seq) == ({"schema": 1}, 2)


@FORMS
def test_flush_sends_nothing_when_nothing_waits(form: Any) -> None:
    view = form()
    view.flush(0.0)
    assert view.sent == []


@FORMS
def test_settling_again_tells_a_page_that_lost_the_last_update(form: Any) -> None:
    view = form({"schema": 1})
    view.states.clear()
    view.settle({"schema": 1}, 0.0)
    assert view.states == [("snapshot", "seq")]


@FORMS
def test_a_page_without_control_channel_is_answered_by_comm(form: Any) -> None:
    view, asked = form(), []

    def answer(content: dict[str, Any]) -> dict[str, Any] | None:
        asked.append(content)
        return {"status": "ok"} if content["action"] == "hello" else None

    view.on_message(answer)
    view._handle_custom_msg({"kind": "request", "id": "1", "content": {"action": "hello"}}, [])
    view._handle_custom_msg({"kind": "resync"}, [])
    assert asked == [{"action": "hello"}, {"action": "resync"}]
    assert view.sent == [{"kind": "reply", "id": "1", "content": {"status": "ok"}}]


@pytest.mark.parametrize(
    "content", [None, 3, {}, {"kind": "request"}, {"kind": "request", "id": 1, "content": {}}]
)
def test_nonsense_from_a_page_is_ignored(content: Any) -> None:
    view = RecordingView()
    view.on_message(lambda content: pytest.fail(f"asked {content}"))
    view._handle_custom_msg(content, [])
    assert view.sent == []


def test_the_page_gets_one_module_and_its_style() -> None:
    view = RecordingAnyView()
    assert view._esm == page_script()
    assert view._css == page_style()
    assert not re.search(r"^import ", page_script(), re.MULTILINE)
    assert re.findall(r"^export .*", page_script(), re.MULTILINE) == ["export default { render };"]


def test_our_own_widget_brings_no_code_and_names_the_labextensions_module() -> None:
    state = TurnView({"schema": 1}).get_state()
    names = {name: state[name] for name in state if name.endswith(("module", "_name", "version"))}
    assert names == {
        "_model_name": "CodexTurnModel",
        "_model_module": "@codex-jupyter/view",
        "_model_module_version": f"^{__version__}",
        "_view_name": "CodexTurnView",
        "_view_module": "@codex-jupyter/view",
        "_view_module_version": f"^{__version__}",
    }
    assert (state["snapshot"], state["seq"]) == ({"schema": 1}, 0)
    assert "_esm" not in state


def test_every_module_of_the_page_is_shipped() -> None:
    for module in STATIC.glob("*.js"):
        assert module.read_text(encoding="utf-8").splitlines()[0] in page_script()


def test_no_module_parses_markup() -> None:
    parsers = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(")
    for module in STATIC.glob("*.js"):
        assert not parsers.search(module.read_text(encoding="utf-8")), module.name


def test_the_modules_of_the_page_pass_their_own_tests(tmp_path: Path) -> None:
    bundled = tmp_path / "bundle.mjs"
    bundled.write_text(page_script(), encoding="utf-8")
    story = finished_story().think_more()
    case = {
        "before": TurnState(THREAD, TURN, model="gpt-5.5").snapshot(),
        "ops": story.ops,
        "after": story.state.snapshot(),
    }
    mirrored = {
        "terminal": [[text, [run_pairs(line) for line in styled_lines(text)]] for text in TERMINAL],
        "python": [[source, run_pairs(python_runs(source))] for source in PYTHON],
        "diff": [[change, row_triples(change)] for change in CHANGES],
    }
    (tmp_path / "case.json").write_text(json.dumps(case), encoding="utf-8")
    (tmp_path / "mirrored.json").write_text(json.dumps(mirrored), encoding="utf-8")
    command = ["node", "--test", str(HERE / "turn_view.test.mjs")]
    result = subprocess.run(
        command,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "CASES": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
