"""Reads the values of a play's tables, with a sentence for whatever is not as the format says."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeVar, cast

__all__ = [
    "MistakeError",
    "check_keys",
    "in_step",
    "listed",
    "nearest",
    "pattern_of",
    "rows_of",
    "single_words_of",
    "table_of",
    "text_of",
    "texts_of",
    "words",
]

S = TypeVar("S")
T = TypeVar("T")

_WORD: Final = re.compile(r"\w+")


class MistakeError(ValueError):
    """What is wrong with a play, before the file's name is added."""


def words(text: str) -> tuple[str, ...]:
    """Split ``text`` into its words in lower case; punctuation and markup fall away."""
    return tuple(_WORD.findall(text.casefold()))


def in_step(number: int, subject: S, check: Callable[[S], T]) -> T:
    """Run ``check`` on ``subject`` and put the step's number before its complaint."""
    try:
        return check(subject)
    except MistakeError as error:
        raise MistakeError(f"step {number}: {error}") from error


def check_keys(table: Mapping[str, Any], known: Collection[str], prefix: str = "") -> None:
    """Refuse keys that are not among ``known``."""
    for key in table:
        if key not in known:
            hint = nearest(key, known) or f"; known are {listed(known)}"
            raise MistakeError(f"unknown key `{prefix}{key}`{hint}")


def text_of(table: Mapping[str, Any], key: str, prefix: str = "") -> str:
    """Return the text under ``key``, which must hold more than white space."""
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise MistakeError(f"`{prefix}{key}` must be a text that is not empty")
    return value


def table_of(value: object, key: str) -> dict[str, Any]:
    """Return ``value`` as a table."""
    if not isinstance(value, dict):
        raise MistakeError(f"`{key}` must be a table")
    return cast("dict[str, Any]", value)


def rows_of(value: object, complaint: str) -> list[Mapping[str, Any]]:
    """Return ``value`` as a list of tables with at least one row."""
    rows = cast("list[object]", value) if isinstance(value, list) else []
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise MistakeError(complaint)
    return cast("list[Mapping[str, Any]]", rows)


def texts_of(value: object, complaint: str) -> list[str]:
    """Return ``value`` as a list, possibly empty, of texts that each hold a word."""
    lines = cast("list[object]", value) if isinstance(value, list) else None
    if lines is None or not all(isinstance(line, str) and words(line) for line in lines):
        raise MistakeError(complaint)
    return cast("list[str]", lines)


def single_words_of(value: object, key: str) -> tuple[frozenset[str], ...]:
    """Return ``value`` as sets of words in lower case, none of them empty."""
    complaint = f"`{key}` must be a list of lists of words"
    if not isinstance(value, list):
        raise MistakeError(complaint)
    lists = [texts_of(line, complaint) for line in cast("list[object]", value)]
    for line in lists:
        if wrong := [word for word in line if len(words(word)) != 1]:
            raise MistakeError(f"`{key}` takes single words; {wrong[0]!r} is not one")
        if not line:
            raise MistakeError(f"`{key}` holds an empty list, which every prompt would match")
    return tuple(frozenset(words(word)[0] for word in line) for line in lists)


def pattern_of(text: str) -> re.Pattern[str]:
    """Compile a `capture`; ``^`` and ``$`` mean the ends of lines."""
    try:
        pattern = re.compile(text, re.MULTILINE)
    except re.error as error:
        raise MistakeError(f"`capture` is not a regular expression: {error}") from error
    if not pattern.groupindex:
        raise MistakeError("`capture` has no named group `(?P<name>...)`, so it keeps nothing")
    return pattern


def nearest(word: str, known: Collection[str]) -> str:
    """Word the question for the known name nearest to ``word``; empty if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def listed(names: Collection[str]) -> str:
    """Write names one after the other, as code."""
    return ", ".join(f"`{name}`" for name in names)
