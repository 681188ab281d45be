"""The threads that a turn started, as its view shows them: what is told in, changed rows out.

Pure: no clock, no I/O. Deltas of delegates are ignored: a row says what a delegate does, not
what it writes, so that a hundred of them cost the page of their parent little.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias, TypedDict

from codex_jupyter.view.clean_json import clean
from codex_jupyter.view.snapshot_size import clip
from codex_jupyter.view.turn_words import command_text, quiet_words, tool_label, user_text

__all__ = ["MAX_DELEGATES", "Delegate", "DelegateRows", "short_name"]

Json = dict[str, Any]

MAX_DELEGATES: Final = 1_000
"""Rows of one turn; nobody reads more, and a page must hold them all."""

_MAX_COUNTED: Final = 10_000
"""Delegates beyond the rows that are told apart, to say how many are not shown."""

_TASK_CHARS: Final = 2_000
_MESSAGE_CHARS: Final = 20_000
_ACTIVITY_CHARS: Final = 120
_NAME_CHARS: Final = 8
"""Of its id, for a delegate without a nickname."""

_ID_CHARS: Final = 64
"""A model may name what is no thread; longer than any spelling of an id is surely none."""

Status: TypeAlias = Literal["waiting", "running", "completed", "interrupted", "failed", "closed"]

WaitsOn: TypeAlias = Literal["approval", "answer"]

_FLAGS: Final[dict[str, WaitsOn]] = {
    "waitingOnApproval": "approval",
    "waitingOnUserInput": "answer",
}
"""Flag of an active thread -> what its row says; the first that is set counts."""

_STATUSES: Final[dict[str, Status]] = {
    "pendingInit": "waiting",
    "running": "running",
    "completed": "completed",
    "interrupted": "interrupted",
    "errored": "failed",
    "shutdown": "closed",
}
"""Of an agent in a `collabAgentToolCall` -> of its row; ``notFound`` says nothing about a row."""

_OPEN: Final = frozenset({"waiting", "running"})


class Delegate(TypedDict):
    """One row: a thread that works for the turn, or for one of its delegates."""

    threadId: str
    turnId: str | None
    parentThreadId: str | None
    name: str
    role: str | None
    task: str
    status: Status
    activity: str | None
    """A few words on what it does now."""
    waitsOn: WaitsOn | None
    """What it wants of a person before it goes on."""
    message: str | None
    """Its final text, or why it failed."""
    tokens: int | None
    """Of its own responses, in and out."""
    startedAtMs: int | None
    durationMs: int | None


class DelegateRows:
    """The delegates of one turn, in order of appearance; not thread-safe.

    Args:
        thread_id: Whose turn it is.
    """

    def __init__(self, thread_id: str) -> None:
        self._thread_id = thread_id
        self._rows: dict[str, Delegate] = {}
        self._unshown: set[str] = set()
        self._heard: set[str] = set()
        """Delegates whose own notifications arrive; what a tool call says of them is older."""

    @property
    def unshown(self) -> int:
        """How many delegates have no row, for there are `MAX_DELEGATES` already."""
        return len(self._unshown)

    def get(self, thread_id: str) -> Delegate | None:
        """Return the row of a thread; a copy."""
        row = self._rows.get(thread_id)
        return None if row is None else row.copy()

    def hear(self, method: str, params: Json, *, may_begin: bool) -> list[Delegate]:
        """Take a notification of another thread or turn; return the rows that changed.

        Args:
            method: Its method.
            params: Its params.
            may_begin: Whether a thread that starts can still belong to the turn.
        """
        if method == "thread/started":
            return self._begun(params["thread"]) if may_begin else []
        row = self._rows.get(params.get("threadId") or "")
        if row is None:
            return []
        if method in {"turn/started", "turn/completed", "thread/closed"}:
            self._heard.add(row["threadId"])
        return self._changed(row, _told(row, method, params))

    def see(self, item: Json, *, done: bool) -> list[Delegate]:
        """Take a `collabAgentToolCall` of the turn itself; return the rows that changed."""
        agents = {agent["threadId"]: agent for agent in item.get("agents") or ()}
        states: dict[str, Json] = item.get("agentsStates") or {}
        rows: list[Delegate] = []
        for thread_id in dict.fromkeys([*(item.get("receiverThreadIds") or ()), *agents, *states]):
            state, agent = states.get(thread_id) or {}, agents.get(thread_id) or {}
            row = self._rows.get(thread_id) or self._added(thread_id, item, state, agent)
            if row is None:
                continue
            told = self._told_by_call(row, item, state if done else {}, agent)
            is_new = row["threadId"] not in self._rows
            rows += self._changed(row, told, is_new=is_new)
        return rows

    def _begun(self, thread: Json) -> list[Delegate]:
        thread_id, parent = thread["id"], thread.get("parentThreadId")
        is_ours = parent == self._thread_id or parent in self._rows or parent in self._unshown
        if thread_id == self._thread_id or not is_ours:
            return []
        named = _named(thread.get("agentNickname"), thread.get("agentRole"))
        named["waitsOn"] = _waits_on(thread.get("status"))
        if (known := self._rows.get(thread_id)) is not None:
            # It was closed, and opened again.
            again: Json = {"status": "waiting"} if known["status"] == "closed" else {}
            return self._changed(known, {**named, **again, "parentThreadId": parent})
        row = self._room_for(thread_id, parent)
        if row is None:
            return []
        task = clip(clean(thread.get("preview") or ""), _TASK_CHARS)
        return self._changed(row, {**named, "task": task}, is_new=True)

    def _added(self, thread_id: str, item: Json, state: Json, agent: Json) -> Delegate | None:
        """Return a new row for a receiver of a call, if that can be a thread."""
        is_named = bool(agent) or (bool(state) and state.get("status") != "notFound")
        may_be = item.get("status") != "failed" and state.get("status") != "notFound"
        if not (is_named or (may_be and len(thread_id) <= _ID_CHARS)):
            return None
        if thread_id == self._thread_id:
            return None
        return self._room_for(thread_id, item.get("senderThreadId"))

    def _room_for(self, thread_id: str, parent: str | None) -> Delegate | None:
        if len(self._rows) < MAX_DELEGATES:
            return _new_row(thread_id, parent)
        if len(self._unshown) < _MAX_COUNTED:
            self._unshown.add(thread_id)
        return None

    def _told_by_call(self, row: Delegate, item: Json, state: Json, agent: Json) -> Json:
        told = _named(agent.get("nickname"), agent.get("role"))
        if item.get("tool") == "spawnAgent" and not row["task"]:
            told["task"] = clip(clean(item.get("prompt") or ""), _TASK_CHARS)
        knows_better = row["threadId"] in self._heard
        if item.get("status") == "failed" and not state and not knows_better and _is_a_guess(row):
            return {**told, "status": "failed", "message": "There is no such agent."}
        known = {"turnId": agent.get("turnId"), "message": state.get("message")}
        known |= {name: agent.get(name) for name in ("tokens", "durationMs")} if state else {}
        for name, value in known.items():
            if value is not None and (not knows_better or row[name] is None):
                told[name] = _message(value) if name == "message" else value
        status = _STATUSES.get(state.get("status") or "")
        if knows_better or status is None or (status == "closed" and row["status"] not in _OPEN):
            return told
        return {**told, "status": status} | ({} if status in _OPEN else {"activity": None})

    def _changed(self, row: Delegate, told: Json, *, is_new: bool = False) -> list[Delegate]:
        changed: Any = {**row, **told} if told or is_new else row
        if changed == row and not is_new:
            return []
        self._rows[row["threadId"]] = changed
        return [changed.copy()]


def short_name(thread_id: str) -> str:
    """Return what a delegate without a nickname is called."""
    return thread_id[:_NAME_CHARS]


def _new_row(thread_id: str, parent: str | None) -> Delegate:
    return {
        "threadId": thread_id,
        "turnId": None,
        "parentThreadId": parent,
        "name": short_name(thread_id),
        "role": None,
        "task": "",
        "status": "waiting",
        "activity": None,
        "waitsOn": None,
        "message": None,
        "tokens": None,
        "startedAtMs": None,
        "durationMs": None,
    }


def _is_a_guess(row: Delegate) -> bool:
    """Whether only the model has named this thread, in the arguments of a call."""
    is_untouched = row["status"] == "waiting" and row["turnId"] is None
    return is_untouched and row["name"] == short_name(row["threadId"])


def _named(nickname: str | None, role: str | None) -> Json:
    told = {"name": nickname, "role": role}
    return {name: clean(value) for name, value in told.items() if value}


def _told(row: Delegate, method: str, params: Json) -> Json:
    """Return the members of a row that a notification of its thread changes."""
    match method:
        case "turn/started" | "turn/completed":
            return _turn(row, params["turn"], has_begun=method == "turn/started")
        case "item/started":
            activity = _activity(params["item"])
            return {} if activity is None else {"activity": activity}
        case "item/completed":
            return _item(row, params["item"])
        case "thread/status/changed":
            return {"waitsOn": _waits_on(params["status"])}
        case "thread/tokenUsage/updated" if params["tokenUsage"].get("delegated") is None:
            last = params["tokenUsage"]["last"]
            used = (last.get("inputTokens") or 0) + (last.get("outputTokens") or 0)
            return {"tokens": (row["tokens"] or 0) + used}
        case "error" if not params.get("willRetry"):
            return {"message": _message(params["error"].get("message") or "")}
        case "thread/closed":
            status = "closed" if row["status"] in _OPEN else row["status"]
            return {"status": status, "activity": None, "waitsOn": None}
        case _:
            return {}


def _turn(row: Delegate, turn: Json, *, has_begun: bool) -> Json:
    if has_begun:
        started = turn.get("startedAt")
        return {
            "status": "running",
            "turnId": turn["id"],
            "startedAtMs": None if started is None else started * 1000,
            "durationMs": None,
            "activity": None,
            "message": None,
        }
    message = row["message"]
    if turn["status"] == "failed" and turn.get("error"):
        message = _message(turn["error"].get("message") or "")
    return {
        "status": turn["status"],
        "turnId": turn["id"],
        "durationMs": turn.get("durationMs"),
        "activity": None,
        "waitsOn": None,
        "message": message,
    }


def _waits_on(status: Json | None) -> WaitsOn | None:
    flags = (status or {}).get("activeFlags") or ()
    return next((words for flag, words in _FLAGS.items() if flag in flags), None)


def _item(row: Delegate, item: Json) -> Json:
    match item["type"]:
        case "userMessage" if not row["task"]:
            return {"task": clip(clean(user_text(item)), _TASK_CHARS)}
        case "agentMessage" if item.get("text"):
            return {"message": _message(item["text"])}
        case _:
            return {}


def _activity(item: Json) -> str | None:
    """Say in a few words what a delegate does; its prompt is nothing it does."""
    match item["type"]:
        case "userMessage":
            return None
        case "commandExecution":
            words = f"$ {command_text(item)}"
        case "fileChange":
            words = f"Patching {', '.join(_paths(item))}"
        case "agentMessage":
            words = "Writing"
        case "reasoning":
            words = "Thinking"
        case "mcpToolCall" | "dynamicToolCall":
            words = tool_label(item)
        case "collabAgentToolCall":
            words = "Working with agents"
        case _:
            words = quiet_words(item)
    line = " ".join(clean(words).split())
    return line if len(line) <= _ACTIVITY_CHARS else f"{line[: _ACTIVITY_CHARS - 1]}…"


def _paths(item: Json) -> Iterator[str]:
    return (str(change.get("path") or "a file") for change in item.get("changes") or ())


def _message(text: str) -> str:
    return clip(clean(text), _MESSAGE_CHARS)
