"""One end of a JSON-RPC connection: asks, answers, tells, and knows no method by name."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

import anyio
import anyio.abc
import anyio.lowlevel

from codex_jupyter.errors import CodexError, OverloadedError, PeerClosedError, RemoteError
from codex_jupyter.flow.channels import Outbox, OutboxOverflowError, rough_size
from codex_jupyter.protocol.jsonrpc import (
    INTERNAL_ERROR,
    MAX_DELTA_CHARS,
    PARSE_ERROR,
    Garbage,
    Message,
    Notification,
    Request,
    Response,
    classify,
    error_message,
)
from codex_jupyter.protocol.streams import MessageStreams

__all__ = ["Peer", "Reply", "merge_deltas"]

_log = logging.getLogger(__name__)

MAX_IN_FLIGHT: Final = 256
"""Requests of the other side that are worked on at once; more wait, in order."""

MAX_WAITING: Final = 8_192
"""Requests that wait for one of those to end; past it, the answer is that we are overloaded."""

MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
"""What they may hold, roughly, in bytes of text; past it the same."""

MAX_CONTROL: Final = 1_024
"""Control requests that are worked on at once; past it, reading stops. They are never refused."""

_MAX_LOGGED: Final = 200
"""Characters of a method's name in the log."""

_DELTA_METHODS: Final = frozenset(
    {
        "item/agentMessage/delta",
        "item/commandExecution/outputDelta",
        "item/plan/delta",
        "item/reasoning/summaryTextDelta",
        "item/reasoning/textDelta",
    }
)
_SAME_MEMBERS: Final = ("itemId", "turnId", "threadId", "summaryIndex", "contentIndex")


@dataclass(frozen=True, slots=True)
class Reply:
    """A result, and what must happen right after it is on its way, with nothing in between."""

    result: Any
    then: Callable[[], None] | None = None


OnRequest = Callable[[str, Any, str | int], Awaitable[Any]]
OnNotification = Callable[[str, Any], None]


