"""Turns of the official SDK at our server: run, stream, steer, interrupt, images, approvals."""

import base64
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fake_model import call, reason, say, status
from tests.sdk.program import LIMIT, Program, openai_codex, texts

pytestmark = [pytest.mark.sdk, pytest.mark.timeout(2 * LIMIT)]

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def kinds(items: list[Any]) -> list[str]:
    return [item.root.type for item in items]


def status_of(turn: Any) -> str:
    return turn.status.value


def test_a_turn_runs_and_tells_its_items_and_tokens(program: Program) -> None:
    program.fake.add((reason("**Thinking**") + say("Forty-two.", deltas=3)).with_usage(20, 5))
    with program.codex() as codex:
        assert codex.metadata.serverInfo.name == "codex_jupyter"
        result = codex.thread_start(cwd=str(program.workspace)).run("What is the answer?")
    assert (status_of(result), result.final_response) == ("completed", "Forty-two.")
    assert kinds(result.items) == ["userMessage", "reasoning", "agentMessage"]
    assert (result.usage.last.input_tokens, result.usage.last.output_tokens) == (20, 5)
    assert result.duration_ms is not None
    assert "What is the answer?" in texts(program.fake.requests[0])


def test_our_program_is_taken_in_place_of_the_bundled_one(program: Program) -> None:
    program.fake.add(say("Hello"))
    script = shutil.which("codex-jupyter", path=str(Path(sys.executable).parent))
    changes = {"codex_bin": script, "config_overrides": ('model="another-model"',)}
    with program.codex(**changes, cwd=str(program.workspace)) as codex:
        assert codex.thread_start().run("Hi").final_response == "Hello"
    assert program.fake.requests[0]["model"] == "another-model"


def test_a_turn_is_streamed_with_every_notification_known(program: Program) -> None:
    program.fake.add(
        call("shell_command", {"command": "echo hi"}, call_id="c1"), say("Done now", deltas=4)
    )
    with program.codex() as codex:
        thread = codex.thread_start(
            cwd=str(program.workspace), sandbox=openai_codex.Sandbox.full_access
        )
        events = list(thread.turn("Go.").stream())
    unknown = [e.method for e in events if type(e.payload).__name__ == "UnknownNotification"]
    assert unknown == []
    methods = [event.method for event in events]
    assert methods[0] == "turn/started"
    assert methods[-1] == "turn/completed"
    assert methods.count("item/started") == methods.count("item/completed") == 3
    said = [e.payload.delta for e in events if e.method == "item/agentMessage/delta"]
    assert "".join(said) == "Done now"
    (ran,) = [
        e.payload.item.root
        for e in events
        if e.method == "item/completed" and e.payload.item.root.type == "commandExecution"
    ]
    assert (ran.aggregated_output.strip(), ran.exit_code) == ("hi", 0)


def test_images_reach_the_model(program: Program) -> None:
    program.fake.add(say("A dot, twice."))
    file = program.workspace / "dot.png"
    file.write_bytes(DOT)
    url = "data:image/png;base64," + base64.b64encode(DOT).decode()
    said = [
        openai_codex.TextInput("What is this?"),
        openai_codex.LocalImageInput(str(file)),
        openai_codex.ImageInput(url),
    ]
    with program.codex() as codex:
        result = codex.thread_start(cwd=str(program.workspace)).run(said)
    assert result.final_response == "A dot, twice."
    shown = [
        part["image_url"]
        for item in program.fake.requests[0]["input"]
        for part in item.get("content") or ()
        if part["type"] == "input_image"
    ]
    assert shown == [url, url]


def test_more_is_said_in_a_turn(program: Program) -> None:
    program.fake.add(say("Looking", deltas=2).hang(after=4), say("At the second too."))
    with program.codex() as codex:
        turn = codex.thread_start(cwd=str(program.workspace)).turn("Look at the first.")
        program.fake.wait_for_hang()
        assert turn.steer("And at the second.").turn_id == turn.id
        program.fake.resume()
        result = turn.run()
    assert result.final_response == "At the second too."
    assert "And at the second." in texts(program.fake.requests[1])


