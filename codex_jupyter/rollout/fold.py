"""From records to a thread: turns for people, history for the model. Pure; no file is touched."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.git_info import git_info_of
from codex_jupyter.rollout.legacy import item_of_event, turn_error, wire_item
from codex_jupyter.rollout.packed import PACKED, pack, unpacked
from codex_jupyter.rollout.records import Record, epoch_of

__all__ = ["Fold", "NeedsEverythingError", "StoredThread", "user_text"]

TurnStatus = Literal["completed", "interrupted", "failed"]

_STARTS: Final = ("task_started", "turn_started")
_ENDS: Final[dict[str, TurnStatus]] = {
    "task_complete": "completed",
    "turn_complete": "completed",
    "turn_aborted": "interrupted",
    "turn_failed": "failed",
}
_EXTRAS: Final = ("plan", "diff", "usage")
_SPOKEN: Final = ("userMessage", "UserMessage")
_NOT_FROM_USER: Final = (
    "<environment_context>",
    "<turn_aborted>",
    "<context_summary>",
    "<undone>",
    "<subagent_notification>",
    "<user_shell_command>",
    "<user_instructions>",
    "<skill>",
    "# agents.md instructions",
)
"""How user messages begin that the engine wrote; compared in lower case."""


@dataclass(frozen=True, slots=True)
class StoredThread:
    """A thread as its rollout tells it.

    Attributes:
        thread_id: The id the rollout was asked for by.
        meta: Payload of the first ``session_meta``; empty if that line was lost.
        path: The rollout.
        created_at: Unix seconds.
        updated_at: Unix seconds of the last change of the file.
        preview: Text of the first user message, or empty.
        name: The last name it was given, or ``None``.
        history: Response items for the model; without rolled-back turns, compacted as recorded.
        turns: ``Turn`` objects as the wire has them, oldest first, without rolled-back ones.
            ``startedAt`` and ``completedAt`` are Unix seconds. A turn whose end was never
            written is ``interrupted``.
        used_turn_ids: Every turn id any record ever named, rolled-back turns included.
        last_turn_context: Payload of the last ``turn_context`` that was not rolled back.
        token_usage: ``info`` of the last ``token_count`` that has one.
        archived: Whether the rollout is in the archive.
        skipped_lines: Lines that could not be read; for diagnostics.
        git_info: ``sha``, ``branch`` and ``originUrl`` as they were last given, or ``None``.
    """

    thread_id: ThreadId
    meta: dict[str, Any]
    path: Path
    created_at: float
    updated_at: float
    preview: str
    name: str | None
    history: list[dict[str, Any]]
    turns: list[dict[str, Any]]
    used_turn_ids: frozenset[str]
    last_turn_context: dict[str, Any] | None
    token_usage: dict[str, Any] | None
    archived: bool
    skipped_lines: int = 0
    git_info: dict[str, Any] | None = None


@dataclass(slots=True, eq=False)
class _Mark:
    """Where a turn began, so that rolling it back restores what was before."""

    epoch: int
    length: int
    context: dict[str, Any] | None


@dataclass(slots=True, eq=False)
class _Turn:
    id: str
    mark: _Mark
    is_explicit: bool
    """Begun by a record of its own; turns of old files begin with their user message."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    legacy_ids: set[str] = field(default_factory=set[str])
    status: TurnStatus | None = None
    error: dict[str, Any] | None = None
    started_at: int | None = None
    completed_at: int | None = None
    duration_ms: int | None = None
    extras: dict[str, Any] = field(default_factory=dict[str, Any])

    packed: bytes | None = None
    spoken: bool = False

    def has_user_message(self) -> bool:
        return self.spoken or any(i.get("type") == "userMessage" for i in self.items.values())

    def pack(self) -> None:
        """Keep the items small; half a surrogate pair, which no packing takes, keeps them big."""
        self.spoken = self.has_user_message()
        with suppress(ValueError):
            self.packed = pack(self._wire_items())
            self.items.clear()

    def unpack(self) -> None:
        """Have the items at hand again, because one more came."""
        if self.packed is not None:
            items = unpacked({PACKED: self.packed})["items"]
            self.packed = None
            self.items = {item["id"]: item for item in items} | self.items

    def wire(self) -> dict[str, Any]:
        """The turn as the protocol shows it, its items packed if they are old."""
        status = self.status or ("interrupted" if self.is_explicit else "completed")
        return {
            **self.extras,
            "id": self.id,
            **({"items": self._wire_items()} if self.packed is None else {PACKED: self.packed}),
            "status": status,
            "error": self.error if status == "failed" else None,
            "startedAt": self.started_at,
            "completedAt": self.completed_at,
            "durationMs": self.duration_ms,
        }

    def _wire_items(self) -> list[dict[str, Any]]:
        """Return the items; what was also stored as an event counts once."""
        native = {
            item.get("type") for id_, item in self.items.items() if id_ not in self.legacy_ids
        }
        return [
            item
            for id_, item in self.items.items()
            if id_ not in self.legacy_ids or item.get("type") not in native
        ]


