"""What a watched path looks like, and what has changed between two looks."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["MAX_WATCHED", "Look", "changed_between", "look_at"]

MAX_WATCHED: Final = 10_000
"""Entries of a watched folder that are looked at, in the order the system lists them."""

Look = Mapping[str, tuple[int, int, int]]
"""Absolute path to what changes with it: time, size, and which file it is."""


def look_at(path: Path) -> Look:
    """Look at a file, or at the direct entries of a folder. Blocks.

    What is not there, or cannot be looked at, is not in the result.
    """
    try:
        with os.scandir(path) as entries:
            found: dict[str, tuple[int, int, int]] = {}
            for entry in entries:
                if len(found) == MAX_WATCHED:
                    break
                if (mark := _mark(Path(entry.path))) is not None:
                    found[entry.path] = mark
            return found
    except OSError:
        mark = _mark(path)
        return {} if mark is None else {str(path): mark}


def changed_between(before: Look, after: Look) -> list[str]:
    """Return what came, went or changed, sorted."""
    return sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
