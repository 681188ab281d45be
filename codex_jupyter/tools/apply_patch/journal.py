"""The way back from a half-applied patch, in this process or after it was killed.

Before a patch touches anything it writes a journal into the workspace: which paths it will change
and which directories it will make. Every new content is staged, and every old file kept, under a
name made from the journal's token in the directory of the file itself. What has happened is read
from those files. Undoing may be killed and done again. It protects against a killed process, not
against a power failure between two renames.

A command in the sandbox may forge a journal. What it could gain by that is a change to a protected
name, since the evidence has to lie beside the file, where it may write anyway; so a journal found
on the disk never undoes a change to a protected name.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from codex_jupyter.errors import PatchError
from codex_jupyter.tools.apply_patch.beneath import FileOps, look, parent_directory, workspace_lock
from codex_jupyter.tools.apply_patch.plan import RESERVED_PREFIX, is_protected

__all__ = ["Journal", "JournalStep", "recover_locked", "recover_workspace"]

_NAME: Final = re.compile(re.escape(RESERVED_PREFIX) + r"([0-9a-f]{32})\.(journal|done)")

_Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JournalStep:
    """One path that a patch changes.

    Attributes:
        parts: Components below the workspace.
        replaces: Whether a file is there before.
        new_digest: Hex SHA-256 of the new content, ``None`` if the file goes away.
        guarded: Whether to leave the file alone when undoing.
    """

    parts: _Parts
    replaces: bool
    new_digest: str | None
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Journal:
    """What a patch is about to do.

    Attributes:
        token: 32 hex digits, part of every temporary name.
        steps: The paths, none of them twice.
        directories: Directories to make, outer before inner.
    """

    token: str
    steps: tuple[JournalStep, ...]
    directories: tuple[_Parts, ...]

    @property
    def open_name(self) -> str:
        """File name while the patch is to be undone if its process dies."""
        return f"{RESERVED_PREFIX}{self.token}.journal"

    @property
    def done_name(self) -> str:
        """File name once the patch stands and only temporary files remain to be removed."""
        return f"{RESERVED_PREFIX}{self.token}.done"

    def staged_name(self, number: int) -> str:
        """Name of the new content of step ``number``, beside its file."""
        return f"{RESERVED_PREFIX}{self.token}-{number}.new"

    def kept_name(self, number: int) -> str:
        """Name of the old file of step ``number``, beside it."""
        return f"{RESERVED_PREFIX}{self.token}-{number}.old"

    def encode(self) -> bytes:
        """Return the file's content."""
        steps = [[list(step.parts), step.replaces, step.new_digest] for step in self.steps]
        return json.dumps({"steps": steps, "directories": self.directories}).encode()

    def roll_back(self, ops: FileOps, root: int) -> list[str]:
        """Restore what was there before, then remove the journal.

        A file that somebody else changed since is left as it is. Never raises ``OSError``.

        Returns:
            What could not be undone; then the journal stays, and the next patch tries again.
        """
        problems: list[str] = []

        def attempt(what: str, action: Callable[[], None]) -> None:
            try:
                with suppress(FileNotFoundError):
                    action()
            except (OSError, PatchError) as error:
                problems.append(f"{what}: {error}")

        # a commit that failed after taking effect must not be swept later as if it stood
        attempt(self.done_name, lambda: ops.rename(self.done_name, self.open_name, root))
        for number, step in reversed(list(enumerate(self.steps))):
            attempt("/".join(step.parts), lambda n=number, s=step: self._undo(ops, root, n, s))
        for parts in reversed(self.directories):
            attempt("/".join(parts), lambda p=parts: _remove_if_empty(ops, root, p))
        if not problems:
            attempt(self.open_name, lambda: ops.unlink(self.open_name, root))
        return problems

    def sweep(self, ops: FileOps, root: int) -> None:
        """Remove the temporary files of a patch that stands; what fails waits for the next one."""
        with suppress(OSError, PatchError):
            for number, step in enumerate(self.steps):
                with suppress(FileNotFoundError), parent_directory(ops, root, step.parts) as parent:
                    _unlink_missing_ok(ops, self.staged_name(number), parent)
                    _unlink_missing_ok(ops, self.kept_name(number), parent)
            ops.unlink(self.done_name, root)

    def _undo(self, ops: FileOps, root: int, number: int, step: JournalStep) -> None:
        staged, kept = self.staged_name(number), self.kept_name(number)
        with parent_directory(ops, root, step.parts) as parent:
            name = step.parts[-1]
            with suppress(FileNotFoundError):
                if step.replaces and not step.guarded:
                    _put_back(ops, parent, name, kept, step.new_digest)
                elif not step.guarded:
                    _take_away(ops, parent, name, staged)
            _unlink_missing_ok(ops, kept, parent)
            _unlink_missing_ok(ops, staged, parent)