def test_a_stop_ends_the_turn(program: Program) -> None:
    program.fake.add(say("half a sentence", deltas=2).hang(after=4), say("Back"))
    with program.codex() as codex:
        thread = codex.thread_start(cwd=str(program.workspace))
        turn = thread.turn("Go.")
        program.fake.wait_for_hang()
        turn.interrupt()
        assert status_of(turn.run()) == "interrupted"
        with pytest.raises(openai_codex.InvalidRequestError, match="no active turn"):
            turn.interrupt()
        assert thread.run("Again.").final_response == "Back"


def test_a_failed_turn_is_an_error_with_the_reason(program: Program) -> None:
    program.fake.add(status(400, "the model is on holiday"))
    with program.codex() as codex:
        thread = codex.thread_start(cwd=str(program.workspace))
        with pytest.raises(RuntimeError, match="the model is on holiday"):
            thread.run("Go.")


@pytest.mark.parametrize("decision", ["accept", "decline"])
def test_an_approval_is_answered_by_the_handler(program: Program, decision: str) -> None:
    program.configure('approval_policy = "untrusted"')
    program.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"), say("Ok"))
    asked: list[tuple[str, Any]] = []

    def decide(method: str, params: Any) -> dict[str, str]:
        asked.append((method, params))
        return {"decision": decision}

    with program.client(decide) as client:
        thread_id = client.thread_start({"cwd": str(program.workspace)}).thread.id
        result = openai_codex.Thread(client, thread_id).run("Go.")
    ((method, params),) = asked
    assert method == "item/commandExecution/requestApproval"
    assert "touch made" in params["command"]
    (ran,) = [item.root for item in result.items if item.root.type == "commandExecution"]
    assert ran.status.value == ("completed" if decision == "accept" else "declined")
    assert (program.workspace / "made").exists() == (decision == "accept")


@pytest.mark.parametrize(
    ("mode", "is_made"), [("auto_review", True), ("deny_all", False)], ids=["accepted", "denied"]
)
def test_the_approval_mode_decides(program: Program, mode: str, is_made: bool) -> None:
    """By its first mode the SDK accepts what it is asked; by the other it is never asked."""
    patch = "*** Begin Patch\n*** Add File: made.txt\n+x\n*** End Patch\n"
    program.fake.add(call("apply_patch", {"input": patch}, call_id="c1"), say("Ok"))
    with program.codex() as codex:
        thread = codex.thread_start(
            cwd=str(program.workspace),
            approval_mode=openai_codex.ApprovalMode(mode),
            sandbox=openai_codex.Sandbox.read_only,
        )
        assert thread.run("Go.").final_response == "Ok"
    assert (program.workspace / "made.txt").exists() == is_made


def test_an_empty_answer_to_a_question_does_not_hang(program: Program) -> None:
    """All the SDK has for what it does not know."""
    question = {"id": "q", "header": "H", "question": "Which?", "options": []}
    program.fake.add(
        call("request_user_input", {"questions": [question]}, call_id="c1"), say("Never mind.")
    )
    with program.codex() as codex:
        result = codex.thread_start(cwd=str(program.workspace)).run("Ask me.")
    assert result.final_response == "Never mind."


def test_threads_run_side_by_side(program: Program) -> None:
    """All of them are in the middle of an answer before the first one ends."""
    names = [f"thread {n}" for n in range(4)]
    answers = {name: [say(f"to {name}", deltas=2).hang(after=3)] for name in names}
    program.fake.portal.call(program.fake.fake.by_prompt, answers)
    with program.codex() as codex, ThreadPoolExecutor(len(names)) as pool:

        def run(name: str) -> str:
            return codex.thread_start(cwd=str(program.workspace)).run(name).final_response

        running = [pool.submit(run, name) for name in names]
        program.fake.wait_for_hang(len(names), timeout=LIMIT)
        program.fake.resume()
        assert [turn.result(LIMIT) for turn in running] == [f"to {name}" for name in names]
