"""The server on a WebSocket: who may come in, what counts as a message, how it ends."""

import hashlib
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.websocket import WebSocketClientConnection

from codex_jupyter.errors import PeerClosedError
from codex_jupyter.transports.ws_client import open_ws
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Talk, background, environment
from tests.fake_model import say

pytestmark = pytest.mark.anyio

LOOPBACK = "ws://127.0.0.1:0"


@dataclass
class WsServer:
    """A listening server in a process of its own."""

    process: subprocess.Popen[bytes]
    told: list[str] = field(default_factory=list[str])
    """Lines on standard error."""

    news: anyio.Event = field(default_factory=anyio.Event)

    async def line(self, pattern: str) -> re.Match[str]:
        """Wait for a line on standard error."""
        with anyio.fail_after(30):
            while not (found := [m for line in self.told if (m := re.search(pattern, line))]):
                await self.news.wait()
        return found[0]

    async def url(self) -> str:
        return (await self.line(r"listening on (ws://\S+)"))[1]

    async def token(self) -> str:
        return Path((await self.line(r"token in (.+)"))[1]).read_text().strip()

    async def read(self) -> None:
        assert self.process.stderr is not None
        while line := await anyio.to_thread.run_sync(
            self.process.stderr.readline, abandon_on_cancel=True
        ):
            self.told.append(line.decode().rstrip("\n"))
            self.news.set()
            self.news = anyio.Event()

    async def wait(self) -> int:
        with anyio.fail_after(30):
            while (code := self.process.poll()) is None:
                await anyio.sleep(0.01)
        return code

    async def get(self, path: str, **headers: str) -> HTTPResponse:
        url = (await self.url()).replace("ws://", "http://")
        return await AsyncHTTPClient().fetch(f"{url}{path}", headers=headers, raise_error=False)

    @asynccontextmanager
    async def connect(self, token: str | None = None) -> AsyncGenerator[Talk]:
        shown = token if token is not None else await self.token()
        streams = await open_ws(await self.url(), {"Authorization": f"Bearer {shown}"})
        talk = Talk(streams)
        async with background() as tasks:
            tasks.start_soon(talk.listen)
            yield talk
            await talk.close()
            talk.expect_no_problem()


