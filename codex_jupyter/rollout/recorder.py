"""The one writer of one rollout: what it acknowledges is on the medium."""

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import anyio
import anyio.lowlevel
import anyio.to_thread

from codex_jupyter.errors import RolloutError
from codex_jupyter.rollout.disk import Disk, reporting, write_all
from codex_jupyter.rollout.records import Record, encode_lines

__all__ = ["WRITE_LIMIT", "Recorder", "RolloutFile"]

WRITE_LIMIT: Final = 30.0
"""Seconds after which a write that the disk does not take is given up."""


class RolloutFile:
    """The end of a rollout, for the threads that append to it. Blocking; safe between threads.

    The file is open only while an append runs, so an idle thread holds no descriptor, and a
    file that was moved away is an error instead of a hole that swallows records.
    """

    def __init__(self, path: Path, size: int, disk: Disk) -> None:
        """Append after the first ``size`` bytes, the ones known to be whole lines."""
        self.path = path
        self._size = size
        self._disk = disk
        self._lock = threading.Lock()
        self._has_torn_tail = False
        self._failure: RolloutError | None = None

    def append(self, lines: bytes) -> None:
        """Store whole lines; when this returns they are on the medium.

        After a failed write the file ends where it ended before, and the next append may
        succeed. A failed sync is final: the kernel reports it once and then forgets which pages
        never arrived, so a later "success" would mean nothing.

        Raises:
            RolloutError: The lines are not stored, or (failed sync) may not be.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            with reporting("write", self.path):
                descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                self._write(descriptor, lines)
                self._sync(descriptor)
            finally:
                # What it can still complain of was answered by the sync.
                with suppress(OSError):
                    os.close(descriptor)

    def _write(self, descriptor: int, lines: bytes) -> None:
        with reporting("write", self.path):
            if self._has_torn_tail:
                self._cut_torn_tail(descriptor)
            found = os.fstat(descriptor).st_size
            if found != self._size:
                raise RolloutError(
                    f"{self.path} has {found} bytes where this process left {self._size}: another "
                    "program changed it. Resume the thread to go on from what is in the file"
                )
            try:
                write_all(self._disk, descriptor, lines)
            except OSError:
                self._has_torn_tail = True
                with suppress(OSError):
                    self._cut_torn_tail(descriptor)
                raise
        self._size += len(lines)

    def _cut_torn_tail(self, descriptor: int) -> None:
        os.ftruncate(descriptor, self._size)
        self._has_torn_tail = False

    def _sync(self, descriptor: int) -> None:
        try:
            with reporting("save", self.path):
                self._disk.sync(descriptor)
        except RolloutError as error:
            self._failure = RolloutError(f"{error}; resume the thread to go on writing it")
            raise


@dataclass(slots=True, eq=False)
class _Batch:
    """What one sync will acknowledge."""

    lines: list[bytes] = field(default_factory=list[bytes])
    is_ended: bool = False
    error: RolloutError | None = None


class Recorder:
    """Writes the records of one thread, in the order of the calls.

    Calls that arrive while a sync is in flight share the next one; nothing ever waits to
    collect. There is no task behind it: the first caller who finds no commit running commits
    for all who wait with it; where the disk hangs, the append settles itself when it ends. For
    one event loop; a call from another thread is not allowed.
    """

    def __init__(self, file: RolloutFile, limiter: anyio.CapacityLimiter) -> None:
        self.path = file.path
        self._file = file
        self._limiter = limiter
        self._batch = _Batch()
        self._commit_ended: anyio.Event | None = None
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._is_closed

    async def write(self, records: Sequence[Record]) -> None:
        """Return when the records are written and on the medium.

        Calls that store something return in the order they were made.

        A call that is cancelled is in doubt: its records may be stored now, with a later call,
        or never, but all of them next to each other, and no other caller notices.

        Raises:
            RolloutError: The records are not stored (or, after a failed sync or after
                `WRITE_LIMIT` seconds, may not be). After a full disk the next call may succeed;
                after a failed sync none will; while the disk hangs each takes the limit.
        """
        if self._is_closed:
            raise RolloutError(f"cannot write {self.path}: its recorder is closed")
        lines = encode_lines(records)
        if not lines:
            return
        batch = self._batch
        is_last_of_many = self._commit_ended is None and bool(batch.lines)
        batch.lines.append(lines)
        while not batch.is_ended:
            await self._wait_or_commit()
        if is_last_of_many:
            # It commits at once for those who came before it: they go on before it, too.
            await anyio.lowlevel.cancel_shielded_checkpoint()
        if batch.error is not None:
            raise RolloutError(str(batch.error)) from batch.error

    async def aclose(self) -> None:
        """Return when everything asked for before has been written or refused; idempotent.

        Cancelling does not cut it short: it lasts as long as the disk takes for two writes.
        """
        self._is_closed = True
        # Shielded without a time limit: an append that is under way cannot be called back, and
        # whoever takes the thread over next must not find it still writing.
        with anyio.CancelScope(shield=True):
            while self._commit_ended is not None or self._batch.lines:
                with suppress(RolloutError):
                    await self._wait_or_commit()

    async def _wait_or_commit(self) -> None:
        if self._commit_ended is not None:
            await self._commit_ended.wait()
        else:
            await self._commit()

    async def _commit(self) -> None:
        batch, self._batch = self._batch, _Batch()
        ended = self._commit_ended = anyio.Event()

        def settle() -> None:
            batch.error, batch.is_ended = append.error, True
            self._commit_ended = None
            ended.set()

        append = _Append(self._file, b"".join(batch.lines), settle)
        try:
            # Shielded from whoever gives up: the others in the batch wait for this same append.
            with anyio.move_on_after(WRITE_LIMIT, shield=True):
                await anyio.to_thread.run_sync(
                    append, limiter=self._limiter, abandon_on_cancel=True
                )
        finally:
            goes_on = append.leave()
            if not goes_on:
                settle()
        if goes_on:
            raise RolloutError(
                f"{self.path} did not take a record within {WRITE_LIMIT:.0f} s; check the disk"
            )


class _Append:
    """One append in a worker thread, which outlives the wait for it where the disk hangs.

    Args:
        file: Appended to.
        lines: What is appended.
        settle: Called on the loop that made this, if the wait for it was left before its end.
    """

    def __init__(self, file: RolloutFile, lines: bytes, settle: Callable[[], None]) -> None:
        self._file = file
        self._lines = lines
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._state: Literal["new", "running", "over"] = "new"
        self._is_left = False
        self.error: RolloutError | None = RolloutError(
            f"{file.path} was not written: other writes did not end in time, or it was cut off"
        )
        """What went wrong, when it is over."""

    def __call__(self) -> None:
        with self._lock:
            if self._is_left:
                return
            self._state = "running"
        error: RolloutError | None = None
        try:
            self._file.append(self._lines)
        except RolloutError as problem:
            error = problem
        except Exception as problem:  # noqa: BLE001 - unsettled, it would hold up all writes
            error = RolloutError(
                f"{self._file.path} may not have taken a record: "
                f"{type(problem).__name__}: {problem}"
            )
            error.__cause__ = problem
        with self._lock:
            self.error, self._state = error, "over"
            is_left = self._is_left
        if is_left:
            with suppress(RuntimeError):  # the loop has closed, and nobody waits any more
                self._loop.call_soon_threadsafe(self._settle)

    def leave(self) -> bool:
        """Wait no longer; return whether it goes on. What has not begun does not begin."""
        with self._lock:
            self._is_left = True
            return self._state == "running"
