"""Fifty delegates at once: every answer reaches its asker, and nothing of them is left."""

import asyncio
import random

import anyio
import anyio.lowlevel
import psutil
import pytest

from codex_jupyter.core.delegate import DelegateHandle
from codex_jupyter.core.session import Session
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.flow.requests import MAX_OPEN
from codex_jupyter.protocol.events import Event, RequestOpened
from tests.core.agency import busy
from tests.core.handles import joined, one_shot, rest_of
from tests.core.tree import Tree, shell
from tests.fake_model import Answer, call, say

pytestmark = pytest.mark.anyio

MANY = 50


def asks(n: int) -> Answer:
    """A command, or every third time a question; all with the same call id."""
    if n % 3:
        return shell(f"echo {n} > made{n}", "same-id")
    asked = [{"id": "word", "question": f"Which, {n}?"}]
    return call("request_user_input", {"questions": asked}, call_id="same-id")


async def census(tree: Tree) -> tuple[int, int, int]:
    """Count tasks, processes and descriptors, without those of connections that may be kept."""
    await tree.manager.clients.aclose()
    for _ in range(50):
        await anyio.lowlevel.checkpoint()
    process = psutil.Process()
    return len(asyncio.all_tasks()), len(process.children(recursive=True)), process.num_fds()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_answers_in_any_order_reach_their_askers(tree: Tree, seed: int) -> None:
    root = await tree.root()
    await tree.turn(root, "#root")
    before = await census(tree)
    chance = random.Random(seed)
    handles: list[DelegateHandle] = []

    async def start(n: int) -> None:
        tree.plan(f"#c{n}", asks(n), say(f"said {n}"))
        handles.append(await one_shot(tree, root, CancelToken(), words=f"#c{n} go"))

    async with anyio.create_task_group() as starting:
        for n in range(MANY):
            starting.start_soon(start, n)
    named = {handle.thread_id: handle for handle in handles}
    assert len(named) == MANY
    allowed: set[int] = set()
    waiting: list[Event] = []
    for n in range(1, MANY + 1):
        waiting.append(await tree.question(n))
        while waiting and (n == MANY or len(waiting) == MAX_OPEN or chance.random() < 0.7):
            question = waiting.pop(chance.randrange(len(waiting)))
            _settle(tree, root, question, chance, allowed)
    for handle in handles:
        await joined(handle)
    assert len(tree.asked()) == MANY
    assert {handle.last.status for handle in handles if handle.last is not None} == {"completed"}
    for n in range(MANY):
        (output,) = tree.outputs(f"#c{n}")
        if n % 3 == 0:
            assert f'"answer to {n}"' in output
        else:
            assert ("Exit code: 0" in output) == (n in allowed)
            assert (tree.workspace / f"made{n}").exists() == (n in allowed)
    for handle in handles:
        assert {e.thread_id for e in await rest_of(handle)} == {handle.thread_id}
    assert tree.manager.loaded == (root.thread_id,)
    assert not root.state.broker.open_requests
    # All that they used is the root's.
    assert root.state.total_tokens == 15 + 30 * MANY
    assert await census(tree) == before


def _settle(
    tree: Tree, root: Session, question: Event, chance: random.Random, allowed: set[int]
) -> None:
    assert isinstance(question.msg, RequestOpened)
    params = question.msg.params
    if "questions" in params:
        n = params["questions"][0]["question"].split()[1].strip("?")
        answer = {"answers": {"word": {"answers": [f"answer to {n}"]}}}
        assert tree.answer(root, question, answer)
        return
    n = int(params["command"].rsplit("made", 1)[1].strip("'\""))
    yes = chance.random() < 0.5
    if yes:
        allowed.add(n)
    assert tree.answer(root, question, "accept" if yes else "decline")
    # A second answer counts no more, whatever it says.
    assert not tree.answer(root, question, "accept")


async def test_a_stop_in_the_middle_ends_them_all(tree: Tree) -> None:
    root = await tree.root()
    await tree.turn(root, "#root")
    before = await census(tree)
    turn = await busy(tree, root)
    handles: list[DelegateHandle] = []

    async def start(n: int) -> None:
        tree.plan(f"#c{n}", asks(n), say(f"said {n}"))
        words = f"#c{n} go"
        handles.append(await one_shot(tree, root, CancelToken(), words=words, turn=turn))

    async with anyio.create_task_group() as starting:
        for n in range(MANY):
            starting.start_soon(start, n)
    await tree.question(MAX_OPEN)
    assert len(root.state.broker.open_requests) == MAX_OPEN
    root.interrupt(turn.turn_id)
    assert (await tree.end_of(turn.turn_id))["status"] == "interrupted"
    assert all(handle.status == "closed" for handle in handles)
    ends = [end["id"] for end in tree.ends()]
    assert ends[-1] == turn.turn_id
    assert len(ends) == MANY + 2
    # Of those who waited in line nobody was told.
    assert tree.outcomes() == ["withdrawn"] * len(tree.asked())
    assert not list(tree.workspace.iterdir())
    assert tree.manager.loaded == (root.thread_id,)
    assert await census(tree) == before
