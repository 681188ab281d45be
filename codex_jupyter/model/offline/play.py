"""Plays of the offline model: their shape in memory, and reading one from its TOML file."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

from codex_jupyter.errors import PlayError
from codex_jupyter.model.offline.fields import (
    MistakeError,
    check_keys,
    in_step,
    listed,
    nearest,
    pattern_of,
    rows_of,
    single_words_of,
    table_of,
    text_of,
    texts_of,
    words,
)
from codex_jupyter.model.offline.transcript import Outcome

__all__ = ["END", "NEXT", "PLACEHOLDER", "Play", "Speech", "Step", "ToolUse", "load_play"]

END: Final = "end"
NEXT: Final = "next"
PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_]\w*)\.([A-Za-z_]\w*)\}")
"""``{name.group}``: a captured value, or one of the built-in groups."""

_VERSION: Final = 1
_MAX_BYTES: Final = 256 * 1024
"""Far above any play a person writes; keeps a stray file from being read into memory."""

_RESERVED: Final = "offline"
_OFFLINE_GROUPS: Final = frozenset({"prompts", "connect"})
_OUTPUT_GROUPS: Final = frozenset({"output", "last_line"})
_STATUSES: Final = ("pending", "in_progress", "completed")
_PLAY_KEYS: Final = ("play", "title", "prompt", "match", "exact", "step")
_SPEECH: Final = ("say", "reason")
_ACTIONS: Final = (*_SPEECH, "plan", "run", "shell", "patch", "ask", "tool")
_TOOL_KEYS: Final = ("arguments", "name", "capture", "on")
_STEP_KEYS: Final = (*_ACTIONS, *_TOOL_KEYS, "label", "then")


@dataclass(frozen=True, slots=True)
class Speech:
    """Words of the model: part of its answer, or a summary of its reasoning."""

    kind: Literal["say", "reason"]
    text: str


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call of one of the client's tools."""

    tool: str
    arguments: Mapping[str, Any]
    """JSON values; strings may hold placeholders."""

    name: str | None = None
    """What placeholders call the result."""

    capture: re.Pattern[str] | None = None
    """Searched in the output; a call that succeeded without a match counts as failed."""

    on: Mapping[Outcome, str] = field(default_factory=dict[Outcome, str])
    """Where to go when the call did not succeed: a label, ``end`` or ``next``."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a play."""

    action: Speech | ToolUse
    label: str | None = None
    then: str = NEXT
    """Where to go afterwards: a label, ``end`` or ``next``."""


@dataclass(frozen=True, slots=True)
class Play:
    """A script that answers some prompts."""

    path: Path
    title: str
    prompt: str
    """An example that the play answers, in one line."""

    steps: tuple[Step, ...]
    match: tuple[frozenset[str], ...] = ()
    """Sets of words; a prompt that holds all words of one set is answered."""

    exact: tuple[tuple[str, ...], ...] = ()
    """Whole prompts, as words; the example is one of them."""

    labels: Mapping[str, int] = field(default_factory=dict[str, int])
    """Index of the step of each label."""


