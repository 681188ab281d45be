"""Runs one command: its output live and captured, its time limited, its processes ended."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import anyio

from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.tools.output import Capture, LiveText, truncate_middle
from codex_jupyter.tools.processes import ProcessGroup
from codex_jupyter.tools.visible import visible

__all__ = ["Command", "CommandResult", "run_command"]

TIMED_OUT = 124
CANNOT_RUN = 126
NOT_FOUND = 127
"""The codes a shell and timeout(1) give."""

HANDOVER = 0.5
"""Seconds that processes a command left behind may still write once it has exited itself."""

_DRAIN_READS = 32
"""Reads of 64 KiB after everything has ended: more than a pipe holds, less than for ever."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, decided and frozen."""

    argv: tuple[str, ...]
    """The program, looked up in the PATH of ``env`` unless it has a slash, and its arguments."""

    cwd: Path
    timeout: float
    """Seconds."""

    env: Mapping[str, str]
    """The whole environment, e.g. from `child_environment`; one variable is added to it."""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended, and what it printed."""

    exit_code: int | None
    """``-N`` when signal N ended it, 124 when time was up, 126 or 127 when it could not be
    started, ``None`` when it was cancelled."""

    output: str
    """stdout and stderr in the order they were written; at most 1 MiB, the middle left out."""

    duration: float
    """Seconds from start to exit, time-out or cancellation; without the time to clean up."""

    timed_out: bool
    cancelled: bool
    omitted_bytes: int
    """Bytes that ``output`` lacks; a line in their place says so."""

    total_lines: int
    """Lines that were printed, whether ``output`` has them or not."""

    def for_model(self, max_tokens: int = 10_000) -> str:
        """Word the result for the model, with the output cut to about ``max_tokens``."""
        wall_time = f"Wall time: {self.duration:.1f} seconds"
        if self.cancelled:
            return f"{wall_time}\naborted by user"
        text = self.output
        if self.timed_out:
            text = f"command timed out after {self.duration * 1000:.0f} milliseconds\n{text}"
        cut = truncate_middle(text, max_tokens)
        lines = [f"Exit code: {self.exit_code}", wall_time]
        if cut != text or self.omitted_bytes:
            lines.append(f"Total output lines: {self.total_lines}")
        return "\n".join([*lines, "Output:", cut])


async def run_command(
    command: Command, *, on_output: Callable[[str], None], token: CancelToken
) -> CommandResult:
    """Run ``command`` until it exits, ``command.timeout`` passes or ``token`` is cancelled.

    On every path all of its processes are ended before this returns, also those left in the
    background after a normal exit: first politely, then not. They have half a second to finish
    writing; what was read by then is kept. Cancellation by ``token`` is a result, not an
    exception; any other cancellation ends the processes and goes on. A command that cannot be
    started is a result too, with a text that says why.

    Args:
        command: What to run.
        on_output: Called in this task with pieces of at most 8 KiB of clean text, at most 1 MiB
            in all. Joined they equal the result's ``output`` unless bytes were omitted. Must not
            block or raise.
        token: Cancels the command. A token that is already cancelled starts nothing.
    """
    if token.reason is not None:
        return CommandResult(None, "", 0.0, False, True, 0, 0)
    if not command.argv or not command.argv[0]:
        return _not_started(NOT_FOUND, "no command was given\n", on_output)
    started = time.monotonic()
    try:
        group = ProcessGroup(command.argv, cwd=command.cwd, env=command.env)
    except (OSError, ValueError) as error:
        return _not_started(*_explain(command, error), on_output)
    run = _Run(group, on_output, started)
    with group:
        try:
            await run.follow(command.timeout, token)
        finally:
            await group.end(age=run.duration if run.ended_by_itself else None)
        run.drain()
    return run.result(cancelled=token.reason is not None)


class _Run:
    """The state of one running command."""

    def __init__(
        self, group: ProcessGroup, on_output: Callable[[str], None], started: float
    ) -> None:
        self._group = group
        self._on_output = on_output
        self._capture = Capture()
        self._live = LiveText()
        self._started = started
        self._exit_code: int | None = None
        self._closed = False
        self.duration = 0.0

    @property
    def ended_by_itself(self) -> bool:
        """Whether the command exited and nothing holds its output open."""
        return self._exit_code is not None and self._closed

    async def follow(self, timeout: float, token: CancelToken) -> None:  # noqa: ASYNC109 - a result, not an error
        """Read until exit and end of output, time-out or cancellation."""
        with token.scope(), anyio.move_on_after(timeout):
            async with anyio.create_task_group() as tasks:
                with anyio.CancelScope() as reading:
                    tasks.start_soon(self._watch, reading)
                    await self._read()
        if self._exit_code is None:
            self._stop_clock()

    def drain(self) -> None:
        """Take what the ended processes left in the pipe, and send the last of the live text."""
        for _ in range(_DRAIN_READS):
            piece = self._group.read_nowait()
            if not piece:
                break
            self._feed(piece)
        self._send(self._live.finish())

    def result(self, *, cancelled: bool) -> CommandResult:
        output, omitted = self._capture.result()
        # A command that had already exited keeps its own code, whoever pressed stop then.
        cancelled = cancelled and self._exit_code is None
        timed_out = self._exit_code is None and not cancelled
        return CommandResult(
            exit_code=TIMED_OUT if timed_out else self._exit_code,
            output=output,
            duration=self.duration,
            timed_out=timed_out,
            cancelled=cancelled,
            omitted_bytes=omitted,
            total_lines=self._capture.total_lines,
        )

    async def _watch(self, reading: anyio.CancelScope) -> None:
        self._exit_code = await self._group.wait_exit()
        self._stop_clock()
        reading.deadline = anyio.current_time() + HANDOVER

    async def _read(self) -> None:
        while not self._closed:
            with anyio.move_on_after(self._live.wait(time.monotonic())) as pause:
                await self._group.wait_readable()
            if pause.cancelled_caught:
                self._send(self._live.flush(time.monotonic()))
                continue
            piece = self._group.read_nowait()
            self._closed = piece == b""
            self._feed(piece or b"")
        # The command may run on with its output closed.
        self._send(self._live.flush(time.monotonic()))

    def _feed(self, piece: bytes) -> None:
        self._capture.feed(piece)
        self._send(self._live.feed(piece, time.monotonic()))

    def _send(self, texts: list[str]) -> None:
        for text in texts:
            self._on_output(text)

    def _stop_clock(self) -> None:
        self.duration = time.monotonic() - self._started


def _not_started(code: int, text: str, on_output: Callable[[str], None]) -> CommandResult:
    on_output(text)
    return CommandResult(code, text, 0.0, False, False, 0, 1)


def _explain(command: Command, error: OSError | ValueError) -> tuple[int, str]:
    """Return the exit code and the sentence for a command that did not start."""
    program = visible(command.argv[0])
    if isinstance(error, ValueError):
        return CANNOT_RUN, f"{program}: an argument cannot be passed to a program: {error}\n"
    if not command.cwd.is_dir():
        return CANNOT_RUN, f"working directory not found: {visible(str(command.cwd))}\n"
    if isinstance(error, FileNotFoundError):
        return NOT_FOUND, f"{program}: command not found\n"
    return CANNOT_RUN, f"{program}: cannot be run: {error.strerror}\n"
