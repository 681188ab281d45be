"""Records that say little, what a rollout has of them, and rollouts of others."""

from pathlib import Path

from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.reader import read_records
from codex_jupyter.rollout.records import Record

__all__ = ["foreign_rollout", "note", "notes"]


def note(text: str) -> Record:
    return Record("event_msg", {"type": "note", "text": text}, "2026-01-01T00:00:00.000Z")


def notes(path: Path) -> list[str]:
    return [record.payload["text"] for record in read_records(path) if record.type == "event_msg"]


def foreign_rollout(home: Path, thread_id: ThreadId, folder: str = "sessions/2025/01/02") -> Path:
    path = home / folder / f"rollout-2025-01-02T03-04-05-{thread_id}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"type":"session_meta","payload":{"id":"x","cwd":"/w"}}\n')
    return path
