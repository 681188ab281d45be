"""Where a client meets a server: in one process, on one loop, in a thread of its own if need be."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from anyio.from_thread import BlockingPortal, start_blocking_portal

from codex_jupyter.client.aio import AnswerRequest, CodexClient
from codex_jupyter.server.app import AppServer
from codex_jupyter.settings import Settings
from codex_jupyter.transports.streams import memory_pair

__all__ = ["CoreThread", "open_in_process"]

T = TypeVar("T")
Json = dict[str, Any]


@asynccontextmanager
async def open_in_process(
    settings: Settings, *, answer: AnswerRequest
) -> AsyncGenerator[CodexClient]:
    """Run a server and a client of it on this loop, connected in memory.

    Leaving ends every turn and closes every rollout.
    """
    ours, theirs = memory_pair()
    async with AppServer.open(settings) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, theirs)
        async with CodexClient.open(ours, answer=answer) as client:
            yield client
        tasks.cancel_scope.cancel()


class CoreThread:
    """A core on a loop in a thread of its own, for callers that must not have a loop.

    Args:
        load_settings: Reads the settings; called in the new thread.
        answer: Answers the server's questions, on the core's loop.
    """

    def __init__(self, load_settings: Callable[[], Settings], answer: AnswerRequest) -> None:
        self._load_settings = load_settings
        self._answer = answer
        self._running: AbstractContextManager[BlockingPortal] = start_blocking_portal(
            "asyncio", name="codex-jupyter-core"
        )
        self._portal = self._running.__enter__()
        self._client: Future[CodexClient] = Future()
        self._stop: anyio.Event | None = None
        self._done = self._portal.start_task_soon(self._run)

    def post(self, work: Callable[[CodexClient], Awaitable[T]]) -> "Future[T]":
        """Run ``work`` with the client, on the core's loop; cancelling the future cancels it."""
        return self._portal.start_task_soon(self._with_client, work)

    def call_soon(self, act: Callable[[], object]) -> None:
        """Run ``act`` on the core's loop soon; safe from any thread and from signal handlers."""
        self._portal.start_task_soon(_run_sync, act)

    @property
    def settings(self) -> "Future[Settings]":
        """The settings, once they are read."""
        return self._portal.start_task_soon(self._read_settings)

    def close(self) -> None:
        """End every turn, close every rollout, end the thread. Waits; call it once."""
        self._portal.start_task_soon(self._signal_stop).result()
        try:
            self._done.result()
        finally:
            self._running.__exit__(None, None, None)

    async def _run(self) -> None:
        self._stop = anyio.Event()
        try:
            settings = await anyio.to_thread.run_sync(self._load_settings)
            async with open_in_process(settings, answer=self._answer) as client:
                self._client.set_result(client)
                await self._stop.wait()
        except BaseException as error:
            if not self._client.done():
                self._client.set_exception(error)
                return
            raise

    async def _with_client(self, work: Callable[[CodexClient], Awaitable[T]]) -> T:
        return await work(await _wait_for(self._client))

    async def _read_settings(self) -> Settings:
        return await anyio.to_thread.run_sync(self._load_settings)

    async def _signal_stop(self) -> None:
        if self._stop is not None:
            self._stop.set()


async def _run_sync(act: Callable[[], object]) -> None:
    act()


async def _wait_for(future: "Future[T]") -> T:
    """Wait on the loop for a future that the same loop completes."""
    if not future.done():
        ready = anyio.Event()
        future.add_done_callback(lambda _: ready.set())
        await ready.wait()
    return future.result()
