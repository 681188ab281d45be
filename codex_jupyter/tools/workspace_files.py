"""Files beneath a workspace, for clients: read, written, listed, copied, removed; never outside.

POSIX only. A path is resolved first, so that links within a workspace work; then it is walked
again from the workspace down without following any, so that a link swapped in between leads
nowhere. Everything here blocks: call it in a thread.
"""

import os
import secrets
import shutil
import stat
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from codex_jupyter.errors import CodexError, InvalidRequestError, PatchError
from codex_jupyter.tools.apply_patch.beneath import FileOps, parent_directory

__all__ = [
    "MAX_ENTRIES",
    "MAX_READ_BYTES",
    "Place",
    "copy_path",
    "locate",
    "make_directory",
    "metadata_of",
    "read_directory",
    "read_file",
    "remove_path",
    "write_file",
]

Json = dict[str, Any]

MAX_READ_BYTES: Final = 8 * 1024 * 1024
"""Of one file; in base64 it still fits into one message."""

MAX_ENTRIES: Final = 10_000
"""Of one folder that is listed."""

MAX_COPY_ENTRIES: Final = 50_000
MAX_COPY_BYTES: Final = 1024 * 1024 * 1024
"""What one request copies at most."""

_MAX_DEPTH: Final = 64
_CHUNK: Final = 1024 * 1024
_OPS: Final = FileOps()


@dataclass(frozen=True, slots=True)
class Place:
    """A path beneath a workspace."""

    root: Path
    """The workspace, resolved."""

    parts: tuple[str, ...]
    """From there down; empty for the workspace itself."""

    shown: str
    """As the client wrote it."""

    @property
    def path(self) -> Path:
        """The whole path, without links except perhaps the last part."""
        return self.root.joinpath(*self.parts)


def locate(roots: Sequence[Path], path: str, *, follow: bool = True) -> Place:
    """Find the workspace that a path is beneath.

    Args:
        roots: The workspaces.
        path: Absolute; need not exist.
        follow: Whether a link at the very end means what it leads to.

    Raises:
        InvalidRequestError: It is not absolute, or not beneath any of them.
    """
    if not Path(path).is_absolute() or "\0" in path:
        raise InvalidRequestError(f"path must be absolute, found {path[:200]!r}")
    given = Path(path)
    try:
        if follow or given.name in ("", ".."):
            real = given.resolve()
        else:
            real = given.parent.resolve() / given.name
        for root in roots:
            top = root.resolve()
            if real.is_relative_to(top):
                return Place(top, real.relative_to(top).parts, path)
    except (OSError, RuntimeError) as error:  # a circle of links
        raise InvalidRequestError(f"{path[:1000]} cannot be resolved: {error}") from None
    raise InvalidRequestError(
        f"{path[:1000]} is not beneath the folder of a loaded thread or the server's own; "
        "start a thread there first"
    )


def read_file(place: Place) -> bytes:
    """Return what a regular file holds.

    Raises:
        CodexError: It cannot be read, or holds more than `MAX_READ_BYTES`.
    """
    with _parent(place) as (parent, name):
        data = _OPS.read(name, parent).data
    if len(data) > MAX_READ_BYTES:
        raise CodexError(f"{place.shown}: it is larger than {MAX_READ_BYTES} bytes")
    return data


def write_file(place: Place, data: bytes) -> None:
    """Put ``data`` in place of a file, whole; the file keeps its mode and owner, if there is one.

    Raises:
        CodexError: It cannot be written; what was there is as it was.
    """
    with _parent(place) as (parent, name):
        mode, owner = _kept(name, parent)
        draft = _draft()
        _OPS.create(draft, data, parent, mode=mode, owner=owner)
        _put_in_place(draft, name, parent)


def make_directory(place: Place, *, recursive: bool) -> None:
    """Create a folder; with ``recursive`` also those above it, and one that exists is fine.

    Raises:
        CodexError: It cannot be created.
    """
    if not place.parts and recursive:
        return
    with _parent(place, create=recursive) as (parent, name):
        try:
            _OPS.make_directory(name, parent)
        except FileExistsError:
            is_there = stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
            if not (recursive and is_there):
                raise


