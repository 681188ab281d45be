"""Reads a rollout once, line by line in binary, and forgives what a crash may have left in it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from codex_jupyter.errors import RolloutError
from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.disk import Disk, reporting, sync_folder, write_all
from codex_jupyter.rollout.fold import Fold, NeedsEverythingError, StoredThread
from codex_jupyter.rollout.records import MAX_LINE_BYTES, Record, decode_line

__all__ = ["Line", "Reading", "heal_tail", "read_lines", "read_records", "read_thread"]

_COPY_BYTES: Final = 1024 * 1024
_MAX_TORN_FILES: Final = 10_000

_HEAD_BYTES: Final = 120
_COMPACTED: Final = b'"type":"compacted"'
_REPLACES: Final = b'"replacement_history":['
_HISTORY: Final = b'"type":"response_item"'


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file.

    Attributes:
        content: Its bytes with the newline; ``None`` if it is longer than `MAX_LINE_BYTES`.
        end: Offset of the byte after it.
        is_whole: Whether it ends with a newline.
    """

    content: bytes | None
    end: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What `read_thread` found.

    Attributes:
        thread: The folded thread.
        good_end: Offset up to which the file is whole lines, the last one readable.
        size: Offset up to which the file was read.
    """

    thread: StoredThread
    good_end: int
    size: int


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """Yield the lines from the file's position on, never holding more than one."""
    end = file.tell()
    while content := file.readline(MAX_LINE_BYTES):
        end += len(content)
        if content.endswith(b"\n"):
            yield Line(content, end, is_whole=True)
        elif len(content) < MAX_LINE_BYTES:
            yield Line(content, end, is_whole=False)
        else:
            while rest := file.readline(MAX_LINE_BYTES):
                end += len(rest)
                content = rest[-1:]
                if content == b"\n":
                    break
            yield Line(None, end, is_whole=content == b"\n")


def read_records(path: Path) -> Iterator[Record]:
    """Yield the readable records of a rollout, in order.

    Raises:
        RolloutError: The file cannot be read.
    """
    with reporting("read", path), path.open("rb") as file:
        for line in read_lines(file):
            if line.content is not None and line.is_whole and (record := decode_line(line.content)):
                yield record


def read_thread(path: Path, thread_id: ThreadId, *, archived: bool) -> Reading:
    """Read a rollout and fold it. Unreadable lines are skipped and counted.

    Raises:
        FileNotFoundError: There is no such file.
        RolloutError: The file cannot be read.
    """
    try:
        return _read_thread(path, thread_id, _last_compaction(path), archived=archived)
    except NeedsEverythingError:
        return _read_thread(path, thread_id, 0, archived=archived)


def _last_compaction(path: Path) -> int:
    """Return where the last line begins that replaces all history before it; 0 if there is none.

    One that cannot be read, such as the last of a process that was killed, replaces nothing.
    """
    place = end = 0
    is_begin = True
    try:
        with path.open("rb") as file:
            while piece := file.readline(MAX_LINE_BYTES):
                is_whole = is_begin and piece.endswith(b"\n")
                if is_whole and _COMPACTED in piece[:_HEAD_BYTES] and _replaces(piece):
                    place = end
                is_begin = piece.endswith(b"\n")
                end += len(piece)
    except OSError:
        return 0  # what is wrong is told when the file is read
    return place


def _replaces(line: bytes) -> bool:
    """Whether a line is a compaction that tells all that is remembered after it."""
    if _REPLACES not in line:
        return False
    record = decode_line(line)
    return record is not None and isinstance(record.payload.get("replacement_history"), list)


def _read_thread(path: Path, thread_id: ThreadId, past: int, *, archived: bool) -> Reading:
    """Read a rollout of which only the turns matter up to offset ``past``."""
    fold = Fold()
    skipped = good_end = end = 0
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RolloutError(f"cannot read {path}: {error.strerror}") from error
    with reporting("read", path), file:
        for line in read_lines(file):
            fold.is_past = end <= past and past > 0
            end = line.end
            if fold.is_past and fold.has_preview and _is_history(line):
                good_end = end
                continue
            record = decode_line(line.content) if line.is_whole and line.content else None
            if record is not None:
                fold.add(record)
                good_end = end
            elif line.is_whole and line.content is not None and not line.content.strip():
                # A blank line breaks nothing; if it is the last it need not be moved aside.
                good_end = end if good_end == end - len(line.content) else good_end
            else:
                skipped += 1
        changed_at = os.fstat(file.fileno()).st_mtime
    thread = fold.thread(
        thread_id, path, updated_at=changed_at, archived=archived, skipped_lines=skipped
    )
    return Reading(thread, good_end, end)


def _is_history(line: Line) -> bool:
    """Whether a whole line tells only what the model remembered."""
    return line.is_whole and line.content is not None and _HISTORY in line.content[:_HEAD_BYTES]


def heal_tail(path: Path, good_end: int, disk: Disk) -> None:
    """Move what follows ``good_end`` aside to ``<file>.torn-<n>``, durably, then cut it off.

    A record that was acknowledged is before ``good_end``; what is cut was never promised. The
    caller owns the thread.

    Raises:
        RolloutError: Nothing was cut, because the copy could not be stored.
    """
    with reporting("repair the end of", path), path.open("r+b") as file:
        file.seek(good_end)
        torn, copy = _open_torn_file(path)
        try:
            while chunk := file.read(_COPY_BYTES):
                write_all(disk, copy, chunk)
            disk.sync(copy)
        except BaseException:
            torn.unlink()
            raise
        finally:
            os.close(copy)
        sync_folder(path.parent)
        file.truncate(good_end)
        disk.sync(file.fileno())


def _open_torn_file(path: Path) -> tuple[Path, int]:
    for number in range(1, _MAX_TORN_FILES):
        torn = path.with_name(f"{path.name}.torn-{number}")
        try:
            return torn, os.open(torn, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
    raise RolloutError(f"{path} was torn {_MAX_TORN_FILES} times; remove its .torn files")
