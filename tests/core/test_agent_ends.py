"""Agents: how many, how deep, and what their ends leave behind."""

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from codex_jupyter.core.agent_tools import AGENT_TOOLS
from codex_jupyter.core.agents import Agent
from codex_jupyter.core.session import Session
from codex_jupyter.errors import AgentError
from codex_jupyter.protocol.events import TurnCompleted
from tests.core.agency import agents_of, at_work, busy, notices, spawned, use
from tests.core.tree import LIMIT, Tree, growing, refusal, words_of
from tests.fake_model import say

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "end", ["completed", "failed", "interrupted", "closed", "closed by somebody", "parent stopped"]
)
async def test_a_slot_is_free_however_an_agent_ends(tmp_path: Path, end: str) -> None:
    async with growing(tmp_path, end="[agents]\nmax_threads = 1") as tree:
        root = await tree.root()
        turn = await busy(tree, root)
        agent, question = await at_work(tree, turn, root, "#a")
        agents = agents_of(root)
        with pytest.raises(AgentError, match="agent limit reached: 1 agents are at work and 1 may"):
            await agents.spawn(turn, root, "#b work", None)
        match end:
            case "completed":
                tree.answer(root, question, "accept")
            case "failed":
                tree.plans["#a"].clear()
                tree.plan("#a", refusal("no"))
                tree.answer(root, question, "accept")
            case "interrupted":
                agent.session.stop("enough")
            case "closed":
                await agents.close(root, agent.thread_id)
            case "closed by somebody":
                await tree.manager.close(agent.thread_id)
            case _:
                root.interrupt(turn.turn_id)
                await tree.end_of(turn.turn_id)
                turn = await busy(tree, root)
        await tree.until(lambda: tree.ends(agent.thread_id))
        other, _ = await at_work(tree, turn, root, "#b")
        assert other.status() == "running"
        assert agents._slots == 1


async def test_input_to_one_at_work_needs_no_slot_and_new_work_does(tmp_path: Path) -> None:
    async with growing(tmp_path, end="[agents]\nmax_threads = 1") as tree:
        root = await tree.root()
        turn = await busy(tree, root)
        first, question = await at_work(tree, turn, root, "#a")
        agents = agents_of(root)
        await agents.send(turn, root, first.thread_id, "and this", interrupt=False)
        tree.answer(root, question, "accept")
        await tree.until(lambda: tree.ends(first.thread_id))
        assert "and this" in words_of(tree.requests["#a"][-1])
        second, _ = await at_work(tree, turn, root, "#b")
        with pytest.raises(AgentError, match="agent limit reached"):
            await agents.send(turn, root, first.thread_id, "more", interrupt=False)
        # What is stopped for the new work gives its slot to it.
        tree.plan("#b", say("other work").hang(after=2))
        await agents.send(turn, root, second.thread_id, "do this now", interrupt=True)
        assert agents._slots == 1
        assert [end["status"] for end in tree.ends(second.thread_id)] == ["interrupted"]


async def test_whoever_interrupts_its_agent_is_told_of_the_new_work_only(tree: Tree) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    agent, _ = await at_work(tree, turn, root, "#a")
    tree.plans["#a"].clear()
    tree.plan("#a", say("the real result"))
    await agents_of(root).send(turn, root, agent.thread_id, "do this now", interrupt=True)
    await tree.until(lambda: len(tree.ends(agent.thread_id)) == 2)
    tree.fake.resume()
    await tree.end_of(turn.turn_id)
    told = [notice["status"] for notice in notices(tree.requests["#root"][-1])]
    assert told == [{"completed": "the real result"}]


