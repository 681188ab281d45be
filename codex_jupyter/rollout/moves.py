"""Moves whole rollouts: into the archive and back, to nowhere, into a copy. Blocking."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

from codex_jupyter.errors import InvalidRequestError, RolloutError, ThreadNotFoundError
from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.cutting import Cut, cut_place, keeps
from codex_jupyter.rollout.disk import make_folder, reporting, sync_folder
from codex_jupyter.rollout.folders import ACTIVE, ARCHIVE, Folders
from codex_jupyter.rollout.ownership import Ownership
from codex_jupyter.rollout.reader import read_records
from codex_jupyter.rollout.records import Record, encode_lines

__all__ = ["Moves", "fork_pieces"]

_DATE: Final = slice(8, 18)
"""``YYYY-MM-DD`` in the name of a rollout."""

_PIECE_RECORDS: Final = 256


class Moves:
    """Archives, restores and deletes the rollouts of one home.

    Nobody may have the thread open; other stores are kept away by the ownership's guard.
    """

    def __init__(self, home: Path, folders: Folders, ownership: Ownership) -> None:
        self._home = home
        self._folders = folders
        self._ownership = ownership

    def archive(self, thread_id: ThreadId) -> Path:
        """Move a rollout into the archive and return where it is now.

        Raises:
            ThreadNotFoundError: There is no active rollout.
            ThreadOwnedElsewhereError: Another store writes it.
            RolloutError: It cannot be moved; it is where it was.
        """
        path = self._find(thread_id, archived=False)
        return self._move(thread_id, path, self._home / ARCHIVE / path.name)

    def unarchive(self, thread_id: ThreadId) -> Path:
        """Move a rollout back to the day it was begun; it counts as changed now.

        Raises:
            ThreadNotFoundError: There is no archived rollout.
            InvalidRequestError: An active thread has this id.
            RolloutError: It cannot be moved; it is where it was.
        """
        path = self._find(thread_id, archived=True)
        if self._folders.find(thread_id, archived=False) is not None:
            raise InvalidRequestError(
                f"thread {thread_id} exists both active and archived; delete or rename one of them"
            )
        year, month, day = path.name[_DATE].split("-")
        back = self._move(thread_id, path, self._home / ACTIVE / year / month / day / path.name)
        with reporting("touch", back):
            os.utime(back)
        return back

    def delete(self, thread_id: ThreadId) -> None:
        """Remove a rollout, active or archived, and what repairs moved aside.

        Raises:
            ThreadNotFoundError: There is none.
            ThreadOwnedElsewhereError: Another store writes it.
            RolloutError: It cannot be removed.
        """
        found = [self._folders.find(thread_id, archived=archived) for archived in (False, True)]
        paths = [path for path in found if path is not None]
        if not paths:
            raise ThreadNotFoundError(f"no rollout found for thread id {thread_id}")
        with self._ownership.guarded():
            self._ownership.require_free(thread_id)
            for path in paths:
                with reporting("delete", path):
                    path.unlink(missing_ok=True)
                    for torn in path.parent.glob(f"{path.name}.torn-*"):
                        torn.unlink(missing_ok=True)
                    sync_folder(path.parent)
            self._ownership.remove(thread_id)

    def _find(self, thread_id: ThreadId, *, archived: bool) -> Path:
        path = self._folders.find(thread_id, archived=archived)
        if path is None:
            kind = "archived rollout" if archived else "rollout"
            raise ThreadNotFoundError(f"no {kind} found for thread id {thread_id}")
        return path

    def _move(self, thread_id: ThreadId, path: Path, target: Path) -> Path:
        with self._ownership.guarded():
            self._ownership.require_free(thread_id)
            with reporting("move", path):
                make_folder(target.parent)
                if target.exists():
                    raise RolloutError(f"{target} is in the way; {path} stays where it is")
                try:
                    path.rename(target)
                except FileNotFoundError:
                    raise ThreadNotFoundError(
                        f"no rollout found for thread id {thread_id}"
                    ) from None
                sync_folder(target.parent)
                # The old name may come back after a power failure; the reader takes the newest.
                with suppress(OSError):
                    sync_folder(path.parent)
            self._ownership.remove(thread_id)
        return target


def fork_pieces(source: Path, cut: Cut, meta: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the content of a copy of a rollout under a new first line, a few hundred KB at a time.

    Raises:
        InvalidRequestError: The turn to cut at is not in the thread.
        RolloutError: The source cannot be read.
    """
    count = cut_place(read_records(source), cut)
    if count is None:
        wanted = cut.before_turn_id or cut.last_turn_id
        raise InvalidRequestError(f"turn not found: {wanted}")
    yield encode_lines([Record("session_meta", dict(meta))])
    kept = (record for record in islice(read_records(source), count) if keeps(record))
    while piece := list(islice(kept, _PIECE_RECORDS)):
        yield encode_lines(piece)
