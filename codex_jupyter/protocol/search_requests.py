"""What a client may ask to find files by a few typed characters."""

from typing import ClassVar, Literal

from pydantic import Field

from codex_jupyter.protocol._wire import WireModel

__all__ = [
    "SEARCH_REQUESTS",
    "FileMatch",
    "FileSearchParams",
    "SearchSessionStartParams",
    "SearchSessionStopParams",
    "SearchSessionUpdateParams",
]


class FileSearchParams(WireModel):
    """Find files and folders whose paths have the characters of each word in order.

    What git ignores is left out where git can list a root, else what is hidden.
    """

    METHOD: ClassVar[str] = "fuzzyFileSearch"
    query: str
    """At most 500 characters."""

    roots: list[str]
    """Absolute folders, at most 32; 100000 files and folders of each are looked at."""

    cancellation_token: str | None = None
    """A later search with the same one ends this one, which then has no matches."""


class FileMatch(WireModel):
    """A file or folder that matches."""

    root: str
    path: str
    """Relative to the root."""

    match_type: Literal["file", "directory"] = Field(alias="match_type")
    file_name: str = Field(alias="file_name")
    score: int
    indices: list[int] | None = None
    """Characters of ``path`` that match."""


class FileSearchResult(WireModel):
    """The result of fuzzyFileSearch: the best 50, best first."""

    files: list[FileMatch]


class _OfSession(WireModel):
    session_id: str


class SearchSessionStartParams(_OfSession):
    """Begin to search while somebody types. Experimental.

    It belongs to this connection and takes the place of one of the same name; a connection may
    have 16.
    """

    METHOD: ClassVar[str] = "fuzzyFileSearch/sessionStart"
    roots: list[str]


class SearchSessionStartResult(WireModel):
    """The result of fuzzyFileSearch/sessionStart; the roots are listed meanwhile."""


class SearchSessionUpdateParams(_OfSession):
    """Search for what is typed now, and no longer for what was. Experimental."""

    METHOD: ClassVar[str] = "fuzzyFileSearch/sessionUpdate"
    query: str


class SearchSessionUpdateResult(WireModel):
    """The result of fuzzyFileSearch/sessionUpdate; matches come as a notification."""


class SearchSessionStopParams(_OfSession):
    """End a session. Experimental."""

    METHOD: ClassVar[str] = "fuzzyFileSearch/sessionStop"


class SearchSessionStopResult(WireModel):
    """The result of fuzzyFileSearch/sessionStop."""


SEARCH_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "fuzzyFileSearch": (FileSearchParams, FileSearchResult),
    "fuzzyFileSearch/sessionStart": (SearchSessionStartParams, SearchSessionStartResult),
    "fuzzyFileSearch/sessionUpdate": (SearchSessionUpdateParams, SearchSessionUpdateResult),
    "fuzzyFileSearch/sessionStop": (SearchSessionStopParams, SearchSessionStopResult),
}