def metadata_of(place: Place, roots: Sequence[Path]) -> Json:
    """Return what is known of a path whose last part was not followed.

    A link that leads out of the workspaces is told as a link and nothing else.

    Raises:
        CodexError: There is nothing, or it cannot be looked at.
    """
    if place.parts:
        with _parent(place) as (parent, name):
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    else:
        with _opened(place):
            status = place.root.stat()
    is_link = stat.S_ISLNK(status.st_mode)
    target = _beneath(place.path, roots) if is_link else status
    mode = 0 if target is None else target.st_mode
    seen = target or status
    return {
        "isDirectory": stat.S_ISDIR(mode),
        "isFile": stat.S_ISREG(mode),
        "isSymlink": is_link,
        # Python tells this on few systems; 0 is how the protocol says "not known".
        "createdAtMs": int(getattr(seen, "st_birthtime", 0) * 1000),
        "modifiedAtMs": seen.st_mtime_ns // 1_000_000,
    }


def read_directory(place: Place, roots: Sequence[Path]) -> list[Json]:
    """Return the entries of a folder by name; links count as what they lead to in a workspace.

    Raises:
        CodexError: It cannot be listed, or has more than `MAX_ENTRIES`.
    """
    entries: list[Json] = []
    with _directory(place) as folder, os.scandir(folder) as found:
        for entry in found:
            if len(entries) == MAX_ENTRIES:
                raise CodexError(f"{place.shown}: it has more than {MAX_ENTRIES} entries")
            is_directory, is_file = entry.is_dir(follow_symlinks=False), False
            if entry.is_symlink():
                target = _beneath(place.path / entry.name, roots)
                mode = 0 if target is None else target.st_mode
                is_directory, is_file = stat.S_ISDIR(mode), stat.S_ISREG(mode)
            else:
                is_file = entry.is_file(follow_symlinks=False)
            name = os.fsencode(entry.name).decode("utf-8", "replace")
            entries.append({"fileName": name, "isDirectory": is_directory, "isFile": is_file})
    return sorted(entries, key=lambda entry: entry["fileName"])


def remove_path(place: Place, roots: Sequence[Path], *, recursive: bool, force: bool) -> None:
    """Remove a file, a link (not what it leads to) or a folder.

    Args:
        place: What to remove; its last part was not followed.
        roots: The workspaces, none of which goes with it.
        recursive: Whether a folder may hold something.
        force: Whether it is fine if there is nothing.

    Raises:
        InvalidRequestError: It is a workspace, or holds one.
        CodexError: It cannot be removed; of a folder some may be gone.
    """
    for root in roots:
        if root.resolve().is_relative_to(place.path):
            raise InvalidRequestError(f"{place.shown} is or holds the workspace {root}")
    try:
        with _parent(place) as (parent, name):
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                _OPS.unlink(name, parent)
            elif recursive:
                shutil.rmtree(name, dir_fd=parent)
            else:
                _OPS.remove_directory(name, parent)
    except _AbsentError:
        if not force:
            raise


@dataclass(slots=True)
class _Copying:
    """One copy: how much it has copied, and whether somebody still wants it."""

    shown: str
    stop: threading.Event
    entries: int = 0
    bytes: int = 0

    def count(self, more: int = 0) -> None:
        self.bytes += more
        if self.stop.is_set():
            raise CodexError(f"{self.shown}: the copy was given up half-way")
        if self.entries > MAX_COPY_ENTRIES or self.bytes > MAX_COPY_BYTES:
            raise CodexError(
                f"{self.shown}: it has more than {MAX_COPY_ENTRIES} entries or {MAX_COPY_BYTES} "
                "bytes; what was copied so far stays"
            )


def copy_path(source: Place, target: Place, *, recursive: bool, stop: threading.Event) -> None:
    """Copy a file over a file, or a folder into a folder, which may exist.

    Links inside of a folder are copied as links; what is neither file, folder nor link is left.

    Args:
        source: What to copy.
        target: What it shall be then.
        recursive: Whether it may be a folder.
        stop: Set by whoever does not want it any more.

    Raises:
        InvalidRequestError: It is a folder, and should not be; or one holds the other.
        CodexError: Something cannot be copied, or it is too much; what was copied stays.
    """
    if target.path == source.path or target.path.is_relative_to(source.path):
        raise InvalidRequestError(f"{target.shown} is {source.shown}, or lies in it")
    copying = _Copying(source.shown, stop)
    if source.path.is_dir():
        if not recursive:
            raise InvalidRequestError(f"{source.shown} is a folder; say `recursive` to copy it")
        make_directory(target, recursive=True)
        with _directory(source) as reads, _directory(target) as writes:
            _copy_tree(copying, reads, writes, 0)
        return
    with _parent(source) as (reads, name), _parent(target) as (writes, new_name):
        _copy_file(copying, name, reads, new_name, writes)


