"""Questions in real kernels: answered by a page in a busy cell, by typing, or by a policy."""

import json
from typing import Any

import pytest

from tests.fake_model import Answer, call, say
from tests.notebook.answering import Answerer
from tests.notebook.conftest import EMBEDDED, Model
from tests.notebook.kernel_driver import Kernel, Run

pytestmark = pytest.mark.notebook

Json = dict[str, Any]

TOUCH = {"command": "touch made"}
QUESTION = {
    "questions": [
        {
            "id": "colour",
            "header": "Colour",
            "question": "Which colour?",
            "options": [
                {"label": "Red", "description": "like a rose"},
                {"label": "Blue", "description": "like the sea"},
            ],
        }
    ]
}


def touch(model: Model) -> None:
    """Let the model want to run a command that asks, then be content."""
    model.will(call("shell_command", TOUCH), say("Done."))


def ask_a_page(kernel: Kernel, answerer: Answerer, cell: str = "%%codex\nGo.") -> tuple[Run, Json]:
    """Run a cell whose turn asks, and find the question as a page would."""
    run = kernel.submit(cell, allow_stdin=True)
    request = answerer.question()
    assert not run.done
    return run, request


def output_for_model(model: Model) -> str:
    """Return what the model was told of its last tool call."""
    output = model.requests[-1]["input"][-1]
    assert output["type"] in ("function_call_output", "custom_tool_call_output")
    return output["output"] if isinstance(output["output"], str) else json.dumps(output["output"])


@pytest.fixture(autouse=True)
def nothing_made(kernel: Kernel) -> None:
    (kernel.folder / "made").unlink(missing_ok=True)


