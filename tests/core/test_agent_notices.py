"""What a parent hears of agents that it did not just start, and what it does not."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from codex_jupyter.core import agents as agents_module
from codex_jupyter.protocol.events import Event, TurnCompleted
from tests.core.agency import agents_of, at_work, busy, notices, spawned, use
from tests.core.tree import Tree, growing
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

DEEP = "[agents]\nmax_depth = 2"


async def test_what_a_woken_agent_does_is_told_to_its_parent_too(tmp_path: Path) -> None:
    async with growing(tmp_path, end=DEEP) as tree:
        root = await tree.root()
        tree.plan("#root", use("spawn_agent", {"message": "#child go"}, "s1"), say("started"))
        spawns = use("spawn_agent", {"message": "#grandchild go"}, "s2")
        woken = say("the real result", deltas=3).hang(after=2)
        tree.plan("#child", spawns, say("not yet"), woken)
        tree.plan("#grandchild", say("a part of it").hang(after=2))
        await tree.turn(root, "#root")
        await tree.hanging()
        await tree.until(lambda: any(notices(body) for body in tree.requests["#root"]))
        (child_id,) = spawned(tree.requests["#root"][-1])
        (child,) = agents_of(root).of(root)
        tree.fake.resume()
        await tree.until(lambda: len(tree.begins(child.thread_id)) == 2)
        await tree.hanging()
        assert (child.thread_id, child.status()) == (child_id, "running")
        # It works, so it holds a slot like any other.
        assert agents_of(root)._slots == 1
        tree.fake.resume()
        await tree.until(lambda: len(notices(tree.requests["#root"][-1])) == 2)
        told = [notice["status"] for notice in notices(tree.requests["#root"][-1])]
        assert told == [{"completed": "not yet"}, {"completed": "the real result"}]
        assert agents_of(root)._slots == 0


async def test_a_parent_that_is_being_stopped_is_not_woken_by_an_end(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    agent, question = await at_work(tree, turn, root, "#a")
    take = tree.publish

    def stop_then(event: Event) -> None:
        take(event)
        if isinstance(event.msg, TurnCompleted) and event.thread_id == agent.thread_id:
            root.interrupt(turn.turn_id)

    # The stop comes when the agent's end is decided, and before anybody was told of it.
    monkeypatch.setattr(agent.session.state, "_publish", stop_then)
    tree.answer(root, question, "accept")
    assert (await tree.end_of(turn.turn_id))["status"] == "interrupted"
    assert agent.status() == "completed"
    for _ in range(50):
        await anyio.lowlevel.checkpoint()
    assert len(tree.begins(root)) == 1
    await tree.turn(root, "what now?")
    assert [n["status"] for n in notices(tree.requests["#root"][-1])] == [{"completed": "done #a"}]


async def test_nobody_between_a_stopped_thread_and_an_end_is_woken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with growing(tmp_path, end=DEEP) as tree:
        root = await tree.root()
        turn = await busy(tree, root)
        child, question = await at_work(tree, turn, root, "#child")
        assert child.session.active is not None
        grandchild, asked = await at_work(tree, child.session.active, child.session, "#grandchild")
        tree.answer(root, question, "accept")
        await tree.until(lambda: tree.ends(child.thread_id))
        take = tree.publish

        def stop_then(event: Event) -> None:
            take(event)
            if isinstance(event.msg, TurnCompleted):
                root.interrupt(turn.turn_id)

        monkeypatch.setattr(grandchild.session.state, "_publish", stop_then)
        tree.answer(root, asked, "accept")
        assert (await tree.end_of(turn.turn_id))["status"] == "interrupted"
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert grandchild.status() == "completed"
        assert len(tree.begins(child.thread_id)) == 1


async def test_agents_that_are_closed_make_room_for_others(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents_module, "_MAX_AGENTS", 2)
    root = await tree.root()
    turn = await busy(tree, root)
    agents = agents_of(root)
    first, _ = await at_work(tree, turn, root, "#a")
    second, _ = await at_work(tree, turn, root, "#b")
    with pytest.raises(agents_module.AgentError, match="there are 2 agents; close"):
        await agents.spawn(turn, root, "#c work", None)
    await agents.close(root, first.thread_id)
    third, _ = await at_work(tree, turn, root, "#c")
    assert {agent.thread_id for agent in agents.of(root)} == {second.thread_id, third.thread_id}
    # It can still be opened again, when there is room for it.
    with pytest.raises(agents_module.AgentError, match="there are 2 agents; close"):
        await agents.resume(root, first.thread_id)
    await agents.close(root, second.thread_id)
    again = await agents.resume(root, first.thread_id)
    assert again.nickname == first.nickname


async def test_a_stop_ends_what_agents_at_rest_left_running(tree: Tree) -> None:
    root = await tree.root(approval_policy="never", sandbox="danger-full-access")
    turn = await busy(tree, root)
    line = "echo $$ > asked; exec sleep 300"
    started = call("exec_command", {"cmd": line, "yield_time_ms": 250}, call_id="c1")
    tree.plan("#a", started, say("it runs"))
    agent = await agents_of(root).spawn(turn, root, "#a work", None)
    await tree.until(lambda: tree.ends(agent.thread_id))
    asked = tree.workspace / "asked"
    program = Path(f"/proc/{asked.read_text().strip()}")
    assert program.exists()
    root.interrupt(turn.turn_id)
    await tree.end_of(turn.turn_id)
    assert not program.exists()
    assert agent.session.terminals.live == []