def recover_workspace(workspace: Path, ops: FileOps | None = None) -> int:
    """Undo patches of processes that died in the middle, and remove what others left over.

    Blocks on file I/O and, for seconds at most, on a patch that is just being applied.

    Returns:
        How many patches were undone.

    Raises:
        PatchError: The workspace cannot be opened or stays locked.
    """
    ops = ops or FileOps()
    try:
        root = ops.open_root(workspace)
    except OSError as error:
        raise PatchError(f"the workspace {workspace} cannot be opened: {error.strerror}") from error
    try:
        with workspace_lock(root) as held:
            return recover_locked(ops, root) if held else 0
    finally:
        os.close(root)


def recover_locked(ops: FileOps, root: int) -> int:
    """Do the work of `recover_workspace` under a lock, which proves that no owner is alive."""
    undone = 0
    for found in filter(None, map(_NAME.fullmatch, sorted(os.listdir(root)))):
        journal = _read(ops, root, found[0], found[1])
        if journal is None:
            continue
        if found[2] == "done":
            journal.sweep(ops, root)
        else:
            undone += not journal.roll_back(ops, root)
    return undone


def _read(ops: FileOps, root: int, name: str, token: str) -> Journal | None:
    """Read a journal; one that cannot be understood was torn, and then nothing was done yet."""
    try:
        found = look(ops, root, (name,))
    except PatchError:
        return None
    try:
        raw: Any = json.loads(found.data if found else b"")
        steps = tuple(
            JournalStep(parts, bool(replaces), digest, guarded=_is_guarded(parts))
            for parts, replaces, digest in ((_parts(p), r, d) for p, r, d in raw["steps"])
        )
        directories = tuple(
            parts for parts in map(_parts, raw["directories"]) if not _is_guarded(parts)
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return Journal(token, (), ())
    return Journal(token, steps, directories)


def _is_guarded(parts: _Parts) -> bool:
    return any(map(is_protected, parts))


def _parts(raw: Sequence[Any]) -> _Parts:
    parts = tuple(str(part) for part in raw)
    if not parts or any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts):
        raise ValueError("not a path below the workspace")
    return parts


def _put_back(ops: FileOps, parent: int, name: str, kept: str, new_digest: str | None) -> None:
    ops.read(kept, parent)
    try:
        now = ops.read(name, parent)
    except FileNotFoundError:
        ops.rename(kept, name, parent)
        return
    if hashlib.sha256(now.data).hexdigest() == new_digest:
        ops.rename(kept, name, parent)


def _take_away(ops: FileOps, parent: int, name: str, staged: str) -> None:
    ours, now = ops.read(staged, parent), ops.read(name, parent)
    # where links are not supported the file was written a second time, perhaps not to its end
    written = now.data and ours.data.startswith(now.data)
    if written or os.path.samestat(ours.status, now.status):
        ops.unlink(name, parent)


def _unlink_missing_ok(ops: FileOps, name: str, parent: int) -> None:
    with suppress(FileNotFoundError):
        ops.unlink(name, parent)


def _remove_if_empty(ops: FileOps, root: int, parts: _Parts) -> None:
    with parent_directory(ops, root, parts) as parent, suppress(OSError):
        ops.remove_directory(parts[-1], parent)
