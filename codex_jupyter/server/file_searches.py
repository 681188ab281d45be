"""Searches for files: single ones, and those that go on while somebody types."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.abc
import anyio.to_thread

from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.server.rights import OWNER, Rights
from codex_jupyter.server.subscriptions import Connection
from codex_jupyter.tools.file_search import Candidate, Found, best_matches, candidates_below

__all__ = ["FileSearches"]

Json = dict[str, Any]

Tell = Callable[[Connection, str, Json], None]

MAX_SESSIONS: Final = 16
"""Of one connection."""


class FileSearches:
    """The searches of all connections; sessions run in tasks of `run`.

    Owners share their sessions, as all connections of the original do: one may go on with what
    another has begun. A session ends with the connection that began it.

    Args:
        env: For git, which lists files.
        tell: Tells what a session of a connection finds to whoever hears it.
    """

    def __init__(self, env: Mapping[str, str], tell: Tell) -> None:
        self._env = env
        self._tell = tell
        self._tasks: anyio.abc.TaskGroup | None = None
        self._sessions: dict[Connection | Rights, dict[str, _Session]] = {}
        self._single: dict[tuple[Connection, str], anyio.CancelScope] = {}

    async def run(self) -> None:
        """Own the sessions' tasks until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            await anyio.sleep_forever()

    async def search(
        self, connection: Connection, query: str, roots: Sequence[Path], token: str | None
    ) -> list[Json]:
        """Return the best matches; none if a later search has the same token."""
        matches: Sequence[Found] = ()
        with anyio.CancelScope() as scope:
            key = None if token is None else (connection, token)
            if key is not None:
                if (older := self._single.get(key)) is not None:
                    older.cancel()
                self._single[key] = scope
            try:
                candidates = await _candidates(roots, self._env)
                matches = await _matches(query, candidates)
            finally:
                if key is not None and self._single.get(key) is scope:
                    del self._single[key]
        return [_shown(found) for found in matches]

    def start(self, connection: Connection, session_id: str, roots: Sequence[Path]) -> None:
        """Begin a session, in place of one of the same name.

        Raises:
            InvalidRequestError: The connection has too many.
        """
        sharer = _sharer(connection)
        shared = self._sessions.get(sharer, {})
        own = [name for name, session in shared.items() if session.connection is connection]
        if session_id not in own and len(own) >= MAX_SESSIONS:
            raise InvalidRequestError(
                f"a connection may have {MAX_SESSIONS} search sessions; stop one first"
            )
        if self._tasks is None or connection.peer.closed:
            return
        if (older := shared.get(session_id)) is not None:
            older.end()
        session = _Session(connection, session_id, roots, self._env, self._tell)
        self._sessions[sharer] = {**shared, session_id: session}
        self._tasks.start_soon(session.run)

    def update(self, connection: Connection, session_id: str, query: str) -> None:
        """Search for something else.

        Raises:
            InvalidRequestError: There is no such session.
        """
        session = self._sessions.get(_sharer(connection), {}).get(session_id)
        if session is None:
            raise InvalidRequestError(f"fuzzy file search session not found: {session_id[:100]}")
        session.ask(query)

    def stop(self, connection: Connection, session_id: str) -> None:
        """End a session; an unknown one has ended."""
        sharer = _sharer(connection)
        shared = self._sessions.get(sharer, {})
        if (session := shared.pop(session_id, None)) is not None:
            session.end()
        if not shared:
            self._sessions.pop(sharer, None)

    def forget(self, connection: Connection) -> None:
        """End all sessions that a connection has begun."""
        shared = self._sessions.get(_sharer(connection), {})
        for name in [n for n, session in shared.items() if session.connection is connection]:
            self.stop(connection, name)


def _sharer(connection: Connection) -> Connection | Rights:
    return OWNER if connection.rights == OWNER else connection


class _Session:
    """One session: lists the roots once, then answers the newest query, and no older one."""

    def __init__(
        self,
        connection: Connection,
        session_id: str,
        roots: Sequence[Path],
        env: Mapping[str, str],
        tell: Tell,
    ) -> None:
        self.connection = connection
        self._notify = tell
        self._id = session_id
        self._roots = roots
        self._env = env
        self._query: str | None = None
        self._asked = anyio.Event()
        self._whole = anyio.CancelScope()
        self._searching: anyio.CancelScope | None = None

    def ask(self, query: str) -> None:
        self._query = query
        self._asked.set()
        if self._searching is not None:
            self._searching.cancel()

    def end(self) -> None:
        self._whole.cancel()

    async def run(self) -> None:
        with self._whole:
            candidates = await _candidates(self._roots, self._env)
            while True:
                await self._asked.wait()
                self._asked = anyio.Event()
                query = self._query or ""
                with anyio.CancelScope() as self._searching:
                    matches = await _matches(query, candidates)
                    self._tell(query, matches)
                self._searching = None

    def _tell(self, query: str, matches: Sequence[Found]) -> None:
        files = [_shown(found) for found in matches]
        updated: Json = {"sessionId": self._id, "query": query, "files": files}
        for method, params in (
            ("fuzzyFileSearch/sessionUpdated", updated),
            ("fuzzyFileSearch/sessionCompleted", {"sessionId": self._id}),
        ):
            self._notify(self.connection, method, params)


async def _candidates(roots: Sequence[Path], env: Mapping[str, str]) -> list[Candidate]:
    found: list[Candidate] = []
    for root in roots:
        found += await candidates_below(root, env)
    return found


async def _matches(query: str, candidates: Sequence[Candidate]) -> Sequence[Found]:
    stop = threading.Event()
    try:
        return await anyio.to_thread.run_sync(
            best_matches, query, candidates, stop, abandon_on_cancel=True
        )
    finally:
        stop.set()


def _shown(found: Found) -> Json:
    candidate, match = found.candidate, found.match
    return {
        "root": candidate.root,
        "path": candidate.path,
        "match_type": candidate.kind,
        "file_name": candidate.path.rpartition("/")[2],
        "score": match.score,
        "indices": list(match.indices),
    }
