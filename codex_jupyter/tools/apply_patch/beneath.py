"""File operations below an open directory that never follow a symbolic link.

POSIX only: every step opens one name relative to a directory descriptor.
"""

import errno
import fcntl
import os
import stat
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codex_jupyter.errors import PatchError

__all__ = ["MAX_FILE_BYTES", "FileOps", "Found", "look", "parent_directory", "workspace_lock"]

MAX_FILE_BYTES: Final = 32 * 1024 * 1024
"""Largest file a patch may change or delete; more would have to be held in memory and shown."""

_LOCK_TIMEOUT: Final = 10.0
"""Seconds to wait for another patch in the same workspace; a patch takes milliseconds."""

_NO_LINKS: Final = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file as it was read."""

    data: bytes
    status: os.stat_result


class FileOps:
    """The operations that a patch is made of; each is one step at which a machine may fail.

    Tests replace single operations to fail at a chosen step.
    """

    def open_root(self, path: Path) -> int:
        """Open the workspace itself, the only path that is resolved as a whole."""
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def open_directory(self, name: str, parent: int) -> int:
        """Open a real directory."""
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)

    def read(self, name: str, parent: int) -> Found:
        """Read a regular file of at most `MAX_FILE_BYTES`; ``OSError`` for anything else."""
        # without O_NONBLOCK, opening a named pipe would wait for its writer
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is not a regular file")
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise OSError(errno.EFBIG, f"it is larger than {MAX_FILE_BYTES} bytes")
        return Found(data, status)

    def make_directory(self, name: str, parent: int) -> None:
        """Create a directory with the rights the umask leaves."""
        os.mkdir(name, dir_fd=parent)

    def create(
        self,
        name: str,
        data: bytes,
        parent: int,
        *,
        mode: int | None = None,
        owner: tuple[int, int] | None = None,
    ) -> None:
        """Create a file that must not exist, and put its bytes on the disk.

        Without ``mode`` it has what the umask leaves. Where ``owner`` (user, group) cannot be
        kept, the file belongs to this process, as with any editor that replaces files.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(name, flags, 0o666, dir_fd=parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if owner is not None:
                    with suppress(PermissionError):
                        os.fchown(descriptor, *owner)
                # after the owner, since a change of owner clears the set-id bits
                if mode is not None:
                    os.fchmod(descriptor, mode)
                file.write(data)
                file.flush()
                os.fsync(descriptor)
        except OSError:
            os.unlink(name, dir_fd=parent)
            raise

    def link(self, source: str, target: str, parent: int) -> bool:
        """Give a file a second name that must be free; False where links are not supported."""
        try:
            os.link(source, target, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NO_LINKS:
                return False
            raise
        return True

    def rename(self, source: str, target: str, parent: int) -> None:
        """Rename within one directory, replacing the target."""
        os.rename(source, target, src_dir_fd=parent, dst_dir_fd=parent)

    def unlink(self, name: str, parent: int) -> None:
        """Remove a name."""
        os.unlink(name, dir_fd=parent)

    def remove_directory(self, name: str, parent: int) -> None:
        """Remove an empty directory."""
        os.rmdir(name, dir_fd=parent)


@contextmanager
def parent_directory(
    ops: FileOps, root: int, parts: Sequence[str], *, create: bool = False
) -> Generator[int]:
    """Open the directory that holds ``parts[-1]``, one component after the other.

    Args:
        ops: The operations to use.
        root: Descriptor of the workspace.
        parts: Names from the workspace down, at least one, none of them ``.`` or ``..``.
        create: Make the directories that are missing.

    Raises:
        PatchError: A component is a symbolic link or not a directory.
        FileNotFoundError: A component is missing.
    """
    current = os.dup(root)
    try:
        for depth, name in enumerate(parts[:-1], 1):
            if create:
                with suppress(FileExistsError):
                    ops.make_directory(name, current)
            try:
                below = ops.open_directory(name, current)
            except OSError as error:
                if error.errno in (errno.ENOTDIR, errno.ELOOP):
                    raise _not_a_directory(parts, depth, current) from None
                raise
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


def look(ops: FileOps, root: int, parts: Sequence[str]) -> Found | None:
    """Read the file at ``parts``, or return ``None`` if there is none.

    Raises:
        PatchError: Something else than a regular file of at most `MAX_FILE_BYTES` is there, or it
            cannot be read.
    """
    shown = "/".join(parts)
    try:
        with parent_directory(ops, root, parts) as parent:
            return ops.read(parts[-1], parent)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise PatchError(
                f"{shown} is a symbolic link; name the file it leads to, or use a command"
            ) from None
        raise PatchError(f"{shown} cannot be read: {error.strerror}") from error


def _not_a_directory(parts: Sequence[str], depth: int, parent: int) -> PatchError:
    shown, name = "/".join(parts[:depth]), parts[depth - 1]
    try:
        target = os.readlink(name, dir_fd=parent)
    except OSError:
        return PatchError(f"{'/'.join(parts)} cannot be reached: {shown} is not a directory")
    return PatchError(
        f"{'/'.join(parts)} goes through the symbolic link {shown} (to {target!r}); patches do "
        "not follow links, name the real path"
    )


@contextmanager
def workspace_lock(root: int) -> Generator[bool]:
    """Hold the workspace against other patches, of this and of other processes.

    Yields:
        Whether the lock is held; False where the file system has no locks.

    Raises:
        PatchError: Another patch held it for too long.
    """
    deadline = time.monotonic() + _LOCK_TIMEOUT
    held = False
    while not held:
        try:
            fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise PatchError(
                    f"another patch has been working in this workspace for {_LOCK_TIMEOUT:.0f} "
                    "seconds; nothing was changed, try again"
                ) from None
            time.sleep(0.01)
        except OSError:
            break
    try:
        yield held
    finally:
        if held:
            fcntl.flock(root, fcntl.LOCK_UN)
