"""How a turn is written down, on the wire and on disk: pure translations."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from codex_jupyter._version import __version__
from codex_jupyter.core.config import SessionConfig
from codex_jupyter.core.instructions import TURN_ABORTED
from codex_jupyter.core.lineage import Lineage
from codex_jupyter.core.turn import Turn
from codex_jupyter.errors import CodexError, ModelError
from codex_jupyter.ids import ThreadId
from codex_jupyter.protocol.dynamic_tools import DynamicToolSpec
from codex_jupyter.rollout.git_info import GIT_MEMBERS
from codex_jupyter.rollout.records import Record, timestamp_text
from codex_jupyter.settings.approval import policy_shape

__all__ = [
    "aborted_message",
    "end_record",
    "git_record",
    "session_meta",
    "start_records",
    "undone_message",
    "wire_error",
    "wire_turn",
]

Json = dict[str, Any]


def session_meta(
    config: SessionConfig,
    thread_id: ThreadId,
    created_at: float,
    tools: Sequence[DynamicToolSpec],
    lineage: Lineage | None = None,
) -> Json:
    """Return the first line of a rollout."""
    return {
        "id": thread_id,
        "timestamp": timestamp_text(datetime.fromtimestamp(created_at, UTC)),
        "cwd": str(config.cwd),
        "originator": "codex_jupyter",
        "cli_version": __version__,
        "source": "vscode" if lineage is None else lineage.source,
        **_named(lineage),
        "model_provider": config.provider.id,
        "base_instructions": {"text": config.base_instructions},
        "dynamic_tools": [tool.wire() for tool in tools] or None,
    }


def git_record(thread_id: ThreadId, git_info: Mapping[str, Any]) -> Record:
    """Return the line that says which repository a thread works in."""
    git = {stored: git_info.get(wire) for wire, stored in GIT_MEMBERS.items()}
    return Record("event_msg", {"type": "thread_git_updated", "thread_id": thread_id, "git": git})


def _named(lineage: Lineage | None) -> Json:
    if lineage is None:
        return {}
    return {
        "parent_thread_id": lineage.parent.thread_id,
        "agent_nickname": lineage.nickname,
        "agent_role": lineage.role,
    }


def wire_turn(turn: Turn, status: str) -> Json:
    """Return a turn without items, as notifications carry it."""
    return {
        "id": turn.turn_id,
        "rootTurnId": turn.turn_id,
        "items": [],
        "itemsView": "notLoaded",
        "status": status,
        "error": None,
        "startedAt": int(turn.started),
        "completedAt": None,
        "durationMs": None,
    }


def wire_error(error: CodexError) -> Json:
    """Return the protocol's form of what made a turn fail."""
    if isinstance(error, ModelError):
        return {
            "message": str(error),
            "codexErrorInfo": error.info,
            "additionalDetails": error.details,
        }
    return {"message": str(error), "codexErrorInfo": "other", "additionalDetails": None}


def aborted_message() -> Json:
    """Return what the model is told at its next turn after an interrupt."""
    content = [{"type": "input_text", "text": TURN_ABORTED}]
    return {"type": "message", "role": "user", "content": content}


def undone_message(files: Sequence[str]) -> Json:
    """Return what the model is told after the user took a turn's patches back."""
    named = "\n".join(files)
    text = f"<undone>\nThe user took back your changes to these files:\n{named}\n</undone>"
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def start_records(turn: Turn, items: Sequence[Json]) -> list[Record]:
    """Return the lines that make an accepted turn durable: its settings, its input."""
    config = turn.config
    now = round(turn.started * 1000)
    records = [
        Record(
            "turn_context",
            {
                "turn_id": turn.turn_id,
                "cwd": str(config.cwd),
                "approval_policy": policy_shape(config.approval_policy),
                "sandbox_policy": config.sandbox,
                "model": config.model,
                "model_provider": config.provider.id,
                "effort": config.effort,
                "summary": config.summary or "auto",
            },
        ),
        Record(
            "event_msg", {"type": "task_started", "turn_id": turn.turn_id, "started_at_ms": now}
        ),
        *(Record("response_item", entry) for entry in items),
    ]
    if turn.opening is not None:
        shown = {**turn.opening, "startedAtMs": now, "completedAtMs": now}
        payload: Json = {
            "type": "item_completed",
            "thread_id": turn.thread_id,
            "turn_id": turn.turn_id,
            "item": shown,
        }
        records.append(Record("event_msg", payload))
    return records


def end_record(
    turn: Turn, status: str, error: Json | None, duration_ms: int, extras: Json
) -> Record:
    """Return the line that says how a turn ended, with what no item of it tells."""
    payload: Json = {
        **({"extras": extras} if extras else {}),
        "turn_id": turn.turn_id,
        "completed_at_ms": time.time_ns() // 1_000_000,
        "duration_ms": duration_ms,
    }
    match status:
        case "completed":
            payload |= {"type": "task_complete", "last_agent_message": turn.last_text}
        case "interrupted":
            payload |= {"type": "turn_aborted", "reason": "interrupted"}
        case _:
            payload |= {"type": "turn_failed", "error": error}
    return Record("event_msg", payload)
