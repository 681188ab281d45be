"""Pages of the stored threads. Blocking; safe between threads.

Nothing is kept on disk beside the rollouts, so nothing can disagree with them: what the head of a
file told is remembered for as long as the process lives, its tail is read as it grows.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from codex_jupyter.errors import InvalidIdError, InvalidRequestError
from codex_jupyter.ids import ThreadId, parse_thread_id
from codex_jupyter.rollout.disk import reporting
from codex_jupyter.rollout.fold import user_text
from codex_jupyter.rollout.folders import Folders
from codex_jupyter.rollout.git_info import git_info_of
from codex_jupyter.rollout.reader import read_lines
from codex_jupyter.rollout.records import decode_line, epoch_of

__all__ = ["Catalogue", "ListQuery", "Page", "ThreadSummary", "kind_of_source"]

_MAX_PAGE: Final = 100
"""Most threads on a page; the protocol's number."""

_HEAD_LINES: Final = 200
"""Lines searched for the first message of the user; as many as the original searches."""

_HEAD_BYTES: Final = 8 * 1024 * 1024
_BULKY_META: Final = ("base_instructions", "dynamic_tools")
_BY_PEOPLE: Final = frozenset({"cli", "vscode"})
_GIVEN_MARKS: Final = (b'"thread_name_updated"', b'"thread_git_updated"')
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Which stored threads to list.

    Attributes:
        cursor: ``next_cursor`` of the page before.
        limit: Threads on a page; brought into 1..100.
        sort_key: Newest first by this time; ``recency_at`` is ``updated_at``.
        sort_direction: ``asc`` for oldest first.
        model_providers: Keep only threads of these; ``None`` or empty: all.
        cwd: Keep only threads of exactly this folder, or one of these.
        archived: List the archived threads instead of the active ones.
        search_term: Keep only threads whose name (or preview, if unnamed) contains this text.
        source_kinds: Keep only threads that come from these; empty: from people.
        parent_id: Keep only threads right below this one, from wherever they come.
        ancestor_id: The same, however far below.
    """

    cursor: str | None = None
    limit: int = 25
    sort_key: Literal["created_at", "updated_at", "recency_at"] = "created_at"
    sort_direction: Literal["asc", "desc"] = "desc"
    model_providers: tuple[str, ...] | None = None
    cwd: str | tuple[str, ...] | None = None
    archived: bool = False
    search_term: str | None = None
    source_kinds: tuple[str, ...] = ()
    parent_id: str | None = None
    ancestor_id: str | None = None


@dataclass(frozen=True, slots=True)
class ThreadSummary:
    """A stored thread without its turns.

    Attributes:
        thread_id: Its id.
        path: Its rollout.
        meta: Payload of its ``session_meta`` without instructions and tools, which are large.
        created_at: Unix seconds.
        updated_at: Unix seconds of the last change of the file.
        preview: Text of the first user message.
        name: The name it was given, or ``None``.
        archived: Whether it is in the archive.
        git_info: ``sha``, ``branch`` and ``originUrl`` as they were last given, or ``None``.
    """

    thread_id: ThreadId
    path: Path
    meta: dict[str, Any]
    created_at: float
    updated_at: float
    preview: str
    name: str | None
    archived: bool
    git_info: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some threads, and the cursor of the next page or ``None`` after the last."""

    data: list[ThreadSummary]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class _Head:
    """What the first lines of a rollout tell; final once later lines cannot add to it."""

    size: int
    meta: dict[str, Any]
    created_at: float | None
    preview: str
    has_turn: bool
    is_final: bool


@dataclass(frozen=True, slots=True)
class _Given:
    """The last name, and the last word about the repository, in a rollout up to an offset."""

    read_to: int = 0
    name: str | None = None
    git: Mapping[str, Any] | None = None
    """The payload that tells it."""


