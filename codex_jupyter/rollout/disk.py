"""The few file calls rollouts are made of: private modes, exclusive create, durable append."""

import errno
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from codex_jupyter.errors import RolloutError

__all__ = [
    "Disk",
    "create_file",
    "make_folder",
    "reporting",
    "sync_folder",
    "write_all",
]

_OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT)


def _sync_data(descriptor: int) -> None:
    # macOS has no fdatasync; there fsync is the nearest.
    getattr(os, "fdatasync", os.fsync)(descriptor)


@dataclass(frozen=True, slots=True)
class Disk:
    """The two calls whose failure decides what was stored, so that a fault can be put in them."""

    write: Callable[[int, bytes | memoryview], int] = os.write
    """Write some of the bytes at the end of the file, return how many."""

    sync: Callable[[int], None] = _sync_data
    """Return when the file's bytes and size are on the medium."""


@contextmanager
def reporting(action: str, path: Path) -> Generator[None, None, None]:
    """Turn an ``OSError`` of the block into a `RolloutError` with path, system text and code."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        code = errno.errorcode.get(number, "unknown")
        hint = "; free some space, then try again" if number in _OUT_OF_SPACE else ""
        raise RolloutError(
            f"cannot {action} {path}: {error.strerror or error} ({code}){hint}"
        ) from error


def write_all(disk: Disk, descriptor: int, content: bytes) -> None:
    """Append all of ``content``; after an error any part of it may be in the file."""
    rest = memoryview(content)
    while rest:
        rest = rest[disk.write(descriptor, rest) :]


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, readable by the owner only, durably."""
    missing: list[Path] = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        sync_folder(folder.parent)


def create_file(disk: Disk, path: Path, pieces: Iterable[bytes], *, durable: bool = True) -> int:
    """Create ``path`` with mode 0600 and all of ``pieces``, or leave nothing.

    Unless it is not ``durable``, its content and its name are on the medium then. Returns its size
    in bytes.

    Raises:
        OSError: The file exists, or could not be written; then it was removed again.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        size = 0
        for piece in pieces:
            write_all(disk, descriptor, piece)
            size += len(piece)
        if durable:
            disk.sync(descriptor)
            sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)
    return size


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