@pytest.mark.parametrize("depth", [1, 2])
async def test_one_number_limits_the_depth(tmp_path: Path, depth: int) -> None:
    async with growing(tmp_path, end=f"[agents]\nmax_depth = {depth}") as tree:
        session = await tree.root()
        await busy(tree, session)
        for level in range(1, depth + 1):
            assert session.active is not None
            tree.plan(f"#{level}", say("deep", deltas=3).hang(after=3))
            agent = await agents_of(session).spawn(session.active, session, f"#{level} work", None)
            await tree.hanging(level + 1)
            (request,) = tree.requests[f"#{level}"]
            offered = {tool.get("name") for tool in request["tools"]}
            assert set(AGENT_TOOLS) <= offered if level < depth else not set(AGENT_TOOLS) & offered
            session = agent.session
        assert session.active is not None
        with pytest.raises(AgentError, match="depth limit"):
            await agents_of(session).spawn(session.active, session, "#deeper", None)


@pytest.mark.parametrize("how", ["interrupt", "close"])
async def test_an_end_reaches_all_below_and_waits_for_it(tmp_path: Path, how: str) -> None:
    async with growing(tmp_path, end="[agents]\nmax_depth = 2") as tree:
        root = await tree.root()
        turn = await busy(tree, root)
        child = await _hanging(tree, root, "#child", 2)
        grandchild = await _hanging(tree, child, "#grandchild", 3)
        tree.plan("#grandchild", say("never"))
        if how == "interrupt":
            root.interrupt(turn.turn_id)
            await tree.end_of(turn.turn_id)
        else:
            assert await agents_of(root).close(root, child.thread_id) == "running"
            assert tree.manager.loaded == (root.thread_id,)
        ended = [e.thread_id for e in tree.events if isinstance(e.msg, TurnCompleted)]
        assert ended[:2] == [grandchild.thread_id, child.thread_id]
        assert {end["status"] for end in tree.ends()} == {"interrupted"}
        assert agents_of(root)._slots == 0


async def _hanging(tree: Tree, session: Session, tag: str, n: int) -> Session:
    assert session.active is not None
    tree.plan(tag, say("busy", deltas=4).hang(after=3))
    agent = await agents_of(session).spawn(session.active, session, f"{tag} work", None)
    await tree.hanging(n)
    return agent.session


async def test_an_agent_somebody_gives_work_to_during_a_stop_does_not_hold_it_up(
    tree: Tree,
) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    agent, _ = await at_work(tree, turn, root, "#a")
    tree.plans["#a"].clear()
    tree.plan("#a", say("own work", deltas=3).hang(after=3))
    started: list[str] = []

    async def give() -> None:
        started.append(await tree.begin(agent.session, "the user's own"))

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            root.interrupt(turn.turn_id)
            tasks.start_soon(give)
        await tree.end_of(turn.turn_id)
        await tree.hanging()
    assert agent.session.active_turn_id == started[0]


async def test_a_closed_agent_comes_back_with_its_memory(tree: Tree) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    agent, question = await at_work(tree, turn, root, "#a")
    tree.answer(root, question, "accept")
    await tree.until(lambda: tree.ends(agent.thread_id))
    agents = agents_of(root)
    assert await agents.close(root, agent.thread_id) == "completed"
    with pytest.raises(AgentError, match="resume it first"):
        await agents.send(turn, root, agent.thread_id, "more", interrupt=False)
    again = await agents.resume(root, agent.thread_id)
    assert (again.thread_id, again.nickname) == (agent.thread_id, agent.nickname)
    assert await agents.resume(root, agent.thread_id) is again
    await agents.send(turn, root, again.thread_id, "go on", interrupt=False)
    await tree.until(lambda: len(tree.ends(agent.thread_id)) == 2)
    assert "#a work" in words_of(tree.requests["#a"][-1])


async def test_of_two_that_resume_one_agent_at_once_both_get_the_same(tree: Tree) -> None:
    root, other = await tree.root(), await tree.root()
    turn = await busy(tree, root)
    agent, _ = await at_work(tree, turn, root, "#a")
    agents = agents_of(root)
    await agents.close(root, agent.thread_id)
    found: list[Agent] = []
    refused: list[AgentError] = []

    async def resume() -> None:
        found.append(await agents.resume(root, agent.thread_id))

    async def steal() -> None:
        try:
            await agents_of(other).resume(other, agent.thread_id)
        except AgentError as error:
            refused.append(error)

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(steal)
            tasks.start_soon(resume)
            tasks.start_soon(resume)
    assert found[0] is found[1]
    assert len(refused) == 1
    assert tree.manager.get(agent.thread_id) is found[0].session
    assert list(root.kin.children) == [agent.thread_id]


