"""What a request tells: who spoke last, what the tools said, and how each call ended."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.model.offline.transcript import (
    Outcome,
    ToolResult,
    last_prompt,
    outcome_of,
    tool_results,
)
from codex_jupyter.tools.shell import CommandResult


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def assistant(text: str) -> dict[str, Any]:
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text}],
    }


def call(number: int, name: str = "run_python") -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"c{number}", "name": name, "arguments": "{}"}


def output(number: int, text: object = "done") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"c{number}", "output": text}


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("", Outcome.APPROVED),
        ("slope=2", Outcome.APPROVED),
        ("Plan updated", Outcome.APPROVED),
        ("exec command rejected by user", Outcome.DECLINED),
        ("patch rejected by user", Outcome.DECLINED),
        ("writing outside of the project; rejected by user approval settings", Outcome.DECLINED),
        ("rejected: no writing here", Outcome.DECLINED),
        ("Rejected by user: too slow", Outcome.DECLINED),
        ("run_python not run: this call of run_python was rejected by user", Outcome.DECLINED),
        ("exec command not run: `rm x` was rejected by user (no!)", Outcome.DECLINED),
        ("patch not applied: the patch was rejected by user, who stopped the turn", "declined"),
        ("exec command not run: `x` was not run: rejected by policy. The …", Outcome.DECLINED),
        ("patch not applied: the file is read only here", Outcome.DECLINED),
        ("run_python not run: this call of run_python was aborted by the user", "aborted"),
        ("`x` was not run: rejected by policy. Work without it.", Outcome.DECLINED),
        ("aborted", Outcome.ABORTED),
        ("aborted by user after 1.2s", Outcome.ABORTED),
        ("Wall time: 3.1 seconds\naborted by user", Outcome.ABORTED),
        (
            "request_user_input was cancelled before receiving a response",
            Outcome.ABORTED,
        ),
        ("Exit code: 1\nWall time: 0.1 seconds\nOutput:\n", Outcome.FAILED),
        ("Exit code: 124\nOutput:\ncommand timed out", Outcome.FAILED),
        ("Exit code: -9\nOutput:\n", Outcome.FAILED),
        ("ok so far\nTraceback (most recent call last):\nNameError: x", Outcome.FAILED),
        ("---\nNameError            Traceback (most recent call last)\n", Outcome.FAILED),
        ("Error: no such variable", Outcome.FAILED),
        ("error: bad arguments", Outcome.FAILED),
        ("execution error: no shell", Outcome.FAILED),
        ("failed to parse function arguments", Outcome.FAILED),
        ("apply_patch verification failed: no such line", Outcome.FAILED),
        ("apply_patch failed, no file was changed: a.txt was changed meanwhile", Outcome.FAILED),
        ("dynamic tool request failed", Outcome.FAILED),
        ("dynamic tool response was invalid", Outcome.FAILED),
        ("unsupported call: run_python", Outcome.FAILED),
        ("request_user_input is unavailable in Default mode", Outcome.FAILED),
        ("error=0.25 steps=3", Outcome.APPROVED),
        ("errors: 0", Outcome.APPROVED),
        ("Exit code: 0\nOutput:\nrejected by user\nTraceback (most recent call last)", "approved"),
    ],
)
def test_the_output_tells_how_a_call_ended(text: str, outcome: Outcome) -> None:
    assert outcome_of(text) is Outcome(outcome)


@pytest.mark.parametrize(
    ("exit_code", "cancelled", "outcome"),
    [(0, False, "approved"), (3, False, "failed"), (-9, False, "failed"), (None, True, "aborted")],
)
def test_what_the_shell_tool_writes_is_understood(
    exit_code: int | None, cancelled: bool, outcome: str
) -> None:
    result = CommandResult(exit_code, "some\ntext", 0.1, False, cancelled, 0, 2)
    assert outcome_of(result.for_model()) == outcome


@given(st.integers(-300, 300), st.text())
def test_an_exit_code_outranks_everything_that_was_printed(code: int, printed: str) -> None:
    expected = Outcome.FAILED if code else Outcome.APPROVED
    assert outcome_of(f"Exit code: {code}\nOutput:\n{printed}") is expected


@pytest.mark.parametrize(
    "text",
    [
        "<environment_context>\n<cwd>/tmp</cwd></environment_context>",
        "<turn_aborted>\nstopped</turn_aborted>",
        "<user_instructions>be brief</user_instructions>",
        "# AGENTS.md instructions for /tmp",
        "  \n<environment_context></environment_context>",
    ],
)
def test_what_the_engine_wrote_as_user_is_no_prompt(text: str) -> None:
    prompt = last_prompt([user("hello"), user(text)])
    assert prompt is not None
    assert prompt.text == "hello"
    assert last_prompt([user(text)]) is None


def test_the_last_person_counts_and_what_follows_is_kept() -> None:
    items = [user("one"), assistant("1"), user("two"), call(1), output(1)]
    prompt = last_prompt(items)
    assert prompt is not None
    assert prompt.text == "two"
    assert list(prompt.since) == items[3:]


def test_a_message_of_several_parts_is_read_as_one_text() -> None:
    parts = [
        {"type": "input_text", "text": "fit"},
        {"type": "input_image", "image_url": "data:"},
        {"type": "input_text", "text": "it"},
    ]
    prompt = last_prompt([{"role": "user", "content": parts}])
    assert prompt is not None
    assert prompt.text == "fit\nit"
    bare = last_prompt([{"role": "user", "content": "plain"}])
    assert bare is not None
    assert bare.text == "plain"


@pytest.mark.parametrize(
    ("before", "steered"),
    [
        ([], False),
        ([user("one"), call(1), output(1)], True),
        ([user("one"), call(1), output(1, "exec command rejected by user")], True),
        ([user("one"), call(1), output(1), user("<environment_context>")], True),
        ([user("one"), call(1), output(1), assistant("done")], False),
        ([user("one"), call(1), output(1, "aborted by user after 1.0s")], False),
        ([user("one"), call(1), output(1), user("<turn_aborted>stopped")], False),
        ([user("one")], False),
    ],
)
def test_a_message_in_the_middle_of_a_task_is_told_from_a_new_turn(
    before: list[dict[str, Any]], steered: bool
) -> None:
    prompt = last_prompt([*before, user("stop that")])
    assert prompt is not None
    assert prompt.steered is steered


def test_calls_find_their_outputs_by_id_in_the_order_of_the_calls() -> None:
    items = [
        call(1),
        {"type": "custom_tool_call", "call_id": "c2", "name": "apply_patch", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "patched"},
        output(1, [{"type": "input_text", "text": "a"}, {"type": "input_image"}]),
        call(3, "shell_command"),
    ]
    one, two, three = tool_results(items)
    assert one == ToolResult("run_python", "a")
    assert two == ToolResult("apply_patch", "patched")
    assert three.name == "shell_command"
    assert outcome_of(three.output) is Outcome.ABORTED
