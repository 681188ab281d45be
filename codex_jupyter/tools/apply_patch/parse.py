"""The patch language: from the model's text to a `Patch`, without looking at any file."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

from codex_jupyter.errors import PatchError

__all__ = [
    "MAX_PATCH_BYTES",
    "MAX_PATCH_HUNKS",
    "AddFile",
    "Chunk",
    "DeleteFile",
    "HeredocPatch",
    "Hunk",
    "Patch",
    "UpdateFile",
    "heredoc_patch",
    "parse_patch",
]

MAX_PATCH_BYTES: Final = 1024 * 1024
"""Longest patch text in UTF-8 bytes; about what one model answer can hold, several times over."""

MAX_PATCH_HUNKS: Final = 200
"""Most file sections of one patch; more could not be read by whoever approves it."""

_BEGIN: Final = "*** Begin Patch"
_END: Final = "*** End Patch"
_ADD: Final = "*** Add File:"
_DELETE: Final = "*** Delete File:"
_UPDATE: Final = "*** Update File:"
_MOVE: Final = "*** Move to:"
_END_OF_FILE: Final = "*** End of File"
_HEADERS: Final = f"`{_ADD} PATH`, `{_DELETE} PATH`, `{_UPDATE} PATH` or `{_END}`"

# Explicit embeddings, overrides and isolates, and the two marks: they reorder what a person reads.
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_WRAPPER: Final = re.compile(r"<<(['\"]?)(\w+)\1")
_COMMAND: Final = re.compile(
    r"""\s*
    (?:cd[ \t]+
       (?:'(?P<single>[^'\n]+)'|"(?P<double>[^"$`\\!\n]+)"|(?P<bare>[\w./@%+=:,][\w./@%+=:,-]*))
       [ \t]*&&[ \t]*)?
    apply_?patch[ \t]*<<[ \t]*(?P<quote>['"]?)(?P<mark>\w+)(?P=quote)[ \t]*\n
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One place of an update.

    Attributes:
        contexts: Lines named after ``@@``, each found in turn before the lines are looked for.
        lines: Pairs of a mark (`` ``, ``-`` or ``+``) and the text without it.
        at_end: Whether the old lines must be the last of the file.
        line: 1-based line of the patch where the chunk begins.
    """

    contexts: tuple[str, ...]
    lines: tuple[tuple[Literal[" ", "-", "+"], str], ...]
    at_end: bool
    line: int


@dataclass(frozen=True, slots=True)
class AddFile:
    """Create a file; ``content`` is empty or ends with a newline."""

    path: str
    content: str
    line: int


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """Remove a file."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class UpdateFile:
    """Change a file in at least one place, and give it another name if ``move_to`` is set."""

    path: str
    move_to: str | None
    chunks: tuple[Chunk, ...]
    line: int


Hunk = AddFile | DeleteFile | UpdateFile


@dataclass(frozen=True, slots=True)
class Patch:
    """The sections of a patch in their order, at least one; paths are as the model wrote them."""

    hunks: tuple[Hunk, ...]


@dataclass(frozen=True, slots=True)
class HeredocPatch:
    """A patch found in a shell script.

    Attributes:
        text: The patch, as `parse_patch` takes it.
        cd: The directory the script changes to first, or ``None``. As written: it may be
            absolute and may hold ``..``.
    """

    text: str
    cd: str | None


def heredoc_patch(script: str) -> HeredocPatch | None:
    """Recognise a shell script that does nothing but feed one here-document to ``apply_patch``.

    The form is ``[cd WORD &&] apply_patch <<'MARK'``, the patch, ``MARK``; ``applypatch`` is the
    same. With an unquoted mark a shell would expand the text, so then it counts only if there is
    nothing in it to expand. Anything else is ``None``: a shell has to run it.
    """
    head = _COMMAND.match(script)
    if head is None:
        return None
    body = script[head.end() :].rstrip().split("\n")
    if head["mark"] not in body or body.index(head["mark"]) != len(body) - 1:
        return None
    text = "\n".join(body[:-1]) + "\n"
    if not head["quote"] and re.search(r"[$`\\]", text):
        return None
    return HeredocPatch(text, head["single"] or head["double"] or head["bare"])


def parse_patch(text: str) -> Patch:
    """Read a patch.

    White space around the patch and its marker lines, a here-document wrapper around the whole
    and CRLF line ends are accepted. Blank lines between sections are skipped.

    Raises:
        PatchError: The text is longer than `MAX_PATCH_BYTES`, has more than `MAX_PATCH_HUNKS`
            sections or none, or a line (named by its 1-based number) is not what the grammar
            expects there.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise PatchError(f"invalid patch, line {line}: not valid Unicode text") from None
    if size > MAX_PATCH_BYTES:
        raise PatchError(
            f"the patch has {size} bytes, the limit is {MAX_PATCH_BYTES}; send it in parts"
        )
    return _Reader(text).patch()


class _Reader:
    def __init__(self, text: str) -> None:
        lines = text.split("\n")
        first, last = 0, len(lines)
        while first < last and not lines[first].strip():
            first += 1
        while last > first and not lines[last - 1].strip():
            last -= 1
        wrapper = _WRAPPER.fullmatch(lines[first].strip()) if first < last else None
        if wrapper and last - first > 1 and lines[last - 1].strip() == wrapper[2]:
            first, last = first + 1, last - 1
        if first < last and lines[first].endswith("\r"):
            lines = [line.removesuffix("\r") for line in lines]
        if first < last and lines[last - 1].strip() == _END:
            lines[last - 1] = _END
        self._lines = lines[:last]
        self._at = first

    def patch(self) -> Patch:
        if self._at == len(self._lines):
            raise PatchError(f"the patch is empty: expected `{_BEGIN}`")
        if self._peek().strip() != _BEGIN:
            raise self._refusal(f"`{_BEGIN}`")
        self._at += 1
        hunks: list[Hunk] = []
        while (line := self._next_header()) != _END:
            if len(hunks) == MAX_PATCH_HUNKS:
                raise PatchError(
                    f"the patch changes more than {MAX_PATCH_HUNKS} files; send it in parts"
                )
            hunks.append(self._hunk(line))
        self._at += 1
        if self._at < len(self._lines):
            raise self._refusal(f"nothing after `{_END}`")
        if not hunks:
            raise PatchError(f"the patch is empty: expected {_HEADERS.rsplit(' or ', 1)[0]}")
        return Patch(tuple(hunks))

    def _peek(self) -> str:
        return self._lines[self._at] if self._at < len(self._lines) else ""

    def _next_header(self) -> str:
        while self._at < len(self._lines) and not self._peek().strip():
            self._at += 1
        return self._peek().strip(" \t") if self._peek().strip() != _END else _END

    def _hunk(self, header: str) -> Hunk:
        for mark, read in ((_ADD, self._add), (_DELETE, self._delete), (_UPDATE, self._update)):
            if header.startswith(mark):
                line = self._at + 1
                path = self._name(header.removeprefix(mark))
                self._at += 1
                return read(path, line)
        raise self._refusal(_HEADERS)

    def _add(self, path: str, line: int) -> AddFile:
        content: list[str] = []
        while self._peek().startswith("+"):
            content.append(self._peek()[1:] + "\n")
            self._at += 1
        return AddFile(path, "".join(content), line)

    def _delete(self, path: str, line: int) -> DeleteFile:
        return DeleteFile(path, line)

    def _update(self, path: str, line: int) -> UpdateFile:
        move_to = None
        if self._peek().strip(" \t").startswith(_MOVE):
            move_to = self._name(self._peek().strip(" \t").removeprefix(_MOVE))
            self._at += 1
        chunks: list[Chunk] = []
        while (chunk := self._chunk(first=not chunks)) is not None:
            chunks.append(chunk)
        if not chunks:
            raise self._refusal(
                f"a change to `{path}`: a line that starts with `@@`, ` `, `-` or `+`"
            )
        return UpdateFile(path, move_to, tuple(chunks), line)

    def _chunk(self, *, first: bool) -> Chunk | None:
        # a line of one space is an empty context line, an empty one separates chunks
        while self._at < len(self._lines) and not self._peek():
            self._at += 1
        start = self._at + 1
        contexts = self._contexts()
        lines, at_end = self._chunk_lines()
        if lines:
            return Chunk(contexts, lines, at_end, start)
        if contexts or at_end or self._at + 1 > start:
            raise self._refusal("a line that starts with ` `, `-` or `+`")
        if not first and self._peek() and not self._peek().startswith("***"):
            raise self._refusal("`@@`, or a line that starts with `***`")
        return None

    def _contexts(self) -> tuple[str, ...]:
        contexts: list[str] = []
        while (line := self._peek()) == "@@" or line.startswith("@@ "):
            if context := line[3:].rstrip("\r"):
                contexts.append(context)
            self._at += 1
        return tuple(contexts)

    def _chunk_lines(self) -> tuple[tuple[tuple[Literal[" ", "-", "+"], str], ...], bool]:
        lines: list[tuple[Literal[" ", "-", "+"], str]] = []
        while self._at < len(self._lines):
            line = self._peek()
            match line[:1]:
                case " " | "-" | "+" as mark:
                    lines.append((mark, line[1:]))
                case "" | "\r":
                    lines.append((" ", ""))
                case _:
                    break
            self._at += 1
        at_end = self._peek().rstrip() == _END_OF_FILE
        if at_end and lines:
            self._at += 1
        return tuple(lines), at_end

    def _name(self, raw: str) -> str:
        name = raw.strip(" \t")
        if not name:
            raise self._refusal("a path")
        for char in name:
            if char in _BIDI or unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}:
                raise PatchError(
                    f"invalid patch, line {self._at + 1}: the path {name!r} holds the character "
                    f"U+{ord(char):04X}, which cannot be seen; control and direction characters "
                    "are not allowed in paths"
                )
        return name

    def _refusal(self, expected: str) -> PatchError:
        found = repr(self._peek()[:80]) if self._at < len(self._lines) else "the end of the patch"
        return PatchError(f"invalid patch, line {self._at + 1}: expected {expected}, found {found}")
