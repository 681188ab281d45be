"""Processes of one command: started as a group of their own, and ended together."""

import errno
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import anyio
import anyio.to_thread
import psutil
from anyio.lowlevel import RunVar

from codex_jupyter.tools.child_env import TAG_VARIABLE, with_tag
from codex_jupyter.tools.process_ends import (
    TERMINAL_SIZE,
    Size,
    open_pipes,
    open_terminal,
    set_size,
)

__all__ = ["ProcessGroup", "kill_tagged"]

READ_BYTES = 64 * 1024
"""One read; also what a Linux pipe holds by default."""

GRACE = 0.4
"""Seconds between SIGTERM and SIGKILL. Stop must feel immediate; most programs need far less."""

END_LIMIT = 3.0
"""Seconds `ProcessGroup.end` may take before it gives up on processes that cannot be killed."""

_TAKE_TERMINAL = (
    "import fcntl,os,signal,sys,termios;fcntl.ioctl(0,termios.TIOCSCTTY,0);"
    "[signal.signal(s,signal.SIG_DFL)for s in(signal.SIGINT,signal.SIGQUIT)];"
    "os.execvp(sys.argv[1],sys.argv[1:])"
)
"""Makes the terminal the session's own, so that control characters send signals, and lets these end
a program even where this process ignores them, as in the background of a script. The new session is
made by then, and Popen has no place for this that is safe beside threads."""

_END_OF_INPUT = b"\x04"
"""What a terminal takes for the end, at the beginning of a line."""

_TAGGED = f"{TAG_VARIABLE}=".encode()

_POLL = 0.01
_SWEEP_ROUNDS = 100
_SWEEP_PAUSE = 0.005
_FEW_IDS = 1.0
"""Seconds in which no machine goes once through all its process ids (32 768 at least)."""

T = TypeVar("T")


