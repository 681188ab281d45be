"""Running a cell again: which attempt to show, to attach to, or to begin. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from codex_jupyter.notebook.cell_identity import CellKey, client_mark, read_mark, turn_id_of

__all__ = ["Choice", "KnownTurn", "choose", "known_turns", "overtaken_by", "replaced_before"]

Json = dict[str, Any]

MAX_ATTEMPTS: Final = 10_000
"""Attempts of one cell; each is one hash to look for."""

_LABEL_CHARS: Final = 40


@dataclass(frozen=True, slots=True)
class KnownTurn:
    """A turn of the notebook's thread, as far as running cells again needs it."""

    id: str
    status: str
    cell: str | None
    """Short key of the cell it came from, where that is known for good."""

    label: str
    """How its cell begins."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What running a cell means now."""

    turn_id: str
    attempt: int
    does: Literal["begin", "attach", "show"]
    mark: str
    """Goes with the message of a turn that begins."""


def known_turns(turns: Iterable[Mapping[str, Any]]) -> list[KnownTurn]:
    """Read turns as thread/turns/list shows them, oldest first."""
    return [_known(turn) for turn in turns]


def choose(
    thread_id: str, key: CellKey, source: str, known: Sequence[KnownTurn], *, again: bool
) -> Choice:
    """Decide which attempt a run of the cell is.

    The newest attempt counts: one that is complete is shown, one that runs is attached to, and
    after any other the next one begins. ``again`` begins the next one in any case but while one
    runs, so that two front ends that ask at once get one turn.
    """
    statuses = {turn.id: turn.status for turn in known}
    attempt = 0
    turn_id = turn_id_of(thread_id, key, source, 0)
    status: str | None = statuses.get(turn_id)
    while status is not None and attempt < MAX_ATTEMPTS:
        following = turn_id_of(thread_id, key, source, attempt + 1)
        if following not in statuses:
            break
        attempt, turn_id, status = attempt + 1, following, statuses[following]
    mark = client_mark(key, attempt)
    match status:
        case None:
            return Choice(turn_id, attempt, "begin", mark)
        case "inProgress":
            return Choice(turn_id, attempt, "attach", mark)
        case "completed" if not again:
            return Choice(turn_id, attempt, "show", mark)
        case _:
            following = turn_id_of(thread_id, key, source, attempt + 1)
            return Choice(following, attempt + 1, "begin", client_mark(key, attempt + 1))


def replaced_before(turn_id: str, known: Sequence[KnownTurn]) -> str | None:
    """Return the label of a cell before this turn's that was answered anew after it, if any."""
    place = next((n for n, turn in enumerate(known) if turn.id == turn_id), None)
    if place is None:
        return None
    own = known[place].cell
    before = {turn.cell for turn in known[:place] if turn.cell is not None} - {own}
    for turn in known[place + 1 :]:
        if turn.cell in before and turn.status in ("completed", "inProgress"):
            return turn.label
    return None


def overtaken_by(turn_id: str, known: Sequence[KnownTurn], ran: Sequence[str]) -> str | None:
    """Return the label of a cell that ran before this one now but was answered after it, if any.

    For cells without ids, where a changed cell cannot be told from another one.

    Args:
        turn_id: The turn that is shown.
        known: The turns of the thread, oldest first.
        ran: Ids of the turns of the cells that ran in this kernel so far.
    """
    place = next((n for n, turn in enumerate(known) if turn.id == turn_id), len(known))
    later = [turn for turn in known[place + 1 :] if turn.id in ran]
    return later[0].label if later else None


def _known(turn: Mapping[str, Any]) -> KnownTurn:
    said = next((i for i in turn.get("items") or () if i.get("type") == "userMessage"), {})
    texts = [str(part.get("text", "")) for part in said.get("content") or ()]
    words = " ".join(" ".join(texts).split())
    label = words if len(words) <= _LABEL_CHARS else f"{words[: _LABEL_CHARS - 1]}…"
    return KnownTurn(str(turn["id"]), str(turn["status"]), read_mark(said.get("clientId")), label)
