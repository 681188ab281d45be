"""A client of any app-server v2: calls, what a thread says, and who answers its questions."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, cast

import anyio

from codex_jupyter._version import __version__
from codex_jupyter.errors import PeerClosedError, RemoteError
from codex_jupyter.flow.channels import Outbox, OutboxOverflowError
from codex_jupyter.protocol.jsonrpc import METHOD_NOT_FOUND
from codex_jupyter.protocol.streams import MessageStreams
from codex_jupyter.rpc import Peer, merge_deltas

__all__ = ["CodexClient", "Listener", "TurnStream"]

Json = dict[str, Any]

Listener = Callable[[str, Json], None]
"""Takes ``(method, params)`` of a notification, on the client's loop; must not block."""

AnswerRequest = Callable[[str, Json, str | int], Awaitable[Json]]
"""Answers ``(method, params, request id)`` of a server request."""

_CLIENT: Final = "codex_jupyter"


async def _answer_nothing(method: str, params: Json, request_id: str | int) -> Json:
    del params, request_id
    raise RemoteError(METHOD_NOT_FOUND, f"this client does not answer `{method}`")


class CodexClient:
    """One connection to a server. Make it with `open`."""

    def __init__(self, streams: MessageStreams, answer: AnswerRequest) -> None:
        self._peer = Peer(streams, on_request=self._asked, on_notification=self._told)
        self._answer = answer
        self._listeners: dict[str, list[Listener]] = {}
        self._everything: list[Listener] = []
        self._streams: set[TurnStream] = set()
        self.server: Json = {}
        """The answer to `initialize`."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, streams: MessageStreams, *, answer: AnswerRequest = _answer_nothing
    ) -> AsyncGenerator["CodexClient"]:
        """Connect, greet, and serve the connection until the context is left.

        Args:
            streams: The connection; closed at the end.
            answer: Answers the server's questions, each in a task of its own.

        Raises:
            RemoteError: The server refused the greeting.
            PeerClosedError: The connection ended during the greeting.
        """
        client = cls(streams, answer)
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client._run)
            try:
                await client._greet()
                yield client
            except Exception as error:  # noqa: BLE001 - kept out of the group, which would wrap it
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def call(self, method: str, params: Json) -> Json:
        """Ask the server and return its answer.

        Raises:
            RemoteError: The server refused.
            PeerClosedError: The connection ended.
        """
        return cast("Json", await self._peer.call(method, params))

    def listen(self, thread_id: str | None, listener: Listener) -> Callable[[], None]:
        """Hear the notifications of one thread, or of all; returns what ends it."""
        listeners = (
            self._everything if thread_id is None else self._listeners.setdefault(thread_id, [])
        )
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    @asynccontextmanager
    async def turn(self, thread_id: str, params: Json) -> AsyncGenerator["TurnStream"]:
        """Start a turn and stream what it says; leaving early does not stop the turn.

        Args:
            thread_id: A thread this connection has started or resumed, in canonical form.
            params: Params of turn/start beside the thread's id.
        """
        stream = TurnStream()
        self._streams.add(stream)
        stop = self.listen(thread_id, stream.put)
        try:
            started = await self.call("turn/start", {"threadId": thread_id, **params})
            stream.turn_id = started["turn"]["id"]
            yield stream
        finally:
            stop()
            self._streams.discard(stream)

    async def _run(self) -> None:
        try:
            await self._peer.run()
        finally:
            for stream in self._streams:
                stream.end()

    async def _greet(self) -> None:
        self.server = await self.call(
            "initialize",
            {
                "clientInfo": {"name": _CLIENT, "title": "Codex Jupyter", "version": __version__},
                "capabilities": {"experimentalApi": True},
            },
        )
        self._peer.notify("initialized", {})

    async def _asked(self, method: str, params: Any, request_id: str | int) -> Any:
        return await self._answer(method, cast("Json", params or {}), request_id)

    def _told(self, method: str, params: Any) -> None:
        members = cast("Json", params or {})
        shape: Json = members.get("thread") or {}
        thread: Any = members.get("threadId") or shape.get("id")
        for listener in [*self._listeners.get(thread, ()), *self._everything]:
            listener(method, members)


class TurnStream:
    """The notifications of one turn, in order. Neighbouring deltas merge when the reader lags."""

    def __init__(self) -> None:
        self.turn_id = ""
        self._queue = Outbox(merge_deltas)

    def put(self, method: str, params: Json) -> None:
        """Take a notification of the turn's thread."""
        # A reader that lags too far gets what was queued, then the error of `__aiter__`; the
        # connection and its other readers go on.
        with suppress(OutboxOverflowError):
            self._queue.put({"method": method, "params": params})

    def end(self) -> None:
        """Take no more: the connection has ended."""
        self._queue.close()

    async def __aiter__(self) -> AsyncGenerator[tuple[str, Json]]:
        """Iterate over ``(method, params)`` up to and including the turn's `turn/completed`.

        Raises:
            PeerClosedError: The connection ended before the turn, or the reader is too slow.
        """
        while True:
            messages = await self._queue.take()
            if not messages:
                raise PeerClosedError("the stream of the turn broke off before the turn ended")
            for message in messages:
                method, params = message["method"], message["params"]
                if not self._concerns(params):
                    continue
                yield method, params
                if method == "turn/completed":
                    return

    def _concerns(self, params: Json) -> bool:
        shape: Json = params.get("turn") or {}
        turn: Any = params.get("turnId") or shape.get("id")
        return turn is None or turn == self.turn_id
