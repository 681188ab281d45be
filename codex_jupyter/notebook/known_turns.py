"""Turns that exist already when a cell asks for them: how to tell, what to show, what to run."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from codex_jupyter.errors import CodexError, RemoteError, UsageError

__all__ = [
    "ReplayError",
    "Rerun",
    "active_turn",
    "duplicate_status",
    "recorded_code",
    "require_same_words",
    "require_shown",
    "run_recorded",
]

Json = dict[str, Any]
OnMain = Callable[[Callable[[], Any], str], Awaitable[Any]]

_ACTIVE: Final = re.compile(r"expected active turn id `[^`]*` but found `([^`]*)`")


@dataclass(slots=True)
class Rerun:
    """How a turn may be one that exists already."""

    is_known: bool = False
    """Whether it does: it is shown or attached to, and nothing is started."""

    is_cell: bool = False
    """Whether the id follows from the cell, so that the run waits where a person would wait."""

    run_item: Callable[[Json], Json] | None = None
    """Runs one recorded call of a kernel tool, on the kernel's main thread; ``None``: not here."""


class ReplayError(CodexError):
    """Code that ran when the cell was answered fails when it is run again."""

    def __init__(self, told: str) -> None:
        last = told.strip().rpartition("\n")[2]
        super().__init__(
            f"the code of this answer fails when it is run again: {last[:300]}. Run the cell with "
            "--again for a new answer, or with --no-replay to show the old one only"
        )


def duplicate_status(refusal: RemoteError) -> str | None:
    """Return what the turn does whose id was refused as used, or ``None`` for other refusals."""
    data: Any = refusal.remote_data
    if isinstance(data, dict) and data.get("duplicate") == "turn":
        return str(data.get("status"))
    return None


def active_turn(refusal: RemoteError) -> str | None:
    """Return the id of the turn that stands in the way, if one does."""
    found = _ACTIVE.search(refusal.message)
    return found[1] if found else None


def require_shown(turn_id: str, status: str) -> None:
    """Refuse an id whose turn has nothing to show.

    Raises:
        UsageError: The turn failed, was stopped or was taken back.
    """
    if status not in ("completed", "inProgress"):
        how = {"failed": "failed", "interrupted": "was stopped"}.get(status, "was taken back")
        raise UsageError(
            f"the turn {turn_id} was run before and {how}; choose another id to try again"
        )


def require_same_words(turn_id: str, asked: Sequence[Json], items: Sequence[Json]) -> None:
    """Refuse to pass an answer off as one to other words.

    Raises:
        UsageError: The turn was asked something else.
    """
    said = next((item for item in items if item["type"] == "userMessage"), None)
    if said is None:
        return
    before, now = _words(said["content"]), _words(asked)
    if before != now and not before.endswith("…"):
        raise UsageError(
            f"the turn {turn_id} was asked something else ({before[:60]!r}); choose another id"
        )


def recorded_code(items: Sequence[Json]) -> list[Json]:
    """Return the calls that changed the kernel and succeeded, in order."""
    return [
        item
        for item in items
        if item["type"] == "dynamicToolCall"
        and item.get("tool") == "run_python"
        and item.get("namespace") is None
        and item.get("status") == "completed"
        and item.get("success") is not False
    ]


async def run_recorded(items: Sequence[Json], run: Callable[[Json], Json], on_main: OnMain) -> bool:
    """Run the code of ``items`` again, in order; ``False`` if it was stopped.

    Args:
        items: Of the turn and its delegates.
        run: Runs one of them.
        on_main: Runs something on the kernel's main thread; ``None`` says that it was stopped.

    Raises:
        ReplayError: One of them fails.
    """
    for item in recorded_code(items):
        result: Json | None = await on_main(
            lambda item=item: run(item), str(item["arguments"].get("code"))
        )
        if result is None:
            return False
        if not result["success"]:
            raise ReplayError(str(result["contentItems"][0].get("text", "")))
    return True


def _words(content: Sequence[Json]) -> str:
    return "\n".join(str(part.get("text", "")) for part in content)
