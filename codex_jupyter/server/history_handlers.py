"""The methods that page through what a thread holds."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.ids import parse_thread_id
from codex_jupyter.protocol.history_requests import TurnsListParams
from codex_jupyter.server.params import read_params
from codex_jupyter.server.subscriptions import Connection

__all__ = ["HistoryHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]

_MAX_PAGE: Final = 100
_USUAL_PAGE: Final = 25


class HistoryHandlers:
    """Pages of turns."""

    def __init__(self, threads: ThreadManager) -> None:
        self._threads = threads
        self.methods: dict[str, Method] = {"thread/turns/list": self._turns}

    async def _turns(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(TurnsListParams, params)
        turns = await self._threads.turns(parse_thread_id(asked.thread_id))
        if asked.sort_direction != "asc":
            turns = turns[::-1]
        begin = 0
        if asked.cursor is not None:
            places = [place for place, turn in enumerate(turns) if turn["id"] == asked.cursor]
            if not places:
                raise InvalidRequestError(f"invalid cursor: {asked.cursor[:100]}")
            begin = places[0] + 1
        limit = min(max(asked.limit or _USUAL_PAGE, 1), _MAX_PAGE)
        page = turns[begin : begin + limit]
        view = asked.items_view or "summary"
        return {
            "data": [_seen(turn, view) for turn in page],
            "nextCursor": page[-1]["id"] if begin + limit < len(turns) else None,
            "backwardsCursor": page[0]["id"] if page else None,
        }


def _seen(turn: Json, view: str) -> Json:
    items: list[Json] = turn["items"]
    if view == "notLoaded":
        items = []
    elif view == "summary":
        first = [item for item in items if item["type"] == "userMessage"][:1]
        last = [item for item in items if item["type"] == "agentMessage"][-1:]
        items = [*first, *last]
    return {"rootTurnId": turn["id"], **turn, "items": items, "itemsView": view}
