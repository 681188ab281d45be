"""What a client may ask of the past of a thread, page by page."""

from typing import ClassVar, Literal

from pydantic import Field

from codex_jupyter.protocol._wire import Count, WireModel
from codex_jupyter.protocol.shapes import UUID_FORMAT, Thread, TurnsPage

__all__ = [
    "HISTORY_REQUESTS",
    "SearchOccurrencesParams",
    "ThreadSearchParams",
    "TurnsListParams",
    "TurnsListResult",
    "TurnsPageParams",
]


class TurnsPageParams(WireModel):
    """What a page of turns has: how many, in which order, and how much of each."""

    limit: Count | None = None
    """Turns on a page, 1 to 100; default 25. A page also ends where its line would pass 64 KiB."""

    sort_direction: Literal["asc", "desc"] | None = None
    """Newest first by default."""

    items_view: Literal["notLoaded", "summary", "full"] | None = None
    """``summary``, the default, has what the user said and the last answer."""


class TurnsListParams(TurnsPageParams):
    """Page through the turns of a thread, loaded or stored."""

    METHOD: ClassVar[str] = "thread/turns/list"
    thread_id: str
    cursor: str | None = None
    turn_id: str | None = Field(default=None, json_schema_extra=UUID_FORMAT)
    """Ours: list this turn alone, or nothing if the thread has none of this id."""


class TurnsListResult(TurnsPage):
    """The result of thread/turns/list."""


class ThreadSearchParams(WireModel):
    """Find threads by words in their names and messages; the last word may be a beginning."""

    METHOD: ClassVar[str] = "thread/search"
    search_term: str
    cursor: str | None = None
    limit: Count | None = None
    """Threads on a page, 1 to 100; default 25."""

    archived: bool | None = None
    sort_key: Literal["created_at", "updated_at", "recency_at"] | None = None
    """Ignored, as is the direction: what fits best comes first."""

    sort_direction: Literal["asc", "desc"] | None = None
    source_kinds: list[str] | None = None


class ThreadFound(WireModel):
    """A thread, and the words around the best place in it."""

    thread: Thread
    snippet: str


class ThreadSearchResult(WireModel):
    """The result of thread/search, best first."""

    data: list[ThreadFound]
    next_cursor: str | None = None
    backwards_cursor: str | None = None


class SearchOccurrencesParams(WireModel):
    """Find the places in one thread where a term occurs."""

    METHOD: ClassVar[str] = "thread/searchOccurrences"
    thread_id: str
    search_term: str
    cursor: str | None = None
    limit: Count | None = None


class Occurrence(WireModel):
    """One place."""

    turn_id: str
    item_id: str
    turn_cursor: str
    """For thread/turns/list: the page that begins with this turn."""

    snippet: str
    snippet_match_range: dict[str, int]
    """``start`` and ``end`` in characters of the snippet; equal if it is not in it."""


class SearchOccurrencesResult(WireModel):
    """The result of thread/searchOccurrences, oldest first."""

    data: list[Occurrence]
    next_cursor: str | None = None


HISTORY_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "thread/turns/list": (TurnsListParams, TurnsListResult),
    "thread/search": (ThreadSearchParams, ThreadSearchResult),
    "thread/searchOccurrences": (SearchOccurrencesParams, SearchOccurrencesResult),
}
