"""What a process reads and writes: pipes, the null device or a terminal, and our ends of them."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
from dataclasses import dataclass
from typing import Final

__all__ = ["TERMINAL_SIZE", "Ends", "Size", "open_pipes", "open_terminal", "set_size"]

Size = tuple[int, int]
"""Rows and columns, in characters."""

TERMINAL_SIZE: Final[Size] = (24, 80)


@dataclass(frozen=True, slots=True)
class Ends:
    """Descriptors: those the process gets, and ours, which do not block."""

    stdin: int
    stdout: int
    stderr: int
    output: int
    """Where we read what it writes; with its errors, unless they have a pipe of their own."""

    errors: int | None = None
    input: int | None = None
    """Where we write what it reads; a terminal is one descriptor for both."""

    def close_theirs(self) -> None:
        """Close what the process has copies of by now."""
        _close({self.stdin, self.stdout, self.stderr} - {subprocess.DEVNULL})

    def close_ours(self, *, but: int | None = None) -> None:
        """Close our ends, except for one that is closed already."""
        _close({self.output, self.errors, self.input} - {None, but})


def open_terminal(size: Size) -> Ends:
    """Open a pseudo-terminal.

    Raises:
        OSError: There is no descriptor or terminal left.
    """
    ours, theirs = pty.openpty()
    set_size(theirs, size)
    os.set_blocking(ours, False)
    return Ends(theirs, theirs, theirs, ours, None, ours)


def open_pipes(*, stdin: bool, apart: bool) -> Ends:
    """Open a pipe for what the process writes.

    Args:
        stdin: Whether it gets a pipe to read from, instead of the null device.
        apart: Whether its errors get a pipe of their own.

    Raises:
        OSError: There is no descriptor left.
    """
    with contextlib.ExitStack() as opened:

        def pipe() -> tuple[int, int]:
            ends = os.pipe()
            opened.callback(_close, set(ends))
            return ends

        output, stdout = pipe()
        errors, stderr = pipe() if apart else (None, stdout)
        reads, writes = pipe() if stdin else (subprocess.DEVNULL, None)
        for ours in (output, errors, writes):
            if ours is not None:
                os.set_blocking(ours, False)
        opened.pop_all()
    return Ends(reads, stdout, stderr, output, errors, writes)


def set_size(terminal: int, size: Size) -> None:
    """Tell a terminal, and by that its programs, how large it is.

    Raises:
        OSError: It is no terminal, or gone.
    """
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))


def _close(descriptors: set[int | None] | set[int]) -> None:
    for descriptor in descriptors:
        if descriptor is not None:
            os.close(descriptor)
