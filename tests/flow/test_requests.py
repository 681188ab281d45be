"""The broker of questions: one outcome each, and a stop that outranks an answer."""

import anyio
import pytest

from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.flow.requests import (
    MAX_OPEN,
    Answered,
    AskedRequest,
    Outcome,
    Refused,
    RequestBroker,
    Withdrawn,
)
from codex_jupyter.ids import ItemId, RequestId, ThreadId, TurnId

pytestmark = pytest.mark.anyio


def question(name: str) -> AskedRequest:
    return AskedRequest(
        id=RequestId(name),
        thread_id=ThreadId("t"),
        turn_id=TurnId("u"),
        item_id=ItemId("i"),
        method="item/tool/call",
        params={},
        waits_on="approval",
    )


class Bench:
    """A broker, what it announced, and what came of each question."""

    def __init__(self) -> None:
        self.announced: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.token = CancelToken()
        self.broker = RequestBroker()

    async def ask(self, name: str, token: CancelToken | None = None) -> None:
        self.outcomes[name] = await self.broker.ask(
            question(name), token or self.token, lambda request: self.announced.append(request.id)
        )

    async def settle(self) -> None:
        for _ in range(10):
            await anyio.lowlevel.checkpoint()


async def test_an_answer_settles_its_question_once() -> None:
    bench = Bench()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.ask, "a")
            await bench.settle()
            assert [request.id for request in bench.broker.open_requests] == ["a"]
            assert bench.broker.answer("a", Answered("yes"))
            assert not bench.broker.answer("a", Answered("no"))
            assert not bench.broker.answer("a", Refused("no"))
    assert bench.outcomes == {"a": Answered("yes")}
    assert bench.broker.open_requests == ()
    assert not bench.broker.answer("a", Answered("late"))


async def test_a_refusal_is_an_outcome() -> None:
    bench = Bench()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.ask, "a")
            await bench.settle()
            assert bench.broker.answer("a", Refused("cannot"))
    assert bench.outcomes == {"a": Refused("cannot")}


async def test_an_unknown_question_cannot_be_answered() -> None:
    assert not Bench().broker.answer("nobody", Answered(1))


async def test_an_answer_inside_the_announcement_counts() -> None:
    token = CancelToken()
    broker = RequestBroker()
    answered: list[bool] = []
    with anyio.fail_after(30):
        outcome = await broker.ask(
            question("a"),
            token,
            lambda request: answered.append(broker.answer(request.id, Answered(1))),
        )
    assert outcome == Answered(1)
    assert answered == [True]


@pytest.mark.parametrize("answer_first", [True, False])
async def test_a_stop_in_the_same_tick_outranks_the_answer(answer_first: bool) -> None:
    bench = Bench()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.ask, "a")
            await bench.settle()
            if answer_first:
                bench.broker.answer("a", Answered("yes"))
                bench.token.cancel("stop")
            else:
                bench.token.cancel("stop")
                bench.broker.answer("a", Answered("yes"))
    assert bench.outcomes == {"a": Withdrawn("stop")}


async def test_a_stop_withdraws_what_is_open_and_only_of_its_token() -> None:
    bench, other = Bench(), CancelToken()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.ask, "a")
            tasks.start_soon(bench.ask, "b", other)
            await bench.settle()
            bench.token.cancel("stop")
            await bench.settle()
            assert bench.outcomes == {"a": Withdrawn("stop")}
            assert not bench.broker.answer("a", Answered("late"))
            assert bench.broker.answer("b", Answered("in time"))
    assert bench.outcomes["b"] == Answered("in time")


async def test_a_question_under_a_cancelled_token_is_never_announced() -> None:
    bench = Bench()
    bench.token.cancel("before")
    with anyio.fail_after(30):
        await bench.ask("a")
    assert bench.outcomes == {"a": Withdrawn("before")}
    assert bench.announced == []


async def test_two_questions_are_answered_in_reverse_order() -> None:
    bench = Bench()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.ask, "a")
            tasks.start_soon(bench.ask, "b")
            await bench.settle()
            bench.broker.answer("b", Answered(2))
            await bench.settle()
            bench.broker.answer("a", Answered(1))
    assert bench.outcomes == {"b": Answered(2), "a": Answered(1)}


async def test_so_many_are_shown_and_the_rest_wait_in_line() -> None:
    bench = Bench()
    names = [str(n) for n in range(25)]
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(bench.ask, name)
            await bench.settle()
            assert bench.announced == names[:MAX_OPEN]
            assert not bench.broker.answer("22", Answered("not shown yet"))
            bench.broker.answer("7", Answered(7))
            await bench.settle()
            assert bench.announced == names[: MAX_OPEN + 1]
            bench.token.cancel("stop")
    assert bench.announced == names[: MAX_OPEN + 1], "those in line were never announced"
    assert bench.outcomes.pop("7") == Answered(7)
    assert bench.outcomes == {name: Withdrawn("stop") for name in names if name != "7"}
    assert bench.broker.open_requests == ()


async def test_withdrawn_questions_make_room() -> None:
    bench = Bench()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for n in range(MAX_OPEN):
                tasks.start_soon(bench.ask, str(n))
            await bench.settle()
            other = CancelToken()
            tasks.start_soon(bench.ask, "other", other)
            await bench.settle()
            assert "other" not in bench.announced
            bench.token.cancel("stop")
            await bench.settle()
            assert bench.announced[-1] == "other"
            bench.broker.answer("other", Answered("yes"))
    assert bench.outcomes["other"] == Answered("yes")


async def test_a_cancelled_asker_leaves_nothing_open() -> None:
    bench = Bench()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.ask, "a")
            await bench.settle()
            tasks.cancel_scope.cancel()
    assert bench.broker.open_requests == ()
    assert bench.outcomes == {}
