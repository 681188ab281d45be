"""One end of a connection: exactly one answer each, in order, whatever the other side sends."""

from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from codex_jupyter import rpc
from codex_jupyter.errors import (
    DuplicateIdError,
    InvalidRequestError,
    PeerClosedError,
    RemoteError,
)
from codex_jupyter.protocol.jsonrpc import Garbage, Message, Response
from codex_jupyter.rpc import MAX_CONTROL, MAX_IN_FLIGHT, MAX_WAITING, Peer, Reply
from codex_jupyter.transports.streams import MemoryStreams, memory_pair

pytestmark = pytest.mark.anyio


class Wire:
    """The other end, spoken by hand."""

    def __init__(self, streams: MemoryStreams) -> None:
        self.streams = streams
        self.heard: list[Message] = []

    async def send(self, *messages: Any) -> None:
        await self.streams.send(messages)

    async def hear(self, count: int = 1) -> list[Message]:
        """Return all messages so far, at least ``count``."""
        with anyio.fail_after(30):
            while len(self.heard) < count:
                for message in await self.streams.receive():
                    assert not isinstance(message, Garbage)
                    self.heard.append(message)
        return self.heard

    async def hear_end(self) -> None:
        with anyio.fail_after(30), pytest.raises(anyio.EndOfStream):
            while True:
                self.heard += [m for m in await self.streams.receive() if isinstance(m, dict)]


async def echo(method: str, params: Any, request_id: str | int) -> Any:
    return {"method": method, "params": params, "id": request_id}


@asynccontextmanager
async def peer(
    on_request: Callable[[str, Any, str | int], Any] = echo,
    on_notification: Callable[[str, Any], None] = lambda method, params: None,
    control: Collection[str] = (),
) -> AsyncGenerator[tuple[Peer, Wire]]:
    ours, theirs = memory_pair()
    end = Peer(ours, on_request=on_request, on_notification=on_notification, control=control)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end.run)
        yield end, Wire(theirs)
        await theirs.aclose()


@pytest.mark.parametrize("request_id", [0, 1, -1, 2**63 - 1, -(2**63), "", "a", "1", "ü"])
async def test_an_answer_carries_the_id_it_was_asked_with(request_id: str | int) -> None:
    async with peer() as (_, wire):
        await wire.send({"id": request_id, "method": "m", "params": [1]})
        (answer,) = await wire.hear()
    assert answer == {
        "id": request_id,
        "result": {"method": "m", "params": [1], "id": request_id},
    }
    assert type(answer["id"]) is type(request_id)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"id": 1},
        {"id": None, "method": "m"},
        {"id": 1.5, "method": "m"},
        {"id": True, "method": "m"},
        {"id": [1], "method": "m"},
        {"id": 2**63, "method": "m"},
        {"method": 7},
        {"id": 1, "method": None},
        {"id": 1, "error": "text"},
        {"result": {}},
        Garbage("not even JSON"),
    ],
    ids=str,
)
async def test_garbage_is_answered_without_an_id_and_the_connection_goes_on(message: Any) -> None:
    async with peer() as (_, wire):
        await wire.send(message, {"id": 2, "method": "after"})
        complaint, answer = await wire.hear(2)
    assert complaint["id"] is None
    assert complaint["error"]["code"] == -32700
    assert answer["id"] == 2


async def test_answers_that_nobody_waits_for_are_dropped() -> None:
    async with peer() as (_, wire):
        await wire.send({"id": 99, "result": {}}, {"id": "x", "error": {"code": 1}})
        await wire.send({"id": 1, "method": "after"})
        assert [message["id"] for message in await wire.hear()] == [1]


async def test_errors_of_ours_travel_with_code_and_data() -> None:
    async def refuse(method: str, params: Any, request_id: str | int) -> Any:
        match method:
            case "duplicate":
                raise DuplicateIdError("turn", "t1", "completed")
            case "remote":
                raise RemoteError(-32601, "not here")
            case "invalid":
                raise InvalidRequestError("wrong")
            case _:
                raise KeyError("secret" * 1_000)

    async with peer(refuse) as (_, wire):
        for n, method in enumerate(("duplicate", "remote", "invalid", "bug")):
            await wire.send({"id": n, "method": method})
            await wire.hear(n + 1)
        errors = [message["error"] for message in wire.heard]
    assert errors[0] == {
        "code": -32600,
        "message": "turn id already exists: t1",
        "data": {"duplicate": "turn", "id": "t1", "status": "completed"},
    }
    assert errors[1] == {"code": -32601, "message": "not here"}
    assert errors[2] == {"code": -32600, "message": "wrong"}
    assert errors[3]["code"] == -32603
    assert errors[3]["message"].startswith("internal error: KeyError(")
    assert len(errors[3]["message"]) <= 500


async def test_a_slow_request_does_not_hold_up_the_others() -> None:
    gate = anyio.Event()

    async def answer(method: str, params: Any, request_id: str | int) -> Any:
        if method == "slow":
            await gate.wait()
        return method

    async with peer(answer) as (_, wire):
        await wire.send({"id": 1, "method": "slow"}, {"id": 2, "method": "fast"})
        assert [m["id"] for m in await wire.hear()] == [2]
        gate.set()
        assert [m["id"] for m in await wire.hear(2)] == [2, 1]


