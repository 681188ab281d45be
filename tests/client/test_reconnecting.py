"""The client when its connection drops: it comes back, goes on, or says why not."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from codex_jupyter.client import aio
from codex_jupyter.client.aio import CodexClient
from codex_jupyter.errors import CodexError, ConfigError, PeerClosedError, RemoteError
from codex_jupyter.protocol.streams import MessageStreams
from codex_jupyter.rpc import Peer
from codex_jupyter.transports.streams import MemoryStreams, memory_pair

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
ITEM = {"id": "m", "type": "agentMessage", "text": "One two"}


class Server:
    """Takes any number of connections, answers by a table, and can drop them."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answers: Json = {
            "initialize": {"userAgent": "x"},
            "thread/start": {"thread": {"id": "t"}},
            "turn/start": {"turn": {"id": "u"}},
            "thread/list": {"data": []},
        }
        self.turns: list[Json] = []
        self.resumed: list[Callable[[], None]] = []
        """Called right after a thread was resumed, while the answer is on its way."""

        self.refusal: CodexError | None = None
        self.drops: set[str] = set()
        """Methods whose request drops the connection, once each."""

        self.peers: list[tuple[Peer, MemoryStreams]] = []
        self._tasks: anyio.abc.TaskGroup

    @property
    def peer(self) -> Peer:
        return self.peers[-1][0]

    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]

    async def connect(self) -> MessageStreams:
        if self.refusal is not None:
            raise self.refusal
        ours, theirs = memory_pair()
        peer = Peer(theirs, on_request=self._answer, on_notification=lambda _m, _p: None)
        self.peers.append((peer, theirs))
        self._tasks.start_soon(peer.run)
        return ours

    async def drop(self) -> None:
        await self.peers[-1][1].aclose()

    def say(self, method: str, **params: Any) -> None:
        self.peer.notify(method, params)

    def append(self, delta: str) -> None:
        self.say("item/agentMessage/delta", threadId="t", turnId="u", itemId="m", delta=delta)

    def complete(self, text: str) -> None:
        self.say("item/completed", threadId="t", turnId="u", item={**ITEM, "text": text})
        self.say("turn/completed", threadId="t", turn=turn("completed"))

    async def _answer(self, method: str, params: Any, request_id: str | int) -> Any:
        self.asked.append((method, params))
        if method in self.drops:
            self.drops.discard(method)
            await self.drop()
            await anyio.sleep_forever()
        if method == "thread/resume":
            for act in self.resumed:
                act()
            return {"thread": {"id": "t"}, "initialTurnsPage": {"data": self.turns}}
        answer = self.answers.get(method, RemoteError(-32600, f"no {method}"))
        if isinstance(answer, Exception):
            raise answer
        return answer


def turn(status: str, *items: Json) -> Json:
    return {"id": "u", "status": status, "items": list(items), "error": None}


@asynccontextmanager
async def linked() -> AsyncGenerator[tuple[Server, CodexClient]]:
    server = Server()
    failure: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        server._tasks = tasks
        try:
            with anyio.fail_after(30):
                streams = await server.connect()
                async with CodexClient.open(streams, again=server.connect) as client:
                    await client.call("thread/start", {})
                    yield server, client
        except Exception as error:  # noqa: BLE001 - raised again below
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def until(is_true: Callable[[], object]) -> None:
    while not is_true():
        await anyio.sleep(0.005)


async def heard_of(client: CodexClient, act: Callable[[], Awaitable[None]]) -> list[Any]:
    """Run a turn, call ``act`` when it has begun, and return what it said."""
    async with client.turn("t", {"turnId": "u"}) as stream:
        await act()
        return [
            (method, params.get("delta") or params.get("item", {}).get("text"))
            async for method, params in stream
        ]


async def test_a_call_waits_for_the_connection_to_come_back() -> None:
    async with linked() as (server, client):
        await server.drop()
        assert await client.call("thread/list", {}) == {"data": []}
        assert server.methods()[-3:] == ["initialize", "thread/resume", "thread/list"]
        assert len(server.peers) == 2


async def test_a_call_whose_answer_was_lost_is_repeated() -> None:
    async with linked() as (server, client):
        server.drops.add("thread/list")
        assert await client.call("thread/list", {}) == {"data": []}
        assert server.methods().count("thread/list") == 2


async def test_a_turn_goes_on_from_the_servers_snapshot_and_what_comes_after_it() -> None:
    async with linked() as (server, client):

        async def lose() -> None:
            server.append("One ")
            await server.drop()
            server.turns = [turn("inProgress", ITEM)]
            server.resumed = [lambda: server.append(" three")]
            await until(lambda: "thread/resume" in server.methods())
            server.complete("One two three")

        heard = await heard_of(client, lose)
    # The delta was said before the answer of thread/resume, so the snapshot has it already.
    assert heard[-3:] == [
        ("item/started", "One two"),
        ("item/completed", "One two three"),
        ("turn/completed", None),
    ]


