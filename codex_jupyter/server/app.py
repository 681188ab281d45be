"""The app server: owns the threads, serves any number of connections."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.abc
import anyio.to_thread

from codex_jupyter.errors import CodexError, InvalidRequestError, PeerClosedError
from codex_jupyter.ids import parse_thread_id, parse_turn_id
from codex_jupyter.protocol.streams import MessageStreams
from codex_jupyter.rpc import Peer, Reply
from codex_jupyter.server.handshake import Greeting, greet, initialize_result
from codex_jupyter.server.rights import OWNER, Rights
from codex_jupyter.settings import Settings

if TYPE_CHECKING:
    from codex_jupyter.server.engine import Engine
    from codex_jupyter.server.subscriptions import Connection

__all__ = ["AppServer"]

_log = logging.getLogger(__name__)

FAREWELL_LIMIT: Final = 2.0
"""Seconds in which a connection must take what is left for it when the server stops."""

CONTROL: Final = frozenset(
    {
        "initialize",
        "turn/interrupt",
        "turn/steer",
        "serverRequest/answer",
        "thread/unsubscribe",
        "turn/unwatch",
        "thread/backgroundTerminals/clean",
        "thread/backgroundTerminals/terminate",
        "command/exec/terminate",
        "process/kill",
        "fuzzyFileSearch/sessionStop",
    }
)
"""What stops or answers something: it never waits behind other requests of its connection."""


class AppServer:
    """One core behind the protocol. Make it with `open`; it lives inside that context.

    The engine (threads, tools, models and the shapes of their messages) is loaded in a worker
    thread as soon as the first connection has been greeted, so that `initialize` is answered at
    once.
    """

    def __init__(
        self, settings: Settings, tasks: anyio.abc.TaskGroup, *, watchable: bool = False
    ) -> None:
        self.settings = settings
        self._tasks = tasks
        self._watchable = watchable
        self._engine: Engine | None = None
        self._engine_ready: anyio.Event | None = None
        self._engine_problem: Exception | None = None
        self._waiting: list[Callable[[Engine], None]] = []
        self._engine_scope = anyio.CancelScope()
        self._engine_ended = anyio.Event()
        self._conversations: set[_Conversation] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, *, watchable: bool = False
    ) -> AsyncGenerator["AppServer"]:
        """Run a server; leaving ends every turn and closes every rollout.

        Args:
            settings: Defaults of new threads.
            watchable: Whether pages will connect, which watch turns.
        """
        async with anyio.create_task_group() as tasks:
            yield cls(settings, tasks, watchable=watchable)
            tasks.cancel_scope.cancel()

    async def serve(self, streams: MessageStreams, rights: Rights = OWNER) -> None:
        """Serve one connection until it ends. Its end stops no turn."""
        conversation = _Conversation(self, streams, rights)
        self._conversations.add(conversation)
        try:
            await conversation.run()
        finally:
            self._conversations.discard(conversation)

    @property
    def turns_run(self) -> bool:
        """Whether a turn runs in any thread."""
        return self._engine is not None and bool(self._engine.running_turns)

    async def settle(self) -> None:
        """Wait until no turn runs; those that clients start meanwhile count too."""
        if self._engine is not None:
            await self._engine.settle()

    async def stop(self) -> None:
        """End every turn and rollout, tell it to every connection, then end the connections.

        A connection whose reader takes nothing ends after `FAREWELL_LIMIT` all the same.
        """
        if self._engine_ready is not None:
            self._engine_scope.cancel()
            await self._engine_ended.wait()
        with anyio.move_on_after(FAREWELL_LIMIT):
            async with anyio.create_task_group() as leaving:
                for conversation in tuple(self._conversations):
                    leaving.start_soon(conversation.end)

    def interrupt_kernel(self, kernel_id: str, reason: str = "interrupted") -> int:
        """Stop the running turns that a kernel started, and return how many there were.

        Acts at once; call it on the server's loop.
        """
        return self._engine.stop_kernel(kernel_id, reason) if self._engine is not None else 0

    def kernel_gone(self, kernel_id: str) -> int:
        """Do the same for a kernel that has ended: nobody can run its tools any more."""
        return self.interrupt_kernel(kernel_id, "the kernel has ended")

    def connections_of(self, kernel_id: str) -> int:
        """Return how many connections a kernel has now."""
        if self._engine is None:
            return 0
        return self._engine.subscriptions.count(lambda rights: rights.kernel_id == kernel_id)

    def fail_turn(self, thread_id: str, turn_id: str, message: str) -> bool:
        """Stop a turn that cannot go on; it ends as failed. ``False`` if it does not run."""
        if self._engine is None:
            return False
        try:
            key = parse_thread_id(thread_id), parse_turn_id(turn_id)
            self._engine.fail_turn(key, CodexError(message))
        except CodexError:
            return False
        return True

    async def engine(self) -> "Engine":
        """Return the engine, loading it if nobody has."""
        if self._engine is None:
            await self.warm().wait()
        if self._engine is None:
            raise self._engine_problem or RuntimeError("the server is closing")
        return self._engine

    def warm(self) -> anyio.Event:
        """Begin to load the engine, unless that has begun; the event is set when it is ready."""
        if self._engine_ready is None:
            self._engine_ready = anyio.Event()
            self._tasks.start_soon(self._run_engine, self._engine_ready)
        return self._engine_ready

    def with_engine(self, act: "Callable[[Engine], None]") -> None:
        """Call ``act`` with the engine, now or as soon as it is loaded."""
        if self._engine is not None:
            act(self._engine)
        else:
            self._waiting.append(act)

    async def _run_engine(self, ready: anyio.Event) -> None:
        try:
            with self._engine_scope:
                await self._load_and_run(ready)
        finally:
            # Who asks from now on, or waits to hear, is told that it is over.
            self._engine = None
            self._engine_problem = self._engine_problem or PeerClosedError("the server is closing")
            ready.set()
            self._engine_ended.set()

    async def _load_and_run(self, ready: anyio.Event) -> None:
        try:
            engine_type = await anyio.to_thread.run_sync(_load_engine)
            engine = engine_type(self.settings, watchable=self._watchable)
        except Exception as error:  # noqa: BLE001 - told to everybody who asks for the engine
            _log.exception("the engine could not be loaded")
            self._engine_problem = error
            return
        started = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(engine.run, started)
            tasks.start_soon(engine.warm)
            await started.wait()
            self._engine = engine
            for act in self._waiting:
                act(engine)
            self._waiting.clear()
            ready.set()


class _Conversation:
    """One connection, from before its handshake to its end."""

    def __init__(self, app: AppServer, streams: MessageStreams, rights: Rights) -> None:
        self._app = app
        self._rights = rights
        self._greeting: Greeting | None = None
        self._connection: Connection | None = None
        self._engine: Engine | None = None
        self._ended = anyio.Event()
        self._peer = Peer(
            streams,
            on_request=self._on_request,
            on_notification=self._on_notification,
            control=CONTROL,
        )

    async def run(self) -> None:
        try:
            await self._peer.run()
        finally:
            self._ended.set()
            if self._connection is not None and self._engine is not None:
                self._engine.disconnect(self._connection)

    async def end(self) -> None:
        """Send what is queued, then end."""
        self._peer.finish()
        await self._ended.wait()

    async def _on_request(self, method: str, params: Any, request_id: str | int) -> Any:
        del request_id
        if method == "initialize":
            greeting = greet(params)
            if self._greeting is not None:
                raise InvalidRequestError("Already initialized")
            self._greeting = greeting
            self._app.warm()
            result = initialize_result(self._greeting, self._app.settings.home)
            return Reply(result, then=lambda: self._app.with_engine(self._take_part))
        if self._greeting is None:
            # What is no request at all is refused as that, greeted or not.
            await anyio.to_thread.run_sync(_check_request, method, params)
            raise InvalidRequestError("Not initialized")
        engine = await self._app.engine()
        if self._connection is None:
            raise PeerClosedError("the connection has ended")
        return await engine.handlers.handle(self._connection, method, params)

    def _take_part(self, engine: "Engine") -> None:
        """Hear what everybody hears, from the greeting on; nothing has to be asked first."""
        if self._greeting is not None and not self._peer.closed:
            self._engine = engine
            self._connection = engine.connect(self._peer, self._greeting, self._rights)

    def _on_notification(self, method: str, params: Any) -> None:
        """Take what a client says unasked; nothing waits for `initialized`."""
        if method == "turn/held" and self._engine is not None and self._connection is not None:
            self._engine.note_hold(self._connection, params)


def _check_request(method: str, params: Any) -> None:
    from codex_jupyter.server.params import check_request  # noqa: PLC0415 - heavy, off the loop

    check_request(method, params)


def _load_engine() -> type["Engine"]:
    from codex_jupyter.server.engine import Engine  # noqa: PLC0415 - heavy, and off the loop

    return Engine
