"""The recorder of a thread that is never written: its records stay in memory."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from codex_jupyter.errors import InvalidRequestError, RolloutError
from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.cutting import Cut, cut_place, keeps
from codex_jupyter.rollout.fold import Fold, StoredThread
from codex_jupyter.rollout.records import Record

__all__ = ["MemoryRecorder"]


class MemoryRecorder:
    """Keeps the records of an ephemeral thread, so that rolling back and forking work on it too.

    The payloads are shared with history and transcript, so a record costs little beside them.
    """

    path: Path | None = None
    """There is none."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.records: list[Record] = list(records)
        self._is_closed = False

    @classmethod
    def cut_from(cls, records: Sequence[Record], cut: Cut, source_id: ThreadId) -> "MemoryRecorder":
        """Return a recorder that begins as a copy of a thread.

        Raises:
            InvalidRequestError: The turn to cut at is not in the thread.
        """
        count = cut_place(records, cut)
        if count is None:
            wanted = cut.before_turn_id or cut.last_turn_id
            raise InvalidRequestError(f"turn not found: {wanted}")
        first = next((r.payload for r in records if r.type == "session_meta"), None) or {}
        meta = Record("session_meta", {**first, "forked_from_id": source_id})
        return cls([meta, *(record for record in records[:count] if keeps(record))])

    @property
    def is_closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._is_closed

    def thread(self, thread_id: ThreadId) -> StoredThread:
        """Return the thread as the records tell it."""
        fold = Fold()
        for record in self.records:
            fold.add(record)
        return fold.thread(thread_id, Path(), updated_at=time.time(), archived=False)

    async def write(self, records: Sequence[Record]) -> None:
        """Keep ``records``.

        Raises:
            RolloutError: It is closed.
        """
        if self._is_closed:
            raise RolloutError("cannot write an ephemeral thread: it is closed")
        self.records.extend(records)

    async def aclose(self) -> None:
        """Take nothing more; idempotent. What was kept stays readable."""
        self._is_closed = True