async def test_so_many_requests_are_worked_on_at_once_and_none_is_lost() -> None:
    gate = anyio.Event()
    working: set[str | int] = set()

    async def answer(method: str, params: Any, request_id: str | int) -> Any:
        working.add(request_id)
        await gate.wait()
        return None

    total = MAX_IN_FLIGHT + 50
    async with peer(answer) as (_, wire):
        await wire.send(*({"id": n, "method": "m"} for n in range(total)))
        with anyio.fail_after(30):
            while len(working) < MAX_IN_FLIGHT:
                await anyio.lowlevel.checkpoint()
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert len(working) == MAX_IN_FLIGHT
        gate.set()
        answers = await wire.hear(total)
    assert sorted(message["id"] for message in answers) == list(range(total))


class Gate:
    """Holds every request but those for control, which it answers at once."""

    def __init__(self) -> None:
        self.opened = anyio.Event()
        self.working: list[str | int] = []

    async def __call__(self, method: str, params: Any, request_id: str | int) -> Any:
        if method != "stop":
            self.working.append(request_id)
            await self.opened.wait()
        return method

    async def filled(self, count: int = MAX_IN_FLIGHT) -> None:
        with anyio.fail_after(30):
            while len(self.working) < count:
                await anyio.lowlevel.checkpoint()


OVERLOADED = {
    "code": -32001,
    "message": "Server overloaded; retry later.",
    "data": {"codexErrorInfo": "serverOverloaded", "reason": "server_overloaded"},
}


async def test_requests_past_a_full_line_are_refused_at_once_and_all_are_answered_once() -> None:
    gate = Gate()
    room = MAX_IN_FLIGHT + MAX_WAITING
    async with peer(gate) as (_, wire):
        await wire.send(*({"id": n, "method": "m"} for n in range(room + 7)))
        refused = await wire.hear(7)
        assert [message["id"] for message in refused] == list(range(room, room + 7))
        assert all(message["error"] == OVERLOADED for message in refused)
        gate.opened.set()
        answers = (await wire.hear(room + 7))[7:]
        assert all("result" in message for message in answers)
        assert sorted(message["id"] for message in answers) == list(range(room))
        assert gate.working == list(range(room)), "they are taken in order"
        await wire.send({"id": "later", "method": "m"})
        assert (await wire.hear(room + 8))[-1] == {"id": "later", "result": "m"}


async def test_large_requests_fill_the_line_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "MAX_WAITING_BYTES", 10_000)
    gate = Gate()
    async with peer(gate) as (_, wire):
        await wire.send(*({"id": n, "method": "m"} for n in range(MAX_IN_FLIGHT)))
        await gate.filled()
        for n in range(3):
            await wire.send({"id": f"large {n}", "method": "m", "params": "x" * 4_000})
        await wire.send({"id": "small", "method": "m"})
        (refused,) = await wire.hear()
        assert (refused["id"], refused["error"]) == ("large 2", OVERLOADED)
        gate.opened.set()
        assert len(await wire.hear(MAX_IN_FLIGHT + 4)) == MAX_IN_FLIGHT + 4


async def test_control_answers_and_notices_pass_whatever_waits() -> None:
    gate = Gate()
    told: list[Any] = []
    answers: list[Response] = []
    async with peer(gate, lambda _, params: told.append(params), {"stop"}) as (end, wire):
        end.ask("q", "question", {}, answers.append)
        full = MAX_IN_FLIGHT + MAX_WAITING
        await wire.send(*({"id": n, "method": "m"} for n in range(full)))
        await wire.send(
            {"id": "q", "result": "yes"},
            {"method": "told", "params": 1},
            *({"id": f"stop {n}", "method": "stop"} for n in range(2 * MAX_CONTROL)),
        )
        heard = await wire.hear(1 + 2 * MAX_CONTROL)
        assert [m["id"] for m in heard[1:]] == [f"stop {n}" for n in range(2 * MAX_CONTROL)]
        assert all(message["result"] == "stop" for message in heard[1:])
        assert ([answer.result for answer in answers], told) == (["yes"], [1])
        assert len(gate.working) == MAX_IN_FLIGHT


async def test_too_many_control_requests_wait_unread_and_none_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rpc, "MAX_CONTROL", 4)
    gate = Gate()
    async with peer(gate, control={"m"}) as (_, wire):
        await wire.send(*({"id": n, "method": "m"} for n in range(9)))
        await gate.filled(4)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert gate.working == [0, 1, 2, 3]
        gate.opened.set()
        assert [message["result"] for message in await wire.hear(9)] == ["m"] * 9


