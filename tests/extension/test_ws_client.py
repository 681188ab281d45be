"""The two ends of a WebSocket against each other, and the accidents in between."""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.testing import bind_unused_port
from tornado.web import Application, HTTPError
from tornado.websocket import WebSocketHandler

from codex_jupyter.errors import PeerClosedError
from codex_jupyter.protocol.jsonrpc import Garbage, Message
from codex_jupyter.protocol.streams import MessageStreams
from codex_jupyter.transports import ws_client
from codex_jupyter.transports.ws_client import WebSocketStreams, open_ws
from codex_jupyter.transports.ws_socket import SocketStreams
from tests.extension.jupyter import make_certificate

pytestmark = pytest.mark.anyio


class Server:
    """A WebSocket server without Jupyter around it."""

    def __init__(self, patience: float = 30) -> None:
        self.patience = patience
        self.url = ""
        self.requests: list[HTTPServerRequest] = []
        self.refuse_with = 0
        self._in, self._out = anyio.create_memory_object_stream[SocketStreams](4)

    async def accepted(self) -> SocketStreams:
        with anyio.fail_after(30):
            return await self._out.receive()

    def accept(self, socket: WebSocketHandler) -> SocketStreams:
        streams = SocketStreams(socket, patience=self.patience)
        self._in.send_nowait(streams)
        return streams

    def close(self) -> None:
        self._in.close()
        self._out.close()


class Socket(WebSocketHandler):
    def initialize(self, server: Server) -> None:
        self.server = server

    async def get(self, *args: Any, **kwargs: Any) -> None:
        self.server.requests.append(self.request)
        if self.server.refuse_with:
            raise HTTPError(self.server.refuse_with)
        await super().get(*args, **kwargs)

    def open(self, *args: str, **kwargs: str) -> None:
        self.streams = self.server.accept(self)

    async def on_message(self, message: str | bytes) -> None:
        await self.streams.take(message)

    def on_close(self) -> None:
        self.streams.end()


@asynccontextmanager
async def listening(
    context: ssl.SSLContext | None = None, patience: float = 30
) -> AsyncGenerator[Server]:
    server = Server(patience)
    app = Application([("/socket", Socket, {"server": server})])
    http = HTTPServer(app, ssl_options=context)
    listener, port = bind_unused_port()
    http.add_sockets([listener])
    server.url = f"{'wss' if context else 'ws'}://127.0.0.1:{port}/socket"
    try:
        yield server
    finally:
        http.stop()
        await http.close_all_connections()
        server.close()


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    async with listening() as server:
        yield server


@pytest.fixture
async def pair(server: Server) -> AsyncGenerator[tuple[WebSocketStreams, SocketStreams]]:
    ours = await open_ws(server.url, {})
    theirs = await server.accepted()
    yield ours, theirs
    await ours.aclose()
    await theirs.aclose()


async def receive(streams: MessageStreams, count: int) -> list[Message | Garbage]:
    found: list[Message | Garbage] = []
    with anyio.fail_after(30):
        while len(found) < count:
            batch = await streams.receive()
            assert batch
            found += batch
    return found


Pair = tuple[WebSocketStreams, SocketStreams]


async def test_messages_arrive_whole_and_in_order_both_ways(pair: Pair) -> None:
    ours, theirs = pair
    sent = [{"id": n, "method": "m", "params": {"text": "ü\n\r\u2028" * n}} for n in range(40)]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ours.send, sent)
        assert await receive(theirs, 40) == sent
        tasks.start_soon(theirs.send, sent)
        assert await receive(ours, 40) == sent


async def test_garbage_is_told_from_messages(pair: Pair) -> None:
    ours, theirs = pair
    for frame in ("[1]", "{", "", b"\xff\x00", '{"id":1}'):
        await ours._connection.write_message(frame, binary=isinstance(frame, bytes))
    found = await receive(theirs, 5)
    assert [isinstance(message, Garbage) for message in found] == [True, True, True, True, False]


async def test_a_reader_that_rests_holds_the_sender_back(pair: Pair) -> None:
    """Nothing piles up without limit: what is not read stays in the sender's hands."""
    ours, theirs = pair
    sent = 0

    async def pour() -> None:
        nonlocal sent
        for n in range(200):
            await ours.send([{"n": n, "text": "x" * 500_000}])
            sent = n + 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pour)
        settled = -1
        with anyio.fail_after(30):
            while settled != sent or sent == 0:
                settled = sent
                await anyio.sleep(0.2)
        assert sent < 100
        found = await receive(theirs, 200)
        assert [m["n"] for m in found if isinstance(m, dict)] == list(range(200))


