"""JSON-RPC envelopes as the app-server speaks them: version 2.0 without the version."""

from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic_core import PydanticSerializationError, from_json, to_json

__all__ = [
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "MAX_DELTA_CHARS",
    "METHOD_NOT_FOUND",
    "PARSE_ERROR",
    "Frame",
    "Garbage",
    "Message",
    "Notification",
    "Request",
    "Response",
    "classify",
    "decode",
    "encode",
    "error_message",
    "mended",
]

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603

MAX_DELTA_CHARS: Final = 10_000
"""Of one delta on a wire. Written, a character has up to six bytes, and some clients take no line
longer than 64 KiB."""

_MAX_INT64: Final = 2**63

_MAX_DEPTH: Final = 120
"""Levels of what is written where pydantic gives up: readers such as serde_json stop at 128."""

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """Somebody asks; the answer carries the same ``id``, of the same type."""

    id: str | int
    method: str
    params: Any


@dataclass(frozen=True, slots=True)
class Notification:
    """Somebody tells; there is no answer."""

    method: str
    params: Any


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: ``error`` is ``None`` exactly if it is a result."""

    id: str | int
    result: Any
    error: Message | None


@dataclass(frozen=True, slots=True)
class Garbage:
    """Something that is no message of this protocol; ``reason`` says why."""

    reason: str


Frame = Request | Notification | Response | Garbage


def encode(message: Message) -> bytes:
    """Encode one message without a line break: always valid JSON in valid UTF-8.

    What JSON cannot say is written as ``null``, and so is what lies deeper than `_MAX_DEPTH`; half
    a surrogate pair becomes U+FFFD, because most readers take neither it nor its escape.
    """
    try:
        return to_json(message, inf_nan_mode="null")
    except PydanticSerializationError:
        return to_json(_sayable(message, _MAX_DEPTH), inf_nan_mode="null")


def mended(text: str) -> str:
    """Return ``text`` with its surrogates joined to characters, or replaced where one is alone."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def decode(line: bytes) -> Message | Garbage:
    """Decode one line; anything but a JSON object is `Garbage`."""
    try:
        value: Any = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        return Garbage(f"invalid JSON: {str(error)[:200]}")
    if not isinstance(value, dict):
        return Garbage(f"expected a JSON object, found {type(value).__name__}")
    return cast("Message", value)


def classify(message: Message) -> Frame:
    """Tell what kind of message ``message`` is, judging by its members only."""
    has_id = "id" in message
    request_id = message.get("id")
    if has_id and not _is_id(request_id):
        return Garbage("`id` must be a string or a 64-bit integer")
    request_id = cast("str | int", request_id)
    if "method" in message:
        method = message["method"]
        if not isinstance(method, str):
            return Garbage("`method` must be a string")
        params = message.get("params")
        return Request(request_id, method, params) if has_id else Notification(method, params)
    if has_id and isinstance(error := message.get("error"), dict):
        return Response(request_id, None, cast("Message", error))
    if has_id and "result" in message:
        return Response(request_id, message["result"], None)
    return Garbage("neither `method`, `result` nor `error`")


def error_message(request_id: str | int | None, code: int, text: str, data: Any = None) -> Message:
    """Build an error response; ``data`` is absent when it is ``None``."""
    error: Message = {"code": code, "message": text}
    if data is not None:
        error["data"] = data
    return {"id": request_id, "error": error}


def _sayable(value: Any, depth: int) -> Any:
    """Return a copy of ``value`` that every reader of JSON takes."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return mended(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if not isinstance(value, dict | list | tuple):
        return mended(str(value))
    if depth == 0:
        return None
    if isinstance(value, dict):
        members = cast("dict[Any, Any]", value)
        return {mended(str(name)): _sayable(v, depth - 1) for name, v in members.items()}
    return [_sayable(element, depth - 1) for element in cast("list[Any]", value)]


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return True
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return is_int and -_MAX_INT64 <= value < _MAX_INT64