class ProcessGroup:
    """A command, its descendants, and the one pipe that carries stdout and stderr in order.

    The command leads a new session and process group, reads from the null device if nothing else
    is asked for, and has a random tag in its environment by which descendants are found that left
    the group. What escapes all the same: a descendant that leaves the group *and* clears its
    environment; only a sandbox with its own process namespace holds that.

    POSIX only. Use as a context manager: leaving frees the descriptors. It does not end the
    processes; `end` does.
    """

    def __init__(  # noqa: PLR0913 - what a process is made of
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        tty: bool = False,
        size: Size = TERMINAL_SIZE,
        stdin: bool = False,
        apart: bool = False,
    ) -> None:
        """Start the command.

        Args:
            argv: The program and its arguments.
            cwd: Where it runs.
            env: The whole environment.
            tty: Whether it gets a terminal, which `write` types into, instead of pipes.
            size: Rows and columns of the terminal.
            stdin: Whether it reads from a pipe that `write` fills; without ``tty``.
            apart: Whether stderr has a pipe of its own; without ``tty``.

        Raises:
            OSError: The program or ``cwd`` is missing, is not executable, or no process, pipe
                or descriptor is left.
            ValueError: An argument cannot be passed to a program (NUL, lone surrogate).
        """
        self._tag = secrets.token_hex(8)
        self._ends = open_terminal(size) if tty else open_pipes(stdin=stdin, apart=apart)
        self._tty = tty
        self._closed_input: int | None = None
        if tty:
            argv = [sys.executable, "-ISc", _TAKE_TERMINAL, *argv]
        try:
            # Popen starts with vfork: its cost does not grow with the size of this process, and
            # it needs no child watcher, so any thread's event loop will do.
            self._process = subprocess.Popen(  # noqa: S603 - whoever calls has decided that it may run
                list(argv),
                cwd=cwd,
                env=with_tag(env, self._tag),
                stdin=self._ends.stdin,
                stdout=self._ends.stdout,
                stderr=self._ends.stderr,
                start_new_session=True,
            )
        except BaseException:
            self._ends.close_ours()
            raise
        finally:
            self._ends.close_theirs()
        self._exit_signal = _open_pidfd(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.close_ours(but=self._closed_input)
        if self._exit_signal is not None:
            os.close(self._exit_signal)

    @property
    def pid(self) -> int:
        """Id of the command's first process, and of its group and session."""
        return self._process.pid

    async def wait_readable(self, *, errors: bool = False) -> None:
        """Wait until `read_nowait` has something to say."""
        await anyio.wait_readable(self._source(errors=errors))

    def read_nowait(self, *, errors: bool = False) -> bytes | None:
        """Read at most 64 KiB; ``b""`` when nobody can write any more, ``None`` when none waits.

        Args:
            errors: Read from the pipe of stderr, if it is apart.
        """
        try:
            return os.read(self._source(errors=errors), READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EIO:  # how Linux says that a terminal has no other end
                return b""
            raise

    def _source(self, *, errors: bool) -> int:
        apart = self._ends.errors
        return apart if errors and apart is not None else self._ends.output

    async def write(self, data: bytes) -> None:
        """Type into the terminal, or fill the pipe of stdin; waits while its buffer is full.

        Raises:
            OSError: The other end is gone, or there is no such pipe any more.
        """
        target = self._ends.input
        if target is None or target == self._closed_input:
            raise OSError(errno.EPIPE, "its input is closed")
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(target, rest) :]
            except BlockingIOError:
                await anyio.wait_writable(target)

    async def close_input(self) -> None:
        """Let the command read the end of its input.

        Raises:
            OSError: The other end is gone.
        """
        target = self._ends.input
        if self._tty:
            await self.write(_END_OF_INPUT)
        elif target is not None and self._closed_input is None:
            os.close(target)
            self._closed_input = target

    def resize(self, size: Size) -> None:
        """Give the terminal another size, in rows and columns.

        Raises:
            OSError: There is none.
        """
        set_size(self._ends.output, size)

    async def wait_exit(self) -> int:
        """Wait for the first process and return its exit code; ``-N`` when signal N ended it.

        Cancellation leaves the process as it is.
        """
        if self._exit_signal is None:
            return await _in_thread(self._process.wait)
        if self._process.poll() is None:
            await anyio.wait_readable(self._exit_signal)
        return self._process.wait()

    async def end(self, *, age: float | None) -> None:
        """End every process of the command that is left; return when they are gone.

        The group gets SIGTERM, and after `GRACE` SIGKILL; what left the group gets SIGKILL.
        Shielded from cancellation and bounded by `END_LIMIT`. Processes of another user (after
        sudo) are left.

        Args:
            age: Seconds since the start when the command has exited by itself and closed its
                output, which allows a cheaper search; ``None`` searches among all processes.
        """
        with anyio.move_on_after(END_LIMIT, shield=True):
            for number in (signal.SIGTERM, signal.SIGKILL):
                if not self._has_members():
                    break
                age = None
                self._signal(number)
                with anyio.move_on_after(GRACE):
                    await self._wait_empty()
            newer_than = self.pid if age is not None and age < _FEW_IDS else 0
            await _sweeper().kill(self._tag, newer_than)

    async def _wait_empty(self) -> None:
        await self.wait_exit()
        while self._has_members():  # noqa: ASYNC110 - the system tells only about our own child
            await anyio.sleep(_POLL)

    def _has_members(self) -> bool:
        if self._process.poll() is None:
            return True
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        # Where process 1 does not reap orphans, as in many containers, the dead stay members.
        return any(_is_live_member(pid, self.pid) for pid in psutil.pids())

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            # Gone, or every member has changed its user (sudo) and is not ours to end.
            return


@dataclass(eq=False, slots=True)
class _Batch:
    """Tags to look for in one search, and the id from which on each can occur."""

    tags: dict[str, int] = field(default_factory=dict[str, int])
    done: bool = False


class _Sweeper:
    """Looks for what commands left behind: once for all that end in the same moment.

    A turn that is stopped ends the commands of all its delegates at once, and each search looks
    at every process there is.
    """

    def __init__(self) -> None:
        self._next = _Batch()
        self._searching = anyio.Lock()

    async def kill(self, tag: str, newer_than: int) -> None:
        """Kill every process that has ``tag``; see `kill_tagged`."""
        batch = self._next
        batch.tags[tag] = newer_than
        async with self._searching:
            if batch.done:
                return
            if self._next is batch:
                self._next = _Batch()
            await _in_thread(lambda: kill_tagged(batch.tags, newer_than=min(batch.tags.values())))
            batch.done = True


_SWEEPERS: RunVar[_Sweeper] = RunVar("_SWEEPERS")


def _sweeper() -> _Sweeper:
    """Return the one of the running loop."""
    try:
        return _SWEEPERS.get()
    except LookupError:
        sweeper = _Sweeper()
        _SWEEPERS.set(sweeper)
        return sweeper


def kill_tagged(tags: Collection[str], *, newer_than: int = 0) -> int:
    """Kill every process that has one of ``tags``, and return how many were found.

    Blocks: about 40 µs for each process looked at. Searches again until none is left, because a
    process may start another while it is looked for.

    Args:
        tags: Of `TAG_VARIABLE`.
        newer_than: Look only at processes with ids given out after this one; 0 looks at all.
    """
    found: set[int] = set()
    for _ in range(_SWEEP_ROUNDS):
        pids = _worth_a_look(_newer(newer_than))
        tagged = [process for pid in pids if (process := _tagged(pid, tags))]
        if not tagged:
            break
        for process in tagged:
            found.add(process.pid)
            _kill(process)
        # Not `psutil.wait_procs`: it would reap children of ours and take their exit codes away.
        time.sleep(_SWEEP_PAUSE)
    return len(found)


def _is_live_member(pid: int, group: int) -> bool:
    try:
        return os.getpgid(pid) == group and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def _newer(than: int) -> list[int]:
    pids = psutil.pids()
    if than == 0 or _last_pid() < than:
        # Ids ascend until the last one and then start again from below.
        return pids
    return [pid for pid in pids if pid > than]


def _last_pid() -> int:
    """Return the id given out last, or 0 where the system does not tell."""
    try:
        return int(Path("/proc/loadavg").read_text(encoding="ascii").split()[-1])
    except (OSError, ValueError, IndexError):
        return 0


def _tagged(pid: int, tags: Collection[str]) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        has = process.environ().get(TAG_VARIABLE, "")
    except (psutil.Error, OSError):
        # Gone meanwhile, or of another user, who cannot have it from us.
        return None
    return process if any(tag in tags for tag in has.split(":")) else None


def _worth_a_look(pids: Sequence[int]) -> Sequence[int]:
    """Return the processes that may have a tag; most are ruled out by one read.

    A process that replaces its program has no environment for a moment, so one without is read
    twice.
    """
    if not Path("/proc/self/environ").exists():
        return pids
    found = {pid: _environment(pid) for pid in pids}
    if bare := [pid for pid, environment in found.items() if not environment]:
        time.sleep(_SWEEP_PAUSE)
        found |= {pid: _environment(pid) for pid in bare}
    return [pid for pid, environment in found.items() if _TAGGED in environment]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        # Gone meanwhile, or of another user, who cannot have a tag from us.
        return b"\0"


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.Error:
        return


def _open_pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable at exit, or ``None`` where there are none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


async def _in_thread(call: Callable[[], T]) -> T:
    # A limiter of its own: two hundred waiting commands must not use up the shared threads.
    return await anyio.to_thread.run_sync(
        call, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1)
    )
