"""Records that say little, and what a rollout has of them."""

from pathlib import Path

from codex_jupyter.rollout.reader import read_records
from codex_jupyter.rollout.records import Record

__all__ = ["note", "notes"]


def note(text: str) -> Record:
    return Record("event_msg", {"type": "note", "text": text}, "2026-01-01T00:00:00.000Z")


def notes(path: Path) -> list[str]:
    return [record.payload["text"] for record in read_records(path) if record.type == "event_msg"]
