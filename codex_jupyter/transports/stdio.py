"""Newline-delimited JSON over two file descriptors, usually standard input and output."""

import os
import select
import stat
from collections.abc import Sequence
from typing import Final

import anyio
import anyio.lowlevel

from codex_jupyter.protocol.jsonrpc import Garbage, Message, decode, encode

__all__ = ["StdioStreams", "can_wait"]

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""Longest line accepted; a longer one is skipped to its end and reported as garbage."""

_READ_BYTES: Final = 65_536
_PIPE_BUF: Final = 4_096
"""A write of this size to a pipe that polls writable does not block (POSIX PIPE_BUF on Linux)."""


class StdioStreams:
    """One JSON object a line, both ways.

    Reading and writing wait for readiness on the event loop, without a thread, and leave the
    descriptors blocking, because other processes may share them.

    Args:
        read_fd: Descriptor of the incoming lines.
        write_fd: Descriptor of the outgoing lines.
    """

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._read_waits = can_wait(read_fd)
        self._write_waits = can_wait(write_fd)
        self._poll = select.poll()
        self._poll.register(write_fd, select.POLLOUT)
        self._rest = bytearray()
        self._skipping = False
        self._ended = False

    async def receive(self) -> Sequence[Message | Garbage]:
        """Return the messages of the lines that are complete; blank lines are skipped."""
        while not self._ended:
            if self._read_waits:
                await anyio.wait_readable(self._read_fd)
            else:
                await anyio.lowlevel.checkpoint()
            try:
                chunk = os.read(self._read_fd, _READ_BYTES)
            except OSError as error:
                self._ended = True
                raise anyio.BrokenResourceError from error
            if not chunk:
                self._ended = True
                chunk = b"\n"  # a last line may lack its end
            if found := self._messages(chunk):
                return found
        raise anyio.EndOfStream

    async def send(self, messages: Sequence[Message]) -> None:
        """Write ``messages``, one line each; waits while the reader's pipe is full."""
        data = memoryview(b"\n".join([*map(encode, messages), b""]))
        try:
            while data:
                if self._write_waits and not self._poll.poll(0):
                    await anyio.wait_writable(self._write_fd)
                    continue
                data = data[os.write(self._write_fd, data[:_PIPE_BUF]) :]
        except OSError as error:
            raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        """End reading. The descriptors stay open: their owner closes them."""
        self._ended = True

    def _messages(self, chunk: bytes) -> list[Message | Garbage]:
        *lines, rest = chunk.split(b"\n")
        found: list[Message | Garbage] = []
        for line in lines:
            self._take(line, found)
        if len(self._rest) + len(rest) > MAX_LINE_BYTES:
            self._rest.clear()
            self._skipping = True
        elif not self._skipping:
            self._rest += rest
        return found

    def _take(self, line: bytes, found: list[Message | Garbage]) -> None:
        if self._skipping or len(self._rest) + len(line) > MAX_LINE_BYTES:
            self._skipping = False
            self._rest.clear()
            found.append(Garbage(f"a line is longer than {MAX_LINE_BYTES} bytes"))
            return
        whole = bytes(self._rest + line) if self._rest else line
        self._rest.clear()
        if whole.strip():
            found.append(decode(whole))


def can_wait(fd: int) -> bool:
    """Tell whether readiness of ``fd`` can be awaited; files and null devices are always ready."""
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)
