"""Which thread a client means that it does not name by an id: by its file, or by its history."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio

from codex_jupyter.core.config import ThreadOptions
from codex_jupyter.core.session import Session
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.errors import InvalidIdError, InvalidRequestError
from codex_jupyter.ids import ThreadId, parse_thread_id
from codex_jupyter.rollout.store import ThreadStore

__all__ = ["ThreadSources", "check_items"]

Json = dict[str, Any]


class ThreadSources:
    """Finds and begins threads.

    Args:
        threads: The loaded ones.
        store: All others.
    """

    def __init__(self, threads: ThreadManager, store: ThreadStore) -> None:
        self._threads = threads
        self._store = store

    async def named(self, thread_id: str, path: str | None) -> ThreadId:
        """Return the id of the thread at ``path``; without one, ``thread_id``.

        Raises:
            InvalidRequestError: There is no thread of this home, or a loaded one has another path.
            InvalidIdError: It is no id, and there is no path.
        """
        if not path:
            return parse_thread_id(thread_id)
        found = await self._store.thread_at(Path(path))
        loaded = self._loaded(thread_id)
        if loaded is not None and loaded.thread_id != found:
            raise InvalidRequestError(
                f"cannot resume running thread {loaded.thread_id} with mismatched path: "
                f"requested `{path}`, active `{loaded.path}`"
            )
        return found

    async def begin(
        self, thread_id: str, history: Sequence[Json], options: ThreadOptions
    ) -> Session:
        """Make a new thread that remembers ``history``.

        Raises:
            InvalidRequestError: That is none, or ``thread_id`` is loaded and so needs none.
            ConfigError, RolloutError: It could not be made; nothing of it stays.
        """
        if not history:
            raise InvalidRequestError("history must not be empty")
        check_items(history, "history")
        if (loaded := self._loaded(thread_id)) is not None:
            raise InvalidRequestError(
                f"cannot resume thread {loaded.thread_id} with history while it is already running"
            )
        session = await self._threads.start(options)
        try:
            await session.inject(history)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._threads.close(session.thread_id, session)
            raise
        return session

    def _loaded(self, thread_id: str) -> Session | None:
        try:
            return self._threads.find(parse_thread_id(thread_id))
        except InvalidIdError:
            return None


def check_items(items: Sequence[Json], member: str) -> None:
    """Refuse what cannot be items of the Responses API.

    Raises:
        InvalidRequestError: One does not say what it is.
    """
    for place, item in enumerate(items):
        if not isinstance(item.get("type"), str):
            raise InvalidRequestError(f"{member}[{place}]: `type` must name a kind of item")
