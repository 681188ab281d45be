"""What a patch would do: reads the workspace, verifies everything, computes new contents.

Nothing is touched here. What the plan shows is exactly what `apply_plan` does.
"""

import hashlib
import os
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from codex_jupyter.errors import PatchError
from codex_jupyter.tools.apply_patch.beneath import FileOps, Found, look
from codex_jupyter.tools.apply_patch.match import edit_text
from codex_jupyter.tools.apply_patch.parse import AddFile, DeleteFile, Hunk, Patch, UpdateFile
from codex_jupyter.tools.apply_patch.unified import unified_hunks

__all__ = [
    "MAX_TOTAL_BYTES",
    "NEW_FILE_MODE",
    "PROTECTED_NAMES",
    "RESERVED_PREFIX",
    "FileChange",
    "PatchPlan",
    "is_protected",
    "plan_patch",
]

PROTECTED_NAMES: Final = frozenset(
    {
        ".agents",
        ".codex",
        ".devcontainer",
        ".envrc",
        ".git",
        ".ipython",
        ".jupyter",
        ".vscode",
        "git~1",
    }
)
"""Names that make programs run code or change what the agent may do, in any directory.

They count whether or not they exist yet. ``git~1`` is the short name of ``.git`` on Windows disks.
"""

RESERVED_PREFIX: Final = ".codex-patch-"
"""Beginning of the names `apply_plan` works with; a patch may not use them."""

MAX_TOTAL_BYTES: Final = 128 * 1024 * 1024
"""Most bytes of existing files in one patch; they are held in memory from the plan to its end."""

NEW_FILE_MODE: Final = 0o644
"""Permission bits a new file is shown with; the umask decides when it is written."""

_Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file before and after.

    Attributes:
        path: Absolute path; for a move, the old one.
        kind: ``update`` covers moves as well.
        move_path: Absolute new path of a moved file; free before the patch.
        old: Bytes before, ``None`` for ``add``.
        new: Bytes after (at ``move_path`` if that is set), ``None`` for ``delete``.
        diff: The whole text for ``add`` and ``delete``, ``@@`` hunks for ``update``.
        mode: Permission bits of the file; `NEW_FILE_MODE` for a new one.
    """

    path: Path
    kind: Literal["add", "delete", "update"]
    move_path: Path | None
    old: bytes | None
    new: bytes | None
    diff: str
    mode: int = NEW_FILE_MODE

    def wire(self) -> dict[str, Any]:
        """Return the change as a ``fileChange`` item carries it."""
        kind: dict[str, str] = {"type": self.kind}
        if self.move_path is not None:
            kind["move_path"] = str(self.move_path)
        return {"path": str(self.path), "kind": kind, "diff": self.diff}


@dataclass(frozen=True, slots=True)
class PatchPlan:
    """A verified patch.

    Attributes:
        changes: At least one, one for each file, none of which shares a path with another.
        asks: Reasons why a person must look at this patch whatever the policy; often empty.
        digest: Hex SHA-256 over the workspace and everything that would be written and replaced:
            equal digests mean equal effects.
        workspace: Absolute path of the workspace, as it was given.
        root_identity: Device and inode of the workspace.
    """

    changes: tuple[FileChange, ...]
    asks: tuple[str, ...]
    digest: str
    workspace: Path
    root_identity: tuple[int, int]


def plan_patch(
    patch: Patch, workspace: Path, *, cwd: Path | None = None, ops: FileOps | None = None
) -> PatchPlan:
    """Verify a patch against the workspace. Blocks on file I/O; touches nothing.

    Sections for the same file compose in their order.

    Args:
        patch: What the model asks for.
        workspace: The directory that must hold every file; may itself be a symbolic link.
        cwd: Where relative paths begin, taken lexically; the workspace if not given.
        ops: File operations, for tests.

    Raises:
        PatchError: A path leaves the workspace or goes through a symbolic link, a file to add
            exists, a file to change or delete does not, old lines are not found, a text is not
            UTF-8, or nothing would change. The text is for the model.
    """
    ops = ops or FileOps()
    top = Path(os.path.abspath(workspace))  # noqa: PTH100  resolve() would follow links
    try:
        root = ops.open_root(top)
    except OSError as error:
        raise PatchError(f"the workspace {top} cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(root)
        draft = _Draft(ops, root, _Namer(top, Path(os.path.realpath(top)), cwd or top))
        for hunk in patch.hunks:
            draft.take(hunk)
    finally:
        os.close(root)
    changes = draft.changes(top)
    identity = (status.st_dev, status.st_ino)
    return PatchPlan(changes, draft.asks(), _digest(changes, top, identity), top, identity)


@dataclass(frozen=True, slots=True)
class _Namer:
    """From a path of the model to its components below the workspace."""

    top: Path
    real: Path
    cwd: Path

    def parts(self, raw: str, line: int) -> _Parts:
        if raw.startswith("~"):
            raise PatchError(f"patch line {line}: `~` is not expanded, write out the path {raw!r}")
        if raw.endswith("/"):
            raise PatchError(f"patch line {line}: {raw!r} names a directory, not a file")
        whole = Path(os.path.normpath(self.top / self.cwd / raw))
        for base in (self.top, self.real):
            if whole != base and whole.is_relative_to(base):
                parts = whole.relative_to(base).parts
                break
        else:
            raise PatchError(
                f"patch line {line}: {raw!r} is not a file inside the workspace {self.top}; "
                "patches never write outside of it, use a command for that"
            )
        if any(part.casefold().startswith(RESERVED_PREFIX) for part in parts):
            raise PatchError(f"patch line {line}: the name in {raw!r} is reserved, use another")
        return parts


@dataclass(frozen=True, slots=True)
class _State:
    """A file in the draft: its bytes, and the path and mode it had on the disk, if any."""

    data: bytes
    origin: _Parts | None
    mode: int


@dataclass(slots=True)
class _Draft:
    """The workspace as it would be, over the one that is."""

    ops: FileOps
    root: int
    namer: _Namer
    before: dict[_Parts, Found | None] = field(default_factory=dict[_Parts, Found | None])
    after: dict[_Parts, _State | None] = field(default_factory=dict[_Parts, _State | None])
    total: int = 0

    def take(self, hunk: Hunk) -> None:
        parts = self.namer.parts(hunk.path, hunk.line)
        state = self._load(parts)
        match hunk:
            case AddFile():
                self._require_free(parts, hunk.line)
                self.after[parts] = _State(hunk.content.encode(), None, NEW_FILE_MODE)
            case DeleteFile():
                self._require(state, parts, hunk.line, "delete")
                self.after[parts] = None
            case UpdateFile():
                old = self._require(state, parts, hunk.line, "update")
                data = edit_text(_text(old.data, parts), hunk.chunks, "/".join(parts)).encode()
                target = parts
                if hunk.move_to is not None:
                    target = self.namer.parts(hunk.move_to, hunk.line)
                if target != parts:
                    self._load(target)
                    self._require_free(target, hunk.line)
                    self.after[parts] = None
                self.after[target] = _State(data, old.origin, old.mode)

    def changes(self, top: Path) -> tuple[FileChange, ...]:
        self._refuse_nesting()
        moves = self._moves()
        changes: list[FileChange] = []
        for parts, state in self.after.items():
            found, path = self.before[parts], top.joinpath(*parts)
            if parts in moves.values():
                continue
            if parts in moves and found is not None:
                target = moves[parts]
                changes.append(_changed(path, top.joinpath(*target), found, self.after[target]))
            elif found is not None and (state is None or state.data != found.data):
                changes.append(_changed(path, None, found, state))
            elif found is None and state is not None:
                text = state.data.decode()
                changes.append(FileChange(path, "add", None, None, state.data, text, state.mode))
        if not changes:
            raise PatchError("the patch changes nothing: the files already are as it leaves them")
        return tuple(changes)

    def asks(self) -> tuple[str, ...]:
        asks: list[str] = []
        for parts, found in self.before.items():
            shown = "/".join(parts)
            if guarded := next((part for part in parts if is_protected(part)), None):
                asks.append(f"{shown} is in or named like the protected {guarded}")
            if found is not None and found.status.st_nlink > 1:
                asks.append(
                    f"{shown} has {found.status.st_nlink} hard links; the other names, which may "
                    "be outside the workspace, keep the old content"
                )
        return tuple(asks)

    def _load(self, parts: _Parts) -> _State | None:
        if parts not in self.after:
            found = look(self.ops, self.root, parts)
            self._refuse_second_name(parts, found)
            self.total += len(found.data) if found else 0
            if self.total > MAX_TOTAL_BYTES:
                raise PatchError(
                    f"the files of the patch have more than {MAX_TOTAL_BYTES} bytes in all; "
                    "send it in parts"
                )
            self.before[parts] = found
            self.after[parts] = found and _State(
                found.data, parts, stat.S_IMODE(found.status.st_mode)
            )
        return self.after[parts]

    def _refuse_second_name(self, parts: _Parts, found: Found | None) -> None:
        """Two spellings of one file would be two changes of which only one can win."""
        for other, known in self.before.items():
            if found and known and os.path.samestat(found.status, known.status):
                raise PatchError(
                    f"{'/'.join(parts)} and {'/'.join(other)} are the same file; "
                    "use one name for it"
                )

    def _require(self, state: _State | None, parts: _Parts, line: int, verb: str) -> _State:
        if state is None:
            raise PatchError(
                f"patch line {line}: cannot {verb} {'/'.join(parts)}, there is no such file"
            )
        return state

    def _require_free(self, parts: _Parts, line: int) -> None:
        if self.after[parts] is not None:
            raise PatchError(
                f"patch line {line}: {'/'.join(parts)} already exists; update it, or delete it "
                "first"
            )

    def _refuse_nesting(self) -> None:
        files = {parts for parts in self.before if self.before[parts] or self.after[parts]}
        for parts in files:
            if any(parts[:depth] in files for depth in range(1, len(parts))):
                raise PatchError(
                    f"{'/'.join(parts)}: one path of the patch is a file and a directory at once"
                )

    def _moves(self) -> dict[_Parts, _Parts]:
        """Return old path to new path of files whose old name goes and whose new name was free."""
        return {
            state.origin: parts
            for parts, state in self.after.items()
            if state is not None
            and state.origin not in (None, parts)
            and self.before[parts] is None
            and self.after[state.origin] is None
        }


def _changed(path: Path, target: Path | None, found: Found, state: _State | None) -> FileChange:
    mode = stat.S_IMODE(found.status.st_mode)
    if state is None:
        return FileChange(path, "delete", None, found.data, None, _shown(found.data), mode)
    diff = unified_hunks(_shown(found.data), state.data.decode())
    return FileChange(path, "update", target, found.data, state.data, diff, mode)


def _text(data: bytes, parts: _Parts) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise PatchError(
            f"{'/'.join(parts)} is not UTF-8 text (byte {error.start}); change it with a command"
        ) from None


def _shown(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return f"(binary file of {len(data)} bytes)\n"


def is_protected(name: str) -> bool:
    """Whether a file system might take this path component for one of `PROTECTED_NAMES`.

    Some fold case, normalise, skip invisible characters, or drop dots and spaces at the end.
    """
    visible = "".join(char for char in name if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFKC", visible).casefold().rstrip(". ") in PROTECTED_NAMES


def _digest(changes: tuple[FileChange, ...], top: Path, identity: tuple[int, int]) -> str:
    total = hashlib.sha256(repr((str(top), identity)).encode("utf-8", "surrogatepass"))
    for change in changes:
        sums = [
            hashlib.sha256(data).hexdigest() if data is not None else None
            for data in (change.old, change.new)
        ]
        fact = (change.kind, str(change.path), str(change.move_path), change.mode, *sums)
        total.update(repr(fact).encode("utf-8", "surrogatepass"))
    return total.hexdigest()
