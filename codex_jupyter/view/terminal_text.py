"""Terminal text as styled lines: SGR colours are kept, every other control goes.

Mirrors ``static/terminal.js`` for text that is complete.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

__all__ = ["Run", "plain", "styled_lines", "visible"]

_CONTROL: Final = re.compile(
    "(?:\x1b\\[|\x9b)([0-?]*)[ -/]*([@-~])"
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)?"
    "|\x1b[ -/]*[0-~]|\x1b"
)
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
"""C0 but tab and newline, C1, and what reorders or hides text (bidi, zero width)."""

_NAMES: Final = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_COLORS: Final = {
    **dict(enumerate(_NAMES, 30)),
    **{code: f"bright-{name}" for code, name in enumerate(_NAMES, 90)},
    39: "",
}
"""SGR code -> name of the colour; 39 is the default one."""


@dataclass(frozen=True, slots=True)
class Run:
    """Text in one style; ``style`` is a list of CSS classes, empty for plain."""

    text: str
    style: str


@dataclass(frozen=True, slots=True)
class _Style:
    color: str = ""
    bold: bool = False
    dim: bool = False
    underline: bool = False

    def classes(self) -> str:
        names = [
            self.color,
            *(name for name in ("bold", "dim", "underline") if getattr(self, name)),
        ]
        return " ".join(f"cxj-{name}" for name in names if name)


def visible(text: str) -> str:
    """Show unseen characters by their code, so that what is displayed is what is there."""
    return _UNSEEN.sub(lambda match: f"\\u{{{ord(match[0]):x}}}", text)


def plain(text: str) -> str:
    """Return what a terminal would show at the end, without colours."""
    return "\n".join("".join(run.text for run in line) for line in styled_lines(text))


def styled_lines(text: str) -> list[list[Run]]:
    """Return the lines a terminal would show; a carriage return starts its line again."""
    style = _Style()
    lines: list[list[Run]] = [[]]
    position = 0
    text = text.replace("\r\n", "\n")
    overwrites = False
    for match in [*_CONTROL.finditer(text), None]:
        piece = text[position : match.start() if match else len(text)]
        overwrites = _write(lines, piece, style.classes(), overwrites=overwrites)
        if match is not None:
            style = _restyled(style, match[1]) if match[2] == "m" else style
            position = match.end()
    return lines


def _write(lines: list[list[Run]], piece: str, style: str, *, overwrites: bool) -> bool:
    """Put text on the last line; return whether the next character starts that line again."""
    for number, line in enumerate(piece.split("\n")):
        if number:
            lines.append([])
            overwrites = False
        for part, segment in enumerate(line.split("\r")):
            overwrites = overwrites or part > 0
            shown = _UNSEEN.sub("", segment)
            if shown:
                if overwrites:
                    lines[-1] = []
                    overwrites = False
                _add(lines[-1], shown, style)
    return overwrites


def _add(line: list[Run], text: str, style: str) -> None:
    if line and line[-1].style == style:
        line[-1] = Run(line[-1].text + text, style)
    else:
        line.append(Run(text, style))


def _restyled(style: _Style, parameters: str) -> _Style:
    codes = [int(code) if code.isdigit() else 0 for code in re.split("[;:]", parameters)]
    while codes:
        code = codes.pop(0)
        if code in {38, 48}:  # 256 and true colours are not among our sixteen
            del codes[: 2 if codes[:1] == [5] else 4]
        else:
            style = _with_code(style, code)
    return style


def _with_code(style: _Style, code: int) -> _Style:
    match code:
        case 0:
            return _Style()
        case 1 | 2 | 4:
            return replace(style, **{{1: "bold", 2: "dim", 4: "underline"}[code]: True})
        case 22:
            return replace(style, bold=False, dim=False)
        case 24:
            return replace(style, underline=False)
        case _:
            return replace(style, color=_COLORS.get(code, style.color))
