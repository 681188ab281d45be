"""Which thread is a notebook's, and which turn is a cell's: the same ids at every run. Pure.

The ids are UUIDs of version 5 (RFC 9562): a name in, always the same id out.
"""

import hashlib
import re
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "CellKey",
    "CellKeys",
    "Notebook",
    "client_mark",
    "host_thread_id_of",
    "lasting_cell_id",
    "normalised",
    "read_mark",
    "thread_id_of",
    "turn_id_of",
]

_NAMESPACE: Final = uuid.UUID("6f0c6e5d-7c55-5c1f-9d3a-0d5f4a9b2c11")
"""Ours, made once at random; another value would make all notebooks begin anew."""

_OPTIONS: Final = re.compile(r"\s--(?:again|no-replay|quiet)(?=\s|$)")
"""Options of a cell that say how it is run, not what it says."""

_MARK: Final = "codex-cell"
_KEY_CHARS: Final = 16


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook that is the same one at every run."""

    id: str
    """Any text; equal texts mean the same conversation."""

    known_from: Literal["the page", "%codex notebook", "JPY_SESSION_NAME"]


@dataclass(frozen=True, slots=True)
class CellKey:
    """What tells a cell from the others of its notebook."""

    text: str
    is_lasting: bool
    """Whether it outlives a change of the source: cells have ids in some front ends only."""

    @property
    def short(self) -> str:
        """A few characters that stand for it."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:_KEY_CHARS]


class CellKeys:
    """Hands out the keys of the cells as this kernel runs them."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()
        self._execution = ""
        self._asked: Counter[str] = Counter()

    def key(self, source: str, cell_id: str | None, execution: str = "") -> CellKey:
        """Return the key of the cell that runs now.

        Without an id of its own a cell is its source, and how many equal ones ran before it.

        Args:
            source: The cell, its first line included.
            cell_id: Its id, if it has one that lasts.
            execution: Tells this run of the cell from every other. A cell that asks the same
                several times in one run, as in a loop, asks for as many answers.
        """
        text = normalised(source)
        if cell_id:
            if execution != self._execution:
                self._execution, self._asked = execution, Counter()
            number = self._asked[text]
            self._asked[text] += 1
            return CellKey(f"id {cell_id}" + (f" #{number}" if number else ""), is_lasting=True)
        number = self._seen[text]
        self._seen[text] += 1
        return CellKey(f"source {number} {text}", is_lasting=False)


def thread_id_of(notebook: Notebook) -> str:
    """Return the id of a notebook's thread."""
    return str(uuid.uuid5(_NAMESPACE, f"notebook {notebook.id}"))


def host_thread_id_of(thread_id: str) -> str:
    """Return the id of the thread in which the delegates of a notebook's cells work."""
    return str(uuid.uuid5(uuid.UUID(thread_id), "delegated cells"))


def turn_id_of(thread_id: str, key: CellKey, source: str, attempt: int) -> str:
    """Return the id of the turn that a cell runs at its ``attempt``, counted from 0."""
    name = f"{key.text}\0{normalised(source)}\0{attempt}"
    return str(uuid.uuid5(uuid.UUID(thread_id), name))


def normalised(source: str) -> str:
    """Return the source without what editors change by themselves, and without run options."""
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = "\n".join(line.rstrip() for line in lines).strip("\n")
    first, newline, rest = kept.partition("\n")
    return f"{_OPTIONS.sub('', first).rstrip()}{newline}{rest}"


def lasting_cell_id(cell_id: object) -> str | None:
    """Return the id that a front end sent with a cell, or ``None`` for one that does not last.

    VS Code counts its cells anew each time a notebook is opened, and sends an address with that
    number in it.
    """
    if not isinstance(cell_id, str) or cell_id.startswith("vscode-"):
        return None
    return cell_id or None


def client_mark(key: CellKey, attempt: int) -> str:
    """Return what a cell's message carries, so that any front end knows whose it is."""
    return f"{_MARK}:{key.short if key.is_lasting else '-'}:{attempt}"


def read_mark(mark: object) -> str | None:
    """Return the short key of the cell that a message came from, if it names a lasting one."""
    if not isinstance(mark, str):
        return None
    kind, _, rest = mark.partition(":")
    short = rest.partition(":")[0]
    return short if kind == _MARK and len(short) == _KEY_CHARS else None
