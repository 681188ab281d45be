"""Full text of all threads, in SQLite: a cache of the rollouts that may be deleted at any time.

Blocking; safe between threads and processes. What a file tells is taken in when somebody searches,
from where the last search left off; files are only ever appended to, so that is enough, and what
does not fit that is read anew.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from codex_jupyter.errors import RolloutError
from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.disk import make_folder, reporting
from codex_jupyter.rollout.folders import Folders
from codex_jupyter.rollout.legacy import wire_item
from codex_jupyter.rollout.packed import unpacked
from codex_jupyter.rollout.reader import read_lines, read_thread
from codex_jupyter.rollout.records import Record, decode_line

__all__ = ["Found", "SearchIndex", "fts_query"]

_VERSION: Final = 2
_BUSY_SECONDS: Final = 5.0
_SNIPPET_WORDS: Final = 24
_MAX_MESSAGE_CHARS: Final = 100_000
_SHOWN: Final = ("userMessage", "agentMessage")
_READ_WHOLE: Final = ("thread_rolled_back", "user_message", "agent_message")
"""Kinds of records that say what they do only together with those before: a turn that is gone, and
the messages of an old file, whose turns and ids have to be counted."""

_WANTED: Final = (
    b"userMessage",
    b"agentMessage",
    b"UserMessage",
    b"AgentMessage",
    b"user_message",
    b"agent_message",
    b"thread_name_updated",
    b"thread_rolled_back",
)

_COLUMNS: Final = "SELECT files.thread_id, files.path, turn_id, item_id"
_FROM: Final = "FROM messages JOIN files USING (path)"
_SCHEMA: Final = f"""
CREATE TABLE files (
    path TEXT PRIMARY KEY, thread_id TEXT, archived INTEGER, inode INTEGER, size INTEGER
);
CREATE VIRTUAL TABLE messages USING fts5(
    content, path UNINDEXED, turn_id UNINDEXED, item_id UNINDEXED,
    tokenize = 'unicode61 remove_diacritics 2'
);
PRAGMA user_version = {_VERSION};
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A place where a term occurs.

    Attributes:
        thread_id: The thread.
        path: Its rollout.
        turn_id: The turn, empty for the thread's name.
        item_id: The message, empty for the thread's name.
        snippet: Plain text around the term, on one line.
    """

    thread_id: ThreadId
    path: Path
    turn_id: str
    item_id: str
    snippet: str


class SearchIndex:
    """The index of one home, at ``index.sqlite``."""

    def __init__(self, home: Path, folders: Folders) -> None:
        self._path = home / "index.sqlite"
        self._folders = folders
        self._lock = threading.Lock()

    def threads(self, term: str, *, archived: bool, limit: int, offset: int) -> list[Found]:
        """Return the best place of each thread where ``term`` occurs, best thread first.

        Raises:
            RolloutError: There can be no index here, or a file cannot be read.
        """
        where, value = _condition(term)

        def look(db: sqlite3.Connection) -> list[Found]:
            rows = db.execute(
                f"{_COLUMNS}, {_snippet(where)} {_FROM} WHERE {where} AND files.archived = ? "
                f"ORDER BY {_rank(where)}, files.path DESC",
                (value, int(archived)),
            )
            best: dict[str, Found] = {}
            for row in rows:
                best.setdefault(row[1], _found(row))
                if len(best) >= offset + limit:
                    break
            return list(best.values())[offset:]

        return self._look(look, archived=archived)

    def occurrences(
        self, thread_id: ThreadId, term: str, *, limit: int, offset: int
    ) -> list[Found]:
        """Return the places in one thread where ``term`` occurs, oldest first.

        Raises:
            RolloutError: There can be no index here, or a file cannot be read.
        """
        where, value = _condition(term)

        def look(db: sqlite3.Connection, archived: int) -> list[Found]:
            rows = db.execute(
                f"{_COLUMNS}, {_snippet(where)} {_FROM} WHERE {where} AND files.thread_id = ? "
                "AND item_id != '' AND files.archived = ? "
                "ORDER BY messages.rowid LIMIT ? OFFSET ?",
                (value, thread_id, archived, limit, offset),
            )
            return [_found(row) for row in rows]

        return [
            *self._look(lambda db: look(db, 0), archived=False),
            *self._look(lambda db: look(db, 1), archived=True),
        ]

    def _look(
        self, look: Callable[[sqlite3.Connection], list[Found]], *, archived: bool
    ) -> list[Found]:
        """Return what is found in the index when everything is in it that the files tell now."""
        with self._lock:
            try:
                with closing(self._open()) as db:
                    self._catch_up(db, archived=archived)
                    return look(db)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
                    raise RolloutError(
                        f"the search index {self._path} cannot be used ({error}); threads are "
                        "still listed and read without it"
                    ) from error
                # What cannot be read is made anew; it holds nothing that the files do not.
                self._remove()
                with closing(self._open()) as db:
                    self._catch_up(db, archived=archived)
                    return look(db)

    def _open(self) -> sqlite3.Connection:
        with reporting("open", self._path):
            make_folder(self._path.parent)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = OFF")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version != _VERSION:
                with db:
                    db.execute("BEGIN IMMEDIATE")
                    for name in ("files", "messages"):
                        db.execute(f"DROP TABLE IF EXISTS {name}")
                    for statement in _SCHEMA.strip().split(";\n"):
                        db.execute(statement)
        except BaseException:
            db.close()
            raise
        return db

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                Path(f"{self._path}{suffix}").unlink()

    def _catch_up(self, db: sqlite3.Connection, *, archived: bool) -> None:
        known = {
            row[0]: row[1:]
            for row in db.execute(
                "SELECT path, inode, size FROM files WHERE archived = ?", (int(archived),)
            )
        }
        for thread_id, path in self._folders.rollouts(archived=archived):
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            inode, size = known.pop(str(path), (None, 0))
            if inode == state.st_ino and size == state.st_size:
                continue
            start = size if inode == state.st_ino and size < state.st_size else 0
            # One that is deleted meanwhile is taken out the next time.
            with suppress(FileNotFoundError), db:
                db.execute("BEGIN IMMEDIATE")
                read_to = self._take(db, thread_id, path, start, archived=archived)
                db.execute(
                    "REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                    (str(path), thread_id, int(archived), state.st_ino, read_to),
                )
        with db:
            for gone in known:
                _forget(db, Path(gone))
                db.execute("DELETE FROM files WHERE path = ?", (gone,))

    def _take(
        self, db: sqlite3.Connection, thread_id: ThreadId, path: Path, start: int, *, archived: bool
    ) -> int:
        """Take in what a file tells from ``start`` on; return how far it was read."""
        if start == 0:
            _forget(db, path)
        rows: list[tuple[str, str, str, str]] = []
        with path.open("rb") as file:
            file.seek(start)
            for line in read_lines(file):
                if not line.is_whole:
                    break
                start = line.end
                content = line.content or b""
                record = decode_line(content) if any(w in content for w in _WANTED) else None
                if record is None:
                    continue
                if record.payload.get("type") in _READ_WHOLE:
                    _forget(db, path)
                    reading = read_thread(path, thread_id, archived=archived)
                    _add(db, path, _of_turns(reading.thread.turns, reading.thread.name))
                    return max(start, reading.good_end)
                rows += _of_record(record)
        _add(db, path, rows)
        return start


Row = tuple[str, str, str, str]


def fts_query(term: str) -> str:
    """Return a query that any text a person types makes: all words, the last one as a beginning."""
    words = ['"{}"'.format(word.replace('"', '""')) for word in term.split()]
    return f"{' '.join(words)}*" if words else '""'


def _condition(term: str) -> tuple[str, str]:
    """Return how to look for a term, and its value.

    The tokenizer knows words of letters and digits between spaces: for scripts without spaces, and
    for signs, the text itself is looked through.
    """
    if term.isascii() and any(character.isalnum() for character in term):
        return "messages MATCH ?", fts_query(term)
    escaped = term.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return "content LIKE ? ESCAPE '\\'", f"%{escaped}%"


def _snippet(where: str) -> str:
    if "MATCH" in where:
        return f"snippet(messages, 0, '', '', '…', {_SNIPPET_WORDS})"
    return "substr(content, 1, 200)"


def _rank(where: str) -> str:
    return "rank" if "MATCH" in where else "-messages.rowid"


def _found(row: Sequence[Any]) -> Found:
    snippet = " ".join(str(row[4]).split())[:200]
    return Found(ThreadId(row[0]), Path(row[1]), row[2], row[3], snippet)


def _forget(db: sqlite3.Connection, path: Path) -> None:
    db.execute("DELETE FROM messages WHERE path = ?", (str(path),))


def _add(db: sqlite3.Connection, path: Path, rows: Sequence[Row]) -> None:
    for text, turn_id, item_id, kind in rows:
        if kind == "name":
            db.execute("DELETE FROM messages WHERE path = ? AND item_id = ''", (str(path),))
        db.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?)",
            (text[:_MAX_MESSAGE_CHARS], str(path), turn_id, item_id),
        )


def _of_record(record: Record) -> Iterator[Row]:
    payload = record.payload
    kind = payload.get("type")
    if record.type != "event_msg":
        return
    if kind == "thread_name_updated":
        yield str(payload.get("thread_name") or ""), "", "", "name"
        return
    item: object = payload.get("item")
    if kind != "item_completed" or not isinstance(item, dict):
        return
    known = wire_item(cast("dict[str, Any]", item))
    if known is not None and known["type"] in _SHOWN:
        yield _text(known), str(payload.get("turn_id") or ""), str(known["id"]), "message"


def _of_turns(turns: Sequence[dict[str, Any]], name: str | None) -> list[Row]:
    rows = [
        (_text(item), str(turn["id"]), str(item["id"]), "message")
        for turn in map(unpacked, turns)
        for item in turn["items"]
        if item["type"] in _SHOWN
    ]
    return [*rows, (name, "", "", "name")] if name else rows


def _text(item: dict[str, Any]) -> str:
    if item["type"] == "agentMessage":
        return str(item.get("text") or "")
    parts = cast("list[dict[str, Any]]", item.get("content") or [])
    return "\n".join(str(part.get("text") or "") for part in parts)
