"""Which process writes which thread: one locked owner file per store, one entry per thread.

The system frees the lock of an owner file when its process dies, however it dies; so an entry that
names a free owner file belongs to nobody. Nothing here knows what is in a rollout. Blocking.
"""

import errno
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from codex_jupyter.errors import RolloutError, ThreadOwnedElsewhereError
from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.disk import make_folder, reporting
from codex_jupyter.rollout.records import timestamp_text

__all__ = ["Entry", "Holder", "Ownership"]

_GUARD_TIMEOUT: Final = 10.0
"""Seconds. The guard is held for a fraction of a millisecond; longer means a suspended holder."""

_GUARD_POLL: Final = 0.001
_STALE_OWNER_AGE: Final = 24 * 60 * 60.0
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known about a thread id that is, or was, in use.

    Attributes:
        owner: Name of the owner file of the store that writes the thread; ``None``: nobody.
        rollout: Where the rollout was last, relative to the home. A hint: the file decides.
    """

    owner: str | None
    rollout: str | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """A living owner of a thread, as an error message names it."""

    text: str
    is_self: bool


class Ownership:
    """The entries under ``<home>/threads`` as one store sees and changes them.

    `holder`, `put` and `remove` are one step together only inside `guarded`.
    """

    def __init__(self, home: Path) -> None:
        self._entries = home / "threads"
        self._owners = home / "owners"
        self._between_threads = threading.Lock()
        self._owner_file: tuple[str, int] | None = None

    @property
    def has_owner_file(self) -> bool:
        """Whether this store ever owned a thread since it was made or closed."""
        return self._owner_file is not None

    @contextmanager
    def guarded(self) -> Generator[None, None, None]:
        """Keep every other thread and process from changing entries meanwhile.

        Raises:
            RolloutError: The file system has no locks, or a suspended process holds the guard.
        """
        deadline = time.monotonic() + _GUARD_TIMEOUT
        guard = self._owners / "entries.lock"
        if not self._between_threads.acquire(timeout=_GUARD_TIMEOUT):
            raise _guard_is_stuck(guard)
        try:
            with reporting("lock", guard):
                make_folder(self._owners)
                make_folder(self._entries)
                descriptor = os.open(guard, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                while not _try_lock(descriptor, guard):
                    if time.monotonic() > deadline:
                        raise _guard_is_stuck(guard)
                    time.sleep(_GUARD_POLL)
                yield
            finally:
                os.close(descriptor)
        finally:
            self._between_threads.release()

    def entry(self, thread_id: ThreadId) -> Entry | None:
        """Return the entry of an id, or ``None``. One that cannot be parsed is unowned."""
        path = self._entries / thread_id
        with reporting("read", path):
            try:
                fields = _json_object(path.read_bytes())
            except FileNotFoundError:
                return None
        owner, rollout = fields.get("owner"), fields.get("rollout")
        return Entry(
            owner if isinstance(owner, str) else None,
            rollout if isinstance(rollout, str) else None,
        )

    def holder(self, entry: Entry) -> Holder | None:
        """Return who owns an entry, or ``None`` if nobody does who still lives."""
        if entry.owner is None or Path(entry.owner).name != entry.owner:
            return None
        if self._owner_file is not None and entry.owner == self._owner_file[0]:
            return Holder(f"pid {os.getpid()} on {socket.gethostname()}, this one", is_self=True)
        path = self._owners / entry.owner
        with reporting("read", path):
            try:
                descriptor = os.open(path, os.O_RDWR)
            except FileNotFoundError:
                return None
            try:
                if _try_lock(descriptor, path):
                    return None
                fields = _json_object(os.read(descriptor, 4096))
            finally:
                os.close(descriptor)
        text = f"pid {fields.get('pid', 'unknown')} on {fields.get('host', 'an unknown host')}"
        return Holder(text, is_self=False)

    def require_free(self, thread_id: ThreadId) -> Entry | None:
        """Return the entry of an id that no other store owns; call it `guarded`.

        Raises:
            ThreadOwnedElsewhereError: A living store, of this process or another, owns it.
        """
        entry = self.entry(thread_id)
        holder = None if entry is None else self.holder(entry)
        if holder is not None and not holder.is_self:
            raise ThreadOwnedElsewhereError(thread_id, holder.text)
        return entry

    def put(self, thread_id: ThreadId, *, owned: bool, rollout: str | None) -> None:
        """Write the entry of an id: owned by this store, or by nobody."""
        path = self._entries / thread_id
        owner = self._own_name() if owned else None
        content = json.dumps({"owner": owner, "rollout": rollout}).encode()
        with reporting("write", path):
            # No sync: after a power failure no owner lives, and the rollouts are found by name.
            try:
                _write_new(path, content)
            except FileExistsError:
                fresh = self._entries / f".{thread_id}-{secrets.token_hex(4)}"
                _write_new(fresh, content)
                fresh.replace(path)

    def remove(self, thread_id: ThreadId) -> None:
        """Forget an id. One without an entry is fine."""
        path = self._entries / thread_id
        with reporting("remove", path):
            path.unlink(missing_ok=True)

    def is_own(self, entry: Entry) -> bool:
        """Tell whether this store is the owner in the entry."""
        return self._owner_file is not None and entry.owner == self._owner_file[0]

    def close(self) -> None:
        """Give up every thread of this store at once; idempotent."""
        if self._owner_file is not None:
            name, descriptor = self._owner_file
            self._owner_file = None
            with suppress(OSError):
                (self._owners / name).unlink()
            os.close(descriptor)

    def _own_name(self) -> str:
        if self._owner_file is None:
            self._remove_stale_owner_files()
            self._owner_file = self._make_owner_file()
        return self._owner_file[0]

    def _make_owner_file(self) -> tuple[str, int]:
        name = f"{os.getpid()}-{secrets.token_hex(6)}.lock"
        path = self._owners / name
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "started": timestamp_text()}
        with reporting("lock", path):
            # Not inherited by programs this process starts: they would keep the lock after it.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                # Free for sure: its random name is known to nobody yet, and the guard is ours.
                _try_lock(descriptor, path)
                os.write(descriptor, json.dumps(facts).encode())
            except BaseException:
                os.close(descriptor)
                raise
        return name, descriptor

    def _remove_stale_owner_files(self) -> None:
        yesterday = time.time() - _STALE_OWNER_AGE
        for path in self._owners.glob("*-*.lock"):
            with suppress(OSError):
                if path.stat().st_mtime > yesterday:
                    continue
                descriptor = os.open(path, os.O_RDWR)
                try:
                    if _try_lock(descriptor, path):
                        path.unlink()
                finally:
                    os.close(descriptor)


def _try_lock(descriptor: int, path: Path) -> bool:
    """Lock an open file unless somebody else has it; closing it unlocks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        why = (
            "its file system has no file locks, so two processes could write one thread; "
            "put the home (CODEX_JUPYTER_HOME) on a local disk"
            if error.errno in _NO_LOCKS
            else "the system refused"
        )
        raise RolloutError(f"cannot lock {path}: {why} ({error.strerror})") from error
    return True


def _guard_is_stuck(guard: Path) -> RolloutError:
    return RolloutError(
        f"{guard} was locked by another process for {_GUARD_TIMEOUT:.0f} s; "
        "continue or end the suspended process that uses this home"
    )


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        value: object = json.loads(content)
    except ValueError:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