class Catalogue:
    """Lists the rollouts of one home."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._lock = threading.Lock()
        self._heads: dict[Path, _Head] = {}
        self._given: dict[Path, _Given] = {}

    def list(self, query: ListQuery) -> Page:
        """Return one page of the threads that have a turn.

        Raises:
            InvalidRequestError: The cursor is not one of ours.
            RolloutError: A folder or file cannot be read.
        """
        seen = None if query.cursor is None else _parse_cursor(query.cursor)
        newest_first = query.sort_direction == "desc"
        limit = min(max(query.limit, 1), _MAX_PAGE)
        with self._lock:
            found = [(_key(summary, query), summary) for summary in self._matching(query)]
            rest = [
                pair
                for pair in found
                if seen is None or (pair[0] < seen if newest_first else pair[0] > seen)
            ]
            rest.sort(key=lambda pair: pair[0], reverse=newest_first)
            data = [self._named(summary) for _, summary in rest[:limit]]
        has_more = len(rest) > limit
        return Page(data, _cursor_text(rest[limit - 1][0]) if has_more else None)

    def forget(self, thread_id: ThreadId) -> None:
        """Remember nothing of a thread that was deleted: its id, and its path, may come again."""
        with self._lock:
            for known in (self._heads, self._given):
                for path in [path for path in known if path.stem.endswith(thread_id)]:
                    del known[path]

    def _matching(self, query: ListQuery) -> Iterator[ThreadSummary]:
        below = None if query.ancestor_id is None else self._below(query.ancestor_id, query)
        for thread_id, path in self._folders.rollouts(archived=query.archived):
            try:
                summary = self._summary(thread_id, path, query)
            except FileNotFoundError:
                continue
            if summary is not None and (below is None or thread_id in below):
                yield summary

    def _below(self, ancestor_id: str, query: ListQuery) -> set[str]:
        """Return the ids of all threads below one."""
        children: dict[str, list[str]] = {}
        for thread_id, path in self._folders.rollouts(archived=query.archived):
            with suppress(FileNotFoundError):
                head = self._head(path, os.stat(path).st_size)  # noqa: PTH116 - as below
                children.setdefault(str(head.meta.get("parent_thread_id")), []).append(thread_id)
        found: set[str] = set()
        waiting = [ancestor_id]
        while waiting:
            fresh = [child for child in children.get(waiting.pop(), ()) if child not in found]
            found.update(fresh)
            waiting += fresh
        return found

    def _summary(self, thread_id: ThreadId, path: Path, query: ListQuery) -> ThreadSummary | None:
        state = os.stat(path)  # noqa: PTH116 - runs once a thread and call; pathlib costs twice
        head = self._head(path, state.st_size)
        providers = query.model_providers
        if (
            not head.has_turn
            or (providers and head.meta.get("model_provider") not in providers)
            or (query.cwd is not None and head.meta.get("cwd") not in _folders_of(query.cwd))
            or not _is_wanted(head.meta, query)
        ):
            return None
        summary = ThreadSummary(
            thread_id=thread_id,
            path=path,
            meta=head.meta,
            created_at=head.created_at or state.st_mtime,
            updated_at=state.st_mtime,
            preview=head.preview,
            name=None,
            archived=query.archived,
        )
        if query.search_term:
            summary = self._named(summary)
            if query.search_term not in (summary.name or summary.preview):
                return None
        return summary

    def _head(self, path: Path, size: int) -> _Head:
        head = self._heads.get(path)
        if head is None or (not head.is_final and head.size != size):
            head = self._heads[path] = _read_head(path, size)
        return head

    def _named(self, summary: ThreadSummary) -> ThreadSummary:
        known = self._given.get(summary.path, _Given())
        try:
            known = self._given[summary.path] = _read_given(summary.path, known)
        except FileNotFoundError:
            return summary
        git_info = git_info_of(dict(summary.meta if known.git is None else known.git))
        return replace(summary, name=known.name, git_info=git_info)


def _is_wanted(meta: dict[str, Any], query: ListQuery) -> bool:
    """Tell whether a thread comes from where the query says."""
    if query.parent_id is not None and meta.get("parent_thread_id") != query.parent_id:
        return False
    is_below = query.parent_id is not None or query.ancestor_id is not None
    if not query.source_kinds:
        return is_below or kind_of_source(meta.get("source")) in _BY_PEOPLE
    kind = kind_of_source(meta.get("source"))
    is_sub = kind.startswith("subAgent") and "subAgent" in query.source_kinds
    return is_sub or kind in query.source_kinds


def kind_of_source(source: Any) -> str:
    """Name where a thread comes from, as thread/list does."""
    match source:
        case {"subagent": "review"}:
            return "subAgentReview"
        case {"subagent": "compact"}:
            return "subAgentCompact"
        case {"subagent": {"thread_spawn": _}}:
            return "subAgentThreadSpawn"
        case {"subagent": _}:
            return "subAgentOther"
        case "cli" | "vscode" | "exec":
            return source
        case "mcp" | "app_server":
            return "appServer"
        case None:
            return "vscode"
        case _:
            return "unknown"


def _folders_of(cwd: str | tuple[str, ...]) -> tuple[str, ...]:
    return (cwd,) if isinstance(cwd, str) else cwd


def _read_head(path: Path, size: int) -> _Head:
    meta: dict[str, Any] = {}
    first_time = ""
    preview: str | None = None
    has_turn = is_final = False
    with path.open("rb") as file, reporting("read", path):
        for number, line in enumerate(read_lines(file), start=1):
            record = decode_line(line.content) if line.content and line.is_whole else None
            if record is not None:
                first_time = first_time or record.timestamp
                has_turn = has_turn or record.type != "session_meta"
                if record.type == "session_meta" and not meta:
                    meta = {
                        key: value
                        for key, value in record.payload.items()
                        if key not in _BULKY_META
                    }
                preview = preview or user_text(record)
            is_final = bool(preview) or number >= _HEAD_LINES or line.end >= _HEAD_BYTES
            if is_final:
                break
    created_at = epoch_of(meta.get("timestamp")) or epoch_of(first_time)
    return _Head(size, meta, created_at, preview or "", has_turn, is_final)


def _read_given(path: Path, known: _Given) -> _Given:
    with path.open("rb") as file, reporting("read", path):
        if os.fstat(file.fileno()).st_size < known.read_to:
            known = _Given()
        file.seek(known.read_to)
        for line in read_lines(file):
            if not line.is_whole:
                break
            known = replace(known, read_to=line.end)
            if line.content is None or not any(mark in line.content for mark in _GIVEN_MARKS):
                continue
            record = decode_line(line.content)
            if record is not None:
                known = _with(known, record.payload)
    return known


def _with(known: _Given, payload: dict[str, Any]) -> _Given:
    match payload.get("type"):
        case "thread_name_updated":
            given = payload.get("thread_name")
            return replace(known, name=given if isinstance(given, str) else None)
        case "thread_git_updated":
            return replace(known, git=payload)
        case _:
            return known


def _key(summary: ThreadSummary, query: ListQuery) -> tuple[int, str]:
    is_by_creation = query.sort_key == "created_at"
    seconds = summary.created_at if is_by_creation else summary.updated_at
    # Whole microseconds, because that is what a cursor can spell.
    return round(seconds * 1_000_000), summary.thread_id


def _cursor_text(key: tuple[int, str]) -> str:
    moment = _EPOCH + key[0] * _MICROSECOND
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}Z|{key[1]}"


def _parse_cursor(cursor: str) -> tuple[int, str]:
    moment_text, _, thread_id = cursor.partition("|")
    try:
        moment = datetime.fromisoformat(moment_text)
        if moment.tzinfo is not None:
            return (moment - _EPOCH) // _MICROSECOND, parse_thread_id(thread_id)
    except (ValueError, OverflowError, InvalidIdError):
        pass
    raise InvalidRequestError(f"invalid cursor: {cursor[:100]}")
