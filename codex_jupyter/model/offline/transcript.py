"""What a request tells a play: the prompt, the tool results since, and how each call ended."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, cast

__all__ = ["Outcome", "Prompt", "ToolResult", "last_prompt", "outcome_of", "tool_results"]

_CONTEXT_PREFIXES: Final = (
    "<environment_context>",
    "<turn_aborted>",
    "<user_instructions>",
    "<user_shell_command>",
    "<subagent_notification>",
    "<skill>",
    "# AGENTS.md",
)
"""How messages begin that carry the role `user` but were written by the engine."""

_EXIT_CODE: Final = re.compile(r"\AExit code: (-?\d+)")
_NOT_RUN: Final = re.compile(r"\A(?:exec command not run|patch not applied|\w+ not run): ")
"""How a refusal begins, whatever its reason says."""

_DECLINED: Final = re.compile(r"\Arejected|rejected by (?:user|policy)", re.IGNORECASE)
_ABORTED: Final = re.compile(
    r"\A(?:Wall time: [\d.]+ seconds\s+)?aborted|was cancelled before receiving a response\s*\Z",
    re.IGNORECASE,
)
_WITHDRAWN: Final = "aborted by the user"
_FAILED: Final = re.compile(
    r"\A(?:error|execution error|failed|unsupported (?:custom tool )?call|"
    r"apply_patch (?:verification )?failed)\b(?!\s*=)"
    r"|\Adynamic tool (?:request failed|response was invalid)"
    r"|Traceback \(most recent call last\)"
    r"|\A\w+ is unavailable in ",
    re.IGNORECASE,
)
_CALLS: Final = ("function_call", "custom_tool_call")
_OUTPUTS: Final = ("function_call_output", "custom_tool_call_output")
_LOST: Final = "aborted: the call has no recorded output"


class Outcome(StrEnum):
    """How a step that needs a tool ended; a play branches on it."""

    APPROVED = "approved"
    """It ran, and nothing says that it went wrong."""

    DECLINED = "declined"
    """The user or the policy said no; nothing ran."""

    FAILED = "failed"
    """It ran or tried to, and its output tells of an error."""

    ABORTED = "aborted"
    """It was stopped on the way; how far it got is unknown."""

    MISSING = "missing"
    """The client does not offer the tool, so it was never called."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The last message a person wrote, and what happened since."""

    text: str
    since: tuple[Mapping[str, Any], ...]
    """Response items after the message, oldest first."""

    steered: bool
    """Whether the message came while another task's tool calls were being worked on."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """One finished tool call."""

    name: str
    output: str
    """Text only; images are left out."""


def last_prompt(items: Sequence[Mapping[str, Any]]) -> Prompt | None:
    """Find the last real user message in a request's input, or ``None`` if there is none."""
    for index in range(len(items) - 1, -1, -1):
        if _is_from_a_person(items[index]):
            text = _text_of(items[index].get("content"))
            return Prompt(text, tuple(items[index + 1 :]), _is_steered(items[:index]))
    return None


def tool_results(items: Sequence[Mapping[str, Any]]) -> tuple[ToolResult, ...]:
    """Pair the calls among ``items`` with their outputs, in the order of the calls.

    A call without an output counts as aborted.
    """
    outputs = {
        item.get("call_id"): _text_of(item.get("output"))
        for item in items
        if item.get("type") in _OUTPUTS
    }
    return tuple(
        ToolResult(str(item.get("name")), outputs.get(item.get("call_id"), _LOST))
        for item in items
        if item.get("type") in _CALLS
    )


def outcome_of(output: str) -> Outcome:
    """Read from a tool's output text how the call ended.

    An exit code settles it, because what a command printed may quote any of the other signs.
    """
    text = output.lstrip()
    if code := _EXIT_CODE.match(text):
        return Outcome.APPROVED if code[1] == "0" else Outcome.FAILED
    if _NOT_RUN.match(text):
        return Outcome.ABORTED if _WITHDRAWN in text else Outcome.DECLINED
    if _ABORTED.search(text):
        return Outcome.ABORTED
    if _DECLINED.search(text):
        return Outcome.DECLINED
    if _FAILED.search(text):
        return Outcome.FAILED
    return Outcome.APPROVED


def _is_from_a_person(item: Mapping[str, Any]) -> bool:
    if item.get("role") != "user":
        return False
    return not _text_of(item.get("content")).lstrip().startswith(_CONTEXT_PREFIXES)


def _is_steered(before: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether the model still owed an answer to a tool's output.

    An aborted call ended its turn, so the next message begins a new one.
    """
    for item in reversed(before):
        if item.get("type") in _OUTPUTS:
            return outcome_of(_text_of(item.get("output"))) is not Outcome.ABORTED
        text = _text_of(item.get("content")).lstrip()
        if item.get("role") == "user" and text.startswith("<turn_aborted>"):
            return False
        if item.get("role") in ("assistant", "user") and not text.startswith(_CONTEXT_PREFIXES):
            return False
    return False


def _text_of(content: object) -> str:
    """Join the texts of a message's content or a tool's output: a string or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    parts = cast("Sequence[object]", content)
    texts = [cast("Mapping[str, object]", part).get("text") for part in parts if _is_map(part)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)