def _copy_tree(copying: _Copying, reads: int, writes: int, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise CodexError(f"{copying.shown}: it is more than {_MAX_DEPTH} folders deep")
    with os.scandir(reads) as found:
        for entry in found:
            copying.entries += 1
            copying.count()
            if entry.is_symlink():
                with suppress(FileExistsError):
                    os.symlink(os.readlink(entry.name, dir_fd=reads), entry.name, dir_fd=writes)
            elif entry.is_dir(follow_symlinks=False):
                with suppress(FileExistsError):
                    _OPS.make_directory(entry.name, writes)
                inner, outer = _OPS.open_directory(entry.name, reads), None
                try:
                    outer = _OPS.open_directory(entry.name, writes)
                    _copy_tree(copying, inner, outer, depth + 1)
                finally:
                    os.close(inner)
                    if outer is not None:
                        os.close(outer)
            elif entry.is_file(follow_symlinks=False):
                _copy_file(copying, entry.name, reads, entry.name, writes)


def _copy_file(copying: _Copying, name: str, reads: int, new_name: str, writes: int) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(name, flags, dir_fd=reads), "rb") as source:
        status = os.fstat(source.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise CodexError(f"{copying.shown}: it is not a regular file")
        _kept(new_name, writes)
        draft = _draft()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(draft, flags, status.st_mode & 0o777, dir_fd=writes)
        try:
            with os.fdopen(descriptor, "wb") as target:
                while chunk := source.read(_CHUNK):
                    copying.count(len(chunk))
                    target.write(chunk)
        except BaseException:
            _OPS.unlink(draft, writes)
            raise
    _put_in_place(draft, new_name, writes)


def _kept(name: str, parent: int) -> tuple[int | None, tuple[int, int] | None]:
    """Return mode and owner of the file that will be replaced, if there is one."""
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None, None
    if not stat.S_ISREG(status.st_mode):
        raise CodexError(f"{name}: it exists and is not a regular file")
    return status.st_mode & 0o777, (status.st_uid, status.st_gid)


def _draft() -> str:
    return f".codex-{secrets.token_hex(8)}"


def _put_in_place(draft: str, name: str, parent: int) -> None:
    try:
        _OPS.rename(draft, name, parent)
    except OSError:
        _OPS.unlink(draft, parent)
        raise


def _beneath(path: Path, roots: Sequence[Path]) -> os.stat_result | None:
    """Return the status of what a link leads to, if that is beneath a workspace."""
    try:
        return locate(roots, str(path)).path.lstat()
    except (OSError, InvalidRequestError):
        return None


class _AbsentError(CodexError):
    """There is nothing at a place."""


@contextmanager
def _opened(place: Place) -> Generator[None]:
    """Word what a file system says."""
    try:
        yield
    except FileNotFoundError as error:
        raise _AbsentError(f"{place.shown}: {error.strerror}") from None
    except PatchError:
        raise CodexError(f"{place.shown}: it was moved while it was opened; try again") from None
    except (OSError, ValueError) as error:
        words = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise CodexError(f"{place.shown}: {words}") from None


@contextmanager
def _parent(place: Place, *, create: bool = False) -> Generator[tuple[int, str]]:
    """Open the folder that holds a place, step by step; its last part is the name in it."""
    if not place.parts:
        raise InvalidRequestError(f"{place.shown} is the workspace itself")
    with _opened(place):
        root = _OPS.open_root(place.root)
        try:
            with parent_directory(_OPS, root, place.parts, create=create) as parent:
                yield parent, place.parts[-1]
        finally:
            os.close(root)


@contextmanager
def _directory(place: Place) -> Generator[int]:
    """Open the folder at a place."""
    if not place.parts:
        with _opened(place):
            descriptor = _OPS.open_root(place.root)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
        return
    with _parent(place) as (parent, name):
        descriptor = _OPS.open_directory(name, parent)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
