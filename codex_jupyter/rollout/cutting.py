"""Where to cut a thread so that a copy of it ends at, or before, one of its turns. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from codex_jupyter.rollout.fold import Fold, user_text
from codex_jupyter.rollout.records import Record

__all__ = ["WHOLE", "Cut", "cut_place", "keeps"]


@dataclass(frozen=True, slots=True)
class Cut:
    """How much of a thread a copy takes; with neither id all of it.

    Attributes:
        last_turn_id: The last turn that is copied.
        before_turn_id: The first turn that is not.
    """

    last_turn_id: str | None = None
    before_turn_id: str | None = None


WHOLE = Cut()


def cut_place(records: Iterable[Record], cut: Cut) -> int | None:
    """Return how many records a copy takes, or ``None`` if the turn is not in the thread.

    A turn that was rolled back is not in the thread any more, though its records are. Reads all
    records, because a later one may roll the turn back.
    """
    fold = Fold()
    places: list[int] = []
    previous: Record | None = None
    count = 0
    for count, record in enumerate(records, start=1):
        fold.add(record)
        if len(fold.begun_turns) > len(places):
            # In old files the user's message stands before the event that begins the turn.
            places.append(count - 1 - (_is_old(record) and _is_spoken(previous)))
        previous = record
    wanted = cut.before_turn_id or cut.last_turn_id
    if wanted is None:
        return count
    if wanted not in fold.turn_ids:
        return None
    number = len(places) - 1 - fold.begun_turns[::-1].index(wanted)
    if cut.before_turn_id is not None:
        return places[number]
    return places[number + 1] if number + 1 < len(places) else count


def keeps(record: Record) -> bool:
    """Tell whether a copy takes over a record: a name belongs to one thread only."""
    return not (record.type == "event_msg" and record.payload.get("type") == "thread_name_updated")


def _is_old(record: Record) -> bool:
    return record.payload.get("type") == "user_message"


def _is_spoken(record: Record | None) -> bool:
    return record is not None and record.type == "response_item" and user_text(record) is not None