def load_play(path: Path) -> Play:
    """Read and check one play file.

    Raises:
        PlayError: The file cannot be read, is not TOML, or says something the format does not know.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise PlayError(path, f"larger than {_MAX_BYTES // 1024} KiB, which no play needs")
        return _play(path, tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise PlayError(path, f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PlayError(path, f"is not UTF-8 text (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise PlayError(path, f"is not valid TOML: {error}") from error
    except MistakeError as error:
        raise PlayError(path, str(error)) from error


def _play(path: Path, table: Mapping[str, Any]) -> Play:
    # The version comes first: another version may well have other keys.
    if table.get("play") != _VERSION or isinstance(table.get("play"), bool):
        found = repr(table["play"]) if "play" in table else "no `play` key"
        raise MistakeError(f"must say `play = {_VERSION}`, the version of the format; has {found}")
    check_keys(table, _PLAY_KEYS)
    prompt = text_of(table, "prompt")
    if "\n" in prompt or not words(prompt):
        raise MistakeError("`prompt` must be one line with at least one word")
    rows = rows_of(table.get("step"), "`step` must be a list of tables, `[[step]]`")
    steps = tuple(in_step(number, row, _step) for number, row in enumerate(rows, start=1))
    exact = texts_of(table.get("exact", []), "`exact` must be a list of prompts")
    labels = _labels(steps)
    groups = _groups(steps)
    for number, step in enumerate(steps, start=1):
        in_step(number, step, lambda step: _check_references(step, labels, groups))
    return Play(
        path=path,
        title=text_of(table, "title"),
        prompt=prompt,
        steps=steps,
        match=single_words_of(table.get("match", []), "match"),
        exact=(words(prompt), *(words(line) for line in exact)),
        labels=labels,
    )


def _step(row: Mapping[str, Any]) -> Step:
    check_keys(row, _STEP_KEYS)
    kinds = [key for key in _ACTIONS if key in row]
    if len(kinds) != 1:
        has = " and ".join(f"`{key}`" for key in kinds) or "none"
        raise MistakeError(f"needs exactly one of {listed(_ACTIONS)}; has {has}")
    kind = kinds[0]
    if kind not in _SPEECH:
        action: Speech | ToolUse = _tool_use(kind, row)
    elif stray := [key for key in _TOOL_KEYS if key in row]:
        raise MistakeError(f"`{stray[0]}` belongs to steps that call a tool, not to `{kind}`")
    else:
        action = Speech("say" if kind == "say" else "reason", text_of(row, kind).strip("\n"))
    label = text_of(row, "label") if "label" in row else None
    if label in (END, NEXT):
        raise MistakeError(f"`{label}` cannot be a label, it has a meaning of its own")
    return Step(action, label, text_of(row, "then") if "then" in row else NEXT)


def _tool_use(kind: str, row: Mapping[str, Any]) -> ToolUse:
    tool, arguments = _call(kind, row)
    extra = table_of(row.get("arguments", {}), "arguments")
    if both := sorted(arguments.keys() & extra.keys()):
        raise MistakeError(f"`arguments` repeats `{both[0]}`, which `{kind}` already gives")
    arguments = {**arguments, **extra}
    try:
        json.dumps(arguments, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise MistakeError(f"`{kind}` holds a value that JSON cannot carry: {error}") from error
    name = text_of(row, "name") if "name" in row else None
    if name is not None and (name == _RESERVED or not re.fullmatch(r"[A-Za-z_]\w*", name)):
        raise MistakeError(f"`name` must be an identifier other than `{_RESERVED}`; is {name!r}")
    if "capture" in row and name is None:
        raise MistakeError("`capture` needs a `name` by which the values are found")
    capture = pattern_of(text_of(row, "capture")) if "capture" in row else None
    return ToolUse(tool, arguments, name, capture, _branches(kind, row.get("on", {})))


def _call(kind: str, row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    match kind:
        case "run":
            return "run_python", {"code": text_of(row, kind).strip("\n")}
        case "shell":
            return "shell_command", {"command": text_of(row, kind).strip("\n")}
        case "patch":
            return "apply_patch", {"input": text_of(row, kind)}
        case "plan":
            return "update_plan", {"plan": _plan(row[kind])}
        case "ask":
            return "request_user_input", {"questions": _questions(row[kind])}
        case _:
            return text_of(row, kind), {}


def _plan(value: object) -> list[dict[str, Any]]:
    rows = rows_of(value, "`plan` must be a list of tables with `step` and `status`")
    for row in rows:
        check_keys(row, ("step", "status"))
        text_of(row, "step")
        if row.get("status") not in _STATUSES:
            raise MistakeError(
                f"`status` must be one of {listed(_STATUSES)}; is {row.get('status')!r}"
            )
    return [dict(row) for row in rows]


def _questions(value: object) -> list[dict[str, Any]]:
    rows = rows_of(value, "`ask` must be a list of tables, one for each question")
    for row in rows:
        for key in ("id", "header", "question"):
            text_of(row, key)
        rows_of(row.get("options"), "a question needs `options`, a list of tables")
    return [dict(row) for row in rows]


def _branches(kind: str, value: object) -> dict[Outcome, str]:
    table = table_of(value, "on")
    outcomes = {outcome.value: outcome for outcome in Outcome if outcome is not Outcome.APPROVED}
    check_keys(table, tuple(outcomes), prefix="on.")
    # A plan only shows where the play stands; a client without plans must not stop it.
    usual = dict.fromkeys(outcomes.values(), NEXT) if kind == "plan" else {}
    return usual | {outcomes[key]: text_of(table, key, prefix="on.") for key in table}


def _labels(steps: tuple[Step, ...]) -> dict[str, int]:
    labels: dict[str, int] = {}
    for index, step in enumerate(steps):
        if step.label is None:
            continue
        if step.label in labels:
            raise MistakeError(f"two steps have the label `{step.label}`")
        labels[step.label] = index
    return labels


def _groups(steps: tuple[Step, ...]) -> dict[str, frozenset[str]]:
    """Map each name to the groups a placeholder may ask of it."""
    groups = {_RESERVED: _OFFLINE_GROUPS}
    for step in steps:
        if isinstance(step.action, ToolUse) and step.action.name is not None:
            captured = step.action.capture.groupindex if step.action.capture else ()
            groups[step.action.name] = groups.get(step.action.name, _OUTPUT_GROUPS) | frozenset(
                captured
            )
    return groups


def _check_references(
    step: Step, labels: Mapping[str, int], groups: Mapping[str, frozenset[str]]
) -> None:
    branches = step.action.on.values() if isinstance(step.action, ToolUse) else ()
    for target in (step.then, *branches):
        if target not in labels and target not in (END, NEXT):
            raise MistakeError(f"no step has the label `{target}`{nearest(target, labels)}")
    spoken = isinstance(step.action, Speech)
    value = step.action.text if isinstance(step.action, Speech) else step.action.arguments
    for name, group in (pair for text in _strings(value) for pair in PLACEHOLDER.findall(text)):
        if name not in groups:
            # In code it may be an f-string's own attribute access, so only prose is held to it.
            if spoken:
                raise MistakeError(f"no step has the name `{name}`{nearest(name, groups)}")
        elif group not in groups[name]:
            raise MistakeError(
                f"`{{{name}.{group}}}`: `{name}` has only {listed(sorted(groups[name]))}"
            )


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in cast("Mapping[str, object]", value).values():
            yield from _strings(part)
    elif isinstance(value, list):
        for part in cast("list[object]", value):
            yield from _strings(part)
