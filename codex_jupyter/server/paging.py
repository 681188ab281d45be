"""Pages of lists and of histories: how much is on one, and the cursors that lead to others."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.protocol.jsonrpc import encode

__all__ = [
    "MAX_PAGE_BYTES",
    "fitting",
    "inclusive",
    "item_cursor",
    "named_item",
    "page_limit",
    "page_of",
    "read_cursor",
]

Json = dict[str, Any]
Entry = TypeVar("Entry")

MAX_PAGE_BYTES: Final = 60_000
"""Of the entries of one page as they are written, so that its line stays below 64 KiB, which is
all that some clients read. The first entry is on the page whatever its size."""

_MAX_PAGE: Final = 100
_USUAL_PAGE: Final = 25
_WITH: Final = "="
_SEPARATOR: Final = "/"


def page_limit(asked: int | None) -> int:
    """Return how many entries a page has at most; none at all is asked for by nobody."""
    return _USUAL_PAGE if asked is None else min(max(asked, 1), _MAX_PAGE)


def fitting(entries: Iterable[Json], limit: int) -> list[Json]:
    """Return as much of the beginning as fits onto a page; no more is made than that and one."""
    page: list[Json] = []
    size = 0
    for entry in entries:
        size += len(encode(entry)) + 1
        if page and size > MAX_PAGE_BYTES:
            break
        page.append(entry)
        if len(page) == limit:
            break
    return page


def inclusive(cursor: str) -> str:
    """Return a cursor whose page begins with the entry that ``cursor`` follows."""
    return _WITH + cursor


def item_cursor(turn_id: str, item_id: str) -> str:
    """Return the cursor that names an item of a turn."""
    return f"{turn_id}{_SEPARATOR}{item_id}"


def named_item(cursor: str) -> tuple[str, str]:
    """Return the ids of the turn and of the item that a cursor names; the second may be empty."""
    turn_id, _, item_id = cursor.partition(_SEPARATOR)
    return turn_id, item_id


def read_cursor(cursor: str) -> tuple[str, bool]:
    """Return which entry a cursor names, and whether its page begins with that one."""
    return cursor.removeprefix(_WITH), cursor.startswith(_WITH)


def page_of(
    entries: Sequence[Entry], cursor: str | None, limit: int | None, kind: str
) -> tuple[Sequence[Entry], str | None]:
    """Return one page of a list and the cursor of the next, ``None`` on the last.

    Args:
        entries: The whole list.
        cursor: Index of the first one, as a decimal number; default: the beginning.
        limit: Entries on a page, at least 1; default: all.
        kind: What is listed, for the error.

    Raises:
        InvalidRequestError: The cursor is none, or past the end.
    """
    total = len(entries)
    if cursor is not None and not (cursor.isascii() and cursor.isdecimal()):
        raise InvalidRequestError(f"invalid cursor: {cursor[:100]}")
    begin = 0 if cursor is None else int(cursor[:20])
    if begin > total:
        raise InvalidRequestError(f"cursor {begin} exceeds total {kind} {total}")
    end = total if limit is None else begin + max(1, limit)
    return entries[begin:end], str(end) if end < total else None
