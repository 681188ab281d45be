"""The door of a program of its own: a WebSocket on a loopback address, for who has the token."""

import hashlib
import hmac
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

from codex_jupyter.errors import CodexError
from codex_jupyter.transports.ws_socket import MAX_FRAME_BYTES, SocketStreams

__all__ = ["Door", "listening"]

_log = logging.getLogger(__name__)

_HARD_FRAME_BYTES: Final = 4 * MAX_FRAME_BYTES
"""Past this the connection ends with code 1009, before the message is in memory."""

_MAX_REQUEST_BYTES: Final = 65_536
"""Head and body of a request that is no message: nobody needs more."""

_IDLE_SECONDS: Final = 60.0
"""How long a connection may stay open without asking for anything."""


@dataclass(eq=False, slots=True)
class Door:
    """Who may come in, and what happens with them.

    Attributes:
        token_sha256: Digest of the token that a connection has to show.
        accept: Takes each connection that came in, and must not block; ``None`` while nobody may
            come in.
    """

    token_sha256: bytes
    accept: Callable[[SocketStreams], object] | None = None

    def opens_for(self, authorization: str) -> bool:
        """Tell whether an `Authorization` header shows the token; takes the same time for all."""
        scheme, _, token = authorization.partition(" ")
        shown = hashlib.sha256(token.strip().encode("utf-8", "replace")).digest()
        return hmac.compare_digest(shown, self.token_sha256) and scheme.lower() == "bearer"


@asynccontextmanager
async def listening(door: Door, host: str, port: int) -> AsyncGenerator[int]:
    """Let connections in while the block runs, and yield the port, which was free if it is 0.

    Leaving closes the listening socket and what is not a WebSocket; those that came in belong to
    whoever took them.

    Raises:
        CodexError: The address cannot be listened on.
    """
    parts = {"door": door}
    app = Application(
        [("/", _Socket, parts), ("/readyz", _Ready, parts), ("/healthz", _Health, parts)],
        log_function=_log_request,
    )
    server = HTTPServer(
        app,
        idle_connection_timeout=_IDLE_SECONDS,
        max_header_size=_MAX_REQUEST_BYTES,
        max_body_size=_MAX_REQUEST_BYTES,
    )
    try:
        sockets = bind_sockets(port, host)
    except OSError as error:
        raise CodexError(f"{host}, port {port}, cannot be listened on: {error.strerror}") from None
    server.add_sockets(sockets)
    try:
        yield sockets[0].getsockname()[1]
    finally:
        server.stop()
        await server.close_all_connections()


class _Guarded(RequestHandler):
    """What all have in common: no page may ask, because no page of ours is served here."""

    def initialize(self, door: Door) -> None:
        """Take the door that this is part of."""
        self._door = door

    def set_default_headers(self) -> None:
        """Say nothing of what this is made of."""
        self.clear_header("Server")
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        """Refuse browsers, which always send an Origin with a WebSocket."""
        if "Origin" in self.request.headers:
            raise HTTPError(403, "a request with an Origin is a browser's")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with one line."""
        del kwargs
        self.say(f"{status_code} {self._reason}")

    def say(self, line: str) -> None:
        """Answer with one line."""
        self.finish(line + "\n")  # pyright: ignore[reportUnknownMemberType] - tornado takes dicts too


class _Health(_Guarded):
    def get(self) -> None:
        """Say that the process lives."""
        self.say("ok")


class _Ready(_Guarded):
    def get(self) -> None:
        """Say whether more may come in."""
        if self._door.accept is None:
            raise HTTPError(503)
        self.say("ok")


class _Socket(_Guarded, WebSocketHandler):
    """One JSON object per text frame; binary frames are dropped."""

    @property
    def max_message_size(self) -> int:
        return _HARD_FRAME_BYTES

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Let a connection in that shows the token; refuse it before it is a WebSocket."""
        if not self._door.opens_for(self.request.headers.get("Authorization", "")):
            self.set_header("WWW-Authenticate", "Bearer")
            raise HTTPError(401, "the capability token is missing or wrong")
        if self._door.accept is None:
            raise HTTPError(503, "the server is stopping")
        await super().get(*args, **kwargs)

    def check_origin(self, origin: str) -> bool:
        """Say no: `prepare` has refused whoever has one."""
        del origin
        return False

    def open(self, *args: str, **kwargs: str) -> None:
        """Hand the connection over."""
        del args, kwargs
        self.set_nodelay(True)
        self._streams = SocketStreams(self)
        if self._door.accept is None:  # it closed in the meantime
            self.close(1001, "the server is stopping")
        else:
            self._door.accept(self._streams)

    async def on_message(self, message: str | bytes) -> None:
        """Pass a frame on; waits, and with it the other side, while the server is behind."""
        if isinstance(message, str):
            await self._streams.take(message)
        else:
            _log.info("dropped a binary frame of %d bytes", len(message))

    def on_close(self) -> None:
        """Learn that the connection has ended."""
        self._streams.end()


def _log_request(handler: RequestHandler) -> None:
    """Note refusals, without the token; tornado would note every request."""
    if handler.get_status() >= 400:  # noqa: PLR2004 - HTTP's own
        _log.info("%s %s: %d", handler.request.method, handler.request.path, handler.get_status())