def test_a_page_accepts_while_the_cell_is_busy(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    touch(model)
    run, request = ask_a_page(kernel, answerer)
    assert (request["kind"], request["sandbox"]) == ("command", "not sandboxed")
    assert "touch made" in request["command"]
    assert not (kernel.folder / "made").exists()
    assert answerer.decide(request, "accept") == {"status": "ok"}
    assert kernel.wait(run).traceback == []
    assert (kernel.folder / "made").exists()
    assert answerer.outcome(request) == "accept"


def test_a_page_declines_and_the_model_is_told(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    touch(model)
    run, request = ask_a_page(kernel, answerer)
    answerer.decide(request, "decline")
    assert kernel.wait(run).status == "ok"
    assert not (kernel.folder / "made").exists()
    assert "rejected" in output_for_model(model) or "declined" in output_for_model(model)
    assert kernel.turn()["status"] == "completed"


def test_a_page_cancels_and_the_cell_ends_as_interrupted(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    touch(model)
    run, request = ask_a_page(kernel, answerer)
    answerer.decide(request, "cancel")
    assert kernel.wait(run).ename == "TurnInterrupted"
    assert kernel.turn()["status"] == "interrupted"
    assert not (kernel.folder / "made").exists()
    assert len(model.requests) == 1


def test_only_the_first_right_answer_counts(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    touch(model)
    run, request = ask_a_page(kernel, answerer)
    gone = {"status": "gone"}
    assert answerer.decide(request, "accept", digest="another") == gone
    assert answerer.decide(request, "accept", digest=None) == gone
    assert answerer.decide(request, "accept", requestId="req_unknown") == gone
    assert not (kernel.folder / "made").exists()
    assert answerer.decide(request, "decline") == {"status": "ok"}
    assert answerer.decide(request, "accept") == gone
    kernel.wait(run)
    assert answerer.decide(request, "accept") == gone
    assert not (kernel.folder / "made").exists()


def test_accept_for_the_session_is_not_asked_again(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    model.will(call("shell_command", TOUCH), call("shell_command", TOUCH), say("Done."))
    run, request = ask_a_page(kernel, answerer)
    answerer.decide(request, "acceptForSession")
    assert kernel.wait(run).status == "ok"
    assert len(answerer.asked()) == 1


@EMBEDDED
def test_a_page_that_says_hello_to_nothing_is_told_so(kernel: Kernel, model: Model) -> None:
    assert kernel.ask({"action": "hello", "turnId": "unknown"}) == {"status": "gone"}
    assert kernel.ask({"action": "interrupt", "turnId": "unknown"}) == {"status": "gone"}
    for nonsense in ({}, {"action": "dance"}, {"action": "decide", "requestId": 3}):
        assert kernel.ask(nonsense)["status"] == "error"


def test_a_patch_is_shown_as_it_will_be_applied(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    patch = "*** Begin Patch\n*** Add File: made\n+hello\n*** End Patch"
    model.will(call("apply_patch", {"input": patch}), say("Done."))
    run, request = ask_a_page(kernel, answerer)
    assert request["kind"] == "patch"
    assert "hello" in request["changes"][0]["diff"]
    answerer.decide(request, "accept")
    assert kernel.wait(run).status == "ok"
    assert (kernel.folder / "made").read_text() == "hello\n"


def test_a_page_answers_a_question(kernel: Kernel, model: Model, answerer: Answerer) -> None:
    model.will(call("request_user_input", QUESTION), say("Done."))
    run, request = ask_a_page(kernel, answerer)
    assert (request["kind"], request["questions"][0]["id"]) == ("question", "colour")
    answers = {"colour": {"answers": ["Blue"]}}
    assert answerer.answer(request, answers) == {"status": "ok"}
    assert kernel.wait(run).status == "ok"
    assert "Blue" in output_for_model(model)


TYPED = {"y": (True, "completed"), "n": (False, "completed"), "s": (False, "interrupted")}


@pytest.fixture
def no_page(kernel: Kernel) -> None:
    """Wait only briefly for a page."""
    kernel.execute("%config CodexMagics.page_wait = 0.1")


@EMBEDDED
@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("typed", TYPED)
def test_where_no_page_shows_the_turn_a_decision_is_typed(
    kernel: Kernel, model: Model, typed: str
) -> None:
    touch(model)
    run = kernel.submit("%%codex\nGo.", allow_stdin=True)
    asked = kernel.type_in(typed)
    assert asked["password"] is False
    kernel.wait(run)
    made, status = TYPED[typed]
    assert (kernel.folder / "made").exists() == made
    assert kernel.turn()["status"] == status
    assert "touch made" in run.stdout
    assert "not sandboxed" in run.stdout


@EMBEDDED
@pytest.mark.usefixtures("no_page")
def test_where_no_page_shows_the_turn_an_answer_is_typed(kernel: Kernel, model: Model) -> None:
    model.will(call("request_user_input", QUESTION), say("Done."))
    run = kernel.submit("%%codex\nGo.", allow_stdin=True)
    kernel.type_in("2")
    assert kernel.wait(run).status == "ok"
    assert "1. Red" in run.stdout
    assert "Blue" in output_for_model(model)


@EMBEDDED
@pytest.mark.usefixtures("no_page")
def test_a_stop_while_a_decision_is_typed_ends_the_turn(kernel: Kernel, model: Model) -> None:
    touch(model)
    run = kernel.submit("%%codex\nGo.", allow_stdin=True)
    kernel.wait_until(lambda: kernel.prompts)
    kernel.interrupt()
    kernel.wait(run, 5)
    assert run.ename == "TurnInterrupted"
    assert not (kernel.folder / "made").exists()
    model.script.clear()
    model.will(say("Fine."))
    assert kernel.execute("%%codex\nAnd now?").traceback == []


@EMBEDDED
@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize(
    "wish", [call("shell_command", TOUCH), call("request_user_input", QUESTION)]
)
def test_where_the_input_has_ended_the_turn_does_too_and_says_why(
    kernel: Kernel, model: Model, wish: Answer
) -> None:
    model.will(wish, say("Done."))
    ended = "def ended(_):\n    raise EOFError"
    kernel.execute(f"import codex_jupyter.notebook.asking as asking\n{ended}\nasking.input = ended")
    try:
        run = kernel.execute("%%codex\nGo.", allow_stdin=True, limit=10)
    finally:
        kernel.execute("del asking.input")
    assert run.ename == "UsageError"
    assert "input has ended" in run.evalue
    assert kernel.turn()["status"] == "interrupted"
    assert [op["outcome"] for op in kernel.ops("settle")] == ["withdrawn"]
    assert not (kernel.folder / "made").exists()
    model.script.clear()
    model.will(say("Fine."))
    assert kernel.execute("%%codex\nAnd now?").traceback == []


@EMBEDDED
@pytest.mark.usefixtures("no_page")
def test_a_number_too_long_to_be_one_is_an_answer_in_words(kernel: Kernel, model: Model) -> None:
    model.will(call("request_user_input", QUESTION), say("Done."))
    run = kernel.submit("%%codex\nGo.", allow_stdin=True)
    kernel.type_in("9" * 5000)
    assert kernel.wait(run, 10).status == "ok"
    assert "9999" in output_for_model(model)


@EMBEDDED
@pytest.mark.usefixtures("no_page")
def test_a_turn_in_the_background_does_not_take_the_kernel_to_ask(
    kernel: Kernel, model: Model
) -> None:
    touch(model)
    thread = "import codex_jupyter\nhandle = codex_jupyter.start('Go.')\n%codex status"
    kernel.execute(thread, allow_stdin=True)
    kernel.wait_until(lambda: kernel.ops("ask"))
    assert kernel.execute("import time; time.sleep(0.3); 1 + 1", allow_stdin=True).result == "2"
    assert kernel.prompts == []
    run = kernel.submit("handle.result().status", allow_stdin=True)
    kernel.type_in("y")
    assert kernel.wait(run).result == "'completed'"
    assert (kernel.folder / "made").exists()


NOBODY = "NobodyToAskError: the turn asks for approval of `command` ('touch made'), but nobody"


@EMBEDDED
def test_where_nobody_can_answer_the_cell_fails_and_names_the_setting(
    kernel: Kernel, model: Model
) -> None:
    touch(model)
    run = kernel.execute("%%codex\nGo.")
    (line,) = run.traceback
    assert line.startswith(NOBODY)
    assert "%codex headless" in line
    assert "CODEX_JUPYTER_HEADLESS" in line
    assert kernel.turn()["status"] == "interrupted"
    assert not (kernel.folder / "made").exists()
    assert "nothing" in kernel.execute("%codex status").stdout
    model.script.clear()
    model.will(say("Fine."))
    assert kernel.execute("%%codex\nAnd now?").status == "ok"


@EMBEDDED
@pytest.mark.parametrize(
    ("policy", "answer", "made"),
    [
        ("deny", call("shell_command", TOUCH), False),
        ("allow run_python", call("shell_command", TOUCH), False),
        ("allow command", call("shell_command", TOUCH), True),
        ("allow command:touch", call("shell_command", TOUCH), True),
        ("allow run_python, command:touch made", call("shell_command", TOUCH), True),
        ("allow command:rm", call("shell_command", TOUCH), False),
        ("allow command:touch", call("shell_command", {"command": "touch x; touch made"}), False),
        ("allow run_python", call("run_python", {"code": "open('made', 'w').close()"}), True),
        ("allow command", call("run_python", {"code": "open('made', 'w').close()"}), False),
        (
            "allow apply_patch",
            call(
                "apply_patch",
                {"input": "*** Begin Patch\n*** Add File: made\n+hello\n*** End Patch"},
            ),
            True,
        ),
    ],
)
def test_a_stated_policy_answers(
    kernel: Kernel, model: Model, policy: str, answer: Answer, made: bool
) -> None:
    model.will(answer, say("Done."))
    said = kernel.execute(f"%codex headless {policy}")
    assert said.stdout == f"Where nobody can be asked: {policy}.\n"
    run = kernel.execute("%%codex\nGo.")
    assert run.traceback == []
    assert (kernel.folder / "made").exists() == made
    assert kernel.turn()["status"] == "completed"


@EMBEDDED
def test_the_trait_states_a_policy_too(kernel: Kernel, model: Model) -> None:
    touch(model)
    kernel.execute("%config CodexMagics.headless = 'allow command:touch'")
    assert kernel.execute("%%codex\nGo.").traceback == []
    assert (kernel.folder / "made").exists()


@EMBEDDED
def test_a_question_gets_no_answer_where_a_policy_decides(kernel: Kernel, model: Model) -> None:
    model.will(call("request_user_input", QUESTION), say("Done."))
    kernel.execute("%codex headless deny")
    assert kernel.execute("%%codex\nGo.").traceback == []
    assert len(model.requests) == 2


@EMBEDDED
@pytest.mark.parametrize("decision", ["accept", "decline"])
def test_a_callback_decides(kernel: Kernel, model: Model, decision: str) -> None:
    touch(model)
    run = kernel.execute(
        f"""
import codex_jupyter
def decide(request):
    print(request["kind"], request["command"])
    return {decision!r}
codex_jupyter.thread(on_approval=decide).run("Go.").status
"""
    )
    assert run.result == "'completed'"
    assert (kernel.folder / "made").exists() == (decision == "accept")
    assert any("touch made" in str(m["content"].get("text")) for m in kernel.heard)


@EMBEDDED
@pytest.mark.parametrize("body", ["raise ValueError('broken')", "return 'perhaps'"])
def test_a_callback_that_is_wrong_is_no_yes_and_is_named(
    kernel: Kernel, model: Model, body: str
) -> None:
    touch(model)
    run = kernel.execute(
        f"""
import codex_jupyter
def decide(request):
    {body}
codex_jupyter.thread(on_approval=decide).run("Go.")
"""
    )
    assert not (kernel.folder / "made").exists()
    assert run.status == "error"
    (line,) = run.traceback
    assert "on_approval" in line
    assert ("broken" in line) or ("perhaps" in line)


@EMBEDDED
def test_the_environment_states_a_policy(kernel: Kernel, model: Model) -> None:
    touch(model)
    kernel.execute("%env CODEX_JUPYTER_HEADLESS=allow command:touch")
    kernel.execute("%reload_ext codex_jupyter")
    try:
        assert kernel.execute("%%codex\nGo.").traceback == []
        assert (kernel.folder / "made").exists()
        kernel.execute("%env CODEX_JUPYTER_HEADLESS=perhaps\n%reload_ext codex_jupyter")
        (line,) = kernel.execute("%%codex\nGo.").traceback
        assert "CODEX_JUPYTER_HEADLESS" in line
        assert "perhaps" in line
    finally:
        kernel.execute("import os; del os.environ['CODEX_JUPYTER_HEADLESS']")
        kernel.execute("%reload_ext codex_jupyter")
