"""The methods that page through what a thread holds."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from codex_jupyter.core.thread_reader import ThreadReader
from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.ids import parse_thread_id
from codex_jupyter.protocol.history_requests import (
    SearchOccurrencesParams,
    ThreadSearchParams,
    TurnsListParams,
)
from codex_jupyter.server.paging import inclusive, page_limit
from codex_jupyter.server.params import read_params
from codex_jupyter.server.subscriptions import Connection
from codex_jupyter.server.turn_pages import turns_page

__all__ = ["HistoryHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]

_MAX_TERM: Final = 500


class HistoryHandlers:
    """Pages of turns."""

    def __init__(self, reader: ThreadReader) -> None:
        self._reader = reader
        self.methods: dict[str, Method] = {
            "thread/turns/list": self._turns,
            "thread/search": self._search,
            "thread/searchOccurrences": self._occurrences,
        }

    async def _search(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(ThreadSearchParams, params)
        term, begin, limit = _looked_for(asked.search_term, asked.cursor, asked.limit)
        found = await self._reader.search(
            term, archived=bool(asked.archived), limit=limit + 1, offset=begin
        )
        data = [{"thread": thread, "snippet": snippet} for thread, snippet in found[:limit]]
        more = len(found) > limit
        return {
            "data": data,
            "nextCursor": str(begin + limit) if more else None,
            "backwardsCursor": str(max(0, begin - limit)) if begin else None,
        }

    async def _occurrences(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(SearchOccurrencesParams, params)
        term, begin, limit = _looked_for(asked.search_term, asked.cursor, asked.limit)
        thread_id = parse_thread_id(asked.thread_id)
        found = await self._reader.occurrences(thread_id, term, limit=limit + 1, offset=begin)
        data = [
            {
                "turnId": place.turn_id,
                "itemId": place.item_id,
                "turnCursor": inclusive(place.turn_id),
                "snippet": place.snippet,
                "snippetMatchRange": _match(place.snippet, term),
            }
            for place in found[:limit]
        ]
        return {"data": data, "nextCursor": str(begin + limit) if len(found) > limit else None}

    async def _turns(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(TurnsListParams, params)
        transcript = await self._reader.transcript(parse_thread_id(asked.thread_id))
        return turns_page(transcript, asked, cursor=asked.cursor, only=asked.turn_id)


def _looked_for(term: str, cursor: str | None, limit: int | None) -> tuple[str, int, int]:
    """Check what is looked for; return it with the first place and the number of places."""
    term = term.strip()
    # The index takes a NUL for the end of what is looked for.
    if not 0 < len(term) <= _MAX_TERM or "\0" in term:
        raise InvalidRequestError(f"searchTerm must have 1 to {_MAX_TERM} characters")
    if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 10):  # noqa: PLR2004
        raise InvalidRequestError(f"invalid cursor: {cursor[:100]}")
    return term, int(cursor or 0), page_limit(limit)


def _match(snippet: str, term: str) -> dict[str, int]:
    word = term.split(maxsplit=1)[0]
    # Not in the lower-cased snippet, which may be longer.
    found = re.search(re.escape(word), snippet, re.IGNORECASE)
    return {"start": found.start(), "end": found.end()} if found else {"start": 0, "end": 0}