class Peer:
    """One end of a connection.

    Every request of the other side gets exactly one answer. `MAX_IN_FLIGHT` are worked on side by
    side; more wait in line, and where the line is full the answer is an `OverloadedError`. Control
    requests, answers and notifications pass the line. What goes out passes one bounded outbox, in
    order.

    Args:
        streams: Where messages come from and go to; closed when `run` ends.
        on_request: Answers ``(method, params, id)`` with a result or a `Reply`, or raises.
        on_notification: Takes ``(method, params)``; must not block.
        merge: Joins neighbouring messages in the outbox.
        control: Methods of the other side that never wait behind its work, and are never refused.
    """

    def __init__(
        self,
        streams: MessageStreams,
        *,
        on_request: OnRequest,
        on_notification: OnNotification,
        merge: Callable[[Message, Message], Message | None] | None = None,
        control: Collection[str] = (),
    ) -> None:
        self._streams = streams
        self._on_request = on_request
        self._on_notification = on_notification
        self._outbox = Outbox(merge or merge_deltas)
        self._next_id = 0
        self._waiting: dict[str | int, Callable[[Response], None]] = {}
        self._control = control
        self._controlling = anyio.Semaphore(MAX_CONTROL)
        self._in_flight = 0
        self._line: deque[tuple[Request, int]] = deque()
        self._line_bytes = 0
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._closed

    async def run(self) -> None:
        """Serve the connection until either side closes it; nothing of it lives on after."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write, tasks.cancel_scope)
                await self._read(tasks)
                tasks.cancel_scope.cancel()
        finally:
            self._end()
            with anyio.move_on_after(1, shield=True):
                await self._streams.aclose()

    async def call(self, method: str, params: Any) -> Any:
        """Ask the other side and wait for its answer, without a limit of its own.

        Raises:
            RemoteError: The other side answered with an error.
            PeerClosedError: The connection ended first.
        """
        answered = anyio.Event()
        answers: list[Response] = []

        def take(response: Response) -> None:
            if not self._closed:
                answers.append(response)
            answered.set()

        self._next_id += 1
        request_id = self._next_id
        self.ask(request_id, method, params, take)
        try:
            await answered.wait()
        finally:
            self._waiting.pop(request_id, None)
        if not answers:
            raise PeerClosedError(f"the connection closed before `{method}` was answered")
        return _result_of(answers[0])

    def ask(
        self,
        request_id: str | int,
        method: str,
        params: Any,
        on_answer: Callable[[Response], None],
    ) -> None:
        """Send a request under an id of the caller's; ``on_answer`` gets the first answer.

        If the connection ends first, ``on_answer`` gets an error response of code -32603.
        """
        if self._closed:
            raise PeerClosedError(f"the connection is closed; `{method}` was not sent")
        self._waiting[request_id] = on_answer
        self.send({"id": request_id, "method": method, "params": params})

    def forget(self, request_id: str | int) -> None:
        """Ignore an answer that comes later."""
        self._waiting.pop(request_id, None)

    def notify(self, method: str, params: Any) -> None:
        """Tell the other side."""
        self.send({"method": method, "params": params})

    def send(self, message: Message) -> None:
        """Queue a message that is complete already. It must not be changed afterwards."""
        try:
            self._outbox.put(message)
        except OutboxOverflowError as error:
            _log.warning("closing a connection: %s", error)

    async def room(self) -> None:
        """Wait while the other side lags far behind in reading; see `Outbox.room`."""
        await self._outbox.room()

    def finish(self) -> None:
        """Send what is queued, then end the connection; what is sent later is dropped."""
        self._outbox.close()

    async def _read(self, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            try:
                messages = await self._streams.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return
            for message in messages:
                await self._dispatch(message, tasks)

    async def _dispatch(self, message: Message | Garbage, tasks: anyio.abc.TaskGroup) -> None:
        match message if isinstance(message, Garbage) else classify(message):
            case Request() as request if request.method in self._control:
                await self._controlling.acquire()
                tasks.start_soon(self._obey, request)
            case Request() as request if self._in_flight < MAX_IN_FLIGHT:
                self._in_flight += 1
                tasks.start_soon(self._work, request)
            case Request() as request:
                self._queue(request)
            case Notification(method, params):
                self._on_notification(method, params)
            case Response() as response:
                if (take := self._waiting.pop(response.id, None)) is not None:
                    take(response)
            case Garbage(reason):
                _log.info("dropped what is no message: %s", reason)
                self.send(error_message(None, PARSE_ERROR, reason))

    def _queue(self, request: Request) -> None:
        """Let a request wait until one that is worked on ends, unless too much waits already."""
        size = rough_size(request.params)
        if len(self._line) >= MAX_WAITING or self._line_bytes + size > MAX_WAITING_BYTES:
            self._refuse(request, OverloadedError())
            return
        self._line.append((request, size))
        self._line_bytes += size

    async def _work(self, request: Request) -> None:
        """Answer a request, then those that wait, one after the other."""
        await self._answer(request)
        while self._line:
            waiting, size = self._line.popleft()
            self._line_bytes -= size
            await anyio.lowlevel.checkpoint()  # answers that need no wait must not hold up the loop
            await self._answer(waiting)
        self._in_flight -= 1

    async def _obey(self, request: Request) -> None:
        try:
            await self._answer(request)
        finally:
            self._controlling.release()

    async def _answer(self, request: Request) -> None:
        try:
            reply = await self._on_request(request.method, request.params, request.id)
        except CodexError as error:
            self._refuse(request, error)
        except Exception as error:  # noqa: BLE001 - the one place where a failure becomes a wire error
            _log.exception("`%s` failed", request.method[:_MAX_LOGGED])
            self.send(error_message(request.id, INTERNAL_ERROR, f"internal error: {error!r}"[:500]))
        else:
            then = None
            if isinstance(reply, Reply):
                reply, then = reply.result, reply.then
            self.send({"id": request.id, "result": reply})
            if then is not None:
                then()

    def _refuse(self, request: Request, error: CodexError) -> None:
        code = error.code if isinstance(error, RemoteError) else error.rpc_code
        self.send(error_message(request.id, code, str(error), error.data))

    async def _write(self, scope: anyio.CancelScope) -> None:
        try:
            while messages := await self._outbox.take():
                await self._streams.send(messages)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        scope.cancel()

    def _end(self) -> None:
        self._closed = True
        self._outbox.close()
        waiting, self._waiting = self._waiting, {}
        closed: Message = {"code": INTERNAL_ERROR, "message": "the connection closed"}
        for request_id, take in waiting.items():
            take(Response(request_id, None, closed))


def merge_deltas(first: Message, second: Message) -> Message | None:
    """Join two neighbouring deltas of one item; text is concatenated, nothing is lost."""
    method = first.get("method")
    if method != second.get("method") or method not in _DELTA_METHODS:
        return None
    before, after = first["params"], second["params"]
    if any(before.get(name) != after.get(name) for name in _SAME_MEMBERS):
        return None
    if len(before["delta"]) + len(after["delta"]) > MAX_DELTA_CHARS:
        return None
    return {**second, "params": {**after, "delta": before["delta"] + after["delta"]}}


def _result_of(response: Response) -> Any:
    if response.error is None:
        return response.result
    code, message = response.error.get("code"), response.error.get("message")
    raise RemoteError(
        code if isinstance(code, int) else INTERNAL_ERROR,
        str(message) if message is not None else "the other side gave no reason",
        response.error.get("data"),
    )
