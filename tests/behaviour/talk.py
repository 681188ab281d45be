"""A client that writes down every message in order and checks it against the models."""

import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.abc

from codex_jupyter.protocol._wire import WireModel
from codex_jupyter.protocol.jsonrpc import Garbage
from codex_jupyter.protocol.notifications import NOTIFICATIONS
from codex_jupyter.protocol.requests import CLIENT_REQUESTS
from codex_jupyter.protocol.server_requests import SERVER_REQUESTS
from codex_jupyter.protocol.streams import MessageStreams
from codex_jupyter.server.app import AppServer
from codex_jupyter.server.rights import OWNER, Rights
from codex_jupyter.settings import Settings
from codex_jupyter.settings.environment import snapshot
from codex_jupyter.transports.stdio import StdioStreams
from codex_jupyter.transports.streams import memory_pair
from tests.behaviour.shapes import check_notification, check_request, check_result

__all__ = [
    "Json",
    "RefusedError",
    "StdioServer",
    "Talk",
    "background",
    "connect",
    "environment",
    "serving",
    "start_stdio",
    "text",
    "write_config",
]

Json = dict[str, Any]

LIMIT = 30.0
"""Seconds a wait may last; what is waited for takes milliseconds."""


class RefusedError(Exception):
    """The server answered with an error."""

    def __init__(self, error: Json) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Any = error.get("data")


