"""Which form of the live view a front end gets, and the one out of plain widgets."""

import subprocess
import sys
from typing import Any

import ipywidgets
import pytest
from ipywidgets.widgets.widget import _instances

from codex_jupyter.errors import ConfigError
from codex_jupyter.notebook.live_view import choose_view, make_view
from codex_jupyter.notebook.plain_view import PlainView
from codex_jupyter.view.turn_state import Op, TurnState
from tests.view.delegate_stories import ADA, Family
from tests.view.turn_stories import THREAD, TURN

Json = dict[str, Any]

LAB: Json = {"metadata": {"cellId": "0b5cb3a4-7ac4-4b9c"}}
APPROVAL: Json = {
    "requestId": "r1",
    "turnId": TURN,
    "kind": "command",
    "itemId": "c",
    "title": "Run this command?",
    "command": "touch made",
    "changes": [],
    "questions": [],
    "digest": "d1",
    "sandbox": "not sandboxed",
    "choices": ["accept", "decline"],
}
QUESTION: Json = {
    **APPROVAL,
    "requestId": "r2",
    "kind": "question",
    "questions": [
        {"id": "colour", "question": "Which?", "options": [{"label": "Red"}], "isSecret": False},
        {"id": "pin", "question": "PIN?", "isSecret": True},
    ],
}


@pytest.mark.parametrize(
    ("environ", "parent", "modules", "chosen"),
    [
        ({}, LAB, {}, "module"),
        ({}, {}, {}, "module"),
        ({"TERM_PROGRAM": "vscode"}, LAB, {}, "module"),
        ({"VSCODE_PID": "1"}, {}, {}, "anywidget"),
        ({"VSCODE_CWD": "/"}, LAB, {}, "anywidget"),
        ({}, {"metadata": {"cellId": "vscode-notebook-cell:/x#1"}}, {}, "anywidget"),
        ({}, {}, {"google.colab": object()}, "anywidget"),
        ({"CODEX_JUPYTER_WIDGET": "plain"}, LAB, {}, "plain"),
        ({"CODEX_JUPYTER_WIDGET": "module", "VSCODE_PID": "1"}, {}, {}, "module"),
        ({"CODEX_JUPYTER_WIDGET": "none"}, {}, {"google.colab": object()}, "none"),
    ],
)
def test_the_form_follows_the_front_end_or_what_is_stated(
    environ: dict[str, str], parent: Json, modules: Json, chosen: str
) -> None:
    assert choose_view(environ, parent, modules) == chosen


def test_without_anywidget_other_front_ends_get_plain_widgets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    assert choose_view({"VSCODE_PID": "1"}, {}, {}) == "plain"


def test_a_form_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"CODEX_JUPYTER_WIDGET.*'big'"):
        choose_view({"CODEX_JUPYTER_WIDGET": "big"}, {}, {})


