"""The methods that find files by a few typed characters."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.protocol.search_requests import (
    FileSearchParams,
    SearchSessionStartParams,
    SearchSessionStopParams,
    SearchSessionUpdateParams,
)
from codex_jupyter.server.file_searches import FileSearches
from codex_jupyter.server.params import read_params
from codex_jupyter.server.subscriptions import Connection

__all__ = ["SearchHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]

MAX_QUERY_CHARS: Final = 500
MAX_ROOTS: Final = 32


class SearchHandlers:
    """Thin coroutines over the searches."""

    def __init__(self, searches: FileSearches) -> None:
        self._searches = searches
        self.methods: dict[str, Method] = {
            "fuzzyFileSearch": self._search,
            "fuzzyFileSearch/sessionStart": self._start,
            "fuzzyFileSearch/sessionUpdate": self._update,
            "fuzzyFileSearch/sessionStop": self._stop,
        }

    async def _search(self, connection: Connection, params: Any) -> Json:
        asked = read_params(FileSearchParams, params)
        query, roots = _query(asked.query), _roots(asked.roots)
        token = asked.cancellation_token
        return {"files": await self._searches.search(connection, query, roots, token)}

    async def _start(self, connection: Connection, params: Any) -> Json:
        asked = read_params(SearchSessionStartParams, params)
        if not asked.session_id:
            raise InvalidRequestError("sessionId must not be empty")
        self._searches.start(connection, asked.session_id, _roots(asked.roots))
        return {}

    async def _update(self, connection: Connection, params: Any) -> Json:
        asked = read_params(SearchSessionUpdateParams, params)
        self._searches.update(connection, asked.session_id, _query(asked.query))
        return {}

    async def _stop(self, connection: Connection, params: Any) -> Json:
        asked = read_params(SearchSessionStopParams, params)
        self._searches.stop(connection, asked.session_id)
        return {}


def _query(query: str) -> str:
    if len(query) > MAX_QUERY_CHARS:
        raise InvalidRequestError(f"query must have at most {MAX_QUERY_CHARS} characters")
    return query


def _roots(roots: Sequence[str]) -> Sequence[Path]:
    if len(roots) > MAX_ROOTS:
        raise InvalidRequestError(f"roots has {len(roots)} folders; {MAX_ROOTS} are possible")
    for root in roots:
        if not Path(root).is_absolute():
            raise InvalidRequestError(f"roots must be absolute paths, found {root[:200]!r}")
    return [Path(root) for root in dict.fromkeys(roots)]
