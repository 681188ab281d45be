"""Where the rollouts of a home are: by date while active, in one flat folder once archived.

What was read of a folder is remembered for as long as its change time stays the same, so that
looking costs one stat a folder. Blocking; safe between threads.
"""

import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.disk import reporting

__all__ = ["ACTIVE", "Folders", "new_rollout_path"]

ACTIVE: Final = "sessions"
ARCHIVE: Final = "archived_sessions"

_DEPTH: Final = 3
"""Years, months, days."""

_SETTLED_NS: Final = 2_000_000_000
"""A folder read this soon after its last change may change again without a new change time."""

_NAME: Final = re.compile(
    r"rollout-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-"
    r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.jsonl"
)

_NAME_LENGTH: Final = 70
_ID: Final = slice(28, 64)


@dataclass(frozen=True, slots=True)
class _Folder:
    changed_ns: int
    is_settled: bool
    folders: tuple[str, ...]
    rollouts: dict[str, str]
    """Newest file name by what stands where the thread id should."""


class Folders:
    """Finds rollouts by their names."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._known: dict[Path, _Folder] = {}

    def find(self, thread_id: ThreadId, *, archived: bool) -> Path | None:
        """Return the rollout of an id, or ``None``; of several, the newest."""
        with self._lock:
            found = [
                folder / known.rollouts[thread_id]
                for folder, known in self._walk(archived=archived)
                if thread_id in known.rollouts
            ]
        return max(found, key=lambda path: path.name, default=None)

    def rollouts(self, *, archived: bool) -> list[tuple[ThreadId, Path]]:
        """Return all rollouts of the archive, or all others, in no order."""
        with self._lock:
            return [
                (ThreadId(thread_id), folder / name)
                for folder, known in self._walk(archived=archived)
                for thread_id, name in known.rollouts.items()
                if _NAME.fullmatch(name)
            ]

    def hinted(self, hint: str | None, thread_id: ThreadId) -> Path | None:
        """Return the active rollout that was at ``hint`` under the home, if it still is."""
        if hint is None:
            return None
        parts = Path(hint).parts
        named = _NAME.fullmatch(parts[-1]) if parts else None
        if named is None or named[1] != thread_id or parts[0] != ACTIVE or ".." in parts:
            return None
        path = self._home / hint
        return path if path.is_file() else None

    def thread_at(self, path: Path) -> ThreadId | None:
        """Return whose active rollout a file would be by its place, which a link does not give."""
        root = (self._home / ACTIVE).resolve()
        try:
            place = path.resolve().relative_to(root)
        except (ValueError, OSError, RuntimeError):
            return None
        named = _NAME.fullmatch(place.name)
        return ThreadId(named[1]) if named and len(place.parts) == _DEPTH + 1 else None

    def _walk(self, *, archived: bool) -> Iterator[tuple[Path, _Folder]]:
        root = self._home / (ARCHIVE if archived else ACTIVE)
        yield from self._walk_below(root, 0 if archived else _DEPTH)

    def _walk_below(self, folder: Path, depth: int) -> Iterator[tuple[Path, _Folder]]:
        known = self._look(folder)
        if known is None:
            return
        yield folder, known
        if depth > 0:
            for name in known.folders:
                yield from self._walk_below(folder / name, depth - 1)

    def _look(self, folder: Path) -> _Folder | None:
        with reporting("read", folder):
            try:
                changed_ns = os.stat(folder).st_mtime_ns  # noqa: PTH116 - pathlib costs twice this
                known = self._known.get(folder)
                if known is None or known.changed_ns != changed_ns or not known.is_settled:
                    known = self._known[folder] = _read_folder(folder, changed_ns)
            except (FileNotFoundError, NotADirectoryError):
                self._known.pop(folder, None)
                return None
        return known


def new_rollout_path(thread_id: ThreadId, moment: datetime) -> Path:
    """Return where a rollout begun at ``moment`` (in local time) goes, relative to the home."""
    name = f"rollout-{moment:%Y-%m-%dT%H-%M-%S}-{thread_id}.jsonl"
    return Path(ACTIVE) / f"{moment:%Y}" / f"{moment:%m}" / f"{moment:%d}" / name


def _read_folder(folder: Path, changed_ns: int) -> _Folder:
    # Runs for today's folder at nearly every new thread, so it costs a fraction of a microsecond
    # a name: cut where the id must be, and look closer only at what is then used.
    is_settled = time.time_ns() - changed_ns > _SETTLED_NS
    names = os.listdir(folder)  # noqa: PTH208 - as above
    rollouts: dict[str, str] = {}
    for name in sorted(names):
        if len(name) == _NAME_LENGTH and name.endswith(".jsonl"):
            rollouts[name[_ID]] = name
    folders = tuple(name for name in names if name.isdecimal())
    return _Folder(changed_ns, is_settled, folders, rollouts)
