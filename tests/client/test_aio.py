"""The client against a server spoken by hand: its errors, its streams, its ends."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from codex_jupyter.client.aio import CodexClient, TurnStream
from codex_jupyter.errors import PeerClosedError, RemoteError
from codex_jupyter.protocol.streams import MessageStreams
from codex_jupyter.rpc import Peer
from codex_jupyter.transports.streams import MemoryStreams, memory_pair

pytestmark = pytest.mark.anyio

Json = dict[str, Any]


class Server:
    """Answers by a table; what is not in it is refused."""

    def __init__(self, streams: MessageStreams, answers: dict[str, Any]) -> None:
        self.peer = Peer(streams, on_request=self._answer, on_notification=self._told)
        self.asked: list[tuple[str, Any]] = []
        self.told: list[str] = []
        self._answers = {"initialize": {"userAgent": "x"}, **answers}

    def say(self, method: str, **params: Any) -> None:
        self.peer.notify(method, params)

    async def _answer(self, method: str, params: Any, request_id: str | int) -> Any:
        self.asked.append((method, params))
        answer = self._answers.get(method, RemoteError(-32600, f"no {method}"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _told(self, method: str, params: Any) -> None:
        self.told.append(method)


@asynccontextmanager
async def served(**answers: Any) -> AsyncGenerator[tuple[Server, MemoryStreams]]:
    ours, theirs = memory_pair()
    server = Server(theirs, answers)
    failure: BaseException | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.peer.run)
        try:
            with anyio.fail_after(30):
                yield server, ours
        except Exception as error:  # noqa: BLE001 - raised again below
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def settle() -> None:
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def test_opening_greets_with_the_experimental_capability() -> None:
    async with served() as (server, streams), CodexClient.open(streams) as client:
        assert client.server == {"userAgent": "x"}
        method, params = server.asked[0]
        assert (method, params["capabilities"]) == ("initialize", {"experimentalApi": True})
        await settle()
        assert server.told == ["initialized"]


async def test_a_refused_greeting_is_raised_as_it_is() -> None:
    async with served(initialize=RemoteError(-32600, "go away")) as (_, streams):
        with pytest.raises(RemoteError, match="go away"):
            async with CodexClient.open(streams):
                raise AssertionError("not reached")


async def test_a_connection_that_ends_during_the_greeting_is_raised_as_it_is() -> None:
    ours, theirs = memory_pair()
    await theirs.aclose()
    with anyio.fail_after(30), pytest.raises(PeerClosedError):
        async with CodexClient.open(ours):
            raise AssertionError("not reached")


async def test_an_error_of_the_block_comes_out_as_it_is() -> None:
    async with served() as (_, streams):
        with pytest.raises(KeyError):
            async with CodexClient.open(streams):
                raise KeyError


async def test_a_refused_call_is_raised_with_code_and_data() -> None:
    async with served() as (_, streams), CodexClient.open(streams) as client:
        with pytest.raises(RemoteError) as caught:
            await client.call("thread/list", {})
        assert (caught.value.code, str(caught.value)) == (-32600, "no thread/list")


async def test_questions_nobody_answers_are_refused_as_unknown() -> None:
    async with served() as (server, streams), CodexClient.open(streams):
        with pytest.raises(RemoteError) as caught:
            await server.peer.call("item/tool/call", {})
        assert caught.value.code == -32601


async def test_listeners_hear_their_thread_and_stop_when_told() -> None:
    heard: list[tuple[str, str]] = []

    def note(who: str) -> Callable[[str, Json], None]:
        return lambda method, params: heard.append((who, method))

    async with served() as (server, streams), CodexClient.open(streams) as client:
        stop = client.listen("a", note("a"))
        client.listen(None, note("all"))
        server.say("m1", threadId="a")
        server.say("m2", threadId="b")
        server.say("m3", thread={"id": "a"})
        await settle()
        stop()
        server.say("m4", threadId="a")
        await settle()
    assert [method for who, method in heard if who == "a"] == ["m1", "m3"]
    assert [method for who, method in heard if who == "all"] == ["m1", "m2", "m3", "m4"]


async def test_a_turn_streams_up_to_its_end_and_nothing_of_other_turns() -> None:
    started = {"turn": {"id": "u"}}
    async with (
        served(**{"turn/start": started}) as (server, streams),
        CodexClient.open(streams) as client,
        client.turn("t", {"input": []}) as stream,
    ):
        assert server.asked[-1] == ("turn/start", {"threadId": "t", "input": []})
        server.say("item/started", threadId="t", turnId="u", item={})
        server.say("item/started", threadId="t", turnId="other", item={})
        server.say("thread/status/changed", threadId="t", status={})
        server.say("turn/completed", threadId="t", turn={"id": "other"})
        server.say("turn/completed", threadId="t", turn={"id": "u"})
        server.say("item/started", threadId="t", turnId="u", item={})
        heard = [method async for method, _ in stream]
    assert heard == ["item/started", "thread/status/changed", "turn/completed"]


async def test_what_a_turn_says_before_its_start_is_answered_is_not_lost() -> None:
    async with served() as (server, streams), CodexClient.open(streams) as client:
        server.say("item/started", threadId="t", turnId="u", item={"early": True})
        stream = TurnStream()
        client.listen("t", stream.put)
        await settle()
        stream.turn_id = "u"
        server.say("turn/completed", threadId="t", turn={"id": "u"})
        heard = [method async for method, _ in stream]
    assert heard == ["item/started", "turn/completed"]


async def test_a_stream_whose_connection_ends_says_so() -> None:
    heard: list[str] = []
    async with served(**{"turn/start": {"turn": {"id": "u"}}}) as (server, streams):
        with pytest.raises(PeerClosedError, match="broke off"):
            async with CodexClient.open(streams) as client, client.turn("t", {}) as stream:
                server.say("item/started", threadId="t", turnId="u", item={})
                await settle()
                await streams.aclose()
                async for method, _ in stream:
                    heard.append(method)
    assert heard == ["item/started"]


async def test_a_stream_whose_connection_ends_after_the_turn_is_whole() -> None:
    async with (
        served(**{"turn/start": {"turn": {"id": "u"}}}) as (server, streams),
        CodexClient.open(streams) as client,
        client.turn("t", {}) as stream,
    ):
        server.say("turn/completed", threadId="t", turn={"id": "u"})
        await settle()
        await streams.aclose()
        assert [method async for method, _ in stream] == ["turn/completed"]


async def test_a_stream_that_nobody_reads_breaks_off_and_harms_nobody_else() -> None:
    heard: list[str] = []
    async with (
        served(**{"turn/start": {"turn": {"id": "u"}}}) as (server, streams),
        CodexClient.open(streams) as client,
    ):
        client.listen("t", lambda method, params: heard.append(method))
        async with client.turn("t", {}) as stream:
            for n in range(20):
                item = {"id": str(n), "text": "x" * 1_000_000}
                server.say("item/completed", threadId="t", turnId="u", item=item)
                await settle()
            server.say("turn/completed", threadId="t", turn={"id": "u"})
            await settle()
            with pytest.raises(PeerClosedError, match="broke off"):
                async for _ in stream:
                    pass
        assert heard == ["item/completed"] * 20 + ["turn/completed"]


async def test_leaving_a_stream_early_stops_listening_only() -> None:
    async with (
        served(**{"turn/start": {"turn": {"id": "u"}}}) as (server, streams),
        CodexClient.open(streams) as client,
    ):
        async with client.turn("t", {}):
            pass
        server.say("turn/completed", threadId="t", turn={"id": "u"})
        await settle()
        assert [method for method, _ in server.asked] == ["initialize", "turn/start"]


async def test_a_refused_turn_is_raised_as_it_is() -> None:
    async with served() as (_, streams), CodexClient.open(streams) as client:
        with pytest.raises(RemoteError, match="no turn/start"):
            async with client.turn("t", {}):
                raise AssertionError("not reached")


async def test_a_follower_that_leaves_before_the_snapshot_comes_leaves_nothing_behind() -> None:
    page: Json = {"data": [{"id": "u", "status": "inProgress", "items": []}]}
    answers: Json = {"thread/resume": {"thread": {"id": "t"}}, "thread/turns/list": page}
    async with served(**answers) as (server, streams), CodexClient.open(streams) as client:
        async with anyio.create_task_group() as tasks:

            async def follow() -> None:
                async with client.follow("t", "u"):
                    raise AssertionError("the answer was not to come so early")

            tasks.start_soon(follow)
            while server.asked[-1][0] != "thread/turns/list":
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        await settle()
        assert not client._listeners.get("t")
        assert not client._streams


@pytest.mark.parametrize(
    "params", [[1], "words", 7, {"thread": "t"}, {"threadId": ["t"]}, {"thread": {"id": {}}}]
)
async def test_an_odd_notification_ends_nothing(params: Any) -> None:
    async with served(x={"data": 1}) as (server, streams), CodexClient.open(streams) as client:
        heard: list[str] = []
        client.listen("t", lambda method, _params: heard.append(method))
        server.peer.notify("odd", params)
        server.say("even", threadId="t")
        assert await client.call("x", {}) == {"data": 1}
        assert heard == ["even"]


async def test_a_follower_whose_connection_ends_is_told_so_as_such() -> None:
    async with served(**{"thread/resume": {"thread": {"id": "t"}}}) as (server, streams):
        async with CodexClient.open(streams) as client:

            async def answer(method: str, params: Any, request_id: str | int) -> Any:
                if method == "thread/turns/list":
                    server.peer.finish()
                    await anyio.sleep_forever()
                return {"thread": {"id": "t"}}

            server.peer._on_request = answer
            with pytest.raises(PeerClosedError):
                async with client.follow("t", "u"):
                    raise AssertionError("not reached")
