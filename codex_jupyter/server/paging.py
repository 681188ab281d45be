"""Pages of a history: how much is on one, and the cursors that lead from one to another."""

from collections.abc import Iterable
from typing import Any, Final

from codex_jupyter.protocol.jsonrpc import encode

__all__ = ["MAX_PAGE_BYTES", "fitting", "inclusive", "page_limit", "read_cursor"]

Json = dict[str, Any]

MAX_PAGE_BYTES: Final = 60_000
"""Of the entries of one page as they are written, so that its line stays below 64 KiB, which is
all that some clients read. The first entry is on the page whatever its size."""

_MAX_PAGE: Final = 100
_USUAL_PAGE: Final = 25
_WITH: Final = "="


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


def read_cursor(cursor: str) -> tuple[str, bool]:
    """Return which entry a cursor names, and whether its page begins with that one."""
    return cursor.removeprefix(_WITH), cursor.startswith(_WITH)
