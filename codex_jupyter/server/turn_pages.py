"""One page of a thread's turns, and the cursors from which its past is read backwards. Pure."""

from collections.abc import Sequence
from typing import Any

from codex_jupyter.core.transcript import Transcript
from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.ids import same_turn_id
from codex_jupyter.protocol.history_requests import TurnsPageParams
from codex_jupyter.server.paging import fitting, inclusive, item_cursor, page_limit, read_cursor

__all__ = ["newest", "turns_page"]

Json = dict[str, Any]


def turns_page(
    transcript: Transcript,
    asked: TurnsPageParams,
    *,
    cursor: str | None = None,
    only: str | None = None,
) -> Json:
    """Return a page of turns, with the cursors of its neighbours.

    Args:
        transcript: The thread's turns.
        asked: How many, in which direction and with which of their items.
        cursor: Where the page begins; default: at the newest, or the oldest turn.
        only: Id of the one turn to list, which need not be there.

    Raises:
        InvalidRequestError: The cursor names no turn.
    """
    ids = transcript.turn_ids
    places = list(range(len(ids)))
    if only is not None:
        places = [place for place in places if same_turn_id(only, ids[place])]
    if asked.sort_direction != "asc":
        places.reverse()
    begin = 0 if cursor is None else _begin(cursor, places, ids)
    view = asked.items_view or "summary"
    turns = (_seen(transcript.turns([place])[0], view) for place in places[begin:])
    page = fitting(turns, page_limit(asked.limit))
    return {
        "data": page,
        "nextCursor": page[-1]["id"] if begin + len(page) < len(places) else None,
        "backwardsCursor": inclusive(page[0]["id"]) if page else None,
    }


def newest(transcript: Transcript) -> Json:
    """Return the cursors whose pages, newest first, begin with the last turn and the last item.

    They are ``None`` where the thread has none yet.
    """
    ids = transcript.turn_ids
    turns = (transcript.turns([place])[0] for place in reversed(range(len(ids))))
    last = next((turn for turn in turns if turn["items"]), None)
    return {
        "turnsBackwardsCursor": inclusive(ids[-1]) if ids else None,
        "itemsBackwardsCursor": (
            inclusive(item_cursor(last["id"], last["items"][-1]["id"])) if last else None
        ),
    }


def _begin(cursor: str, places: Sequence[int], ids: Sequence[str]) -> int:
    """Return at which of the places the page of a cursor begins.

    Raises:
        InvalidRequestError: It names none of them.
    """
    turn_id, with_it = read_cursor(cursor)
    for number, place in enumerate(places):
        if ids[place] == turn_id:
            return number if with_it else number + 1
    raise InvalidRequestError(f"invalid cursor: {cursor[:100]}")


def _seen(turn: Json, view: str) -> Json:
    items: list[Json] = turn["items"]
    if view == "notLoaded":
        items = []
    elif view == "summary":
        first = [item for item in items if item["type"] == "userMessage"][:1]
        last = [item for item in items if item["type"] == "agentMessage"][-1:]
        items = [*first, *last]
    return {"rootTurnId": turn["id"], **turn, "items": items, "itemsView": view}
