"""Threads as they travel."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from codex_jupyter.core.lineage import Lineage
from codex_jupyter.core.session import Session
from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.packed import unpacked

__all__ = ["PROTOCOL_VERSION", "summary_shape", "thread_shape", "wire_source"]

Json = dict[str, Any]

PROTOCOL_VERSION: Final = "0.169.0"
"""The version of the original whose shapes and orders these are; clients compare it."""


class StoredSummary(Protocol):
    """What is known of a thread that is not loaded."""

    @property
    def thread_id(self) -> ThreadId: ...
    @property
    def meta(self) -> Json: ...
    @property
    def path(self) -> object: ...
    @property
    def created_at(self) -> float: ...
    @property
    def updated_at(self) -> float: ...
    @property
    def preview(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def git_info(self) -> Json | None: ...


def thread_shape(session: Session, *, include_turns: bool) -> Json:
    """Return a loaded thread; open items of its running turn have the text they have so far."""
    return {
        **_common(session.thread_id, session.preview, session.name, session.forked_from),
        **(_of_lineage(session.lineage) if session.lineage is not None else {}),
        "gitInfo": session.git_info,
        "ephemeral": session.ephemeral,
        "modelProvider": session.config.provider.id,
        "model": session.config.model,
        "createdAt": int(session.created_at),
        "updatedAt": int(session.state.updated_at),
        "status": session.state.status,
        "path": str(session.path) if session.path else None,
        "cwd": str(session.config.cwd),
        "turns": session.state.transcript.turns() if include_turns else [],
    }


def summary_shape(stored: StoredSummary, *, turns: Sequence[Json] = ()) -> Json:
    """Return a thread that is only on disk."""
    meta = stored.meta
    return {
        **_common(stored.thread_id, stored.preview, stored.name, meta.get("forked_from_id")),
        **_of_meta(meta),
        "gitInfo": stored.git_info,
        "ephemeral": False,
        "modelProvider": meta.get("model_provider") or "",
        "model": None,
        "createdAt": int(stored.created_at),
        "updatedAt": int(stored.updated_at),
        "status": {"type": "notLoaded"},
        "path": str(stored.path),
        "cwd": meta.get("cwd") or "",
        "turns": [
            {"itemsView": "full", "rootTurnId": turn["id"], **unpacked(turn)} for turn in turns
        ],
    }


def _of_lineage(lineage: Lineage) -> Json:
    return {
        "parentThreadId": lineage.parent.thread_id,
        "source": wire_source(lineage.source),
        "agentNickname": lineage.nickname,
        "agentRole": lineage.role,
    }


def _of_meta(meta: Json) -> Json:
    """Return what a rollout's first line tells of where the thread comes from."""
    return {
        "parentThreadId": meta.get("parent_thread_id"),
        "source": wire_source(meta.get("source")),
        "agentNickname": meta.get("agent_nickname"),
        "agentRole": meta.get("agent_role"),
    }


def wire_source(source: Any) -> Any:
    """Return where a thread comes from as it travels: a rollout spells one member otherwise."""
    match source:
        case {"subagent": below}:
            return {"subAgent": below}
        case str():
            return source
        case _:
            return "vscode"


def _common(thread_id: ThreadId, preview: str, name: str | None, forked_from: str | None) -> Json:
    return {
        "id": thread_id,
        "sessionId": thread_id,
        "forkedFromId": forked_from,
        "parentThreadId": None,
        "preview": preview,
        "cliVersion": PROTOCOL_VERSION,
        "source": "vscode",
        "agentNickname": None,
        "agentRole": None,
        "name": name,
        "projectId": None,
    }
