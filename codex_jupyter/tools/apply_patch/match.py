"""Where the old lines of a chunk are in a file, and the text that results; pure."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, Literal

from codex_jupyter.errors import PatchError
from codex_jupyter.tools.apply_patch.parse import Chunk

__all__ = ["LineFinder", "edit_text"]

_QUOTED_LINES: Final = 12
"""Lines of a chunk that an error repeats; enough for the model to know its own chunk again."""

_ASCII: Final = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u2018\u2019\u201a\u201b", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f", '"')
    | dict.fromkeys(
        "\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000", " "
    )
)

_Line = tuple[Literal[" ", "-", "+"], str]


def _exact(line: str) -> str:
    return line


def _plain(line: str) -> str:
    return line.translate(_ASCII).strip()


_PASSES: Final[tuple[Callable[[str], str], ...]] = (_exact, str.rstrip, str.strip, _plain)


class LineFinder:
    """Finds runs of lines in one file, from exact to lenient.

    Each pass goes over the whole rest of the file before the next begins, so an exact match far
    below wins over a lenient one nearby. A search takes time linear in the file, whatever the
    lines are.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._folded: dict[int, tuple[str, list[int]]] = {}

    def find(self, wanted: Sequence[str], start: int, *, at_end: bool = False) -> int | None:
        """Return the 0-based line where ``wanted`` begins, at or after ``start``, or ``None``.

        Args:
            wanted: At least one line, without line ends.
            start: First line that may match.
            at_end: Try only the place where the last wanted line is the file's last line.
        """
        last = len(self._lines) - len(wanted)
        if last < start:
            return None
        for number, fold in enumerate(_PASSES):
            text, offsets = self._text(number)
            needle = "\n" + "\n".join(map(fold, wanted)) + "\n"
            if at_end:
                if text.startswith(needle, offsets[last]):
                    return last
            elif (at := text.find(needle, offsets[start])) >= 0:
                return bisect_left(offsets, at)
        return None

    def _text(self, number: int) -> tuple[str, list[int]]:
        """Return the folded file between newlines, and where each line's leading newline is."""
        if number not in self._folded:
            folded = [_PASSES[number](line) for line in self._lines]
            offsets = list(accumulate((len(line) + 1 for line in folded), initial=0))
            self._folded[number] = ("\n" + "\n".join(folded) + "\n", offsets)
        return self._folded[number]


def edit_text(text: str, chunks: Sequence[Chunk], name: str) -> str:
    """Return ``text`` with every chunk applied.

    Context lines stay as the file has them, even where the model spelled them differently. Added
    lines take the line end of the line before them, so a CRLF file stays one. A result that is
    not empty ends with a line end. A byte order mark is kept and not part of the first line.

    Args:
        text: The file as it is.
        chunks: In the order of the file, at least one.
        name: The file as errors call it.

    Raises:
        PatchError: A context line or the old lines of a chunk are not in the rest of the file.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    lines, ends = _split(text.removeprefix(mark))
    edits, tail = _locate(lines, chunks, name)
    default = "\r\n" if ends.count("\r\n") > ends.count("\n") else "\n"
    out: list[str] = []
    position = 0

    def keep(until: int) -> None:
        nonlocal position
        out.extend(lines[i] + (ends[i] or default) for i in range(position, until))
        position = until

    for start, edit in [*edits, (len(lines), tail)]:
        keep(start)
        for kind, line in edit:
            if kind == " ":
                keep(position + 1)
            elif kind == "-":
                position += 1
            else:
                out.append(line + ((ends[position - 1] if position else "") or default))
    keep(len(lines))
    return mark + "".join(out)


def _split(text: str) -> tuple[list[str], list[str]]:
    """Split at newlines only; a form feed or U+2028 does not end a line of a source file."""
    raw = text.split("\n")
    ends = ["\n"] * (len(raw) - 1) + [""]
    if not raw[-1]:
        raw.pop()
        ends.pop()
    for i, line in enumerate(raw):
        if ends[i] and line.endswith("\r"):
            raw[i], ends[i] = line[:-1], "\r\n"
    return raw, ends


def _locate(
    lines: list[str], chunks: Sequence[Chunk], name: str
) -> tuple[list[tuple[int, list[_Line]]], list[_Line]]:
    finder = LineFinder(lines)
    edits: list[tuple[int, list[_Line]]] = []
    tail: list[_Line] = []
    position = 0
    for chunk in chunks:
        for context in chunk.contexts:
            found = finder.find([context], position)
            if found is None:
                raise _not_found(finder, [context], position, chunk, name)
            position = found + 1
        edit: list[_Line] = [(kind, line.removesuffix("\r")) for kind, line in chunk.lines]
        if all(kind == "+" for kind, _ in edit):
            if chunk.contexts and not chunk.at_end:
                edits.append((position, edit))
            else:
                tail += edit
            continue
        start, edit = _place(finder, edit, position, chunk, name)
        edits.append((start, edit))
        position = start + sum(kind != "+" for kind, _ in edit)
    return edits, tail


def _place(
    finder: LineFinder, edit: list[_Line], position: int, chunk: Chunk, name: str
) -> tuple[int, list[_Line]]:
    wanted = [line for kind, line in edit if kind != "+"]
    start = finder.find(wanted, position, at_end=chunk.at_end)
    if start is None and wanted[-1] == "" and len(wanted) > 1:
        edit = _without_last_blank(edit)
        start = finder.find(wanted[:-1], position, at_end=chunk.at_end)
    if start is None:
        raise _not_found(finder, wanted, position, chunk, name)
    return start, edit


def _without_last_blank(edit: list[_Line]) -> list[_Line]:
    """Drop the blank old line that stands for the file's last newline, and its new twin."""
    last = max(i for i, (kind, _) in enumerate(edit) if kind != "+")
    shorter = edit[:last] + edit[last + 1 :]
    if edit[last][0] == "-" and last + 1 < len(edit) and shorter[-1] == ("+", ""):
        shorter.pop()
    return shorter


def _not_found(
    finder: LineFinder, wanted: Sequence[str], position: int, chunk: Chunk, name: str
) -> PatchError:
    hint = ""
    if chunk.at_end:
        hint = " at the end of the file"
    elif position and finder.find(wanted, 0) is not None:
        hint = f" after line {position}, only before it; put the chunks in the order of the file"
    shown = "\n".join(wanted[:_QUOTED_LINES]) + ("\n…" if len(wanted) > _QUOTED_LINES else "")
    return PatchError(
        f"{name}: the lines of the chunk at patch line {chunk.line} were not found{hint}. Read "
        f"the file again and copy the old lines from it. Not found:\n{shown}"
    )