class NeedsEverythingError(Exception):
    """Turns were taken back past a compaction whose older history was not kept."""


class Fold:
    """Takes the records of one rollout in order, each once, and then tells the thread.

    Attributes:
        is_past: Set while the records come from before the last compaction: history from there
            is not kept, and turns are kept packed. Only taking turns back past that compaction
            would need more.
    """

    def __init__(self) -> None:
        self.is_past = False
        self._dropped = 0
        self.meta: dict[str, Any] = {}
        self.first_timestamp = ""
        self._preview: str | None = None
        self._name: str | None = None
        self._git_info: dict[str, Any] | None = None
        # One list of response items per compaction, so that rolling back past one restores it.
        self._epochs: list[list[dict[str, Any]]] = [[]]
        self._turns: dict[str, _Turn] = {}
        self._current: _Turn | None = None
        self.begun_turns: list[str] = []
        """Ids of all turns in the order in which they began, rolled-back ones included."""

        self._item_count = 0
        self._used_turn_ids: set[str] = set()
        self._context: dict[str, Any] | None = None
        self._token_usage: dict[str, Any] | None = None

    @property
    def has_preview(self) -> bool:
        """Whether the first words of the user are known."""
        return bool(self._preview)

    @property
    def turn_ids(self) -> Sequence[str]:
        """Ids of the turns so far that were not rolled back, oldest first."""
        return tuple(self._turns)

    def add(self, record: Record) -> None:
        """Take the next record. One of an unknown type, or with odd fields, changes nothing."""
        self.first_timestamp = self.first_timestamp or record.timestamp
        if not self._preview:
            self._preview = user_text(record) or self._preview
        payload = record.payload
        match record.type:
            case "session_meta":
                if not self.meta:
                    self.meta, self._git_info = payload, git_info_of(payload)
            case "response_item":
                if not self.is_past:
                    self._epochs[-1].append(payload)
            case "compacted":
                self._epochs.append(_compacted(self._epochs[-1], payload))
                if self.is_past:
                    self._dropped = len(self._epochs) - 1
            case "turn_context":
                self._take_context(payload)
            case "event_msg":
                self._take_event(payload, record.timestamp)
            case _:
                pass

    def thread(
        self,
        thread_id: ThreadId,
        path: Path,
        *,
        updated_at: float,
        archived: bool,
        skipped_lines: int = 0,
    ) -> StoredThread:
        """Return the thread as the records so far tell it."""
        created_at = epoch_of(self.meta.get("timestamp")) or epoch_of(self.first_timestamp)
        return StoredThread(
            thread_id=thread_id,
            meta=self.meta,
            path=path,
            created_at=created_at or updated_at,
            updated_at=updated_at,
            preview=self._preview or "",
            name=self._name,
            git_info=self._git_info,
            history=self._epochs[-1],
            turns=[turn.wire() for turn in self._turns.values()],
            used_turn_ids=frozenset(self._used_turn_ids),
            last_turn_context=self._context,
            token_usage=self._token_usage,
            archived=archived,
            skipped_lines=skipped_lines,
        )

    def _take_context(self, payload: dict[str, Any]) -> None:
        turn_id = self._named_turn(payload)
        if turn_id is not None and turn_id not in self._turns:
            self._name_or_begin(turn_id)
        self._context = payload

    def _name_or_begin(self, turn_id: str) -> None:
        current = self._current
        if current is None or current.id in self._used_turn_ids:
            self._begin(turn_id, is_explicit=True)
            return
        # Old files begin a turn without its id, which its settings then tell.
        del self._turns[current.id]
        self.begun_turns[-1] = current.id = turn_id
        self._turns[turn_id] = current

    def _named_turn(self, payload: dict[str, Any]) -> str | None:
        turn_id = _text(payload, "turn_id")
        if turn_id is not None:
            self._used_turn_ids.add(turn_id)
        return turn_id

    def _take_event(self, payload: dict[str, Any], timestamp: str) -> None:
        kind = payload.get("type")
        if kind in _STARTS:
            self._start_turn(payload, timestamp)
        elif kind in _ENDS:
            self._end_turn(payload, _ENDS[cast("str", kind)], timestamp)
        elif kind == "item_completed":
            self._complete_item(payload)
        elif kind == "thread_rolled_back":
            self._roll_back(payload)
        elif kind == "thread_name_updated":
            self._name = _text(payload, "thread_name")
        elif kind == "thread_git_updated":
            self._git_info = git_info_of(payload)
        elif kind == "token_count":
            info = payload.get("info")
            self._token_usage = info if isinstance(info, dict) else self._token_usage
        elif kind == "error":
            if (turn := self._current) is not None:
                turn.error = turn_error(payload)
        else:
            self._take_legacy_item(payload)

    def _start_turn(self, payload: dict[str, Any], timestamp: str) -> None:
        turn_id = self._named_turn(payload)
        turn = self._turns.get(turn_id or "") or self._begin(turn_id, is_explicit=True)
        self._current = turn
        turn.started_at = _seconds(payload, "started_at", timestamp)

    def _end_turn(self, payload: dict[str, Any], status: TurnStatus, timestamp: str) -> None:
        turn_id = self._named_turn(payload)
        turn = self._current if turn_id is None else self._turns.get(turn_id)
        if turn is None:
            return
        if turn is self._current:
            self._current = None
        error = payload.get("error")
        if isinstance(error, dict):
            turn.error = cast("dict[str, Any]", error)
        elif status == "completed" and turn.error is not None:
            status = "failed"
        turn.status = status
        if self.is_past:
            turn.pack()
        turn.completed_at = _seconds(payload, "completed_at", timestamp)
        turn.duration_ms = _whole(payload, "duration_ms")
        extras = payload.get("extras")
        if isinstance(extras, dict):
            turn.extras = {
                name: value
                for name, value in cast("dict[str, Any]", extras).items()
                if name in _EXTRAS
            }

    def _complete_item(self, payload: dict[str, Any]) -> None:
        item: object = payload.get("item")
        if not isinstance(item, dict):
            return
        known = wire_item(cast("dict[str, Any]", item))
        turn_id = _text(payload, "turn_id")
        if known is None or turn_id is None:
            return
        turn = self._turns.get(turn_id)
        if turn is None and turn_id in self.begun_turns:
            # A command outlived its turn, which was taken back meanwhile.
            return
        turn = turn or self._begin(turn_id, is_explicit=True)
        turn.unpack()
        turn.items[known["id"]] = known

    def _take_legacy_item(self, payload: dict[str, Any]) -> None:
        item = item_of_event(payload, f"item-{self._item_count + 1}")
        if item is None:
            return
        self._item_count += 1
        if item["type"] == "userMessage" and (
            self._current is None or not self._current.is_explicit
        ):
            self._begin(None, is_explicit=False)
        turn = self._current or next(reversed(self._turns.values()), None)
        turn = turn or self._begin(None, is_explicit=False)
        turn.items[item["id"]] = item
        turn.legacy_ids.add(item["id"])

    def _begin(self, turn_id: str | None, *, is_explicit: bool) -> _Turn:
        history = self._epochs[-1]
        length = len(history)
        # In old files the user's message stands before the event that tells of it.
        if not is_explicit and history and history[-1].get("role") == "user":
            length -= 1
        mark = _Mark(len(self._epochs) - 1, length, self._context)
        turn = _Turn(turn_id or f"rollout-{len(self.begun_turns) + 1}", mark, is_explicit)
        self.begun_turns.append(turn.id)
        self._turns[turn.id] = turn
        self._current = turn
        return turn

    def _roll_back(self, payload: dict[str, Any]) -> None:
        turns = list(self._turns.values())
        first = self._first_rolled_back(turns, payload)
        if first is None:
            return
        mark = turns[first].mark
        if mark.epoch < self._dropped:
            raise NeedsEverythingError
        self._turns = {turn.id: turn for turn in turns[:first]}
        del self._epochs[mark.epoch + 1 :]
        del self._epochs[mark.epoch][mark.length :]
        self._context = mark.context
        self._current = None

    def _first_rolled_back(self, turns: Sequence[_Turn], payload: dict[str, Any]) -> int | None:
        """Return the place of the first turn that goes. Ours is named; theirs are counted."""
        named = _text(payload, "before_turn_id")
        if named is not None:
            return next((place for place, turn in enumerate(turns) if turn.id == named), None)
        count: object = payload.get("num_turns")
        if not isinstance(count, int) or count < 1 or not turns:
            return None
        spoken = [place for place, turn in enumerate(turns) if turn.has_user_message()]
        return spoken[-count] if count <= len(spoken) else 0


