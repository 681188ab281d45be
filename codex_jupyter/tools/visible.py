"""How a command is shown to a person: nothing hides, and distinct texts look distinct."""

import re
import unicodedata

__all__ = ["visible"]

_LONG_BLANKS = r" {9,}"
_ASCII_SPECIAL = re.compile(rf"{_LONG_BLANKS}|\\(?=u\{{)|[\x00-\x1f\x7f]")
_SPECIAL = re.compile(rf"{_LONG_BLANKS}|\\(?=u\{{)|(?P<word>\w+)|[^\x20-\x7e]")

_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0")
"""Hangul fillers: letters by category, empty on screen."""

_LOOKS_LIKE_SYNTAX = frozenset("\u01c0\u01c1\u01c2\u01c3\u2d4f\u05c0\ua4fa\ua4fb")
"""Letters drawn like ``|``, ``!`` or ``:``."""

_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})


def visible(text: str) -> str:
    r"""Return a form of ``text`` in which every character can be seen.

    The form is injective: two different texts never have the same one. Printable ASCII stands
    for itself, and so do letters and digits of other scripts, except those that would mislead:
    right-to-left letters (they reorder what stands beside them), compatibility forms, fillers,
    and non-Latin letters in a word that also has Latin ones. Everything else becomes
    ``\u{hex}``. A newline becomes ``⏎`` and a newline; more than 8 blanks in a row become
    ``⟨N spaces⟩``. A backslash is escaped only where the text itself would read as an escape.

    The result holds no control, format or surrogate character and no blank but the space.
    """
    return (_ASCII_SPECIAL if text.isascii() else _SPECIAL).sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    found = match[0]
    if found == "\n":
        return "⏎\n"
    if found[0] == " ":
        return f"⟨{len(found)} spaces⟩"
    if match.lastgroup == "word":
        return found if found.isascii() else _shown_word(found)
    return _escaped(found)


def _shown_word(word: str) -> str:
    keep = _is_latin if _is_mixed(word) else _is_plain
    return "".join(
        char if char.isascii() or (_is_plain(char) and keep(char)) else _escaped(char)
        for char in word
    )


def _is_mixed(word: str) -> bool:
    """Tell whether letters that may pass for Latin ones stand beside Latin ones."""
    return any(map(_is_latin, word)) and not all(
        # Ideographs, kana and Hangul syllables are wide; nobody takes them for Latin.
        char.isascii() or _is_latin(char) or char.isdecimal() or _is_wide(char)
        for char in word
    )


def _is_plain(char: str) -> bool:
    """Tell whether a non-ASCII letter or digit shows as itself and moves nothing around it."""
    return (
        # Modifier letters look like quotes and accents, but for the wide ones of Japanese.
        (
            unicodedata.category(char) in {"Lu", "Ll", "Lt", "Lo", "Nd"}
            or (unicodedata.category(char) == "Lm" and _is_wide(char))
        )
        and unicodedata.bidirectional(char) not in _RIGHT_TO_LEFT
        and unicodedata.normalize("NFKC", char) == char
        and char not in _BLANK_LETTERS
        and char not in _LOOKS_LIKE_SYNTAX
    )


def _is_latin(char: str) -> bool:
    return unicodedata.name(char, "").startswith("LATIN ")


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) == "W"


def _escaped(char: str) -> str:
    return f"\\u{{{ord(char):x}}}"
