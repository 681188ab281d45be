"""Where a client meets a server: in one process, on one loop, in a thread of its own if need be."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import Any, Final, Protocol, TypeVar, cast

import anyio
import anyio.abc
import anyio.lowlevel
import anyio.to_thread
from anyio.from_thread import BlockingPortal, start_blocking_portal

from codex_jupyter.client.aio import AnswerRequest, CodexClient, Listener
from codex_jupyter.errors import PeerClosedError
from codex_jupyter.server.app import AppServer
from codex_jupyter.settings import Settings
from codex_jupyter.transports.streams import memory_pair

__all__ = ["CoreThread", "open_in_process"]

T = TypeVar("T")
Json = dict[str, Any]

_MAX_POSTED: Final = 4_096
"""Posted work that waits for its task; past it `CoreThread.post` fails at once."""


class _Loop(Protocol):
    def call_soon_threadsafe(self, callback: Callable[[], object]) -> object: ...


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
    """A core on a loop in a thread of its own, for callers that have no loop to lend.

    Every method may be called from any thread, the core's own included. One task on that loop
    owns everything that runs there; it ends with `close`.

    Args:
        load_settings: Reads the settings; called in a worker thread.
        answer: Answers the server's questions, on the core's loop.
    """

    def __init__(self, load_settings: Callable[[], Settings], answer: AnswerRequest) -> None:
        self._load_settings = load_settings
        self._answer = answer
        self._running: AbstractContextManager[BlockingPortal] = start_blocking_portal(
            "asyncio", name="codex-jupyter-core"
        )
        portal = self._running.__enter__()
        self._loop: _Loop = portal.call(_current_loop)
        self._client: Future[CodexClient] = Future()
        self._posted_in, self._posted_out = anyio.create_memory_object_stream[
            Callable[[], Coroutine[Any, Any, None]]
        ](_MAX_POSTED)
        self._stop = portal.call(anyio.Event)
        self._done, started = portal.start_task(self._run)
        del started

    @property
    def failed(self) -> bool:
        """Whether the core could not be started."""
        return self._client.done() and self._client.exception() is not None

    def post(self, work: Callable[[CodexClient], Awaitable[T]]) -> "Future[T]":
        """Run ``work`` with the client on the core's loop, in a task of its own.

        The future gets its result or its exception; `PeerClosedError` if the core has ended.
        """
        future: Future[T] = Future()
        if not self._schedule(lambda: self._accept(work, future)):
            future.set_exception(PeerClosedError("the core of this kernel has ended"))
        return future

    def call_soon(self, act: Callable[[], object]) -> None:
        """Run ``act`` on the core's loop soon; after the core's end it is not run."""
        self._schedule(act)

    def listen_all(self, listener: Listener) -> None:
        """Let ``listener`` hear every notification, on the core's loop."""

        async def listen(client: CodexClient) -> None:
            client.listen(None, listener)

        self.post(listen)

    def close(self) -> None:
        """End every turn, close every rollout, end the thread. Waits; call it once."""
        self._schedule(self._stop.set)
        with suppress(Exception):  # a core that never started has told its callers why
            self._done.result()
        self._running.__exit__(None, None, None)

    def _schedule(self, act: Callable[[], object]) -> bool:
        try:
            self._loop.call_soon_threadsafe(act)
        except RuntimeError:  # the loop has closed
            return False
        return True

    def _accept(self, work: Callable[[CodexClient], Awaitable[T]], future: "Future[T]") -> None:
        """Queue posted work; a loop callback has no task, so it cannot start one itself."""
        try:
            self._posted_in.send_nowait(lambda: self._fulfil(work, future))
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.WouldBlock):
            future.set_exception(PeerClosedError("the core of this kernel has ended"))

    async def _fulfil(
        self, work: Callable[[CodexClient], Awaitable[T]], future: "Future[T]"
    ) -> None:
        """Run posted work; its failure belongs to whoever posted it and ends nothing else."""
        try:
            future.set_result(await work(await _wait_for(self._client)))
        except Exception as error:  # noqa: BLE001 - handed to whoever posted the work
            future.set_exception(error)
        except BaseException as error:
            ended = PeerClosedError("the core of this kernel has ended")
            future.set_exception(ended)
            raise error from None

    async def _run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with anyio.create_task_group() as tasks, self._posted_out, self._posted_in:
            tasks.start_soon(self._start_posted, tasks)
            task_status.started()
            await self._host()
            tasks.cancel_scope.cancel()

    async def _start_posted(self, tasks: anyio.abc.TaskGroup) -> None:
        async for start in self._posted_out:
            tasks.start_soon(start)

    async def _host(self) -> None:
        try:
            settings = await anyio.to_thread.run_sync(self._load_settings)
            async with open_in_process(settings, answer=self._answer) as client:
                self._client.set_result(client)
                await self._stop.wait()
        except Exception as error:
            if self._client.done():
                raise
            self._client.set_exception(error)
            await self._stop.wait()


async def _current_loop() -> _Loop:
    native: Any = anyio.lowlevel.current_token()
    return cast("_Loop", getattr(native, "native_token", native))


async def _wait_for(future: "Future[T]") -> T:
    """Wait on the loop for a future that the same loop completes."""
    if not future.done():
        ready = anyio.Event()
        future.add_done_callback(lambda _: ready.set())
        await ready.wait()
    return future.result()