@asynccontextmanager
async def listening(lab: Lab, *options: str) -> AsyncGenerator[WsServer]:
    process = subprocess.Popen(
        [sys.executable, "-m", "codex_jupyter.cli", "app-server", "--listen", LOOPBACK, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(lab.home),
    )
    server = WsServer(process)
    try:
        async with background() as tasks:
            tasks.start_soon(server.read)
            yield server
    finally:
        process.kill()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()


async def test_a_turn_goes_over_a_websocket(lab: Lab) -> None:
    lab.fake.add(say("Hello over the socket.", deltas=4))
    async with listening(lab) as server, server.connect() as talk:
        await talk.greet()
        turn = await talk.turn(await talk.start_thread(lab.workspace))
        assert turn["status"] == "completed"
        assert talk.items("agentMessage")[0]["text"] == "Hello over the socket."


async def test_several_connections_share_the_threads(lab: Lab) -> None:
    lab.fake.add(say("Heard by both."))
    async with listening(lab) as server, server.connect() as one, server.connect() as two:
        await one.greet()
        await two.greet()
        thread_id = await one.start_thread(lab.workspace)
        await two.ask("thread/resume", {"threadId": thread_id})
        await one.turn(thread_id)
        await two.told("turn/completed")
        assert [i["text"] for i in two.items("agentMessage")] == ["Heard by both."]


async def test_the_token_that_is_made_is_for_the_user_alone_and_goes_with_the_server(
    lab: Lab,
) -> None:
    async with listening(lab) as server:
        path = Path((await server.line(r"token in (.+)"))[1])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_uid == os.getuid()
        assert len(path.read_text().strip()) >= 43
        await server.url()
        server.process.send_signal(signal.SIGTERM)
        assert await server.wait() == 0
        assert not path.exists()
        assert server.process.stdout is not None
        assert server.process.stdout.read() == b""


@pytest.mark.parametrize("way", ["file", "sha256"])
async def test_a_token_may_be_given(lab: Lab, way: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("  the token of a test\n")
    digest = hashlib.sha256(b"the token of a test").hexdigest()
    given = ("--ws-token-file", str(path)) if way == "file" else ("--ws-token-sha256", digest)
    async with listening(lab, "--ws-auth", "capability-token", *given) as server:
        async with server.connect("the token of a test") as talk:
            await talk.greet()
        with pytest.raises(PeerClosedError, match="401"):
            await open_ws(await server.url(), {"Authorization": "Bearer another"})
        assert not [line for line in server.told if "token in" in line]


async def test_without_the_token_nobody_comes_in(lab: Lab) -> None:
    wrong = ("", "Bearer", "Bearer ", "Bearer wrong", "Basic {}", "{}", "Bearer {}x", "Bearer x{}")
    async with listening(lab) as server:
        token = await server.token()
        for headers in ({}, *({"Authorization": shown.format(token)} for shown in wrong)):
            with pytest.raises(PeerClosedError, match="HTTP 401"):
                await open_ws(await server.url(), headers)
            assert (await server.get("/", **headers)).code == 401, headers


async def test_no_page_comes_in_whatever_it_shows(lab: Lab) -> None:
    async with listening(lab) as server:
        token, url = await server.token(), await server.url()
        for origin in ("http://evil.example", "null", url.replace("ws", "http")):
            headers = {"Authorization": f"Bearer {token}", "Origin": origin}
            with pytest.raises(PeerClosedError, match="HTTP 403"):
                await open_ws(url, headers)
        assert (await server.get("/", Origin="http://evil.example")).code == 403


async def test_health_is_told_without_a_token(lab: Lab) -> None:
    async with listening(lab) as server:
        for path in ("/healthz", "/readyz"):
            answer = await server.get(path)
            assert (answer.code, answer.body) == (200, b"ok\n")
            assert "Server" not in answer.headers
        assert (await server.get("/elsewhere")).code == 404


def raw(talk: Talk) -> WebSocketClientConnection:
    streams: Any = talk._streams
    return streams._connection


async def test_what_is_no_message_does_not_end_the_connection(lab: Lab) -> None:
    lab.fake.add(say("Still here."))
    async with listening(lab) as server, server.connect() as talk:
        await talk.greet()
        before = len(talk.heard)
        await raw(talk).write_message(
            b'{"id": 1, "method": "thread/list", "params": {}}', binary=True
        )
        for frame in (
            "{",
            "[]",
            '{"id": {}}',
            "[" * 10_000,
            '{"id": 1, "method": "\\ud800"}',
            "x" * 50_000_000,
        ):
            await raw(talk).write_message(frame)
        assert (await talk.ask("thread/list", {}))["data"] == []
        errors = talk.heard[before:-1]
        assert [(m["id"], m["error"]["code"]) for m in errors] == [(None, -32700)] * 6
        assert (await talk.turn(await talk.start_thread(lab.workspace)))["status"] == "completed"


async def test_a_connection_that_ends_takes_no_other_with_it(lab: Lab) -> None:
    async with listening(lab) as server, server.connect() as other:
        await other.greet()
        async with server.connect() as broken:
            await broken.greet()
            raw(broken).protocol.stream.close()  # pyright: ignore[reportOptionalMemberAccess]
            await broken.finished()
        async with server.connect() as bad:
            # Not valid UTF-8 in a text frame: the protocol wants that connection to end.
            raw(bad).protocol._write_frame(True, 1, b"\xff")  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
            await bad.finished()
        assert (await other.ask("thread/list", {}))["data"] == []


async def test_an_interrupt_signal_lets_what_runs_come_to_its_end(lab: Lab) -> None:
    lab.fake.add(say("To the very end.", deltas=4).hang(after=4))
    async with listening(lab) as server, server.connect() as talk:
        await talk.greet()
        thread_id = await talk.start_thread(lab.workspace)
        turn_id = await talk.start_turn(thread_id)
        await talk.told("item/agentMessage/delta")
        server.process.send_signal(signal.SIGINT)
        await server.line("waits for")
        with pytest.raises(PeerClosedError, match="503"):
            await open_ws(await server.url(), {"Authorization": f"Bearer {await server.token()}"})
        assert (await server.get("/readyz")).code == 503
        assert (await talk.ask("thread/loaded/list", {}))["data"] == [thread_id]
        lab.fake.resume()
        assert (await talk.turn_end(turn_id))["status"] == "completed"
        await talk.finished()
        assert await server.wait() == 0


@pytest.mark.parametrize("numbers", [("SIGINT", "SIGINT"), ("SIGINT", "SIGTERM"), ("SIGTERM",)])
async def test_a_second_signal_or_sigterm_stops_what_runs_and_tells_it(
    lab: Lab, numbers: tuple[str, ...]
) -> None:
    lab.fake.add(say("It never ends.", deltas=2).hang(after=3))
    async with listening(lab) as server, server.connect() as talk:
        await talk.greet()
        turn_id = await talk.start_turn(await talk.start_thread(lab.workspace))
        await talk.told("item/agentMessage/delta")
        for number in numbers:
            server.process.send_signal(getattr(signal, number))
            if number == "SIGINT" and server.process.poll() is None:
                await server.line("waits for")
        assert (await talk.turn_end(turn_id))["status"] == "interrupted"
        await talk.finished()
        assert await server.wait() == 0
        assert raw(talk).close_code == 1001


async def test_a_signal_where_nothing_runs_ends_the_server(lab: Lab) -> None:
    async with listening(lab) as server:
        await server.url()
        server.process.send_signal(signal.SIGINT)
        assert await server.wait() == 0


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--listen", "ws://0.0.0.0:0"), "only a loopback address"),
        (("--listen", "ws://192.168.1.1:80"), "only a loopback address"),
        (("--listen", "ws://example.org:80"), "only a loopback address"),
        (("--listen", "ws://[::]:0"), "only a loopback address"),
        (("--listen", "ws://127.0.0.1"), "ws://ADDRESS:PORT"),
        (("--listen", "ws://127.0.0.1:99999"), "--listen"),
        (("--listen", "ws://127.0.0.1:0/path"), "ws://ADDRESS:PORT"),
        (("--listen", "ws://a@127.0.0.1:0"), "ws://ADDRESS:PORT"),
        (("--listen", "wss://127.0.0.1:0"), "ws://ADDRESS:PORT"),
        (("--listen", "x"), "stdio://"),
        (("--listen", LOOPBACK, "--ws-token-file", "/no/such/file"), "/no/such/file"),
        (("--listen", LOOPBACK, "--ws-token-file", "/dev/null"), "a token of 1 to"),
        (("--listen", LOOPBACK, "--ws-token-sha256", "abc"), "64 hexadecimal digits"),
        (("--ws-token-sha256", "0" * 64), "--listen ws://"),
        (("--listen", LOOPBACK, "--ws-auth", "none"), "capability-token"),
    ],
)
async def test_options_that_do_not_fit_are_refused(
    lab: Lab, options: tuple[str, ...], complaint: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "codex_jupyter.cli", "app-server", *options],
        input=b"",
        capture_output=True,
        env=environment(lab.home),
        timeout=10,
    )
    assert done.returncode == 2
    assert complaint in done.stderr.decode()
    assert done.stdout == b""


async def test_an_address_that_is_taken_is_told(lab: Lab) -> None:
    async with listening(lab) as server:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "codex_jupyter.cli",
                "app-server",
                "--listen",
                await server.url(),
            ],
            capture_output=True,
            env=environment(lab.home),
            timeout=10,
        )
        assert done.returncode == 1
        *_, told = done.stderr.decode().splitlines()
        assert re.fullmatch(r"codex-jupyter: 127.*, cannot be listened on: \w.*", told)
        assert b"Traceback" not in done.stderr
        assert len(list((lab.home / "app-server").iterdir())) == 1
