"""The lines of a rollout: what a record is, and how it becomes one line of JSON and back."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from codex_jupyter.errors import RolloutError

__all__ = [
    "MAX_LINE_BYTES",
    "Record",
    "decode_line",
    "encode_lines",
    "epoch_of",
    "timestamp_text",
]

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""Longest line written or read. Keeps one broken file from filling the memory of the server."""

_BOM: Final = b"\xef\xbb\xbf"
_PADDING: Final = b"\0 \t\r\n"


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a rollout.

    Attributes:
        type: ``session_meta``, ``turn_context``, ``response_item``, ``event_msg`` or
            ``compacted``; records of other types are read and kept, too.
        payload: The JSON object that belongs to the type.
        timestamp: UTC, ``YYYY-MM-DDThh:mm:ss.mmmZ``. Empty means "when it is encoded".
    """

    type: str
    payload: dict[str, Any]
    timestamp: str = ""


def encode_lines(records: Iterable[Record]) -> bytes:
    """Return the records as lines, each ended by a newline, each free of other newlines.

    Raises:
        RolloutError: A payload is not JSON (also: NaN, infinity, too deep), or its line would be
            longer than `MAX_LINE_BYTES`.
    """
    return b"".join([_encode(record) for record in records])


def decode_line(line: bytes) -> Record | None:
    """Return the record in a line, or ``None`` if there is none.

    A byte order mark, a carriage return and zero bytes around the object do not matter.
    """
    text = line.removeprefix(_BOM).strip(_PADDING)
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    fields = cast("dict[str, Any]", value)
    kind, payload, timestamp = fields.get("type"), fields.get("payload"), fields.get("timestamp")
    if not isinstance(kind, str) or not isinstance(payload, dict):
        return None
    return Record(
        kind,
        cast("dict[str, Any]", payload),
        timestamp if isinstance(timestamp, str) else "",
    )


def timestamp_text(moment: datetime | None = None) -> str:
    """Return a moment, now by default, as records spell it: UTC with milliseconds."""
    moment = datetime.now(UTC) if moment is None else moment.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def epoch_of(timestamp: object) -> float | None:
    """Return the Unix time of an RFC 3339 text, or ``None`` if it is not one."""
    if not isinstance(timestamp, str):
        return None
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()


def _encode(record: Record) -> bytes:
    fields = {
        "timestamp": record.timestamp or timestamp_text(),
        "type": record.type,
        "payload": record.payload,
    }
    try:
        line = _to_json(fields)
    except (TypeError, ValueError, RecursionError) as error:
        raise RolloutError(f"a {record.type} record cannot be stored as JSON: {error}") from error
    if len(line) >= MAX_LINE_BYTES:
        raise RolloutError(
            f"a {record.type} record of {len(line)} bytes is too large to store; "
            f"the limit is {MAX_LINE_BYTES} bytes"
        )
    return line + b"\n"


def _to_json(fields: dict[str, Any]) -> bytes:
    text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair, as models sometimes stream it, exists in JSON only as an escape.
        return json.dumps(fields, allow_nan=False, separators=(",", ":")).encode()
