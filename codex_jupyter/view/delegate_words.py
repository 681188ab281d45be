"""The words for delegates, shared by the static forms. Mirrors parts of ``static/delegates.js``."""

import re
from collections.abc import Mapping
from typing import Any, Final

from codex_jupyter.view.amounts import duration, tokens
from codex_jupyter.view.terminal_text import visible

__all__ = [
    "DELEGATE_MARKS",
    "agent_name",
    "agent_words",
    "asked_by",
    "delegate_depths",
    "delegate_facts",
    "delegate_line",
    "delegates_head",
    "delegates_of",
    "is_told_by_row",
    "with_agents",
]

Item = dict[str, Any]
Row = dict[str, Any]

DELEGATE_MARKS: Final = {
    "waiting": "○",
    "running": "●",
    "completed": "✓",
    "interrupted": "■",
    "failed": "✗",
    "closed": "□",
}
_OPEN: Final = frozenset({"waiting", "running"})
_ENDS: Final = {
    "waiting": "had not begun",
    "running": "was still at work",
    "interrupted": "stopped",
    "failed": "failed",
    "closed": "closed",
}
_WAITS: Final = {"approval": "Waits for your approval", "answer": "Waits for your answer"}
_LINE_CHARS: Final = 160
_MARKUP: Final = re.compile(r"^(?:#+|>|[-*])\s+|\*\*|`")


def agent_name(name: str, role: str | None) -> str:
    """Name a delegate: ``Ada (explorer)``."""
    return visible(f"{name} ({role})" if role else name)


def asked_by(request: dict[str, Any]) -> str:
    """Say whose question it is; nothing for a question of the turn itself."""
    asking = request.get("delegate")
    return f"Asked by {agent_name(asking['name'], asking['role'])}" if asking else ""


def delegates_of(snapshot: dict[str, Any]) -> list[Row]:
    """Return the rows of a snapshot; one that an older version made has none."""
    return snapshot.get("delegates") or []


def delegates_head(rows: list[Row]) -> str:
    """Say how many delegates are done, failed and stopped, and what they used together."""
    counted = {status: sum(row["status"] == status for row in rows) for status in DELEGATE_MARKS}
    stopped = counted["interrupted"] + counted["closed"]
    used = sum(row["tokens"] or 0 for row in rows)
    facts = (
        f"{counted['completed']} of {len(rows)} done",
        f"{counted['failed']} failed" if counted["failed"] else "",
        f"{stopped} stopped" if stopped else "",
        tokens(used) if used else "",
    )
    return " · ".join(fact for fact in facts if fact)


def delegate_facts(row: Row, *, live: bool = False) -> str:
    """Say how many tokens a delegate used, how long it took, and how it ended.

    Of a turn that runs, what it has not ended is still being done.
    """
    facts = (
        "" if row["tokens"] is None else tokens(row["tokens"]),
        "" if row["durationMs"] is None else duration(row["durationMs"]),
        "" if live and row["status"] in _OPEN else _ENDS.get(row["status"], ""),
    )
    return " · ".join(fact for fact in facts if fact)


def delegate_line(row: Row, *, live: bool = False) -> str:
    """Return one line on what a delegate does, or what came of it.

    In a turn that runs it begins with what it waits for, if it waits for a person.
    """
    is_open = row["status"] in _OPEN
    text = (row["activity"] if is_open else row["message"]) or row["task"]
    lines = (_MARKUP.sub("", line.strip()) for line in visible(text).split("\n"))
    words = next((line for line in lines if line), "")
    if live and is_open and row.get("waitsOn"):
        words = " · ".join(part for part in (_WAITS[row["waitsOn"]], words) if part)
    return words if len(words) <= _LINE_CHARS else f"{words[: _LINE_CHARS - 1]}…"


def delegate_depths(rows: list[Row]) -> list[tuple[Row, int]]:
    """Return the rows as a tree is written, each with its depth: below its parent, in order."""
    known = {row["threadId"] for row in rows}
    children: dict[str | None, list[Row]] = {}
    for row in rows:
        parent = row["parentThreadId"]
        children.setdefault(parent if parent in known else None, []).append(row)
    placed: list[tuple[Row, int]] = []
    waiting = [(row, 0) for row in reversed(children.pop(None, []))]
    while waiting:
        row, depth = waiting.pop()
        placed.append((row, depth))
        below = children.pop(row["threadId"], [])
        waiting += [(child, depth + 1) for child in reversed(below)]
    # What is its own ancestor hangs from nothing.
    return placed + [(row, 0) for rest in children.values() for row in rest]


def is_told_by_row(item: Item, rows: Mapping[str, Row]) -> bool:
    """Whether a call only started agents that have rows."""
    ids = item.get("receiverThreadIds") or ()
    return item.get("tool") == "spawnAgent" and bool(ids) and all(one in rows for one in ids)


def with_agents(item: Item, rows: Mapping[str, Row]) -> Item:
    """Return a call with the names of its agents, taken from their rows if it does not say."""
    said = {agent["threadId"] for agent in item.get("agents") or ()}
    missing = [rows[one] for one in item.get("receiverThreadIds") or () if one in rows]
    added = [
        {"threadId": row["threadId"], "nickname": row["name"], "role": row["role"]}
        for row in missing
        if row["threadId"] not in said
    ]
    return {**item, "agents": [*(item.get("agents") or ()), *added]}


def agent_words(item: Item) -> str:
    """Say what a call to agents did, as a sentence. Mirrored in ``static/agent_words.js``."""
    names = _agent_names(item)
    who = ", ".join(names) or "an agent"
    prompt = " ".join((item.get("prompt") or "").split())
    failed = item.get("status") == "failed"
    match item.get("tool"):
        case "spawnAgent" if failed:
            words = f"Could not start an agent: {prompt}"
        case "spawnAgent" if not names:
            words = f"Starting an agent: {prompt}"
        case "spawnAgent":
            words = f"Started {who}"
        case "sendInput":
            words = f"Told {who}: {prompt}"
        case "wait":
            words = f"{'Waiting' if item.get('status') == 'inProgress' else 'Waited'} for {who}"
        case "closeAgent":
            words = f"Closed {who}"
        case "resumeAgent":
            words = f"Opened {who} again"
        case tool:
            words = f"{tool or 'Something'} with {who}"
    ending = " — failed" if failed and item.get("tool") != "spawnAgent" else ""
    return (words if len(words) <= _LINE_CHARS else f"{words[: _LINE_CHARS - 1]}…") + ending


def _agent_names(item: Item) -> list[str]:
    agents = {agent["threadId"]: agent for agent in item.get("agents") or ()}
    ids = dict.fromkeys([*(item.get("receiverThreadIds") or ()), *agents])
    spawned = item.get("tool") == "spawnAgent"
    return [_agent_named(thread_id, agents.get(thread_id) or {}, spawned) for thread_id in ids]


def _agent_named(thread_id: str, agent: dict[str, Any], spawned: bool) -> str:
    name = agent.get("nickname") or thread_id[:8]
    return agent_name(name, agent.get("role") if spawned else None)