def user_text(record: Record) -> str | None:
    """Return what the user wrote in a record, or ``None`` if it holds no message of the user."""
    payload = record.payload
    if record.type == "event_msg" and payload.get("type") == "user_message":
        return _text(payload, "message")
    if record.type == "event_msg" and payload.get("type") == "item_completed":
        item: object = payload.get("item")
        if isinstance(item, dict) and cast("dict[str, Any]", item).get("type") in _SPOKEN:
            return _joined_text(cast("dict[str, Any]", item), "text")
    if record.type == "response_item" and payload.get("role") == "user":
        text = _joined_text(payload, "input_text")
        is_ours = text.lstrip().lower().startswith(_NOT_FROM_USER)
        return None if is_ours else text
    return None


def _compacted(history: list[dict[str, Any]], payload: dict[str, Any]) -> list[dict[str, Any]]:
    replacement: object = payload.get("replacement_history")
    if isinstance(replacement, list):
        items = cast("list[Any]", replacement)
        return [cast("dict[str, Any]", item) for item in items if isinstance(item, dict)]
    kept = [item for item in history if user_text(Record("response_item", item)) is not None]
    text = _text(payload, "message") or ""
    content = [{"type": "input_text", "text": text}]
    return [*kept, {"type": "message", "role": "user", "content": content}]


def _joined_text(message: dict[str, Any], kind: str) -> str:
    parts: object = message.get("content")
    if not isinstance(parts, list):
        return ""
    dicts = [
        cast("dict[str, Any]", part) for part in cast("list[Any]", parts) if isinstance(part, dict)
    ]
    texts = [part.get("text") for part in dicts if part.get("type") == kind]
    return "\n".join([text for text in texts if isinstance(text, str)])


def _text(payload: dict[str, Any], key: str) -> str | None:
    value = payload.get(key)
    return value if isinstance(value, str) else None


def _whole(payload: dict[str, Any], key: str) -> int | None:
    value = payload.get(key)
    return int(value) if isinstance(value, (int, float)) else None


def _seconds(payload: dict[str, Any], key: str, timestamp: str) -> int | None:
    """Unix seconds of a moment: ours in milliseconds, theirs in seconds, else when written."""
    milliseconds = _whole(payload, f"{key}_ms")
    if milliseconds is not None:
        return milliseconds // 1000
    seconds = _whole(payload, key)
    if seconds is not None:
        return seconds
    written = epoch_of(timestamp)
    return None if written is None else int(written)
