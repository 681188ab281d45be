"""The recorder of a thread whose every word is stored elsewhere first: it writes at its end."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from codex_jupyter.errors import RolloutError
from codex_jupyter.rollout.recorder import RolloutFile
from codex_jupyter.rollout.records import Record, encode_lines

__all__ = ["LateRecorder"]

MOST_LATE: Final = 1024 * 1024
"""Bytes that may be unwritten; with more of them the records are written, and waited for."""


class LateRecorder:
    """Keeps records in memory until it is closed, then creates the rollout in one go.

    For a thread that is shown in a turn of its parent's: what it says is in the parent's rollout
    before anybody is told, so a process that is killed loses only the second copy. For one event
    loop.

    Args:
        path: Where the rollout will be.
        head: Its first record. A thread that has nothing else to say gets no rollout.
        create: Creates the rollout with some lines, blocking; is told whether it stays open.
        limiter: Of the worker threads that write.
    """

    def __init__(
        self,
        path: Path,
        head: Record,
        create: Callable[[bytes, bool], RolloutFile],
        limiter: anyio.CapacityLimiter,
    ) -> None:
        self.path = path
        self._head = head
        self._create = create
        self._limiter = limiter
        self._lines: list[bytes] = []
        self._bytes = 0
        self._file: RolloutFile | None = None
        self._writing = anyio.Lock()
        self._is_closed = False
        self.is_owned = False
        """Whether the rollout had to be written before the end, so that it had to be claimed."""

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._is_closed

    async def write(self, records: Sequence[Record]) -> None:
        """Keep ``records``; `MOST_LATE` says when they are written at once.

        Raises:
            RolloutError: It is closed, or what was too much to keep could not be written. These
                ``records`` are not stored then; what was kept before is tried again with the
                next call.
        """
        if self._is_closed:
            raise RolloutError(f"cannot write {self.path}: its recorder is closed")
        lines = encode_lines(records)
        self._lines.append(lines)
        self._bytes += len(lines)
        if self._bytes > MOST_LATE:
            try:
                await self._flush()
            except RolloutError:
                self._take_back(lines)
                raise

    def _take_back(self, lines: bytes) -> None:
        """Keep the lines of a refused call no longer: its caller may come with them again."""
        # These and not equal ones of another call.
        self._lines = [kept for kept in self._lines if kept is not lines]
        self._bytes = sum(map(len, self._lines))

    async def aclose(self) -> None:
        """Write what was kept; cancelling does not cut it short. Idempotent.

        Raises:
            RolloutError: It could not be written.
        """
        self._is_closed = True
        with anyio.CancelScope(shield=True):
            await self._flush()

    async def _flush(self) -> None:
        async with self._writing:
            kept, self._lines, self._bytes = self._lines, [], 0
            lines = b"".join(kept)
            if not lines:
                return
            try:
                await anyio.to_thread.run_sync(self._store, lines, limiter=self._limiter)
            except RolloutError:
                self._lines[:0] = kept
                self._bytes += len(lines)
                raise

    def _store(self, lines: bytes) -> None:
        if self._file is None:
            self._file = self._create(encode_lines([self._head]) + lines, not self._is_closed)
            self.is_owned = not self._is_closed
        else:
            self._file.append(lines)
