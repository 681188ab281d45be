"""The server's end of a WebSocket as a pair of message streams."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import anyio
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from codex_jupyter.protocol.jsonrpc import Garbage, Message, decode, encode

__all__ = ["MAX_FRAME_BYTES", "TOO_SLOW", "SocketStreams"]

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""Longest message taken; a longer one is answered with a parse error."""

TOO_SLOW: Final = 1013
"""Close code for a reader that is too far behind: it may connect again and take up from there."""

_GOING_AWAY: Final = 1001

_WAITING_FRAMES: Final = 8
"""Frames that wait to be read; past it, nothing more is read from the socket."""

_PATIENCE: Final = 30.0
"""Seconds in which the other side must take one message."""


class SocketStreams:
    """Messages of one WebSocket, which the socket's handler feeds with `take` and `end`.

    Args:
        socket: The handler, already open.
        patience: Seconds in which the other side must take one message.
        max_bytes: Longest message; a longer one is reported as garbage.
    """

    def __init__(
        self,
        socket: WebSocketHandler,
        *,
        patience: float = _PATIENCE,
        max_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self._socket = socket
        self._max_bytes = max_bytes
        self._patience = patience
        self._incoming, self._frames = anyio.create_memory_object_stream[str | bytes](
            _WAITING_FRAMES
        )
        self._farewell = (TOO_SLOW, "you are too far behind; connect again")

    async def take(self, frame: str | bytes) -> None:
        """Take a frame from the socket; waits while earlier ones are unread."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._incoming.send(frame)

    def end(self) -> None:
        """Learn that the socket has closed; what it brought can still be read."""
        self._incoming.close()

    def stopping(self, reason: str) -> None:
        """Let the other side know, at the end, that this server stops."""
        self._farewell = (_GOING_AWAY, reason)

    async def receive(self) -> Sequence[Message | Garbage]:
        """Return the messages of the frames that have arrived."""
        try:
            frames = [await self._frames.receive()]
        except anyio.ClosedResourceError:
            raise anyio.EndOfStream from None
        with suppress(anyio.WouldBlock, anyio.EndOfStream):
            while len(frames) < _WAITING_FRAMES:
                frames.append(self._frames.receive_nowait())
        return [self._message(frame) for frame in frames]

    async def send(self, messages: Sequence[Message]) -> None:
        """Send ``messages``, one text frame each; a reader that takes none for long is left."""
        try:
            for message in messages:
                with anyio.fail_after(self._patience):
                    await self._socket.write_message(encode(message))
        except (WebSocketClosedError, StreamClosedError) as error:
            raise anyio.BrokenResourceError from error
        except TimeoutError as error:
            self._socket.close(*self._farewell)
            raise anyio.BrokenResourceError from error

    def _message(self, frame: str | bytes) -> Message | Garbage:
        data = frame.encode() if isinstance(frame, str) else frame
        if len(data) > self._max_bytes:
            return Garbage(f"a message is longer than {self._max_bytes} bytes")
        return decode(data)

    async def aclose(self) -> None:
        """Close the socket, unless the other side has.

        We end a connection that still runs only because its reader is too slow, which the peer
        noticed before us, or because the server stops.
        """
        self._socket.close(*self._farewell)
        self._incoming.close()
        self._frames.close()