@pytest.mark.parametrize("steps", range(4))
async def test_a_close_that_is_stopped_while_it_waits_still_closes(tree: Tree, steps: int) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    agent, _ = await at_work(tree, turn, root, "#a")
    free, closing = anyio.Event(), anyio.CancelScope()

    async def hold() -> None:
        async with tree.manager.alone_with(agent.thread_id, "being looked at"):
            await free.wait()

    async def close() -> None:
        with closing:
            await agents_of(root).close(root, agent.thread_id)

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(close)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            closing.cancel()
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            free.set()
    assert (agent.thread_id in tree.manager.loaded) == (not agent.closed)
    assert agent.closed or steps == 0
    if agent.closed:
        assert (await agents_of(root).resume(root, agent.thread_id)).status() == "pendingInit"


@pytest.mark.parametrize("steps", range(0, 40, 4))
async def test_a_stop_during_a_spawn_leaves_no_agent_at_work(tree: Tree, steps: int) -> None:
    root = await tree.root()
    tree.plan("#root", use("spawn_agent", {"message": "#a go"}, "s1"), say("never").hang(after=1))
    tree.plan("#a", say("never", deltas=3).hang(after=3))
    turn_id = await tree.begin(root, "#root")
    await tree.until(lambda: tree.started(root, tool="spawnAgent"))
    for _ in range(steps):
        await anyio.lowlevel.checkpoint()
    root.interrupt(turn_id)
    assert (await tree.end_of(turn_id))["status"] == "interrupted"
    assert agents_of(root)._slots == 0
    begun = [turn["id"] for turn in tree.begins()]
    assert sorted(begun) == sorted(turn["id"] for turn in tree.ends())
    (item,) = tree.items(root, "collabAgentToolCall")
    assert item["status"] in ("completed", "interrupted")
    tree.plans["#root"].clear()
    await tree.turn(root, "what now?")
    last = tree.requests["#root"][-1]
    known = [agent.thread_id for agent in agents_of(root).of(root)]
    assert set(spawned(last)) <= set(known)


async def test_without_the_feature_there_are_no_agents(tmp_path: Path) -> None:
    async with growing(tmp_path, end="[features]\nmulti_agent = false") as tree:
        root = await tree.root()
        await tree.turn(root, "#root")
        (request,) = tree.requests["#root"]
        assert not set(AGENT_TOOLS) & {tool.get("name") for tool in request["tools"]}


async def test_a_stop_reaches_agents_of_an_earlier_turn(tree: Tree) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    agent, _ = await at_work(tree, turn, root, "#a")
    tree.fake.resume()
    assert (await tree.end_of(turn.turn_id))["status"] == "completed"
    later = await busy(tree, root)
    root.interrupt(later.turn_id)
    assert (await tree.end_of(later.turn_id))["status"] == "interrupted"
    assert [end["status"] for end in tree.ends(agent.thread_id)] == ["interrupted"]
    assert tree.ends()[-1]["id"] == later.turn_id


async def test_nobody_touches_an_agent_of_another_one_in_its_tree(tmp_path: Path) -> None:
    async with growing(tmp_path, end="[agents]\nmax_depth = 2") as tree:
        root = await tree.root()
        await busy(tree, root)
        child = await _hanging(tree, root, "#child", 2)
        sibling = await _hanging(tree, root, "#sibling", 3)
        grandchild = await _hanging(tree, child, "#grandchild", 4)
        agents = agents_of(root)
        for caller, other in ((root, grandchild), (child, sibling), (grandchild, child)):
            with pytest.raises(AgentError, match="not found"):
                await agents.close(caller, other.thread_id)
            with pytest.raises(AgentError, match="not found"):
                await agents.resume(caller, other.thread_id)
        assert not tree.ends()
