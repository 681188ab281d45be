"""Unified diffs as rows with line numbers. Mirrors ``static/diff.js``."""

import re
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Row", "change_rows", "counts", "diff_changes"]

_HUNK: Final = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$")
_HEADER: Final = re.compile(
    r"diff |index |--- |\+\+\+ |new file|deleted file|similarity|rename |old mode|new mode"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a change: ``kind`` is ``add``, ``delete``, ``same``, ``hunk`` or ``note``."""

    kind: str
    number: int | None
    """The line's number after the change; before it, for a deleted line."""
    text: str


def change_rows(change: dict[str, Any]) -> list[Row]:
    """Return the rows of one file's change as the wire has it.

    The wire has the whole file for ``add`` and ``delete``, hunks for ``update``.
    """
    lines = re.sub(r"\n\Z", "", change.get("diff") or "").split("\n")
    kind = (change.get("kind") or {}).get("type")
    if kind in {"add", "delete"} and not any(_HUNK.match(line) for line in lines):
        return [Row(kind, number, line) for number, line in enumerate(lines, 1)]
    return _hunk_rows(lines)


def counts(rows: list[Row]) -> tuple[int, int]:
    """Return how many lines were added and deleted."""
    kinds = [row.kind for row in rows]
    return kinds.count("add"), kinds.count("delete")


def diff_changes(diff: str) -> list[dict[str, Any]]:
    """Split a git-style diff of several files into changes as the wire has them."""
    parts = [part for part in re.split(r"^(?=diff --git )", diff, flags=re.M) if part.strip()]
    return [_change(part) for part in parts]


def _change(part: str) -> dict[str, Any]:
    old = re.search(r"^--- (?:a/)?(.*)$", part, re.M)
    new = re.search(r"^\+\+\+ (?:b/)?(.*)$", part, re.M)
    before, after = old[1] if old else "", new[1] if new else ""
    kind = {before: "add", after: "delete"}.get("/dev/null", "update")
    path = before if after == "/dev/null" else after or before
    return {"path": path, "kind": {"type": kind}, "diff": part}


def _hunk_rows(lines: list[str]) -> list[Row]:
    rows: list[Row] = []
    before = after = 1
    in_hunk = False
    for line in lines:
        hunk = _HUNK.match(line)
        if hunk:
            before, after, in_hunk = int(hunk[1]), int(hunk[2]), True
            rows.append(Row("hunk", None, hunk[3].strip()))
        elif not in_hunk and _HEADER.match(line):
            continue
        elif line.startswith("+"):
            rows.append(Row("add", after, line[1:]))
            after += 1
        elif line.startswith("-"):
            rows.append(Row("delete", before, line[1:]))
            before += 1
        elif line.startswith("\\"):
            rows.append(Row("note", None, line[2:]))
        else:
            rows.append(Row("same", after, line[1:]))
            before, after = before + 1, after + 1
    return rows
