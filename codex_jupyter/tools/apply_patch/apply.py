"""Carries out a `PatchPlan`, all of it or nothing."""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from codex_jupyter.errors import PatchError
from codex_jupyter.tools.apply_patch.beneath import (
    FileOps,
    Found,
    look,
    parent_directory,
    workspace_lock,
)
from codex_jupyter.tools.apply_patch.journal import Journal, JournalStep, recover_locked
from codex_jupyter.tools.apply_patch.plan import NEW_FILE_MODE, PatchPlan

__all__ = ["apply_plan"]

_Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Write:
    """One path to change; ``like`` is where owner and mode of a new content come from."""

    parts: _Parts
    old: bytes | None
    new: bytes | None
    like: _Parts | None = None
    mode: int | None = None


def apply_plan(plan: PatchPlan, ops: FileOps | None = None) -> str:
    """Do what the plan shows, if every file still is as it was shown. Blocks on file I/O.

    New contents are written beside their files first; then each file changes in one step, so a
    reader never meets half a file, nor none where there was one. What others write into a file at
    any moment is kept; what they rename over it between its last check and its replacement, some
    microseconds, is not. A failure undoes everything, also directories. If the process
    is killed in the middle, the next patch in the workspace, or `recover_workspace`, undoes it.

    Args:
        plan: From `plan_patch`.
        ops: File operations, for tests.

    Returns:
        The summary for the model: added, modified and deleted files relative to the workspace,
        a moved one under its new name; ends with a newline.

    Raises:
        PatchError: A file or the workspace changed since it was shown, or an operation failed.
            Nothing was changed then, or the text says what could not be undone.
    """
    ops = ops or FileOps()
    writes = tuple(_writes(plan))
    with _workspace(plan, ops) as root:
        for write in writes:
            _require_unchanged(write.parts, look(ops, root, write.parts), write.old)
        journal = _journal(ops, root, writes)
        try:
            _carry_out(ops, root, journal, writes)
        except BaseException as error:
            problems = journal.roll_back(ops, root)
            if problems:
                raise PatchError(
                    f"the patch failed ({error}), and undoing it failed as well for "
                    f"{'; '.join(problems)}. Look at these files before you go on"
                ) from error
            if isinstance(error, OSError):
                raise PatchError(
                    f"the patch failed, nothing was changed: {error.strerror or error}"
                ) from error
            raise
        journal.sweep(ops, root)
    return _summary(plan)


@contextmanager
def _workspace(plan: PatchPlan, ops: FileOps) -> Generator[int]:
    try:
        root = ops.open_root(plan.workspace)
    except OSError as error:
        raise PatchError(f"{plan.workspace} cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(root)
        if (status.st_dev, status.st_ino) != plan.root_identity:
            raise PatchError(
                f"the directory at {plan.workspace} is another one than when the patch was shown; "
                "nothing was changed"
            )
        with workspace_lock(root) as held:
            if held:
                recover_locked(ops, root)
            yield root
    finally:
        os.close(root)


def _writes(plan: PatchPlan) -> Iterator[_Write]:
    for change in plan.changes:
        parts = change.path.relative_to(plan.workspace).parts
        if change.move_path is not None:
            target = change.move_path.relative_to(plan.workspace).parts
            # the new name first: a reader may find both files for a moment, but never none
            yield _Write(target, None, change.new, like=parts)
            yield _Write(parts, change.old, None)
        elif change.old is not None:
            yield _Write(parts, change.old, change.new, like=parts)
        else:
            mode = None if change.mode == NEW_FILE_MODE else change.mode
            yield _Write(parts, None, change.new, mode=mode)


def _journal(ops: FileOps, root: int, writes: tuple[_Write, ...]) -> Journal:
    steps = tuple(
        JournalStep(
            write.parts,
            write.old is not None,
            None if write.new is None else hashlib.sha256(write.new).hexdigest(),
        )
        for write in writes
    )
    directories = {
        write.parts[:depth]: None
        for write in writes
        if write.new is not None
        for depth in range(1, len(write.parts))
        if not _exists(ops, root, write.parts[: depth + 1])
    }
    return Journal(secrets.token_hex(16), steps, tuple(directories))


def _exists(ops: FileOps, root: int, parts: _Parts) -> bool:
    """Whether the directory that would hold ``parts[-1]`` is there."""
    try:
        with parent_directory(ops, root, parts):
            return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PatchError(f"{'/'.join(parts)} cannot be reached: {error.strerror}") from error


def _carry_out(ops: FileOps, root: int, journal: Journal, writes: tuple[_Write, ...]) -> None:
    ops.create(journal.open_name, journal.encode(), root, mode=0o600)
    for number, write in enumerate(writes):
        _stage(ops, root, journal.staged_name(number), write)
    for number, write in enumerate(writes):
        _commit(ops, root, journal, number, write)
    ops.rename(journal.open_name, journal.done_name, root)


def _stage(ops: FileOps, root: int, staged: str, write: _Write) -> None:
    if write.new is None:
        return
    mode, owner = write.mode, None
    if write.like is not None:
        model = look(ops, root, write.like)
        if model is None:
            raise _changed(write.like)
        mode, owner = _rights(model)
    with parent_directory(ops, root, write.parts, create=True) as parent:
        ops.create(staged, write.new, parent, mode=mode, owner=owner)


def _commit(ops: FileOps, root: int, journal: Journal, number: int, write: _Write) -> None:
    name, staged, kept = write.parts[-1], journal.staged_name(number), journal.kept_name(number)
    try:
        with parent_directory(ops, root, write.parts) as parent:
            if write.old is None:
                _put(ops, parent, staged, name)
            elif write.new is None:
                ops.rename(name, kept, parent)
                _require_unchanged(write.parts, ops.read(kept, parent), write.old)
            else:
                linked = ops.link(name, kept, parent)
                found = ops.read(name, parent)
                _require_unchanged(write.parts, found, write.old)
                if not linked:
                    _copy(ops, parent, found, kept)
                ops.rename(staged, name, parent)
                # somebody may have written into the old file since it was read
                _require_unchanged(write.parts, ops.read(kept, parent), write.old)
    except (FileExistsError, FileNotFoundError) as error:
        raise _changed(write.parts) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _changed(write.parts) from error
        raise


def _put(ops: FileOps, parent: int, staged: str, name: str) -> None:
    """Give the staged file its name, which must be free: a rename would replace what is there."""
    if not ops.link(staged, name, parent):
        _copy(ops, parent, ops.read(staged, parent), name)


def _copy(ops: FileOps, parent: int, found: Found, name: str) -> None:
    mode, owner = _rights(found)
    ops.create(name, found.data, parent, mode=mode, owner=owner)


def _rights(found: Found) -> tuple[int, tuple[int, int]]:
    status = found.status
    return stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)


def _require_unchanged(parts: _Parts, found: Found | None, old: bytes | None) -> None:
    if (found.data if found else None) != old:
        raise _changed(parts)


def _changed(parts: _Parts) -> PatchError:
    return PatchError(
        f"{'/'.join(parts)} changed since it was shown; nothing was written. Read it again and "
        "make a new patch"
    )


def _summary(plan: PatchPlan) -> str:
    def shown(path: Path) -> str:
        return path.relative_to(plan.workspace).as_posix()

    lines = ["Success. Updated the following files:"]
    for letter, kind in (("A", "add"), ("M", "update"), ("D", "delete")):
        lines += [
            f"{letter} {shown(change.move_path or change.path)}"
            for change in plan.changes
            if change.kind == kind
        ]
    return "\n".join(lines) + "\n"
