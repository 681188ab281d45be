"""What the patches of one turn have changed so far, as a git-style diff.

It is made from the plans that were applied; files changed by commands are not seen.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from codex_jupyter.tools.apply_patch import (
    NEW_FILE_MODE,
    FileChange,
    PatchPlan,
    unified_hunks,
)

__all__ = ["TurnDiff"]

_NO_BLOB: Final = "0" * 40


@dataclass(frozen=True, slots=True)
class _Blob:
    data: bytes
    mode: str

    @property
    def id(self) -> str:
        return hashlib.sha1(
            b"blob %d\0" % len(self.data) + self.data, usedforsecurity=False
        ).hexdigest()

    @property
    def text(self) -> str | None:
        """The text, or ``None`` for what git calls binary."""
        if b"\0" in self.data:
            return None
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            return None


def _blob(data: bytes | None, mode: int) -> _Blob | None:
    # git knows two modes of regular files
    return None if data is None else _Blob(data, "100755" if mode & 0o100 else "100644")


class TurnDiff:
    """The diff of a turn, kept up file by file.

    The first patch that touches a file sets its baseline. A file that is back at its baseline
    disappears from the diff. Both contents of every touched file are held until the turn ends.

    Args:
        workspace: Directory the names in the diff are relative to.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = Path(os.path.abspath(workspace))  # noqa: PTH100  as plans do
        self._baseline: dict[str, _Blob | None] = {}
        self._current: dict[str, _Blob | None] = {}
        self._origin: dict[str, str] = {}
        self._sections: dict[str, str] = {}
        self._touched: set[str] = set()
        self._root_identity: tuple[int, int] | None = None

    def record(self, plan: PatchPlan) -> None:
        """Take in a plan that was applied, in the order of application."""
        self._root_identity = plan.root_identity
        for change in plan.changes:
            name = self._name(change.path)
            old, new = _blob(change.old, change.mode), _blob(change.new, change.mode)
            self._baseline.setdefault(name, old)
            if change.move_path is None:
                self._set(name, new)
                origin = self._origin.pop(name, None) if change.kind != "update" else None
                if origin is not None:
                    # No rename tells of its end any more, so it needs a section of its own.
                    self._touched.add(origin)
                continue
            target = self._name(change.move_path)
            self._baseline.setdefault(target, None)
            origin = self._origin.pop(name, name)
            self._touched.add(origin)
            self._origin[target] = origin
            self._set(name, None)
            self._set(target, new)

    def unified(self) -> str:
        """Return the diff from the turn's baseline to now, files sorted by name.

        Only files touched since the last call are compared again.
        """
        touched = set(self._touched)
        for target, origin in self._origin.items():
            if target in self._touched or origin in self._touched:
                touched |= {target, origin}
        renames = {
            target: origin for target, origin in self._origin.items() if self._is_rename(target)
        }
        sources = set(renames.values())
        for name in touched:
            if name in sources:
                self._sections[name] = ""
            else:
                self._sections[name] = self._section(renames.get(name, name), name)
        self._touched.clear()
        return "".join(self._sections[name] for name in sorted(self._sections))

    def reversal(self) -> PatchPlan | None:
        """Return what takes all of it back, or ``None`` if every file is as it was."""
        changes = tuple(
            self._reversed(name, old, self._current.get(name))
            for name, old in sorted(self._baseline.items())
            if old != self._current.get(name)
        )
        if not changes or self._root_identity is None:
            return None
        return PatchPlan(changes, (), "", self._workspace, self._root_identity)

    def _reversed(self, name: str, before: _Blob | None, now: _Blob | None) -> FileChange:
        kind: Literal["add", "delete", "update"] = (
            "delete" if before is None else "add" if now is None else "update"
        )
        return FileChange(
            path=self._workspace / name,
            kind=kind,
            move_path=None,
            old=None if now is None else now.data,
            new=None if before is None else before.data,
            diff="",
            mode=0o755 if before is not None and before.mode == "100755" else NEW_FILE_MODE,
        )

    def _name(self, path: Path) -> str:
        return path.relative_to(self._workspace).as_posix()

    def _set(self, name: str, blob: _Blob | None) -> None:
        self._current[name] = blob
        self._touched.add(name)

    def _is_rename(self, target: str) -> bool:
        origin = self._origin[target]
        return (
            origin != target
            and self._baseline[origin] is not None
            and self._current[origin] is None
            and self._baseline[target] is None
            and self._current[target] is not None
        )

    def _section(self, source: str, name: str) -> str:
        old, new = self._baseline[source], self._current[name]
        if old == new and source == name:
            return ""
        lines = [f"diff --git {_quoted('a/' + source)} {_quoted('b/' + name)}"]
        if old is None and new is not None:
            lines.append(f"new file mode {new.mode}")
        elif old is not None and new is None:
            lines.append(f"deleted file mode {old.mode}")
        elif old is not None and new is not None and old.mode != new.mode:
            lines += [f"old mode {old.mode}", f"new mode {new.mode}"]
        if source != name:
            lines += [f"rename from {_quoted(source)}", f"rename to {_quoted(name)}"]
        if (old and old.data) != (new and new.data):
            lines.append(f"index {old.id if old else _NO_BLOB}..{new.id if new else _NO_BLOB}")
        return "\n".join(lines) + "\n" + _body(source, old, name, new)


def _body(source: str, old: _Blob | None, name: str, new: _Blob | None) -> str:
    old_text, new_text = (old.text if old else ""), (new.text if new else "")
    left = _quoted("a/" + source) if old else "/dev/null"
    right = _quoted("b/" + name) if new else "/dev/null"
    if old_text is None or new_text is None:
        differ = (old and old.data) != (new and new.data)
        return f"Binary files {left} and {right} differ\n" if differ else ""
    hunks = unified_hunks(old_text, new_text)
    return f"--- {_closed(left)}\n+++ {_closed(right)}\n{hunks}" if hunks else ""


def _quoted(name: str) -> str:
    """Quote as git does where a name would be misread; patches refuse control characters."""
    if re.search(r'["\\]', name):
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return name


def _closed(name: str) -> str:
    """End a name with spaces in a tab, or programs would take it to end at the first space."""
    return name + "\t" if " " in name else name