@pytest.mark.parametrize("kind", ["module", "plain"])
def test_no_form_but_its_own_imports_anywidget(kind: str) -> None:
    program = (
        "import sys\n"
        "from codex_jupyter.notebook.live_view import make_view\n"
        "from codex_jupyter.view.turn_state import TurnState\n"
        f"view = make_view({kind!r}, TurnState('t', 'u').snapshot())\n"
        "print('anywidget' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_the_form_none_is_no_view() -> None:
    assert make_view("none", {}) is None


class Shown:
    """A plain view, the state it shows, and what its buttons asked."""

    def __init__(self, reply: str = "ok") -> None:
        self.state = TurnState(THREAD, TURN, model="m")
        self.view = PlainView(self.state.snapshot())
        self.asked: list[Json] = []
        self._reply = reply
        self.view.on_message(self._take)

    def push(self, ops: list[Op], now: float) -> None:
        self.view.push(ops, now)

    def all(self, kind: type[Any]) -> list[Any]:
        """Return every widget of a kind, in order."""

        def within(widget: Any) -> list[Any]:
            found = [widget] if isinstance(widget, kind) else []
            return found + [w for c in getattr(widget, "children", ()) for w in within(c)]

        return within(self.view)

    def press(self, label: str) -> None:
        (button,) = [b for b in self.all(ipywidgets.Button) if b.description == label]
        button.click()

    def labels(self) -> list[str]:
        return [button.description for button in self.all(ipywidgets.Button)]

    def _take(self, content: Json) -> Json:
        self.asked.append(content)
        return {"status": self._reply}


def delta(text: str) -> Json:
    return {"threadId": THREAD, "turnId": TURN, "itemId": "m", "delta": text}


def test_a_plain_view_draws_at_most_five_times_a_second() -> None:
    shown = Shown()
    for n in range(10):
        shown.push(shown.state.apply("item/agentMessage/delta", delta(f"w{n} ")), n * 0.05)
        drawn = shown.all(ipywidgets.HTML)[0].value
        assert (f"w{n}" in drawn) == (n % 4 == 0), n
    assert shown.view.due_in(0.45) == pytest.approx(0.15)
    shown.view.flush(0.6)
    assert "w9" in shown.all(ipywidgets.HTML)[0].value
    assert shown.view.due_in(0.6) is None


def test_the_buttons_of_a_plain_view_decide_with_the_digest_that_was_shown() -> None:
    shown = Shown()
    shown.push(shown.state.ask(APPROVAL), 1.0)  # type: ignore[arg-type]
    assert shown.labels() == ["Approve", "Decline", "Stop"]
    assert "touch made" in shown.all(ipywidgets.Textarea)[0].value
    shown.press("Approve")
    assert shown.asked == [
        {"action": "decide", "requestId": "r1", "decision": "accept", "digest": "d1"}
    ]
    shown.push(shown.state.settle("r1", "accept"), 2.0)
    assert shown.labels() == ["Stop"]


def test_a_plain_view_says_when_a_question_is_gone() -> None:
    shown = Shown(reply="gone")
    shown.push(shown.state.ask(APPROVAL), 1.0)  # type: ignore[arg-type]
    shown.press("Decline")
    assert "no longer" in shown.all(ipywidgets.Textarea)[0].value


def test_a_plain_view_has_a_form_for_questions() -> None:
    shown = Shown()
    shown.push(shown.state.ask(QUESTION), 1.0)  # type: ignore[arg-type]
    shown.all(ipywidgets.Combobox)[0].value = "Red"
    shown.all(ipywidgets.Password)[0].value = ""
    shown.press("Answer")
    answers = {"colour": {"answers": ["Red"]}, "pin": {"answers": []}}
    assert shown.asked == [{"action": "answer", "requestId": "r2", "answers": answers}]


@pytest.mark.parametrize("request_", [APPROVAL, QUESTION], ids=["approval", "question"])
def test_a_card_of_a_plain_view_says_which_delegate_asks(request_: Json) -> None:
    shown, family = Shown(), Family()
    shown.state = family.state
    family.appears(ADA, "Ada", "explorer").works(ADA).waits(ADA, "waitingOnApproval")
    asking = {"threadId": ADA, "name": "Ada", "role": "explorer"}
    shown.push([*family.ops, *family.state.ask({**request_, "delegate": asking})], 1.0)  # type: ignore[typeddict-item]
    assert shown.all(ipywidgets.Textarea)[0].value.startswith("Asked by Ada (explorer)\n")
    drawn = shown.all(ipywidgets.HTML)[0].value
    assert "Waits for your approval" in drawn
    assert "was still at work" not in drawn
    assert "when this was saved" not in drawn


def test_a_plain_view_stops_the_turn_and_nothing_after_its_end() -> None:
    shown = Shown()
    shown.press("Stop")
    assert shown.asked == [{"action": "interrupt", "turnId": TURN}]
    turn = {"id": TURN, "status": "completed", "items": [], "error": None}
    shown.state.apply("turn/completed", {"threadId": THREAD, "turn": turn})
    shown.view.settle(shown.state.snapshot(), 2.0)
    assert shown.all(ipywidgets.Button)[0].disabled


def test_a_plain_view_leaves_no_widget_behind() -> None:
    before = set(_instances)
    shown = Shown()
    shown.push(shown.state.ask(QUESTION), 1.0)  # type: ignore[arg-type]
    shown.push(shown.state.settle("r2", "answered"), 2.0)
    shown.push(shown.state.ask(APPROVAL), 3.0)  # type: ignore[arg-type]
    shown.view.retire()
    assert set(_instances) == before
