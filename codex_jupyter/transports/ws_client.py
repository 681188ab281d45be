"""The client's end of a WebSocket: one JSON object per text frame, on the running asyncio loop."""

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio

from codex_jupyter.errors import PeerClosedError
from codex_jupyter.protocol.jsonrpc import Garbage, Message, decode, encode

if TYPE_CHECKING:
    from tornado.websocket import WebSocketClientConnection

__all__ = ["WebSocketStreams", "open_ws"]

MAX_FRAME_BYTES: Final = 16 * 1024 * 1024
"""Longest message taken; a longer one ends the connection with code 1009."""

_CONNECT_SECONDS: Final = 10.0
_GOODBYE_SECONDS: Final = 0.5
"""How long the other side may take to say goodbye too, before we go without."""

_CERTIFICATE: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
)


class WebSocketStreams:
    """One open connection. Make it with `open_ws`; whoever made it closes it."""

    def __init__(self, connection: "WebSocketClientConnection") -> None:
        self._connection = connection
        self._reading = anyio.Lock(fast_acquire=True)
        self._ended = False

    @property
    def close_reason(self) -> str | None:
        """Why the other side closed, if it has and said so."""
        return self._connection.close_reason

    async def receive(self) -> Sequence[Message | Garbage]:
        """Return the message of the next frame; frames wait unread while nobody receives."""
        frame = await self._read()
        if frame is None:
            raise anyio.EndOfStream
        return [decode(frame.encode() if isinstance(frame, str) else frame)]

    async def send(self, messages: Sequence[Message]) -> None:
        """Send ``messages``, one frame each; waits while the other side does not read."""
        from tornado.websocket import WebSocketClosedError  # noqa: PLC0415 - loaded by `open_ws`

        for message in messages:
            try:
                await self._connection.write_message(encode(message))
            except WebSocketClosedError as error:
                raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        """Say goodbye and wait a moment for the other side's; what it still sent is dropped."""
        self._connection.close(1000)
        with anyio.move_on_after(_GOODBYE_SECONDS):
            while await self._read() is not None:
                pass
        self._ended = True

    async def _read(self) -> str | bytes | None:
        """Return the next frame, or ``None`` at the end, which tornado tells only one reader."""
        async with self._reading:
            frame = None if self._ended else await self._connection.read_message()
            self._ended = frame is None
            return frame


async def open_ws(
    url: str, headers: Mapping[str, str], ca: str | Path | None = None
) -> WebSocketStreams:
    """Connect to a server, without any proxy.

    Args:
        url: ``ws://`` or ``wss://``.
        headers: Sent with the handshake, credentials included.
        ca: For ``wss``: a PEM file. Its first certificate is the only one believed, and under
            whatever name: a server's own certificate seldom names the loopback address.

    Raises:
        PeerClosedError: Nobody listens there, or the server refused; the text says which.
    """
    from tornado.httpclient import HTTPRequest  # noqa: PLC0415 - only where a server is spoken to
    from tornado.websocket import websocket_connect  # noqa: PLC0415

    request = HTTPRequest(
        url,
        headers=dict(headers),
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_CONNECT_SECONDS,
        ssl_options=_only(ca, url) if ca is not None else None,
    )
    connecting = asyncio.ensure_future(websocket_connect(request, max_message_size=MAX_FRAME_BYTES))
    try:
        return WebSocketStreams(await asyncio.shield(connecting))
    except asyncio.CancelledError:
        connecting.add_done_callback(_hang_up)
        raise
    except Exception as error:
        raise PeerClosedError(f"no connection to {_shown(url)}: {_why(error)}") from error


def _only(ca: str | Path, url: str) -> ssl.SSLContext:
    """Return a context that believes one certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        found = _CERTIFICATE.search(Path(ca).read_text("ascii", errors="replace"))
        if found is None:
            raise PeerClosedError(f"no connection to {_shown(url)}: {ca} holds no certificate")
        context.load_verify_locations(cadata=found[0])
    except OSError as error:
        raise PeerClosedError(
            f"no connection to {_shown(url)}: the certificate {ca} cannot be used: {error}"
        ) from error
    return context


def _hang_up(connecting: "asyncio.Future[WebSocketClientConnection]") -> None:
    """Close a connection that was made after nobody waited for it any more."""
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()


def _shown(url: str) -> str:
    """Return a URL without its query, which may hold a credential."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _why(error: Exception) -> str:
    from tornado.httpclient import HTTPClientError  # noqa: PLC0415 - loaded by `open_ws`

    if isinstance(error, HTTPClientError) and error.code != 599:  # noqa: PLR2004 - tornado's own
        return f"the server refused it with HTTP {error.code} {error.message or ''}".strip()
    return str(error) or type(error).__name__
