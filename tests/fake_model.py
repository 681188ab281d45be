"""A Responses API on the loopback interface that answers from a script: the model of every test.

It is a real HTTP server, so a test sees what a user would see: connections that break, bodies
that stall, clients that leave::

    async with FakeModel([call("shell_command", {"command": "ls"}), say("Done.")]) as fake:
        ...  # point a provider at fake.base_url and run a turn
        assert fake.requests[1]["input"][-1]["type"] == "function_call_output"

From code without an event loop, and for programs in other processes::

    with run_in_thread([say("Hello")]) as fake:
        subprocess.run([..., fake.base_url])
        fake.wait_for_requests(1)
"""

import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import responses
from itertools import count
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.fake_answers import (
    Answer,
    call,
    custom_call,
    failed,
    garbage,
    incomplete,
    raw,
    reason,
    say,
    status,
)

__all__ = [
    "Answer",
    "FakeModel",
    "FakeModelInThread",
    "Script",
    "call",
    "custom_call",
    "failed",
    "garbage",
    "incomplete",
    "raw",
    "reason",
    "run_in_thread",
    "say",
    "status",
]

Script = Iterable[Answer] | Callable[[dict[str, Any]], Answer]
"""Answers in the order of the requests, or a function from the body of a request to its answer."""

MAX_HEAD_BYTES = 65536
EVENTS_PER_CHUNK = 64
RESET = struct.pack("ii", 1, 0)
"""Linger for no time: closing the socket sends a reset instead of an orderly end."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class _GoneError(Exception):
    """The answer ended the connection."""


class FakeModel:
    """The fake, as an async context manager; listens on a port of its own on 127.0.0.1.

    ``POST /v1/responses`` takes the next answer of the script, any number of requests at once;
    when the script is used up, requests are refused with a 400 that says so. ``GET /v1/models``
    lists ``models``. Everything else is a 404.

    Attributes:
        base_url: Address for a provider's configuration, set on entering.
        requests: Decoded bodies of the requests for answers, in the order of arrival.
        headers: Their headers, with lower-case names, in the same order.
        connections: How many connections were accepted.
        closed_early: Set when a client left in the middle of an answer.
    """

    def __init__(self, script: Script = (), *, models: Iterable[str] = ("fake-model",)) -> None:
        self.base_url = ""
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.closed_early = anyio.Event()
        self._answer_to = script if callable(script) else self._next_in_queue
        self._queue: deque[Answer] = deque(() if callable(script) else script)
        self._models = tuple(models)
        self._ids = count(1)
        self._hanging = 0
        self._resumed = anyio.Event()
        self._changed = anyio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        port = listener.extra(SocketAttribute.local_port)
        self.base_url = f"http://127.0.0.1:{port}/v1"
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(listener)
            tasks = await stack.enter_async_context(anyio.create_task_group())
            tasks.start_soon(listener.serve, self._serve)
            stack.callback(tasks.cancel_scope.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        # The task group must not see the error of a test: it would wrap it into a group.
        await self._stack.aclose()

    def add(self, *answers: Answer) -> None:
        """Append to the script."""
        self._queue.extend(answers)

    def by_prompt(self, answers: Mapping[str, Iterable[Answer]]) -> None:
        """Answer each conversation from a script of its own, found by what the user said in it."""
        scripts = {prompt: deque(script) for prompt, script in answers.items()}

        def answer(body: dict[str, Any]) -> Answer:
            said = [part.get("text") for i in body["input"] for part in i.get("content") or ()]
            script = next((s for prompt, s in scripts.items() if prompt in said), None)
            return script.popleft() if script else status(400, f"no answer to {said[-1:]}")

        self._answer_to = answer

    def clear(self) -> None:
        """Drop the answers of the script that nobody has asked for yet."""
        self._queue.clear()

    def resume(self) -> None:
        """Let every answer that hangs go on."""
        self._resumed.set()
        self._resumed = anyio.Event()
        # At once, not when each has gone on: else the next `wait_for_hang` may see an old one.
        self._hanging = 0

    async def wait_for_requests(self, n: int) -> None:
        """Wait until ``n`` requests for an answer have come since the start."""
        await self._wait_until(lambda: len(self.requests) >= n)

    async def wait_for_hang(self, n: int = 1) -> None:
        """Wait until ``n`` answers hang: they have sent all they send before `resume`."""
        await self._wait_until(lambda: self._hanging >= n)

    async def _wait_until(self, is_true: Callable[[], bool]) -> None:
        while not is_true():
            await self._changed.wait()

    def _announce_change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _next_in_queue(self, body: dict[str, Any]) -> Answer:
        if self._queue:
            return self._queue.popleft()
        last = (body.get("input") or [None])[-1]
        return status(
            400,
            f"the script of the fake model has no answer for request {len(self.requests)}: {last}",
        )

    async def _serve(self, stream: SocketStream) -> None:
        self.connections += 1
        reader = BufferedByteReceiveStream(stream)
        async with stream:
            with suppress(
                _GoneError, anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError
            ):
                while True:
                    request = await _read_request(reader)
                    await _Reply(self, stream, reader, self._choose(request)).send()

    def _choose(self, request: _Request) -> Answer:
        path = request.path.partition("?")[0]
        if request.method == "GET" and path == "/v1/models":
            data = [{"id": name, "object": "model"} for name in self._models]
            return status(200, {"object": "list", "data": data})
        if request.method == "POST" and path == "/v1/chat/completions":
            body = json.loads(request.body)
            self.requests.append(body)
            self.headers.append(request.headers)
            self._announce_change()
            return self._answer_to(body).as_chat()
        if request.method != "POST" or path != "/v1/responses":
            return status(404, f"the fake model does not know {request.method} {path}")
        body = json.loads(request.body)
        self.requests.append(body)
        self.headers.append(request.headers)
        self._announce_change()
        return self._answer_to(body)

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._ids)}"

    async def _hang(self) -> None:
        resumed = self._resumed
        self._hanging += 1
        self._announce_change()
        try:
            await resumed.wait()
        finally:
            if not resumed.is_set():
                self._hanging -= 1


@dataclass(slots=True)
class _Reply:
    """One answer on its way to a client, which may leave at any time."""

    fake: FakeModel
    stream: SocketStream
    reader: BufferedByteReceiveStream
    answer: Answer
    is_sent: bool = field(default=False, init=False)

    async def send(self) -> None:
        """Send the answer.

        Raises:
            _GoneError: The connection is of no more use.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_for_the_end, tasks.cancel_scope)
            with suppress(anyio.BrokenResourceError):
                await (self._send_plain() if self.answer.body is not None else self._send_events())
            tasks.cancel_scope.cancel()
        if not self.is_sent or self.answer.ending == "cut":
            raise _GoneError

    async def _watch_for_the_end(self, scope: anyio.CancelScope) -> None:
        try:
            while True:
                # A client that has all it wants may already send its next request.
                self.reader.feed_data(await self.stream.receive())
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            if not self.is_sent:
                self.fake.closed_early.set()
            scope.cancel()

    async def _send_plain(self) -> None:
        body = self.answer.body or b""
        self.is_sent = True
        await self.stream.send(
            _head(self.answer.status, {"content-length": str(len(body)), **self.answer.headers})
            + body
        )

    async def _send_events(self) -> None:
        answer = self.answer
        events = answer.events(self.fake._new_id("resp"), lambda: self.fake._new_id("item"))
        after = len(events) if answer.after is None else answer.after
        headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        await self.stream.send(_head(answer.status, {**headers, **answer.headers}))
        await self._send_some(events[:after])
        if answer.ending == "cut":
            await self._reset()
            return
        if answer.ending == "hang":
            await self.fake._hang()
        await self._send_some(events[after:])
        self.is_sent = True
        await self.stream.send(b"0\r\n\r\n")

    async def _send_some(self, events: list[dict[str, Any] | bytes]) -> None:
        size = 1 if self.answer.delay else EVENTS_PER_CHUNK
        for start in range(0, len(events), size):
            if self.answer.delay:
                await anyio.sleep(self.answer.delay)
            data = b"".join(_event(event) for event in events[start : start + size])
            await self.stream.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def _reset(self) -> None:
        self.is_sent = True
        raw_socket = self.stream.extra(SocketAttribute.raw_socket)
        with suppress(OSError):  # closed already: the client was quicker
            raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await anyio.aclose_forcefully(self.stream)