async def test_a_delta_right_behind_the_snapshot_is_not_lost() -> None:
    async with linked() as (server, client):

        async def lose() -> None:
            await server.drop()
            server.turns = [turn("inProgress", ITEM)]
            await until(lambda: "thread/resume" in server.methods())
            await client.call("thread/list", {})
            server.append(" three")
            server.complete("One two three")

        heard = await heard_of(client, lose)
    assert heard[-4:] == [
        ("item/started", "One two"),
        ("item/agentMessage/delta", " three"),
        ("item/completed", "One two three"),
        ("turn/completed", None),
    ]


async def test_a_turn_that_ended_meanwhile_ends() -> None:
    async with linked() as (server, client):

        async def lose() -> None:
            server.turns = [turn("completed", {**ITEM, "text": "All of it."})]
            await server.drop()

        heard = await heard_of(client, lose)
    assert heard == [("item/completed", "All of it."), ("turn/completed", None)]


async def test_a_turn_that_ended_long_ago_is_asked_for() -> None:
    async with linked() as (server, client):
        done = turn("completed", {**ITEM, "text": "All of it."})
        server.answers["thread/turns/list"] = {"data": [done]}
        server.turns = [{**done, "id": "newer"}]
        heard = await heard_of(client, server.drop)
        (params,) = [params for method, params in server.asked if method == "thread/turns/list"]
        assert params == {"threadId": "t", "turnId": "u", "itemsView": "full"}
    assert heard == [("item/completed", "All of it."), ("turn/completed", None)]


async def test_a_turn_the_server_no_longer_has_is_an_error() -> None:
    async with linked() as (server, client):
        with pytest.raises(PeerClosedError, match="no longer has the turn"):
            await heard_of(client, server.drop)
        assert await client.call("thread/list", {}) == {"data": []}


async def test_a_turn_whose_start_was_not_answered_is_started_again() -> None:
    async with linked() as (server, client):
        server.drops.add("turn/start")

        async def finish() -> None:
            server.complete("Done.")

        heard = await heard_of(client, finish)
        assert heard[-1] == ("turn/completed", None)
        assert server.methods().count("turn/start") == 2


async def test_a_turn_that_had_begun_when_its_start_was_lost_is_not_refused() -> None:
    async with linked() as (server, client):
        server.drops.add("turn/start")
        server.turns = [turn("inProgress", ITEM)]
        server.answers["turn/start"] = RemoteError(-32600, "turn id already exists")

        async def finish() -> None:
            server.complete("Done.")

        heard = await heard_of(client, finish)
        assert heard[-1] == ("turn/completed", None)


async def test_a_turn_without_an_id_is_not_started_twice() -> None:
    async with linked() as (server, client):
        server.drops.add("turn/start")
        with pytest.raises(PeerClosedError):
            async with client.turn("t", {}):
                raise AssertionError("not reached")
        assert server.methods().count("turn/start") == 1


async def test_a_server_that_stays_away_ends_calls_and_turns_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aio, "RECONNECT_FOR", 0.3)
    async with linked() as (server, client):

        async def lose() -> None:
            server.refusal = PeerClosedError("nobody listens")
            await server.drop()

        with pytest.raises(PeerClosedError, match="did not come back"):
            await heard_of(client, lose)
        assert client.gone
        with pytest.raises(PeerClosedError, match="did not come back"):
            await client.call("thread/list", {})


async def test_a_server_that_refuses_is_not_asked_again() -> None:
    async with linked() as (server, client):
        server.refusal = ConfigError("link", "is the link of another kernel")
        await server.drop()
        with pytest.raises(PeerClosedError, match="another kernel"):
            await client.call("thread/list", {})


async def test_a_server_that_is_back_after_a_while_is_found() -> None:
    async with linked() as (server, client):
        server.refusal = PeerClosedError("nobody listens")
        await server.drop()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call, "thread/list", {})
            await anyio.sleep(0.15)
            server.refusal = None
        assert server.methods()[-1] == "thread/list"


async def test_threads_are_resumed_without_turns_where_no_turn_runs() -> None:
    async with linked() as (server, client):
        await server.drop()
        await client.call("thread/list", {})
        (params,) = [params for method, params in server.asked if method == "thread/resume"]
        assert params == {"threadId": "t", "excludeTurns": True}


async def test_a_server_that_hangs_up_at_once_is_not_called_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(aio, "RECONNECT_FOR", 1.0)
    calls: list[None] = []
    async with linked() as (server, client):

        async def hang_up() -> MessageStreams:
            calls.append(None)
            ours, theirs = memory_pair()
            await theirs.aclose()
            return ours

        client._again = hang_up
        await server.drop()
        await until(lambda: client.gone)
    # With pauses of 0.1 s, 0.2 s, 0.4 s and so on there is no room for more within a second.
    assert len(calls) < 10
