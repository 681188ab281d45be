"""Changes to threads that need not be loaded: their names, the archive, and their end.

What changed is stored when a method returns, and told by what it returns, so that whoever asked can
be answered first.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from codex_jupyter.core.thread_shape import summary_shape
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.core.turn_records import git_record
from codex_jupyter.errors import InvalidRequestError, ThreadNotFoundError
from codex_jupyter.ids import ThreadId
from codex_jupyter.protocol.events import Event, EventMsg, ThreadMoved
from codex_jupyter.rollout.git_info import GIT_MEMBERS
from codex_jupyter.rollout.records import Record
from codex_jupyter.rollout.store import ThreadStore

__all__ = ["ThreadMoves"]

Json = dict[str, Any]
Tell = Callable[[], None]

_NO_GIT: Final = dict.fromkeys(GIT_MEMBERS)


class ThreadMoves:
    """Works on one thread at a time, alone: nobody opens it meanwhile.

    Args:
        threads: The loaded ones, which are closed, and joined, before anything is moved.
        store: Where they are.
        publish: Takes what is announced.
    """

    def __init__(
        self, threads: ThreadManager, store: ThreadStore, publish: Callable[[Event], None]
    ) -> None:
        self._threads = threads
        self._store = store
        self._publish = publish

    async def rename(self, thread_id: ThreadId, name: str) -> Tell:
        """Name a thread, loaded or not; return what tells those who hear it.

        Raises:
            InvalidRequestError: The name is blank, or the thread is ephemeral.
            ThreadNotFoundError: There is no such thread.
            RolloutError: It could not be stored.
        """
        if thread_id in self._threads.loaded:
            session = self._threads.get(thread_id)
            await session.rename(name)
            return session.tell_name
        name = name.strip()
        if not name:
            raise InvalidRequestError("thread name must not be empty")
        async with self._threads.alone_with(thread_id, "being renamed"):
            recorder, _ = await self._store.open(thread_id)
            try:
                payload = {
                    "type": "thread_name_updated",
                    "thread_id": thread_id,
                    "thread_name": name,
                }
                await recorder.write([Record("event_msg", payload)])
            finally:
                await self._store.release(thread_id)
        return _nothing

    async def update_git(self, thread_id: ThreadId, changes: Mapping[str, str | None]) -> Json:
        """Note which repository a thread works in, loaded or not, and return the thread.

        Args:
            thread_id: The thread.
            changes: Some of ``sha``, ``branch`` and ``originUrl``; the others stay.

        Raises:
            InvalidRequestError: The thread is ephemeral.
            ThreadNotFoundError: There is no such thread.
            RolloutError: It could not be stored; it is as it was.
        """
        async with self._threads.alone_with(thread_id, "being changed"):
            if (session := self._threads.find(thread_id)) is not None:
                if session.ephemeral:
                    raise InvalidRequestError(
                        f"ephemeral thread does not support metadata updates: {thread_id}"
                    )
                git_info = {**_NO_GIT, **(session.git_info or {}), **changes}
                # Without a rollout there is nothing to write to: the first turn writes this too.
                await session.state.record([git_record(thread_id, git_info)])
                session.git_info = git_info if any(git_info.values()) else None
                return self._threads.shape(session)
            recorder, stored = await self._store.open(thread_id)
            try:
                git_info = {**_NO_GIT, **(stored.git_info or {}), **changes}
                await recorder.write([git_record(thread_id, git_info)])
            finally:
                await self._store.release(thread_id)
            found = git_info if any(git_info.values()) else None
            return summary_shape(replace(stored, git_info=found))

    async def archive(self, thread_id: ThreadId) -> Tell:
        """Close a thread, stopping its turn, move it into the archive, and return what tells it.

        Raises:
            ThreadNotFoundError: Nothing of it is stored; it is left as it is.
            RolloutError: It cannot be moved; it is closed, and where it was.
        """
        async with self._threads.alone_with(thread_id, "being archived"):
            self._require_rollout(thread_id)
            await self._threads.unload(thread_id)
            await self._store.archive(thread_id)
        return self._teller(thread_id, ThreadMoved("archived"))

    async def unarchive(self, thread_id: ThreadId) -> tuple[Json, Tell]:
        """Move a thread out of the archive; return its shape, and what tells that it moved.

        It is not loaded. That it moved is told by itself if it cannot be read then.

        Raises:
            ThreadNotFoundError: It is not in the archive.
            InvalidRequestError: An active thread has its id.
            RolloutError: It cannot be moved.
        """
        async with self._threads.alone_with(thread_id, "being unarchived"):
            if thread_id in self._threads.loaded:
                raise ThreadNotFoundError(f"no archived rollout found for thread id {thread_id}")
            await self._store.unarchive(thread_id)
            tell = self._teller(thread_id, ThreadMoved("unarchived"))
            try:
                stored = await self._store.read(thread_id)
            except BaseException:
                tell()
                raise
        if stored is None:
            tell()
            raise ThreadNotFoundError(f"no rollout found for thread id {thread_id}")
        return summary_shape(stored), tell

    async def delete(self, thread_id: ThreadId) -> Tell:
        """Close a thread, stopping its turn, remove it for good, and return what tells it.

        Its id is free again.

        Raises:
            ThreadNotFoundError: It is neither loaded nor stored.
            RolloutError: It cannot be removed.
        """
        async with self._threads.alone_with(thread_id, "being deleted"):
            was_loaded = await self._threads.unload(thread_id)
            try:
                await self._store.delete(thread_id)
            except ThreadNotFoundError:
                if not was_loaded:
                    raise
        return self._teller(thread_id, ThreadMoved("deleted"))

    def _require_rollout(self, thread_id: ThreadId) -> None:
        if thread_id in self._threads.loaded and self._threads.get(thread_id).path is None:
            raise ThreadNotFoundError(f"no rollout found for thread id {thread_id}")

    def _teller(self, thread_id: ThreadId, msg: EventMsg) -> Tell:
        event = Event(thread_id, None, 0, time.time_ns() // 1_000_000, msg)
        return lambda: self._publish(event)


def _nothing() -> None:
    """Tell nobody: nobody hears a thread that is not loaded."""
