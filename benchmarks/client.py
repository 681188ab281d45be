"""A client of an app server on standard input and output, which notes when things arrive."""

import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import anyio
import psutil
from anyio.abc import ByteReceiveStream, ByteSendStream, Process

__all__ = ["AppServer", "Launch", "RefusedError", "ServerGoneError", "Turn"]

Json = dict[str, Any]

_CALL_TIMEOUT = 60.0
_TURN_TIMEOUT = 300.0
_EXIT_TIMEOUT = 5.0
_CLIENT = {"name": "benchmark", "title": "benchmark", "version": "1"}


class RefusedError(Exception):
    """The server answered a request with an error."""

    def __init__(self, method: str, error: Json) -> None:
        super().__init__(method, error)
        self.method = method
        self.error = error

    def __str__(self) -> str:
        return f"{self.method}: {self.error.get('message')} ({self.error.get('code')})"

    @property
    def is_unknown_method(self) -> bool:
        """Whether the server does not know the method at all; serde words that as a variant."""
        message = str(self.error.get("message"))
        return self.error.get("code") == -32601 or "unknown variant" in message


class ServerGoneError(Exception):
    """The server's output ended while something was waited for."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    errors: IO[bytes] | int
    """Where its standard error goes."""


@dataclass(slots=True)
class Turn:
    """What a turn has shown so far; times are readings of `time.perf_counter`, in seconds."""

    thread_id: str
    asked_at: float
    first_delta_at: float | None = None
    ended_at: float | None = None
    texts: list[str] = field(default_factory=list[str])
    """The text of each agent-message delta, as it was cut by the server."""

    id: str = ""
    end: Json = field(default_factory=dict[str, Any])
    """The turn as ``turn/completed`` tells it."""

    has_command: bool = False
    """Whether a command was started."""

    busy: anyio.Event = field(default_factory=anyio.Event)
    """Set by the first delta or the start of a command."""

    ended: anyio.Event = field(default_factory=anyio.Event)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def seconds(self) -> float:
        assert self.ended_at is not None
        return self.ended_at - self.asked_at

    @property
    def seconds_to_delta(self) -> float:
        assert self.first_delta_at is not None
        return self.first_delta_at - self.asked_at

    def note(self, method: str, params: Json, now: float) -> None:
        """Take in one notification of the thread."""
        match method:
            case "item/agentMessage/delta":
                if self.first_delta_at is None:
                    self.first_delta_at = now
                self.texts.append(params["delta"])
                self.busy.set()
            case "item/started" if params["item"]["type"] == "commandExecution":
                self.has_command = True
                self.busy.set()
            case "turn/completed":
                self.ended_at = now
                self.end = params["turn"]
                self.ended.set()
            case _:
                pass


@dataclass(slots=True)
class _Reply:
    arrived: anyio.Event = field(default_factory=anyio.Event)
    message: Json | None = None


class AppServer:
    """A running server. Use `open`; one turn a thread at a time."""

    def __init__(self, process: Process, stdin: ByteSendStream) -> None:
        self._process = process
        self._stdin = stdin
        self._ids = 0
        self._replies: dict[int, _Reply] = {}
        self._turns: dict[str, Turn] = {}
        self._gone = False
        self.cold_start = 0.0
        """Seconds from the start of the process to the answer to ``initialize``."""

    @classmethod
    @asynccontextmanager
    async def open(cls, launch: Launch) -> AsyncGenerator["AppServer"]:
        """Start a server and shake hands; ends it on leaving, by force if it does not."""
        begun = time.perf_counter()
        process = await anyio.open_process(
            launch.command,
            env=launch.environment,
            cwd=launch.folder,
            stderr=launch.errors,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        server = cls(process, process.stdin)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server._read, process.stdout)
                await server.call(
                    "initialize",
                    {"clientInfo": _CLIENT, "capabilities": {"experimentalApi": True}},
                )
                server.cold_start = time.perf_counter() - begun
                await server._send({"method": "initialized"})
                yield server
                await server._close()
                tasks.cancel_scope.cancel()
        finally:
            if process.returncode is None:
                process.kill()
            with anyio.CancelScope(shield=True):
                await process.aclose()

    async def call(self, method: str, params: Json) -> Json:
        """Send a request and return its result.

        Raises:
            RefusedError: The answer is an error.
            ServerGoneError: The server ended first.
            TimeoutError: There was no answer for 60 seconds.
        """
        self._ids += 1
        reply = self._replies[self._ids] = _Reply()
        await self._send({"id": self._ids, "method": method, "params": params})
        with anyio.fail_after(_CALL_TIMEOUT):
            await reply.arrived.wait()
        if reply.message is None:
            raise ServerGoneError(f"the server ended before it answered {method}")
        if "error" in reply.message:
            raise RefusedError(method, reply.message["error"])
        return reply.message["result"]

    async def start_thread(self, folder: Path) -> str:
        """Start a thread that asks nothing and return its id."""
        wishes = {
            "cwd": str(folder),
            "approvalPolicy": "never",
            "sandbox": "danger-full-access",
        }
        return str((await self.call("thread/start", wishes))["thread"]["id"])

    async def start_turn(self, thread_id: str, text: str) -> Turn:
        """Say ``text`` to a thread; returns when the turn is accepted."""
        said = {"threadId": thread_id, "input": [{"type": "text", "text": text}]}
        return await self.begin("turn/start", said)

    async def begin(self, method: str, params: Json) -> Turn:
        """Send a request that begins a turn of ``params["threadId"]``."""
        turn = self.expect(params["threadId"])
        turn.id = (await self.call(method, params))["turn"]["id"]
        return turn

    def expect(self, thread_id: str) -> Turn:
        """Note what a thread says from now on: notifications may overtake the answer."""
        turn = self._turns[thread_id] = Turn(thread_id, time.perf_counter())
        return turn

    async def wait_end(self, turn: Turn) -> Turn:
        """Wait until the turn has ended, whatever its status, and return it.

        Raises:
            ServerGoneError: The server ended first.
            TimeoutError: It took over 300 seconds.
        """
        await self._wait(turn, turn.ended)
        return turn

    async def wait_busy(self, turn: Turn) -> None:
        """Wait until the turn streams text or runs a command; raises as `wait_end` does."""
        await self._wait(turn, turn.busy)

    def resident_mib(self) -> float:
        """Return the resident memory of the server's process and its descendants, in MiB."""
        parent = psutil.Process(self._process.pid)
        resident = 0
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                resident += process.memory_info().rss
        return resident / 2**20

    async def _wait(self, turn: Turn, event: anyio.Event) -> None:
        with anyio.fail_after(_TURN_TIMEOUT):
            await event.wait()
        if self._gone and turn.ended_at is None:
            raise ServerGoneError(f"the server ended in turn {turn.id}")

    async def _send(self, message: Json) -> None:
        try:
            await self._stdin.send(json.dumps(message).encode() + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ServerGoneError("the server does not read any more") from error

    async def _read(self, stdout: ByteReceiveStream) -> None:
        rest = b""
        try:
            async for chunk in stdout:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    await self._take(line)
        finally:
            self._gone = True
            for reply in self._replies.values():
                reply.arrived.set()
            for turn in self._turns.values():
                turn.busy.set()
                turn.ended.set()

    async def _take(self, line: bytes) -> None:
        now = time.perf_counter()
        message: Json = json.loads(line)
        if "method" not in message:
            reply = self._replies.pop(message["id"], None)
            if reply is not None:
                reply.message = message
                reply.arrived.set()
            return
        params: Json = message.get("params") or {}
        turn = self._turns.get(params.get("threadId", ""))
        if turn is not None:
            turn.note(message["method"], params, now)
        if "id" in message and message["method"].endswith("requestApproval"):
            await self._send({"id": message["id"], "result": {"decision": "accept"}})

    async def _close(self) -> None:
        await self._stdin.aclose()
        with anyio.move_on_after(_EXIT_TIMEOUT):
            await self._process.wait()