async def test_a_line_of_requests_that_need_no_wait_does_not_hold_up_the_others() -> None:
    gate = Gate()
    order: list[str | int] = []

    async def answer(method: str, params: Any, request_id: str | int) -> Any:
        if method == "m":
            await gate(method, params, request_id)
        order.append(request_id)

    async with peer(answer, control={"stop"}) as (_, wire):
        await wire.send(*({"id": n, "method": "m"} for n in range(MAX_IN_FLIGHT)))
        await gate.filled()
        await wire.send(*({"id": n, "method": "quick"} for n in range(5_000)))
        await anyio.lowlevel.checkpoint()
        gate.opened.set()
        await wire.send({"id": "stop", "method": "stop"})
        await wire.hear(MAX_IN_FLIGHT + 5_001)
    assert order.index("stop") < 4_000


async def test_what_follows_a_reply_follows_it_at_once() -> None:
    async def answer(method: str, params: Any, request_id: str | int) -> Any:
        return Reply("done", then=lambda: end.notify("then", request_id))

    async with peer(answer) as (end, wire):
        await wire.send(*({"id": n, "method": "m"} for n in range(5)))
        heard = await wire.hear(10)
    for response, then in zip(heard[::2], heard[1::2], strict=True):
        assert then == {"method": "then", "params": response["id"]}


async def test_notifications_are_taken_in_order() -> None:
    told: list[Any] = []
    async with peer(on_notification=lambda method, params: told.append(params)) as (_, wire):
        await wire.send(*({"method": "m", "params": n} for n in range(10)))
        await wire.send({"id": 1, "method": "after"})
        await wire.hear()
    assert told == list(range(10))


async def test_a_call_returns_what_the_other_side_answers() -> None:
    async with peer() as (end, wire):
        results: list[Any] = []

        async def call(n: int) -> None:
            results.append((n, await end.call("m", n)))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for n in range(3):
                    tasks.start_soon(call, n)
                asked = list(await wire.hear(3))
                assert len({message["id"] for message in asked}) == 3
                for message in reversed(asked):
                    await wire.send({"id": message["id"], "result": message["params"] * 10})
    assert sorted(results) == [(0, 0), (1, 10), (2, 20)]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ({"code": -32600, "message": "no", "data": {"a": 1}}, -32600, "no"),
        ({"code": "abc", "message": None}, -32603, "the other side gave no reason"),
        ({}, -32603, "the other side gave no reason"),
    ],
)
async def test_a_call_raises_what_the_other_side_refuses(
    error: Message, code: int, message: str
) -> None:
    async with peer() as (end, wire):
        caught: list[RemoteError] = []

        async def call() -> None:
            try:
                await end.call("m", {})
            except RemoteError as problem:
                caught.append(problem)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                (asked,) = await wire.hear()
                await wire.send({"id": asked["id"], "error": error})
    assert (caught[0].code, str(caught[0])) == (code, message)
    assert caught[0].remote_data == error.get("data")


async def test_a_call_ends_with_the_connection() -> None:
    caught: list[str] = []
    async with peer() as (end, wire):

        async def call() -> None:
            with pytest.raises(PeerClosedError) as problem:
                await end.call("m", {})
            caught.append(str(problem.value))

        async def drop() -> None:
            await wire.hear()
            await wire.streams.aclose()

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                tasks.start_soon(drop)
        assert end.closed
        with pytest.raises(PeerClosedError):
            await end.call("m", {})
        end.notify("nobody hears this", {})
    assert len(caught) == 1


async def test_what_was_asked_is_told_when_the_connection_ends() -> None:
    answers: list[Response] = []
    async with peer() as (end, wire):
        end.ask("q1", "m", {}, answers.append)
        end.ask("q2", "m", {}, answers.append)
        end.forget("q2")
        await wire.hear(2)
        await wire.streams.aclose()
        with anyio.fail_after(30):
            while not end.closed:
                await anyio.lowlevel.checkpoint()
    assert [(answer.id, (answer.error or {}).get("code")) for answer in answers] == [("q1", -32603)]


async def test_the_first_answer_counts_and_forgotten_ones_do_not() -> None:
    answers: list[Response] = []
    async with peer() as (end, wire):
        end.ask("q1", "m", {}, answers.append)
        end.ask("q2", "m", {}, answers.append)
        end.forget("q2")
        await wire.send({"id": "q1", "result": 1}, {"id": "q1", "result": 2})
        await wire.send({"id": "q2", "result": 3}, {"id": 1, "method": "after"})
        await wire.hear(3)
    assert [answer.result for answer in answers] == [1]


async def test_the_end_of_the_connection_cancels_what_is_worked_on() -> None:
    begun, ended = anyio.Event(), anyio.Event()

    async def answer(method: str, params: Any, request_id: str | int) -> Any:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async with peer(answer) as (_, wire):
        await wire.send({"id": 1, "method": "m"})
        with anyio.fail_after(30):
            await begun.wait()
            await wire.streams.aclose()
            await ended.wait()


async def test_the_other_side_hears_that_this_side_ended() -> None:
    ours, theirs = memory_pair()
    end = Peer(ours, on_request=echo, on_notification=lambda method, params: None)
    wire = Wire(theirs)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end.run)
        await wire.send({"id": 1, "method": "m"})
        await wire.hear()
        tasks.cancel_scope.cancel()
    await wire.hear_end()
    await theirs.aclose()
    assert end.closed
