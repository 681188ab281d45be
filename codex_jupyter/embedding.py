"""Where a client meets a server: in one process or over a link, in a thread of its own if need be.

Light: the server and the WebSocket library are imported by whoever needs one of them.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    suppress,
)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

import anyio
import anyio.abc
import anyio.lowlevel
from anyio.from_thread import BlockingPortal, start_blocking_portal

from codex_jupyter.client.aio import AnswerRequest, CodexClient, Listener
from codex_jupyter.errors import PeerClosedError

if TYPE_CHECKING:
    from codex_jupyter.protocol.streams import MessageStreams
    from codex_jupyter.settings import Settings

__all__ = [
    "Connect",
    "CoreThread",
    "ServerLink",
    "open_by_command",
    "open_by_link",
    "open_in_process",
]

T = TypeVar("T")
Json = dict[str, Any]

Connect = Callable[[], AbstractAsyncContextManager[CodexClient]]
"""Connects with a core for the time of a context; runs on the core's loop."""

CONNECT_LIMIT: Final = 5.0
"""Seconds one try to reach a server may take; it is on the same machine."""

_MAX_POSTED: Final = 4_096
"""Posted work that waits for its task; past it `CoreThread.post` fails at once."""


class _Loop(Protocol):
    def call_soon_threadsafe(self, callback: Callable[[], object]) -> object: ...


@dataclass(frozen=True, slots=True)
class ServerLink:
    """How to reach a server that lives elsewhere, and what to show it."""

    url: str
    """A WebSocket address."""

    token: str = field(repr=False)
    ca: str | None = None
    """File of the certificates to believe, where the address is ``wss``."""


@asynccontextmanager
async def open_in_process(
    settings: "Settings", *, answer: AnswerRequest
) -> AsyncGenerator[CodexClient]:
    """Run a server and a client of it on this loop, connected in memory.

    Leaving ends every turn and closes every rollout.
    """
    from codex_jupyter.server.app import AppServer  # noqa: PLC0415 - a linked client has none
    from codex_jupyter.transports.streams import memory_pair  # noqa: PLC0415 - neither this

    ours, theirs = memory_pair()
    async with AppServer.open(settings) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, theirs)
        async with CodexClient.open(ours, answer=answer) as client:
            yield client
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def open_by_link(
    read_link: Callable[[], ServerLink], *, answer: AnswerRequest
) -> AsyncGenerator[CodexClient]:
    """Be a client of a server that lives elsewhere; a connection that drops is replaced.

    Args:
        read_link: Called at each connection: a server that starts anew writes a new link.
        answer: Answers what the server asks of this client.

    Raises:
        PeerClosedError: The server cannot be reached.
        CodexError: It refuses, or the link cannot be read.
    """
    from codex_jupyter.transports.ws_client import open_ws  # noqa: PLC0415 - linked clients only

    async def connect() -> "MessageStreams":
        link = read_link()
        try:
            with anyio.fail_after(CONNECT_LIMIT):
                headers = {"Authorization": f"codex-kernel {link.token}"}
                return await open_ws(link.url, headers=headers, ca=link.ca)
        except TimeoutError:
            raise PeerClosedError(
                f"{link.url} did not answer within {CONNECT_LIMIT:.0f} s"
            ) from None

    streams = await connect()
    async with CodexClient.open(streams, answer=answer, again=connect) as client:
        yield client


@asynccontextmanager
async def open_by_command(
    argv: Sequence[str],
    *,
    answer: AnswerRequest,
    as_client: type[CodexClient] = CodexClient,
) -> AsyncGenerator[CodexClient]:
    """Be the client of a program that speaks app-server v2 on its standard input and output.

    Leaving closes its input and ends it.

    Args:
        argv: The program and its arguments, e.g. ``["codex", "app-server"]``.
        answer: Answers what the server asks of this client.
        as_client: The class of the client.

    Raises:
        PeerClosedError: It cannot be started, or it ended; the text says what it said.
        RemoteError: It refuses this client.
    """
    from codex_jupyter.transports.command import open_command  # noqa: PLC0415 - rarely needed

    async with open_command(argv) as program:
        try:
            async with as_client.open(program.streams, answer=answer) as client:
                client.explain = program.why_ended
                yield client
        except PeerClosedError as error:
            raise PeerClosedError(await program.why_ended(str(error))) from None


class CoreThread:
    """A core on a loop in a thread of its own, for callers that have no loop to lend.

    Every method may be called from any thread, the core's own included. One task on that loop
    owns everything that runs there; it ends with `close`.

    Args:
        connect: Connects with the core that shall be used, e.g. `open_in_process`.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._running: AbstractContextManager[BlockingPortal] = start_blocking_portal(
            "asyncio", name="codex-jupyter-core"
        )
        portal = self._running.__enter__()
        self._loop: _Loop = portal.call(_current_loop)
        self._client: Future[CodexClient] = Future()
        self._unsettled = set[Future[Any]]()
        self._posted_in, self._posted_out = anyio.create_memory_object_stream[
            Callable[[], Coroutine[Any, Any, None]]
        ](_MAX_POSTED)
        self._stop = portal.call(anyio.Event)
        self._done, started = portal.start_task(self._run)
        del started

    @property
    def failed(self) -> bool:
        """Whether the core could not be started or reached, or was lost for good."""
        if self._done.done():
            return True
        if not self._client.done():
            return False
        return self._client.exception() is not None or self._client.result().gone

    def post(self, work: Callable[[CodexClient], Awaitable[T]]) -> "Future[T]":
        """Run ``work`` with the client on the core's loop, in a task of its own.

        The future gets its result or its exception; `PeerClosedError` if the core has ended.
        Cancelling it gives up the result only: the work goes on.
        """
        future: Future[T] = Future()
        self._unsettled.add(future)
        future.add_done_callback(self._unsettled.discard)
        if not self._schedule(lambda: self._accept(work, future)):
            _refuse(future)
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
        # What was posted in the loop's last moment was never looked at.
        self._refuse_unsettled()

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
            _refuse(future)

    async def _fulfil(
        self, work: Callable[[CodexClient], Awaitable[T]], future: "Future[T]"
    ) -> None:
        """Run posted work; its failure belongs to whoever posted it and ends nothing else."""
        try:
            result = await work(await _wait_for(self._client))
        except Exception as error:  # noqa: BLE001 - handed to whoever posted the work
            with suppress(InvalidStateError):
                future.set_exception(error)
        except BaseException as error:
            _refuse(future)
            raise error from None
        else:
            # Any thread may cancel it at any moment.
            with suppress(InvalidStateError):
                future.set_result(result)

    async def _run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        try:
            async with anyio.create_task_group() as tasks, self._posted_out, self._posted_in:
                tasks.start_soon(self._start_posted, tasks)
                task_status.started()
                await self._host()
                tasks.cancel_scope.cancel()
        finally:
            # What was queued, and what was taken but not started when the end came.
            self._refuse_unsettled()

    def _refuse_unsettled(self) -> None:
        for future in list(self._unsettled):
            _refuse(future)

    async def _start_posted(self, tasks: anyio.abc.TaskGroup) -> None:
        async for start in self._posted_out:
            tasks.start_soon(start)

    async def _host(self) -> None:
        try:
            async with self._connect() as client:
                self._client.set_result(client)
                await self._stop.wait()
        except Exception as error:
            if self._client.done():
                raise
            self._client.set_exception(error)
            await self._stop.wait()


def _refuse(future: "Future[Any]") -> None:
    """Say that the core has ended, unless something was said already."""
    with suppress(InvalidStateError):
        future.set_exception(PeerClosedError("the core of this kernel has ended"))


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
