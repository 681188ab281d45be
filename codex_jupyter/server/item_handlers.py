"""The methods that page through the items of a thread."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from codex_jupyter.core.thread_reader import ThreadReader
from codex_jupyter.core.transcript import Transcript
from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.flow.channels import rough_size
from codex_jupyter.ids import parse_thread_id, same_turn_id
from codex_jupyter.protocol.item_requests import (
    ItemsAnchor,
    ItemsListParams,
    ItemsReadParams,
    OutputDeferral,
)
from codex_jupyter.server.params import read_params
from codex_jupyter.server.subscriptions import Connection

__all__ = ["ItemHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]
Placed = tuple[str, Json]
"""The turn's id, and the item."""

MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Roughly, of one page; the first item is on it whatever its size."""

_MAX_PAGE: Final = 100
_USUAL_PAGE: Final = 25
_SEPARATOR: Final = "/"


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
        limit = min(max(asked.limit or _USUAL_PAGE, 1), _MAX_PAGE)
        # One more than the page has: whether there is a next one.
        page = list(islice(found, limit + 1))
        shown = _fitting(page[:limit])
        data = [_entry(turn_id, item, asked.defer_output) for turn_id, item in shown]
        more = len(page) > len(shown)
        return {
            "data": data,
            "nextCursor": _cursor(shown[-1]) if more else None,
            "backwardsCursor": _cursor(shown[0]) if shown else None,
        }

    async def _read(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(ItemsReadParams, params)
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
    """Return what follows the item that a cursor names.

    Raises:
        InvalidRequestError: No such item is among them.
    """
    if cursor is None:
        return _items(transcript, places, backwards=backwards)
    if isinstance(cursor, ItemsAnchor):
        turn_id, item_id = None, cursor.item_id
    else:
        turn_id, _, item_id = cursor.partition(_SEPARATOR)
        ids = transcript.turn_ids
        places = [*places]
        while places and ids[places[0]] != turn_id:
            places.pop(0)
    rest = _items(transcript, places, backwards=backwards)
    for turn, item in rest:
        if item["id"] == item_id:
            return rest
        if turn_id not in (None, turn):
            break
    shown = item_id if isinstance(cursor, ItemsAnchor) else cursor
    raise InvalidRequestError(f"invalid cursor: {shown[:100]}")


def _fitting(page: Sequence[Placed]) -> Sequence[Placed]:
    """Return as much of the beginning as fits into a message, and at least one."""
    size = 0
    for count, (_, item) in enumerate(page):
        size += rough_size(item)
        if size > MAX_PAGE_BYTES and count:
            return page[:count]
    return page


def _cursor(placed: Placed) -> str:
    turn_id, item = placed
    return f"{turn_id}{_SEPARATOR}{item['id']}"


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
