"""One command of a client's: fed, streamed, bounded, and ended with whoever asked for it."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import anyio

from codex_jupyter.errors import CodexError, InvalidRequestError
from codex_jupyter.tools.process_ends import Size
from codex_jupyter.tools.processes import ProcessGroup

__all__ = ["MAX_OUTPUT_BYTES", "ExecCommand", "ExecResult", "ExecRun", "Stream"]

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, bytes, bool], None]
"""Takes a stream's name, a piece of it, and whether the rest is left out."""

MAX_OUTPUT_BYTES: Final = 4 * 1024 * 1024
"""Of each stream in an answer, whatever a client asks for: two of them, as text, fit into one
message. What is streamed has no such limit."""

HANDOVER: Final = 0.5
"""Seconds that what a command left behind may still write once it has exited itself."""

_PIECE: Final = 32 * 1024
"""Encoded, it stays below the 64 KiB that some clients take as the longest line."""

_DRAIN_READS: Final = 32
_SIGNAL_BASE: Final = 128
_TIMED_OUT: Final = 124
"""The exit code of who was not done in time, as `timeout` and the original have it."""
"""A command that signal N ended has the exit code 128 + N, as shells say it."""


@dataclass(frozen=True, slots=True)
class ExecCommand:
    """What to run, and how."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    """The whole environment."""

    timeout: float | None
    """Seconds; ``None`` for as long as it takes."""

    cap: int | None
    """Bytes of each stream that are kept or streamed; what is beyond is read and dropped. ``None``
    for all: more than `MAX_OUTPUT_BYTES` can only be streamed."""

    stdin: bool = False
    stream: bool = False
    """Whether output is told as it comes, instead of in the result."""

    size: Size | None = None
    """Rows and columns; it then has a terminal, whose output is all ``stdout``."""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """How it ended. The texts are empty when they were streamed."""

    exit_code: int
    stdout: str
    stderr: str
    capped: frozenset[Stream]
    """Of which streams the rest was left out."""


class ExecRun:
    """A command from its start to its end.

    Args:
        command: What to run.
        on_output: Takes what is streamed; must not block or raise.
        room: Waits until more can be streamed; the command waits then, too, once its pipe is full.
    """

    def __init__(
        self, command: ExecCommand, on_output: OnOutput, room: Callable[[], Awaitable[None]]
    ) -> None:
        self._command = command
        self._on_output = on_output
        self._room = room
        self._group: ProcessGroup | None = None
        self._kept: dict[Stream, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._taken: dict[Stream, int] = {"stdout": 0, "stderr": 0}
        self._capped: set[Stream] = set()
        self._exit_code: int | None = None
        self._ending = anyio.CancelScope()
        self._typing = anyio.Lock()
        self._writing: anyio.CancelScope | None = None

    async def run(self) -> ExecResult:
        """Run it until it exits, is terminated, or its time is up.

        On every path, cancellation included, all of its processes are ended before this returns.

        Raises:
            CodexError: It could not be started, or it wrote more than one answer can carry although
                all was asked for.
        """
        command, started = self._command, time.monotonic()
        try:
            group = ProcessGroup(
                command.argv,
                cwd=command.cwd,
                env=command.env,
                tty=command.size is not None,
                size=command.size or (0, 0),
                stdin=command.stdin,
                apart=True,
            )
        except (OSError, ValueError) as error:
            raise CodexError(f"exec failed: {_reason(error)}") from None
        with group:
            self._group = group
            try:
                timed_out = await self._follow(group)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._stop_typing()
                    age = None if self._exit_code is None else time.monotonic() - started
                    await group.end(age=age)
                    with anyio.move_on_after(HANDOVER):
                        self._exit_code = await group.wait_exit()
            self._drain(group)
        if timed_out:
            self._exit_code = _TIMED_OUT
        return self._result()

    async def write(self, data: bytes, *, close: bool) -> None:
        """Feed it, after what others feed it; waits while it does not read.

        Raises:
            InvalidRequestError: It has ended, or reads no more.
        """
        async with self._typing:
            group = self._group
            if group is None:
                raise InvalidRequestError("the command has ended and takes no input")
            with anyio.CancelScope() as self._writing:
                try:
                    await group.write(data)
                    if close:
                        await group.close_input()
                except OSError as error:
                    raise InvalidRequestError(
                        f"the command takes no input: {error.strerror}"
                    ) from None
            ended = self._writing.cancelled_caught
            self._writing = None
            if ended:
                raise InvalidRequestError("the command ended before it had read all of its input")

    def resize(self, size: Size) -> None:
        """Give its terminal another size.

        Raises:
            InvalidRequestError: It has ended.
        """
        if self._group is None:
            raise InvalidRequestError("the command has ended")
        self._group.resize(size)

    def terminate(self) -> None:
        """End it; `run` returns when it is gone."""
        self._ending.cancel()

    async def _follow(self, group: ProcessGroup) -> bool:
        """Read until it exits; return whether its time was up before."""
        limit = self._command.timeout
        with self._ending, anyio.move_on_after(limit) as in_time:
            async with anyio.create_task_group() as tasks:
                with anyio.CancelScope() as reading:
                    tasks.start_soon(self._watch_exit, group, reading)
                    async with anyio.create_task_group() as readers:
                        readers.start_soon(self._read, group, "stdout")
                        if self._command.size is None:
                            readers.start_soon(self._read, group, "stderr")
        return in_time.cancelled_caught and self._exit_code is None

    async def _watch_exit(self, group: ProcessGroup, reading: anyio.CancelScope) -> None:
        self._exit_code = await group.wait_exit()
        reading.deadline = anyio.current_time() + HANDOVER

    async def _read(self, group: ProcessGroup, stream: Stream) -> None:
        errors = stream == "stderr"
        while True:
            if self._command.stream:
                await self._room()
            await group.wait_readable(errors=errors)
            piece = group.read_nowait(errors=errors)
            if piece == b"":
                return
            self._feed(stream, piece or b"")

    def _drain(self, group: ProcessGroup) -> None:
        """Take what ended processes left in the pipes."""
        for stream in self._kept if self._command.size is None else ("stdout",):
            for _ in range(_DRAIN_READS):
                if not (piece := group.read_nowait(errors=stream == "stderr")):
                    break
                self._feed(stream, piece)

    def _feed(self, stream: Stream, piece: bytes) -> None:
        if not piece or stream in self._capped:
            return
        cap = self._command.cap
        if cap is None and not self._command.stream:
            cap = MAX_OUTPUT_BYTES
        room = len(piece) if cap is None else cap - self._taken[stream]
        if len(piece) > room:
            piece = piece[:room]
            self._capped.add(stream)
        self._taken[stream] += len(piece)
        if not self._command.stream:
            self._kept[stream] += piece
            return
        for begin in range(0, max(len(piece), 1), _PIECE):
            is_last = begin + _PIECE >= len(piece)
            chunk = piece[begin : begin + _PIECE]
            self._on_output(stream, chunk, is_last and stream in self._capped)

    async def _stop_typing(self) -> None:
        """Let nobody write any more, before the descriptors are closed."""
        self._group = None
        if self._writing is not None:
            self._writing.cancel()
        async with self._typing:
            pass

    def _result(self) -> ExecResult:
        code = self._exit_code
        if code is None:
            raise CodexError("exec failed: the command could not be ended")
        if self._command.cap is None and self._capped:
            raise CodexError(
                f"exec failed: {' and '.join(sorted(self._capped))} had more than "
                f"{MAX_OUTPUT_BYTES} bytes, which is the most that one answer carries. Have the "
                "output streamed (`streamStdoutStderr`), or give an `outputBytesCap` of at most "
                "that to have the rest left out"
            )
        out, err = (kept.decode("utf-8", "replace") for kept in self._kept.values())
        exit_code = code if code >= 0 else _SIGNAL_BASE - code
        return ExecResult(exit_code, out, err, frozenset(self._capped))


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        name = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{name}"
    return f"an argument cannot be passed to a program: {error}"
