"""Fits the snapshot of a turn into a number of bytes without losing its shape."""

import json
from typing import Any, Final

__all__ = ["clip", "clip_texts", "fit"]

_LIMITS: Final = (65_536, 16_384, 4_096, 1_024, 256)
"""Characters a single text may keep, tried in this order until the snapshot fits."""

_MESSAGE_CHARS: Final = 1_000
"""What the text of a delegate keeps before anything else is touched: its own turn has it whole."""

_PLAN_PART: Final = 4
"""A plan larger than this part of the bytes goes before any item does."""

_NEVER_CLIPPED: Final = frozenset(
    {"id", "type", "status", "threadId", "turnId", "requestId", "itemId", "digest", "op", "outcome"}
    | {"parentThreadId"}
)


def clip(text: str, limit: int) -> str:
    """Return ``text`` in about ``limit`` characters: a third of its head, the rest from its tail.

    Where the middle went, a line says how many characters are missing.
    """
    if len(text) <= limit:
        return text
    head = limit // 3
    tail = limit - head
    return f"{text[:head]}\n… {len(text) - limit:,} characters not kept …\n{text[-tail:]}"


def clip_texts(value: Any, limit: int) -> Any:
    """Return a copy of JSON whose texts have about ``limit`` characters each; ids stay whole."""
    return _clipped(value, limit)


def fit(state: dict[str, Any], max_bytes: int) -> dict[str, Any]:
    """Return a deep copy of ``state`` of at most ``max_bytes`` UTF-8 bytes as compact JSON.

    What delegates said loses its middle first, then all texts do, then the diff of the whole turn
    goes, the texts of the delegates, a plan of more than a quarter of the bytes, and items and
    delegates from the middle of the turn.
    ``truncated`` is true as soon as anything was lost.
    """
    copied = _clipped(state, None)
    if copied["delegates"] and _size(copied) > max_bytes:
        state = copied = _with_rows_clipped(copied)
    for limit in _LIMITS:
        if _size(copied) <= max_bytes:
            return copied
        copied = _clipped(state, limit) | {"truncated": True}
    return _without_middle(copied, max_bytes)


def _without_middle(snapshot: dict[str, Any], max_bytes: int) -> dict[str, Any]:
    snapshot = {**snapshot, "diff": None, "truncated": True}
    if _size(snapshot) > max_bytes:
        rows = [{**row, "message": None, "task": ""} for row in snapshot["delegates"]]
        snapshot["delegates"] = rows
    if _size(snapshot) > max_bytes and _size(snapshot["plan"]) > max_bytes // _PLAN_PART:
        snapshot["plan"] = None
    while _size(snapshot) > max_bytes and (snapshot["items"] or snapshot["delegates"]):
        larger = max("items", "delegates", key=lambda name: _size(snapshot[name]))
        entries = snapshot[larger]
        middle = len(entries) // 2
        quarter = max(1, len(entries) // 4)
        snapshot[larger] = (
            entries[: middle - quarter // 2] + entries[middle - quarter // 2 + quarter :]
        )
    while _size(snapshot) > max_bytes and (snapshot["notices"] or snapshot["requests"]):
        longer = (
            "notices" if _size(snapshot["notices"]) > _size(snapshot["requests"]) else "requests"
        )
        snapshot[longer] = snapshot[longer][len(snapshot[longer]) // 2 + 1 :]
    return snapshot


def _with_rows_clipped(snapshot: dict[str, Any]) -> dict[str, Any]:
    rows = [
        {**row, "message": row["message"] and clip(row["message"], _MESSAGE_CHARS)}
        for row in snapshot["delegates"]
    ]
    return {**snapshot, "delegates": rows, "truncated": True}


def _clipped(value: Any, limit: int | None, name: str = "") -> Any:
    match value:
        case str():
            keep = limit is None or name in _NEVER_CLIPPED
            return value if keep else clip(value, limit or 0)
        case dict():
            return {key: _clipped(member, limit, key) for key, member in value.items()}
        case list():
            return [_clipped(member, limit, name) for member in value]
        case _:
            return value


def _size(value: Any) -> int:
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(compact.encode("utf-8", "surrogatepass"))
