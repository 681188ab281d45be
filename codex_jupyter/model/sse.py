"""Server-sent events of the Responses API, without I/O: bytes go in, decoded events come out."""

import json
from typing import Any, Final, cast

from pydantic_core import from_json

from codex_jupyter.protocol.jsonrpc import encode

__all__ = ["SseDataError", "SseDecoder", "SseError", "SseOverflowError", "looks_like_sse"]

MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
"""Largest event accepted, in bytes; a response item with an inline image stays well under it."""

_BOM: Final = b"\xef\xbb\xbf"
_FIELDS: Final = (b":", b"data", b"event", b"id", b"retry")


class SseError(ValueError):
    """The bytes are not the stream of JSON events they should be; the decoder is of no more use."""


class SseOverflowError(SseError):
    """The peer sent more than the limit without ending an event."""

    def __init__(self, max_event_bytes: int) -> None:
        super().__init__(f"an event is longer than {max_event_bytes} bytes")


class SseDataError(SseError):
    """The data of an event is not a JSON object.

    Attributes:
        start: The first 200 characters of the data.
    """

    def __init__(self, data: bytes) -> None:
        self.start = data[:800].decode("utf-8", "replace").strip()[:200]
        super().__init__(f"the data of an event is not a JSON object: {self.start}")


class SseDecoder:
    """Cut a byte stream into events and decode the JSON they carry.

    Chunks may be cut anywhere: inside a line, inside a UTF-8 sequence, between CR and LF. An
    event that no blank line ended is not an event; what is left when the stream ends is dropped,
    and the caller decides whether that is an error. Comments and ``[DONE]`` give nothing.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._rest = bytearray()
        self._after_cr = False
        self._started = False

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        """Take a chunk and return the events it completed, in order.

        Every event has a string ``type``: its own, else the one on its ``event:`` line, else
        ``"message"``.

        Raises:
            SseOverflowError: An event grew past the limit.
            SseDataError: The data of an event is not a JSON object. Events before it in the same
                chunk are lost with it.
        """
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_plain_newlines(chunk)
        rest = self._rest
        # Searching from the seam keeps a large event, which comes in many chunks, linear.
        seam = max(0, len(rest) - 1)
        rest += chunk
        if rest.find(b"\n\n", seam) < 0:
            self._check_size(rest)
            return []
        *blocks, last = bytes(rest).split(b"\n\n")
        self._rest = bytearray(last)
        if len(rest) > self._max_event_bytes:
            for block in (*blocks, last):
                self._check_size(block)
        if not self._started:
            self._started = True
            blocks[0] = blocks[0].removeprefix(_BOM)
        return [event for block in blocks if (event := _decode(block)) is not None]

    def _with_plain_newlines(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk:
            # The CR ended the line already; an LF that follows belongs to it.
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check_size(self, block: bytes | bytearray) -> None:
        if len(block) > self._max_event_bytes:
            raise SseOverflowError(self._max_event_bytes)


def looks_like_sse(start: bytes) -> bool:
    """Tell whether a stream that begins with ``start`` can be server-sent events.

    Blank beginnings and beginnings shorter than a field name get the benefit of the doubt.
    """
    line = start.removeprefix(_BOM).lstrip()
    return any(line.startswith(name) or name.startswith(line) for name in _FIELDS)


def _decode(block: bytes) -> dict[str, Any] | None:
    """Decode one block; nearly all of them are an `event` line and one `data` line."""
    if block.startswith(b"data:"):
        data = block[5:]
    elif (at := block.find(b"\ndata:")) >= 0:
        data = block[at + 6 :]
    else:
        return None
    if b"\n" in data:
        data = b"\n".join(_values(block, b"data"))
    try:
        decoded = from_json(data)
    except ValueError:
        if not (text := data.strip()) or text == b"[DONE]":
            return None
        decoded = _lenient(data)
    if type(decoded) is not dict:
        raise SseDataError(data)
    event = cast("dict[str, Any]", decoded)
    if type(event.get("type")) is not str:
        names = _values(block, b"event")
        event["type"] = names[-1].decode("utf-8", "replace").strip() if names else "message"
    return event


def _lenient(data: bytes) -> Any:
    """Decode what holds half a surrogate pair: a model may cut its text inside a character."""
    try:
        # Written and read again: what comes back is what everybody else can read too.
        return from_json(encode(json.loads(data)))
    except (ValueError, RecursionError):
        raise SseDataError(data) from None


def _values(block: bytes, field: bytes) -> list[bytes]:
    lines = (line.partition(b":") for line in block.split(b"\n"))
    return [value.removeprefix(b" ") for name, _, value in lines if name == field]