class Talk:
    """One connection. Every message that comes in is kept in ``heard``, in order."""

    def __init__(self, streams: MessageStreams) -> None:
        self._streams = streams
        self._ids = 0
        self._methods: dict[int, str] = {}
        self._news = anyio.Event()
        self.heard: list[Json] = []
        self.ended = anyio.Event()
        self._problem: Exception | None = None
        self._hearing = anyio.Event()
        self._hearing.set()

    def stop_reading(self) -> None:
        """Take nothing more from the stream until `read_on`."""
        self._hearing = anyio.Event()

    def read_on(self) -> None:
        self._hearing.set()

    async def listen(self) -> None:
        try:
            while True:
                await self._hearing.wait()
                for message in await self._streams.receive():
                    assert not isinstance(message, Garbage), message
                    try:
                        self._check(message)
                    except Exception as problem:  # noqa: BLE001 - raised by whoever waits
                        self._problem = self._problem or problem
                    self.heard.append(message)
                self._stir()
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            self.ended.set()
            self._stir()

    def expect_no_problem(self) -> None:
        """Raise what was wrong with the first message that was."""
        if self._problem is not None:
            raise self._problem

    async def close(self) -> None:
        await self._streams.aclose()

    # What we say.

    async def send(self, *messages: Json) -> None:
        await self._streams.send(messages)

    async def request(self, method: str, params: Any) -> int:
        """Send a request and return its id; `response` waits for the answer."""
        message = self.make(method, params)
        await self.send(message)
        return message["id"]

    def make(self, method: str, params: Any) -> Json:
        self._ids += 1
        self._methods[self._ids] = method
        return {"id": self._ids, "method": method, "params": params}

    async def response(self, request_id: int) -> Json:
        found = await self.until(lambda m: m.get("id") == request_id and "method" not in m)
        if "error" in found:
            raise RefusedError(found["error"])
        return found["result"]

    async def ask(self, method: str, params: Any) -> Json:
        return await self.response(await self.request(method, params))

    async def refused(self, method: str, params: Any) -> RefusedError:
        """Send a request that must be refused, and return the refusal."""
        try:
            result = await self.ask(method, params)
        except RefusedError as error:
            return error
        raise AssertionError(f"`{method}` was not refused: {result}")

    async def greet(self, **capabilities: Any) -> Json:
        info = {"name": "talk", "version": "1.0"}
        result = await self.ask("initialize", {"clientInfo": info, "capabilities": capabilities})
        await self.send({"method": "initialized"})
        return result

    async def answer(self, request: Json, result: Any) -> None:
        await self.send({"id": request["id"], "result": result})

    async def answer_error(self, request: Json, code: int, message: str = "no") -> None:
        await self.send({"id": request["id"], "error": {"code": code, "message": message}})

    async def start_thread(self, cwd: Path, **params: Any) -> str:
        opened = await self.ask("thread/start", {"cwd": str(cwd), **params})
        return opened["thread"]["id"]

    async def start_turn(self, thread_id: str, words: str = "Hello", **params: Any) -> str:
        params = {"threadId": thread_id, "input": [text(words)], **params}
        return (await self.ask("turn/start", params))["turn"]["id"]

    async def turn(self, thread_id: str, words: str = "Hello", **params: Any) -> Json:
        """Start a turn, wait for its end, and return the turn of `turn/completed`."""
        return await self.turn_end(await self.start_turn(thread_id, words, **params))

    # What we hear.

    async def until(self, wanted: Callable[[Json], bool], *, after: int = 0) -> Json:
        """Return the first message, from position ``after`` on, that is wanted."""
        position = after
        with anyio.fail_after(LIMIT):
            while True:
                self.expect_no_problem()
                for message in self.heard[position:]:
                    if wanted(message):
                        return message
                position = len(self.heard)
                assert not self.ended.is_set(), f"the connection ended; heard {self.methods()}"
                await self._news.wait()

    async def more(self) -> None:
        """Wait until something more is heard, or the end."""
        if not self.ended.is_set():
            await self._news.wait()

    async def told(self, method: str, *, after: int = 0, **members: Any) -> Json:
        """Return the params of the first such notification with these top-level params."""

        def wanted(message: Json) -> bool:
            params = message.get("params") or {}
            return message.get("method") == method and all(
                params.get(name) == value for name, value in members.items()
            )

        return (await self.until(wanted, after=after))["params"]

    async def asked(self, method: str = "", *, n: int = 1) -> Json:
        """Return the ``n``-th request of the server's."""

        def found() -> list[Json]:
            return [m for m in self.requests() if not method or m["method"] == method]

        await self.until(lambda _: len(found()) >= n)
        return found()[n - 1]

    async def turn_end(self, turn_id: str) -> Json:
        message = await self.until(
            lambda m: m.get("method") == "turn/completed" and m["params"]["turn"]["id"] == turn_id
        )
        return message["params"]["turn"]

    async def item_started(self, kind: str, *, after: int = 0) -> Json:
        message = await self.until(
            lambda m: m.get("method") == "item/started" and m["params"]["item"]["type"] == kind,
            after=after,
        )
        return message["params"]["item"]

    async def finished(self) -> None:
        """Wait for the end of the connection."""
        with anyio.fail_after(LIMIT):
            await self.ended.wait()

    def requests(self) -> list[Json]:
        return [m for m in self.heard if "method" in m and "id" in m]

    def notices(self, method: str) -> list[Json]:
        return [m["params"] for m in self.heard if m.get("method") == method and "id" not in m]

    def methods(self, *, after: int = 0) -> list[str]:
        """Name what was heard: methods, and ``=method`` for the answer to ours."""
        return [
            m["method"] if "method" in m else f"={self._methods.get(m['id'], '?')}"
            for m in self.heard[after:]
        ]

    def items(self, kind: str = "") -> list[Json]:
        """Return the completed items, of one type if it is named."""
        done = [params["item"] for params in self.notices("item/completed")]
        return [item for item in done if not kind or item["type"] == kind]

    def deltas(self, item_id: str) -> str:
        return "".join(
            m["params"]["delta"]
            for m in self.heard
            if "delta" in (m.get("params") or {}) and m["params"]["itemId"] == item_id
        )

    def position(self, wanted: Callable[[Json], bool]) -> int:
        return next(n for n, message in enumerate(self.heard) if wanted(message))

    def _stir(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    def _check(self, message: Json) -> None:
        if "method" not in message:
            assert set(message) in ({"id", "result"}, {"id", "error"}), message
            method = self._methods.get(message["id"] or 0)
            if "result" in message and method is not None:
                _fits(CLIENT_REQUESTS[method][1], message["result"])
                check_result(method, message["result"])
        elif "id" in message:
            assert set(message) == {"id", "method", "params"}
            _fits(SERVER_REQUESTS[message["method"]][0], message["params"])
            check_request(message["method"], message["params"])
        else:
            assert set(message) <= {"method", "params", "emittedAtMs", "seq"}
            _fits(NOTIFICATIONS[message["method"]], message["params"])
            check_notification(message["method"], message["params"])


def _fits(model: type[WireModel], value: Json) -> None:
    """Check the types of all members, and that the model knows each member of this level."""
    model.model_validate(value)
    known = {entry.alias or name for name, entry in model.model_fields.items()}
    assert set(value) <= known, f"{model.__name__} does not know {set(value) - known}"


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def write_config(home: Path, base_url: str, *lines: str, **provider: Any) -> None:
    """Write a config.toml whose model is the fake."""
    patience = {"request_max_retries": 0, "stream_max_retries": 0, **provider}
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(
        "\n".join(
            [
                'model = "fake-model"',
                'model_provider = "fake"',
                *lines,
                "[model_providers.fake]",
                'name = "Fake"',
                f'base_url = "{base_url}"',
                *(f"{name} = {_toml(value)}" for name, value in patience.items()),
            ]
        )
    )


def _toml(value: Any) -> str:
    return value if isinstance(value, str) else str(value).lower()


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a server: this process's without what would configure it."""
    kept = {k: v for k, v in snapshot().items() if not k.startswith(("OPENAI_", "CODEX_"))}
    return {**kept, "CODEX_JUPYTER_HOME": str(home)}


@asynccontextmanager
async def background() -> AsyncGenerator[anyio.abc.TaskGroup]:
    """Run tasks until the block ends; an error of the block is not wrapped into a group."""
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        except Exception as error:  # noqa: BLE001 - raised again below
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


@asynccontextmanager
async def serving(
    home: Path, *overrides: str, watchable: bool = False
) -> AsyncGenerator[AppServer]:
    """Run a server in this process."""
    settings = Settings.load(environ=environment(home), overrides=overrides)
    failure: Exception | None = None
    async with AppServer.open(settings, watchable=watchable) as server:
        try:
            yield server
        except Exception as error:  # noqa: BLE001 - raised again below
            failure = error
    if failure is not None:
        raise failure


@asynccontextmanager
async def connect(
    server: AppServer, *, greet: bool = True, rights: Rights = OWNER, **capabilities: Any
) -> AsyncGenerator[Talk]:
    """Connect to a server of this process in memory; leaving disconnects."""
    ours, theirs = memory_pair()
    talk = Talk(ours)
    async with background() as tasks:
        tasks.start_soon(server.serve, theirs, rights)
        tasks.start_soon(talk.listen)
        if greet:
            await talk.greet(**capabilities)
        yield talk
        await talk.close()
        talk.expect_no_problem()


@dataclass
class StdioServer:
    """A server in a process of its own."""

    process: subprocess.Popen[bytes]
    talk: Talk
    errors: list[str] = field(default_factory=list[str])

    async def wait(self) -> int:
        """Wait for the end of the process and return its exit status."""
        with anyio.fail_after(LIMIT):
            while (code := self.process.poll()) is None:
                await anyio.sleep(0.01)
        return code

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


@asynccontextmanager
async def start_stdio(
    home: Path,
    *options: str,
    greet: bool = True,
    env: Mapping[str, str] | None = None,
    **capabilities: Any,
) -> AsyncGenerator[StdioServer]:
    """Run ``codex-jupyter app-server`` and talk to it over its pipes; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "codex_jupyter.cli", *options, "app-server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment(home), **(env or {})},
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    talk = Talk(StdioStreams(process.stdout.fileno(), process.stdin.fileno()))
    server = StdioServer(process, talk)
    try:
        async with background() as tasks:
            tasks.start_soon(talk.listen)
            if greet:
                await talk.greet(**capabilities)
            yield server
            talk.expect_no_problem()
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()
