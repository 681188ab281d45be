"""Looks at threads, loaded or stored, without loading any."""

from collections.abc import Sequence
from typing import Any

from codex_jupyter.core.thread_shape import summary_shape
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.core.transcript import Transcript
from codex_jupyter.errors import ThreadNotFoundError
from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.index import Found
from codex_jupyter.rollout.store import ListQuery, ThreadStore

__all__ = ["ThreadReader"]

Json = dict[str, Any]


class ThreadReader:
    """Reads; what is loaded is shown as it is now.

    Args:
        threads: The loaded ones.
        store: The others.
    """

    def __init__(self, threads: ThreadManager, store: ThreadStore) -> None:
        self._threads = threads
        self._store = store

    async def read(self, thread_id: ThreadId, *, include_turns: bool) -> Json:
        """Return a thread, loaded or stored, without loading it.

        Raises:
            ThreadNotFoundError: It is neither.
        """
        if (session := self._threads.find(thread_id)) is not None:
            if include_turns and session.path is None and not session.ephemeral:
                raise ThreadNotFoundError(
                    f"thread {thread_id} is not materialized yet; includeTurns is unavailable "
                    "before first user message"
                )
            return self._threads.shape(session, include_turns=include_turns)
        stored = await self._store.read(thread_id)
        if stored is None:
            raise ThreadNotFoundError(f"thread not loaded: {thread_id}")
        return summary_shape(stored, turns=stored.turns if include_turns else ())

    async def transcript(self, thread_id: ThreadId) -> Transcript:
        """Return the turns of a thread, loaded or stored. Only look: it may be the live one.

        Raises:
            ThreadNotFoundError: It is neither.
        """
        if (session := self._threads.find(thread_id)) is not None:
            return session.state.transcript
        stored = await self._store.read(thread_id)
        if stored is None:
            raise ThreadNotFoundError(f"thread not loaded: {thread_id}")
        return Transcript(stored.turns)

    async def search(
        self, term: str, *, archived: bool, limit: int, offset: int
    ) -> Sequence[tuple[Json, str]]:
        """Return threads in whose name or messages ``term`` occurs, with the words around it."""
        found = await self._store.search(term, archived=archived, limit=limit, offset=offset)
        return [
            (
                self._threads.shape(session)
                if (session := self._threads.find(thread.thread_id)) is not None
                else summary_shape(thread),
                place.snippet,
            )
            for thread, place in found
        ]

    async def occurrences(
        self, thread_id: ThreadId, term: str, *, limit: int, offset: int
    ) -> Sequence[Found]:
        """Return where in a thread ``term`` occurs."""
        return await self._store.occurrences(thread_id, term, limit=limit, offset=offset)

    async def list(self, query: ListQuery) -> Json:
        """Return one page of stored threads."""
        page = await self._store.list(query)
        data = [
            self._threads.shape(session)
            if (session := self._threads.find(summary.thread_id)) is not None
            else summary_shape(summary)
            for summary in page.data
        ]
        return {"data": data, "nextCursor": page.next_cursor}