@dataclass(frozen=True, slots=True)
class FakeModelInThread:
    """A `FakeModel` that runs in a thread of its own, for code that has no event loop."""

    fake: FakeModel
    portal: BlockingPortal

    @property
    def base_url(self) -> str:
        """Address for a provider's configuration."""
        return self.fake.base_url

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Bodies of the requests so far."""
        return list(self.fake.requests)

    @property
    def headers(self) -> list[dict[str, str]]:
        """Headers of the requests so far."""
        return list(self.fake.headers)

    def add(self, *answers: Answer) -> None:
        """Append to the script."""
        self.portal.call(self.fake.add, *answers)

    def resume(self) -> None:
        """Let every answer that hangs go on."""
        self.portal.call(self.fake.resume)

    def wait_for_requests(self, n: int, timeout: float = 5.0) -> None:
        """Wait until ``n`` requests have come, or raise `TimeoutError`."""
        self.portal.call(_within, timeout, lambda: self.fake.wait_for_requests(n))

    def wait_for_hang(self, n: int = 1, timeout: float = 5.0) -> None:
        """Wait until ``n`` answers hang, or raise `TimeoutError`."""
        self.portal.call(_within, timeout, lambda: self.fake.wait_for_hang(n))

    def wait_closed_early(self, timeout: float = 5.0) -> None:
        """Wait until a client has left in the middle of an answer, or raise `TimeoutError`."""
        self.portal.call(_within, timeout, self.fake.closed_early.wait)


@contextmanager
def run_in_thread(
    script: Script = (), *, models: Iterable[str] = ("fake-model",)
) -> Generator[FakeModelInThread, None, None]:
    """Run a `FakeModel` in a thread until the block ends."""
    with start_blocking_portal() as portal:
        fake = portal.call(lambda: FakeModel(script, models=models))
        with portal.wrap_async_context_manager(fake):
            yield FakeModelInThread(fake, portal)


async def _within(seconds: float, wait: Callable[[], Any]) -> None:
    with anyio.fail_after(seconds):
        await wait()


async def _read_request(reader: BufferedByteReceiveStream) -> _Request:
    head = (await reader.receive_until(b"\r\n\r\n", MAX_HEAD_BYTES)).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.receive_exactly(int(headers.get("content-length", "0")))
    return _Request(method, path, headers, body)


async def _read_chunks(reader: BufferedByteReceiveStream) -> bytes:
    body = bytearray()
    while size := int((await reader.receive_until(b"\r\n", 64)).partition(b";")[0], 16):
        body += await reader.receive_exactly(size)
        await reader.receive_exactly(2)
    await reader.receive_until(b"\r\n", 64)
    return bytes(body)


def _head(code: int, headers: dict[str, str]) -> bytes:
    phrase = responses.get(code, "Unknown")
    lines = [f"HTTP/1.1 {code} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _event(event: dict[str, Any] | bytes) -> bytes:
    if isinstance(event, bytes):
        return event
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
