"""Tasks of a delegation that are stopped one by one, at every moment of their beginning."""

import anyio
import anyio.lowlevel
import pytest

from codex_jupyter.core.session import Session
from codex_jupyter.errors import NoActiveTurnError
from codex_jupyter.ids import ThreadId, new_item_id, new_thread_id, new_turn_id
from codex_jupyter.protocol.ops import DelegateTask, Delegation
from tests.core.tree import Tree, prompt
from tests.fake_model import say

pytestmark = pytest.mark.anyio


def task(words: str, thread_id: ThreadId | None = None) -> DelegateTask:
    return DelegateTask(
        input=prompt(words),
        name=words.partition(" ")[0],
        thread_id=thread_id or new_thread_id(),
        turn_id=new_turn_id(),
        item_id=new_item_id(),
    )


def stop(tree: Tree, task: DelegateTask) -> bool:
    """Do as turn/interrupt does."""
    session: Session | None = tree.manager.find(task.thread_id)
    try:
        if session is not None:
            session.interrupt(task.turn_id)
            return True
    except NoActiveTurnError:
        pass
    return tree.manager.stop_task(task.thread_id, task.turn_id)


@pytest.mark.parametrize("steps", [*range(24), 30, 40, 60, 90, 140])
async def test_a_stop_counts_whatever_a_task_has_come_to(tree: Tree, steps: int) -> None:
    root = await tree.root()
    one, other = task("#one go"), task("#other go")
    tree.plan("#one", say("words that go on", deltas=4).hang(after=3))
    turn_id = await tree.begin(root, Delegation((one, other), limit=2))
    for _ in range(steps):
        await anyio.lowlevel.checkpoint()
    assert stop(tree, one)
    assert (await tree.end_of(turn_id))["status"] == "completed"
    ended = {item["id"]: item["status"] for item in tree.items(root, "collabAgentToolCall")}
    assert ended == {one.item_id: "interrupted", other.item_id: "completed"}
    assert len(tree.begins(one.thread_id)) == len(tree.ends(one.thread_id))
    assert tree.manager.loaded == (root.thread_id,)
    assert not stop(tree, one)


async def test_all_that_are_stopped_one_by_one_end_the_turn_as_a_stop_does(tree: Tree) -> None:
    root = await tree.root()
    tasks = tuple(task(f"#{n} go") for n in range(3))
    turn_id = await tree.begin(root, Delegation(tasks, limit=1))
    assert all(stop(tree, one) for one in tasks)
    assert (await tree.end_of(turn_id))["status"] == "interrupted"
    assert [i["status"] for i in tree.items(root, "collabAgentToolCall")] == ["interrupted"] * 3
    assert not any(tree.requests[f"#{n}"] for n in range(3))


async def test_of_two_tasks_that_want_one_thread_each_is_stopped_by_its_own_ids(tree: Tree) -> None:
    root = await tree.root()
    first = task("#first go")
    second = task("#second go", first.thread_id)
    tree.plan("#first", say("words that go on", deltas=4).hang(after=3))
    turn_id = await tree.begin(root, Delegation((first, second), limit=1))
    await tree.hanging()
    assert not tree.manager.stop_task(second.thread_id, second.turn_id)
    tree.fake.resume()
    assert (await tree.end_of(turn_id))["status"] == "completed"
