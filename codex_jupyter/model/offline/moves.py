"""Decides what a play does next, from the play and the tool results of the turn so far."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from codex_jupyter.model.offline.play import END, NEXT, PLACEHOLDER, Play, Speech, ToolUse
from codex_jupyter.model.offline.transcript import Outcome, ToolResult, outcome_of

__all__ = ["CallTool", "End", "Move", "Offer", "Reason", "Say", "ToolKind", "Values", "next_moves"]

ToolKind = Literal["function", "custom"]
Offer = Mapping[str, ToolKind]
"""The client's tools by name."""

Values = Mapping[str, Mapping[str, str]]
"""What placeholders stand for: name, group, text."""

_MAX_STEPS: Final = 200
"""Steps one play may take in one turn. A play may jump back, so it might never end by itself."""

_MAX_OUTPUT_CHARS: Final = 4000
"""How much of a tool's output ``{name.output}`` shows."""

_UNKNOWN: Final = "unknown"
_SORRY: Final = {
    Outcome.DECLINED: "You did not allow `{tool}`, so it did not run, and I stop here.",
    Outcome.FAILED: "`{tool}` did not succeed, and this play knows no way on:\n\n> {last_line}",
    Outcome.ABORTED: "`{tool}` was stopped before it was done, so I stop here too.",
    Outcome.MISSING: (
        "The next step needs the tool `{tool}`, which is not offered here, so I stop. "
        "Kernel tools such as `run_python` come with a `%%codex` cell."
    ),
}


@dataclass(frozen=True, slots=True)
class Say:
    """Part of the answer, in Markdown."""

    text: str


@dataclass(frozen=True, slots=True)
class Reason:
    """A summary of reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class CallTool:
    """A tool call; the answer ends with it and the next request brings its output."""

    name: str
    payload: str
    """JSON arguments of a function, or the free text of a custom tool."""

    kind: ToolKind = "function"


@dataclass(frozen=True, slots=True)
class End:
    """The turn is over."""


Move = Say | Reason | CallTool | End


def next_moves(
    play: Play, results: Sequence[ToolResult], offered: Offer, known: Values
) -> tuple[Move, ...]:
    """Play ``play`` from its start and return what comes after the tool calls made so far.

    Args:
        play: The script.
        results: The turn's finished calls, oldest first; each tool step uses up one.
        offered: Tools that may be called.
        known: Values of the built-in placeholders.

    Returns:
        Any number of `Say` and `Reason`, then one `CallTool` or `End`.
    """
    walk = _Walk(list(results), offered, _unfilled(play) | dict(known))
    position = 0
    for _ in range(_MAX_STEPS):
        if position >= len(play.steps):
            return (*walk.moves, End())
        step = play.steps[position]
        if isinstance(step.action, Speech):
            walk.moves.append(_spoken(step.action, walk.values))
            target = step.then
        else:
            target = walk.take(step.action, step.then)
            if target is None:
                return tuple(walk.moves)
        position = _index(play, position, target)
    return (*walk.moves, Say(_endless(play)), End())


@dataclass(slots=True)
class _Walk:
    """Where the replay stands: what is left of the past, and what is to be done now."""

    left: list[ToolResult]
    offered: Offer
    values: dict[str, Mapping[str, str]]
    moves: list[Move] = field(default_factory=list[Move])

    def take(self, action: ToolUse, then: str) -> str | None:
        """Pass one tool step. Return where to go from it, or ``None`` if the answer ends here."""
        if self.left and self.left[0].name == action.tool:
            outcome, values = _read(action, self.left.pop(0))
            # What was said before this call went out with an earlier answer.
            self.moves.clear()
        elif action.tool not in self.offered:
            outcome, values = Outcome.MISSING, dict[str, str]()
        elif self.left:
            self.moves = [Say(_foreign(self.left[0], action)), End()]
            return None
        else:
            self.moves.append(_call(action, self.offered[action.tool], self.values))
            return None
        if action.name is not None:
            self.values[action.name] = values
        if outcome is Outcome.APPROVED:
            return then
        if outcome not in action.on:
            self.moves += [Say(_sorry(action.tool, outcome, values.get("last_line"))), End()]
            return None
        return action.on[outcome]


def _unfilled(play: Play) -> dict[str, Mapping[str, str]]:
    """Give every name an entry, so that a step that was skipped reads as unknown."""
    actions = (step.action for step in play.steps)
    return {action.name: {} for action in actions if isinstance(action, ToolUse) and action.name}


def _index(play: Play, position: int, target: str) -> int:
    if target == NEXT:
        return position + 1
    return len(play.steps) if target == END else play.labels[target]


def _spoken(speech: Speech, values: Values) -> Move:
    text = _filled(speech.text, values)
    return Say(text) if speech.kind == "say" else Reason(text)


def _call(action: ToolUse, kind: ToolKind, values: Values) -> CallTool:
    arguments = {key: _filled_all(value, values) for key, value in action.arguments.items()}
    if kind == "custom":
        return CallTool(action.tool, str(arguments.get("input", "")), kind)
    return CallTool(action.tool, json.dumps(arguments, ensure_ascii=False), kind)


def _read(action: ToolUse, result: ToolResult) -> tuple[Outcome, dict[str, str]]:
    """Tell how a call ended and what it leaves for placeholders."""
    outcome = outcome_of(result.output)
    body = _body(result.output)
    values = {"output": _cut(body), "last_line": _last_line(body)}
    if action.capture is None:
        return outcome, values
    found = action.capture.search(result.output)
    if found is not None:
        values |= {group: text for group, text in found.groupdict().items() if text is not None}
    elif outcome is Outcome.APPROVED:
        outcome = Outcome.FAILED
    return outcome, values


def _body(output: str) -> str:
    """Leave out the lines about exit code and time that stand above a command's output."""
    head, mark, body = output.partition("\nOutput:\n")
    return (body if mark and head.startswith("Exit code:") else output).strip("\n")


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_OUTPUT_CHARS else text[:_MAX_OUTPUT_CHARS] + "…"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return _cut(lines[-1].strip()) if lines else ""


def _filled(text: str, values: Values) -> str:
    """Fill the placeholders in one pass, so that a filled-in value is never read as another."""

    def fill() -> Iterator[str]:
        end = 0
        for found in PLACEHOLDER.finditer(text):
            name, group = found.groups()
            yield text[end : found.start()]
            yield values[name].get(group, _UNKNOWN) if name in values else found[0]
            end = found.end()
        yield text[end:]

    return "".join(fill())


def _filled_all(value: object, values: Values) -> Any:
    if isinstance(value, str):
        return _filled(value, values)
    if isinstance(value, Mapping):
        table = cast("Mapping[str, object]", value)
        return {key: _filled_all(part, values) for key, part in table.items()}
    if isinstance(value, list):
        return [_filled_all(part, values) for part in cast("list[object]", value)]
    return value


def _sorry(tool: str, outcome: Outcome, last_line: str | None) -> str:
    return _SORRY[outcome].format(tool=tool, last_line=last_line or "(no output)")


def _foreign(result: ToolResult, action: ToolUse) -> str:
    return (
        f"This turn holds a call of `{result.name}` where my play has `{action.tool}`, so somebody "
        "else began it. I cannot take over in the middle; send the prompt again."
    )


def _endless(play: Play) -> str:
    return (
        f"The play `{play.path.name}` took {_MAX_STEPS} steps and jumps back once more, so I stop."
    )