@pytest.mark.parametrize("closer", ["ours", "theirs"])
async def test_after_a_close_the_other_end_reads_what_was_sent_then_the_end(
    pair: Pair, closer: str
) -> None:
    one, other = pair if closer == "ours" else pair[::-1]
    await one.send([{"n": 1}, {"n": 2}])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one.aclose)
        assert await receive(other, 2) == [{"n": 1}, {"n": 2}]
        with anyio.fail_after(30):
            for _ in range(2):
                with pytest.raises(anyio.EndOfStream):
                    await other.receive()
            for end in (other, one):
                with pytest.raises(anyio.BrokenResourceError):
                    await end.send([{"n": 3}])
            with pytest.raises(anyio.EndOfStream):
                await one.receive()


async def test_a_reader_that_takes_nothing_for_long_is_left_with_1013() -> None:
    async with listening(patience=0.3) as server:
        ours = await open_ws(server.url, {})
        theirs = await server.accepted()
        with anyio.fail_after(30), pytest.raises(anyio.BrokenResourceError):
            while True:
                await theirs.send([{"text": "x" * 1_000_000}])
        with anyio.fail_after(30), pytest.raises(anyio.EndOfStream):
            while True:
                await ours.receive()
        assert ours._connection.close_code == 1013
        assert ours.close_reason == "you are too far behind; connect again"
        await ours.aclose()
        await theirs.aclose()


async def test_a_message_above_the_cap_of_the_client_ends_the_connection(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    big = {"text": "x" * (ws_client.MAX_FRAME_BYTES - 20)}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(theirs.send, [big])
        assert await receive(ours, 1) == [big]

        async def send_too_much() -> None:
            with pytest.raises(anyio.BrokenResourceError):
                while True:
                    await theirs.send([{"text": "x" * ws_client.MAX_FRAME_BYTES}])

        tasks.start_soon(send_too_much)
        with anyio.fail_after(30), pytest.raises(anyio.EndOfStream):
            await ours.receive()


async def test_credentials_travel_in_the_headers_and_no_proxy_is_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    ours = await open_ws(server.url, {"Authorization": "codex-kernel abc"})
    theirs = await server.accepted()
    [request] = server.requests
    assert request.headers["Authorization"] == "codex-kernel abc"
    assert "Origin" not in request.headers
    await ours.aclose()
    await theirs.aclose()


async def test_a_refused_connection_says_so_and_keeps_the_secret(server: Server) -> None:
    server.refuse_with = 403
    with pytest.raises(PeerClosedError) as refused:
        await open_ws(f"{server.url}?token=canary", {"Authorization": "canary"})
    assert str(refused.value) == (
        f"no connection to {server.url}: the server refused it with HTTP 403 Forbidden"
    )
    listener, port = bind_unused_port()
    listener.close()
    with pytest.raises(PeerClosedError, match=f"no connection to ws://127.0.0.1:{port}/x: .*refus"):
        await open_ws(f"ws://127.0.0.1:{port}/x", {})


async def test_a_connection_nobody_waits_for_any_more_is_closed(server: Server) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await open_ws(server.url, {})
    theirs = await server.accepted()
    with anyio.fail_after(30), pytest.raises(anyio.EndOfStream):
        await theirs.receive()
    await theirs.aclose()


async def test_over_tls_only_the_named_certificate_is_believed(tmp_path: Path) -> None:
    key, cert = make_certificate(tmp_path, "ours")
    _, other = make_certificate(tmp_path, "other")
    both = tmp_path / "other-first.pem"
    both.write_text(other.read_text() + cert.read_text())
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def refused(ca: Path | None) -> str:
        with pytest.raises(PeerClosedError) as error:
            await open_ws(server.url, {}, ca)
        return str(error.value)

    async with listening(context) as server:
        ours = await open_ws(server.url, {}, cert)
        theirs = await server.accepted()
        await ours.send([{"n": 1}])
        assert await receive(theirs, 1) == [{"n": 1}]
        await ours.aclose()
        await theirs.aclose()
        for ca in (None, other, both):
            assert "CERTIFICATE_VERIFY_FAILED" in await refused(ca)
        assert "holds no certificate" in await refused(nothing)
        assert "cannot be used" in await refused(tmp_path / "missing.pem")
