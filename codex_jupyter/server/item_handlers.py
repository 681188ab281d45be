"""The methods that page through the items of a thread."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final

from codex_jupyter.core.thread_reader import ThreadReader
from codex_jupyter.core.transcript import Transcript
from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.ids import parse_thread_id, same_turn_id
from codex_jupyter.protocol.item_requests import (
    ItemsAnchor,
    ItemsListParams,
    ItemsReadParams,
    OutputDeferral,
)
from codex_jupyter.server.paging import (
    fitting,
    inclusive,
    item_cursor,
    named_item,
    page_limit,
    read_cursor,
)
from codex_jupyter.server.params import read_params
from codex_jupyter.server.subscriptions import Connection

__all__ = ["ItemHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]
Placed = tuple[str, Json]
"""The turn's id, and the item."""

MAX_READ: Final = 100
"""Items that are read at once."""


class ItemHandlers:
    """Turns are unpacked one after the other, and only as far as the page needs."""

    def __init__(self, reader: ThreadReader) -> None:
        self._reader = reader
        self.methods: dict[str, Method] = {
            "thread/items/list": self._list,
            "thread/items/read": self._read,
        }

    async def _list(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(ItemsListParams, params)
        transcript = await self._reader.transcript(parse_thread_id(asked.thread_id))
        backwards = asked.sort_direction == "desc"
        places = _places(transcript, asked.turn_id)
        if backwards:
            places = places[::-1]
        found = _from_cursor(transcript, places, asked.cursor, backwards=backwards)
        limit = page_limit(asked.limit)
        # One more than the page has: whether there is a next one.
        ahead = list(islice(found, limit + 1))
        entries = (_entry(turn_id, item, asked.defer_output) for turn_id, item in ahead)
        data = fitting(entries, limit)
        return {
            "data": data,
            "nextCursor": _cursor(data[-1]) if len(ahead) > len(data) else None,
            "backwardsCursor": inclusive(_cursor(data[0])) if data else None,
        }

    async def _read(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(ItemsReadParams, params)
        if not 0 < len(asked.item_ids) <= MAX_READ:
            raise InvalidRequestError(f"itemIds must contain 1 to {MAX_READ} IDs")
        transcript = await self._reader.transcript(parse_thread_id(asked.thread_id))
        places = _places(transcript, asked.turn_id)
        items = {
            item["id"]: (turn, item) for turn, item in _items(transcript, places, backwards=False)
        }
        wanted = dict.fromkeys(asked.item_ids)
        return {"data": [_entry(*items[name], None) for name in wanted if name in items]}


def _places(transcript: Transcript, turn_id: str | None) -> Sequence[int]:
    """Return where the turns are, oldest first.

    Raises:
        InvalidRequestError: There is no such turn.
    """
    ids = transcript.turn_ids
    if turn_id is None:
        return range(len(ids))
    found = [place for place, known in enumerate(ids) if same_turn_id(turn_id, known)]
    if not found:
        raise InvalidRequestError(f"turn not found: {turn_id[:100]}")
    return found


def _items(transcript: Transcript, places: Sequence[int], *, backwards: bool) -> Iterator[Placed]:
    for place in places:
        (turn,) = transcript.turns([place])
        items: list[Json] = turn["items"]
        for item in reversed(items) if backwards else items:
            yield turn["id"], item


def _from_cursor(
    transcript: Transcript,
    places: Sequence[int],
    cursor: str | ItemsAnchor | None,
    *,
    backwards: bool,
) -> Iterator[Placed]:
    """Return what follows the item that a cursor names, which comes first if the cursor says so.

    Raises:
        InvalidRequestError: No such item is among them.
    """
    if cursor is None:
        return _items(transcript, places, backwards=backwards)
    if isinstance(cursor, ItemsAnchor):
        turn_id, item_id, with_it = None, cursor.item_id, False
    else:
        named, with_it = read_cursor(cursor)
        turn_id, item_id = named_item(named)
        ids = transcript.turn_ids
        places = [*places]
        while places and ids[places[0]] != turn_id:
            places.pop(0)
    rest = _items(transcript, places, backwards=backwards)
    for turn, item in rest:
        if item["id"] == item_id:
            return chain([(turn, item)], rest) if with_it else rest
        if turn_id not in (None, turn):
            break
    shown = item_id if isinstance(cursor, ItemsAnchor) else cursor
    raise InvalidRequestError(f"invalid cursor: {shown[:100]}")


def _cursor(entry: Json) -> str:
    return item_cursor(entry["turnId"], entry["item"]["id"])


def _entry(turn_id: str, item: Json, deferral: OutputDeferral | None) -> Json:
    name = _deferred_member(item, deferral)
    deferred = name is not None and item.get(name) is not None
    return {
        "turnId": turn_id,
        "item": {**item, name: None} if name is not None and deferred else item,
        "startedAtMs": item.get("startedAtMs"),
        "completedAtMs": item.get("completedAtMs"),
        "outputDeferred": deferred,
    }


def _deferred_member(item: Json, deferral: OutputDeferral | None) -> str | None:
    match item["type"], deferral:
        case "commandExecution", OutputDeferral(command_execution=True):
            return "aggregatedOutput"
        case "mcpToolCall", OutputDeferral(mcp_tool_call=True):
            return "result"
        case _:
            return None
