"""A server that is a program: started, spoken to over its pipes, ended with the connection."""

import os
import select
import shlex
import subprocess
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.to_thread

from codex_jupyter.errors import PeerClosedError
from codex_jupyter.transports.stdio import StdioStreams

__all__ = ["Program", "open_command"]

END_LIMIT: Final = 3.0
"""Seconds a program gets to end once its input is closed; then it is killed."""

_TAIL_BYTES: Final = 2_000
"""Of what the program writes to standard error; the last of it tells why it ended."""

_READ_BYTES: Final = 65_536
_LAST_READS: Final = 16
"""A pipe holds less; more comes from what the program has left behind."""


class Program:
    """A program that runs.

    Attributes:
        streams: Lines of JSON on its standard input and output.
    """

    def __init__(self, argv: Sequence[str], process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None  # noqa: S101 - `open_command` asks for three pipes
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        self._errors = process.stderr
        self._error_fd = self._errors.fileno()
        self.streams = StdioStreams(process.stdout.fileno(), process.stdin.fileno())
        self._argv = argv
        self._process = process
        self._tail = b""
        self._has_said_all = anyio.Event()

    async def why_ended(self, otherwise: str) -> str:
        """Return what can be said of its end, in one sentence; waits for the end a moment.

        Args:
            otherwise: What there is to say if it has not ended.
        """
        with anyio.move_on_after(END_LIMIT):
            await self._has_said_all.wait()
            await anyio.to_thread.run_sync(self._process.wait, abandon_on_cancel=True)
        status = self._process.poll()
        how = otherwise if status is None else f"ended with status {status}"
        lines = self._tail.decode(errors="replace").strip().splitlines()
        said = f": {' '.join(lines[-3:])}" if lines else ""
        return f"`{shlex.join(self._argv)}`: {how}{said}"

    async def follow_errors(self) -> None:
        """Keep the tail of standard error, so that its pipe never fills; ends with it."""
        while not self._has_said_all.is_set():
            await anyio.wait_readable(self._error_fd)
            self._read_errors()

    async def end(self) -> None:
        """Close its input and wait; kill what does not end."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        with anyio.move_on_after(END_LIMIT):
            await anyio.to_thread.run_sync(self._process.wait, abandon_on_cancel=True)
        if self._process.poll() is None:
            self._process.kill()
            await anyio.to_thread.run_sync(self._process.wait)
        waiting = select.poll()
        waiting.register(self._error_fd, select.POLLIN)
        for _ in range(_LAST_READS):
            if self._has_said_all.is_set() or not waiting.poll(0):
                break
            self._read_errors()
        self._has_said_all.set()  # what it started may hold the pipe open

    def close(self) -> None:
        """Give the last descriptor back; `follow_errors` has ended by then."""
        self._errors.close()

    def _read_errors(self) -> None:
        chunk = os.read(self._error_fd, _READ_BYTES)
        if not chunk:
            self._has_said_all.set()
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:]


@asynccontextmanager
async def open_command(argv: Sequence[str]) -> AsyncGenerator[Program]:
    """Start a program and end it when the context is left.

    It leads a session of its own: an interrupt that is meant for this process does not reach it.

    Raises:
        PeerClosedError: It cannot be started.
    """
    program = Program(argv, _start(argv))
    failure: Exception | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(program.follow_errors)
            try:
                yield program
            except Exception as error:  # noqa: BLE001 - kept out of the group, which would wrap it
                failure = error
            finally:
                with anyio.CancelScope(shield=True):
                    await program.end()
            tasks.cancel_scope.cancel()
    finally:
        program.close()
    if failure is not None:
        raise failure


def _start(argv: Sequence[str]) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(  # noqa: S603 - the user names the program
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise PeerClosedError(f"`{shlex.join(argv)}` cannot be started: {why}") from None
