"""Unloads the threads that nobody hears any more."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import anyio

from codex_jupyter.core.containment import contained
from codex_jupyter.core.session import Session
from codex_jupyter.ids import ThreadId
from codex_jupyter.settings import Settings

__all__ = ["unload_idle"]

_UNLOAD_PAUSES: Final = (0.05, 60.0)
"""Seconds between looks for idle threads: a thirtieth of their limit, within these."""


class UnloadsThreads(Protocol):
    """What this needs of a thread manager."""

    settings: Settings

    @property
    def sessions(self) -> tuple[Session, ...]: ...

    def alone_with(self, thread_id: ThreadId, doing: str) -> AbstractAsyncContextManager[None]: ...

    async def unload(self, thread_id: ThreadId) -> bool: ...


async def unload_idle(threads: UnloadsThreads, is_heard: Callable[[ThreadId], bool]) -> None:
    """Unload threads that nobody hears and nothing has happened in for long enough.

    It goes on until it is cancelled; an unloading that has begun is ended first.
    """
    limit = threads.settings.thread_idle_limit
    while True:
        now = time.monotonic()
        waits = [session.state.last_event + limit - now for session in threads.sessions]
        # Those that are heard or at work stay due: they are not looked at all the time.
        pause = min(max(limit / 30, _UNLOAD_PAUSES[0]), _UNLOAD_PAUSES[1])
        await anyio.sleep(max(pause, min(waits, default=limit)))
        for session in threads.sessions:
            if _may_unload(session, limit, is_heard):
                await contained(
                    f"the unloading of thread {session.thread_id}",
                    lambda idle=session: _unload(threads, idle, limit, is_heard),
                )


async def _unload(
    threads: UnloadsThreads, session: Session, limit: float, is_heard: Callable[[ThreadId], bool]
) -> None:
    async with threads.alone_with(session.thread_id, "being closed"):
        # Looked at again: somebody may have come while this waited.
        if _may_unload(session, limit, is_heard):
            await threads.unload(session.thread_id)


def _may_unload(session: Session, limit: float, is_heard: Callable[[ThreadId], bool]) -> bool:
    # What is below goes with it.
    below = (session, *session.kin.descendants())
    return (
        session.is_idle
        and not session.state.broker.open_requests
        and not any(is_heard(each.thread_id) for each in below)
        and time.monotonic() - max(each.state.last_event for each in below) >= limit
    )
