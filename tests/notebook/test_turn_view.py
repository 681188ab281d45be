import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from codex_jupyter.notebook.diff_rows import change_rows
from codex_jupyter.notebook.op_batches import MIN_GAP
from codex_jupyter.notebook.python_code import python_runs
from codex_jupyter.notebook.terminal_text import Run, styled_lines
from codex_jupyter.notebook.turn_state import TurnState
from codex_jupyter.notebook.turn_view import TurnView, page_script, page_style
from tests.notebook.turn_stories import THREAD, TURN, finished_story

HERE = Path(__file__).parent
STATIC = HERE.parents[1] / "codex_jupyter" / "notebook" / "static"


class RecordingView(TurnView):
    """A view whose messages to the page are kept instead of sent."""

    def __init__(self, snapshot: dict[str, Any] | None = None) -> None:
        self.sent: list[dict[str, Any]] = []
        self.states: list[Any] = []
        super().__init__(snapshot)

    def send(self, content: Any, buffers: Any = None) -> None:
        self.sent.append(content)

    def send_state(self, key: Any = None) -> None:
        self.states.append(key)


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


def test_batches_are_numbered_and_settling_folds_their_number() -> None:
    view = RecordingView()
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


def test_flush_sends_nothing_when_nothing_waits() -> None:
    view = RecordingView()
    view.flush(0.0)
    assert view.sent == []


def test_settling_again_tells_a_page_that_lost_the_last_update() -> None:
    view = RecordingView({"schema": 1})
    view.states.clear()
    view.settle({"schema": 1}, 0.0)
    assert view.states == [("snapshot", "seq")]


def test_a_page_without_control_channel_is_answered_by_comm() -> None:
    view, asked = RecordingView(), []

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
    view = RecordingView()
    assert view._esm == page_script()
    assert view._css == page_style()
    assert not re.search(r"^import ", page_script(), re.MULTILINE)
    assert re.findall(r"^export .*", page_script(), re.MULTILINE) == ["export default { render };"]


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
