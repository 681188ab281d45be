"""The app server on a WebSocket of a loopback address, until a signal comes.

The first SIGINT lets what runs come to its end; SIGTERM, or a second SIGINT, stops it.
"""

import ipaddress
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from codex_jupyter.errors import CodexError, ConfigError
from codex_jupyter.server.app import AppServer
from codex_jupyter.server.ws_token import digest_of_file, digest_of_hex, made_token
from codex_jupyter.settings import Settings
from codex_jupyter.transports.ws_server import Door, listening
from codex_jupyter.transports.ws_socket import SocketStreams

__all__ = ["ListenAddress", "TokenSource", "serve_ws"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to listen: a loopback address, and a port or 0 for one that is free."""

    host: str
    port: int

    @property
    def bracketed(self) -> str:
        """The host as it stands in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @classmethod
    def parse(cls, url: str) -> "ListenAddress":
        """Read ``ws://HOST:PORT``.

        Raises:
            ConfigError: It is no such URL, or others than this machine could connect there.
        """
        source = f"--listen {url}"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(source, str(error)) from None
        whole = parts.scheme == "ws" and host and port is not None and "@" not in parts.netloc
        if not whole or parts.path.strip("/") or parts.query or parts.fragment:
            raise ConfigError(source, "it must be stdio:// or ws://ADDRESS:PORT")
        if host == "localhost":
            return cls("127.0.0.1", port or 0)
        try:
            is_here = ipaddress.ip_address(host or "").is_loopback
        except ValueError:
            is_here = False
        if not is_here:
            raise ConfigError(source, "only a loopback address, such as 127.0.0.1, is listened on")
        return cls(host or "", port or 0)


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where the token comes from; without either one is made."""

    file: Path | None = None
    sha256: str | None = None

    def digest(self, home: Path, stack: ExitStack, tell: Callable[[str], None]) -> bytes:
        """Return the digest of the token; one that is made lives as long as ``stack``.

        Raises:
            ConfigError: What was given is no token.
            CodexError: None could be made.
        """
        if self.file is not None:
            return digest_of_file(self.file)
        if self.sha256 is not None:
            return digest_of_hex(self.sha256)
        try:
            path, digest = stack.enter_context(made_token(home / "app-server"))
        except OSError as error:
            raise CodexError(f"no token could be made below {home}: {error.strerror}") from None
        tell(f"capability token in {path}")
        return digest


async def serve_ws(
    settings: Settings, address: ListenAddress, source: TokenSource, tell: Callable[[str], None]
) -> None:
    """Serve connections until a signal ends it.

    Args:
        settings: Defaults of new threads.
        address: Where to listen.
        source: Where the token comes from.
        tell: Takes lines for whoever started the program.

    Raises:
        CodexError: The address is taken, or the token cannot be had.
    """
    guests: set[SocketStreams] = set()
    with (
        ExitStack() as stack,
        anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
    ):
        door = Door(source.digest(settings.home, stack, tell))
        async with (
            listening(door, address.host, address.port) as port,
            AppServer.open(settings) as server,
            anyio.create_task_group() as tasks,
        ):
            door.accept = lambda streams: tasks.start_soon(_serve, server, guests, streams)
            tell(f"listening on ws://{address.bracketed}:{port}")
            await _until_told_to_end(server, door, signals, tell)
            for streams in guests:
                streams.stopping("the server is stopping")
            await server.stop()
            tasks.cancel_scope.cancel()


async def _serve(server: AppServer, guests: set[SocketStreams], streams: SocketStreams) -> None:
    """Serve one connection. Whatever happens to it happens to no other."""
    guests.add(streams)
    try:
        await server.serve(streams)
    except Exception:  # noqa: BLE001 - whatever it is, the others go on
        _log.exception("a connection has failed")
    finally:
        guests.discard(streams)


async def _until_told_to_end(
    server: AppServer,
    door: Door,
    signals: AsyncIterator[signal.Signals],
    tell: Callable[[str], None],
) -> None:
    """Return at SIGTERM; at SIGINT when no turn runs any more, or at once if another comes."""
    number = await anext(signals)
    door.accept = None
    if number == signal.SIGINT and server.turns_run:
        tell("waits for the end of what runs; another signal stops it")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_leave_on_signal, signals, tasks.cancel_scope)
            await server.settle()
            tasks.cancel_scope.cancel()


async def _leave_on_signal(
    signals: AsyncIterator[signal.Signals], scope: anyio.CancelScope
) -> None:
    await anext(signals)
    scope.cancel()
