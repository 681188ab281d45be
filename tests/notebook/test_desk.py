"""Questions on the desk: each is answered once, by whoever is first, from any thread."""

import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.lowlevel import current_token

from codex_jupyter.notebook.desk import Desk

pytestmark = pytest.mark.anyio

Json = dict[str, Any]


def request(name: str, turn: str = "t1", digest: str | None = "d") -> Json:
    shown = {"requestId": name, "turnId": turn}
    return shown | ({"digest": digest} if digest else {})


def a_desk() -> Desk:
    loop: Any = current_token().native_token

    def wake(act: Callable[[], object]) -> None:
        loop.call_soon_threadsafe(act)

    return Desk(wake)


async def test_an_answer_from_another_thread_settles_a_question() -> None:
    desk = a_desk()
    pending = desk.open(request("r1"))
    answer = {"decision": "accept"}
    assert await anyio.to_thread.run_sync(lambda: desk.settle("r1", answer, digest="d"))
    with anyio.fail_after(30):
        await pending.settled.wait()
    assert (pending.answer, pending.withdrawn) == (answer, False)


async def test_of_many_answers_one_counts() -> None:
    desk = a_desk()
    pending = desk.open(request("r1"))
    barrier, taken = threading.Barrier(8), list[int]()

    def settle(number: int) -> None:
        barrier.wait()
        if desk.settle("r1", {"decision": number}, digest="d"):
            taken.append(number)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(anyio.to_thread.run_sync, settle, number)
        await pending.settled.wait()
    assert [pending.answer] == [{"decision": number} for number in taken]


async def test_an_answer_to_something_shown_differently_does_not_count() -> None:
    desk = a_desk()
    pending = desk.open(request("r1"))
    assert not desk.settle("r1", {}, digest="other")
    assert not desk.settle("r1", {})
    assert not desk.settle("r2", {}, digest="d")
    assert not pending.settled.is_set()
    assert desk.open_ids("t1") == ["r1"]


async def test_a_question_that_was_taken_back_is_gone() -> None:
    desk = a_desk()
    pending = desk.open(request("r1", digest=None))
    desk.withdraw("r1")
    desk.withdraw("r1")
    assert pending.withdrawn
    assert pending.settled.is_set()
    assert not desk.settle("r1", {})


async def test_the_open_questions_are_told_by_turn() -> None:
    desk = a_desk()
    for name, turn in (("r1", "t1"), ("r2", "t2"), ("r3", "t1")):
        desk.open(request(name, turn))
    desk.settle("r1", {}, digest="d")
    assert (desk.open_ids("t1"), desk.open_ids("t2"), desk.open_ids("t3")) == (["r3"], ["r2"], [])
