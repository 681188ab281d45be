"""Agents: what a model is told of their work, and what it may do with whose."""

import json
from pathlib import Path

import anyio
import pytest

from codex_jupyter.core.spoken import Spoken
from codex_jupyter.errors import AgentError
from codex_jupyter.protocol.events import RequestOpened
from codex_jupyter.protocol.ops import Compact, TurnOverrides, UserShell
from tests.core.agency import agents_of, at_work, busy, notices, spawned, use
from tests.core.tree import LIMIT, Tree, growing, prompt, refusal, shell, words_of
from tests.fake_model import say

pytestmark = pytest.mark.anyio


async def test_a_completion_wakes_an_idle_parent_and_is_told_once(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#root", use("spawn_agent", {"message": "#a go"}, "s1"), say("started"), say("good"))
    tree.plan("#a", say("found it").hang(after=2))
    await tree.turn(root, "#root")
    await tree.hanging()
    tree.fake.resume()
    await tree.until(lambda: len(tree.ends(root)) == 2)
    (notice,) = notices(tree.requests["#root"][-1])
    assert notice["status"] == {"completed": "found it"}
    assert notice["agent_id"] == spawned(tree.requests["#root"][-1])[0]
    await tree.turn(root, "anything else?")
    assert len(notices(tree.requests["#root"][-1])) == 1


async def test_a_completion_joins_a_running_turn_which_answers_it(tree: Tree) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    agent, question = await at_work(tree, turn, root, "#a")
    tree.answer(root, question, "accept")
    await tree.until(lambda: tree.ends(agent.thread_id))
    tree.fake.resume()
    assert (await tree.end_of(turn.turn_id))["status"] == "completed"
    assert [n["status"] for n in notices(tree.requests["#root"][-1])] == [{"completed": "done #a"}]
    assert len(tree.ends(root)) == 1


@pytest.mark.parametrize("what", ["compact", "shell"])
async def test_a_completion_during_a_turn_that_reads_nothing_is_told_after_it(
    tree: Tree, what: str
) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    _, question = await at_work(tree, turn, root, "#a")
    tree.fake.resume()
    await tree.end_of(turn.turn_id)
    if what == "compact":
        tree.plan("#root", say("a summary", deltas=4).hang(after=3))
        second = await tree.begin(root, Compact())
        await tree.hanging()
    else:
        second = await tree.begin(root, UserShell("sleep 60"))
        await tree.until(lambda: tree.started(root, source="userShell"))
    tree.answer(root, question, "accept")
    await tree.until(lambda: [e for e in tree.ends() if e["id"] not in (turn.turn_id, second)])
    if what == "compact":
        tree.fake.resume()
    else:
        root.stop("enough")
    await tree.until(lambda: len(tree.ends(root)) == 3)
    assert second in [end["id"] for end in tree.ends(root)]
    assert len(notices(tree.requests["#root"][-1])) == 1


async def test_a_parent_that_was_stopped_is_not_woken_and_reads_it_later(tree: Tree) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    agent, _ = await at_work(tree, turn, root, "#a")
    root.interrupt(turn.turn_id)
    await tree.end_of(turn.turn_id)
    ends = [(e["id"], e["status"]) for e in tree.ends()]
    assert [status for _, status in ends] == ["interrupted", "interrupted"]
    assert ends[1][0] == turn.turn_id
    assert tree.outcomes() == ["withdrawn"]
    await tree.turn(root, "what now?")
    assert len(tree.begins(root)) == 2
    assert [n["status"] for n in notices(tree.requests["#root"][-1])] == [
        {"errored": "Interrupted"}
    ]
    assert agent.status() == "interrupted"
    assert not (tree.workspace / "made").exists()


async def test_a_failure_is_told_with_its_reason(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#root", use("spawn_agent", {"message": "#a go"}, "s1"), say("started"))
    tree.plan("#a", refusal("no idea at all"))
    await tree.begin(root, "#root")
    await tree.until(lambda: any(notices(b) for b in tree.requests["#root"]))
    (notice,) = notices(tree.requests["#root"][-1])
    assert "no idea at all" in notice["status"]["errored"]


async def test_wait_means_the_work_given_last_not_an_old_end(tree: Tree) -> None:
    root = await tree.root()
    tree.plan(
        "#root",
        use("spawn_agent", {"message": "#a first"}, "s1"),
        lambda body: use("wait", {"ids": spawned(body)}, "w1"),
        lambda body: use("send_input", {"id": spawned(body)[0], "message": "second"}, "i1"),
        lambda body: use("wait", {"ids": spawned(body)}, "w2"),
        say("all read"),
    )
    tree.plan("#a", say("one").hang(after=2), say("two").hang(after=2))
    turn_id = await tree.begin(root, "#root")
    for n in (1, 2):
        await tree.until(lambda n=n: len(tree.started(root, tool="wait")) == n)
        await tree.hanging()
        tree.fake.resume()
    await tree.end_of(turn_id)
    _, first, _, second = tree.outputs("#root")
    (agent_id,) = spawned(tree.requests["#root"][-1])
    assert json.loads(first) == {"status": {agent_id: {"completed": "one"}}, "timed_out": False}
    assert json.loads(second) == {"status": {agent_id: {"completed": "two"}}, "timed_out": False}
    # Whoever waited has read it.
    assert notices(tree.requests["#root"][-1]) == []
    assert [item["tool"] for item in tree.items(root, "collabAgentToolCall")] == [
        "spawnAgent",
        "wait",
        "sendInput",
        "wait",
    ]


async def test_a_stop_ends_a_wait(tree: Tree) -> None:
    root = await tree.root()
    tree.plan(
        "#root",
        use("spawn_agent", {"message": "#a go"}, "s1"),
        lambda body: use("wait", {"ids": spawned(body), "timeout_ms": 3_600_000}, "w1"),
    )
    tree.plan("#a", say("never", deltas=3).hang(after=3))
    turn_id = await tree.begin(root, "#root")
    await tree.hanging()
    await tree.until(lambda: tree.started(root, tool="wait"))
    root.interrupt(turn_id)
    assert (await tree.end_of(turn_id))["status"] == "interrupted"
    assert [end["status"] for end in tree.ends()] == ["interrupted", "interrupted"]
    assert tree.items(root, "collabAgentToolCall")[-1]["status"] == "interrupted"
    await tree.turn(root, "go on")
    assert tree.outputs("#root")[-1] == "aborted by user"


async def test_a_wait_ends_when_its_agent_is_closed_by_somebody_else(tree: Tree) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    agent, _ = await at_work(tree, turn, root, "#a")
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tree.manager.close, agent.thread_id)
            ended, timed_out = await agents_of(root).wait(root, [agent.thread_id], LIMIT)
            assert (list(ended), timed_out) == ([agent.thread_id], False)


async def test_waiting_for_one_that_rests_does_not_end_the_wait_for_another(tree: Tree) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    rests, question = await at_work(tree, turn, root, "#a")
    tree.answer(root, question, "accept")
    await tree.until(lambda: tree.ends(rests.thread_id))
    await agents_of(root).close(root, rests.thread_id)
    rests = await agents_of(root).resume(root, rests.thread_id)
    works, question = await at_work(tree, turn, root, "#b")
    ids = [rests.thread_id, works.thread_id]

    async def answer() -> None:
        tree.answer(root, question, "accept")

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            ended, timed_out = await agents_of(root).wait(root, ids, LIMIT)
            assert works.thread_id in ended
            assert not timed_out
    ended, timed_out = await agents_of(root).wait(root, [rests.thread_id], LIMIT)
    assert (list(ended), timed_out) == ([rests.thread_id], False)


@pytest.mark.parametrize("what", ["send", "interrupt", "wait", "close", "resume"])
async def test_nobody_touches_an_agent_of_somebody_else(tree: Tree, what: str) -> None:
    root, other = await tree.root(), await tree.root()
    turn, theirs = await busy(tree, root), await busy(tree, other, "#other")
    agent, _ = await at_work(tree, turn, root, "#a")
    agents = agents_of(other)
    with pytest.raises(AgentError, match="not found"):
        if what in ("send", "interrupt"):
            interrupt = what == "interrupt"
            await agents.send(theirs, other, agent.thread_id, "obey", interrupt=interrupt)
        elif what == "wait":
            await agents.wait(other, [agent.thread_id], LIMIT)
        elif what == "close":
            await agents.close(other, agent.thread_id)
        else:
            await agents.resume(other, agent.thread_id)
    # Nor a thread that is no agent at all.
    with pytest.raises(AgentError, match="not found"):
        await agents.resume(other, root.thread_id)
    assert agent.status() == "running"


async def test_a_question_of_an_agent_is_put_by_the_root_with_its_name(tree: Tree) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    agent, question = await at_work(tree, turn, root, "#a")
    assert isinstance(question.msg, RequestOpened)
    params = question.msg.params
    assert params["threadId"] == agent.thread_id
    assert params["delegate"]["parentThreadId"] == root.thread_id
    assert params["delegate"]["nickname"] == agent.nickname
    assert len(root.state.broker.open_requests) == 1
    assert agent.session.state.status["activeFlags"] == ["waitingOnApproval"]
    tree.answer(root, question, "acceptForSession")
    await tree.until(lambda: tree.ends(agent.thread_id))
    # What was accepted for the session counts in the whole tree, and is the root's.
    other, _ = await at_work(tree, turn, root, "#b")
    assert other.session.state.approvals is root.state.approvals


async def test_a_policy_that_is_narrowed_later_counts_for_agents_that_run(tree: Tree) -> None:
    root = await tree.root(approval_policy="never", sandbox="danger-full-access")
    turn = await busy(tree, root)
    tree.plan("#a", say("ready", deltas=3).hang(after=3), shell("touch made", "c1"), say("done"))
    agent = await agents_of(root).spawn(turn, root, "#a go", None)
    await tree.hanging(2)
    narrow = {"type": "readOnly", "networkAccess": False}
    root.update_settings(TurnOverrides(sandbox=narrow))
    agent.session.steer(agent.session.active_turn_id or "", Spoken(prompt("go on")))
    tree.fake.resume()
    await tree.until(lambda: tree.ends(agent.thread_id))
    assert not (tree.workspace / "made").exists()
    assert all("rejected by policy" in text for text in tree.outputs("#a"))
    assert tree.asked() == []


async def test_roles_differ_as_their_settings_say(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "critic.toml").write_text(
        'developer_instructions = "Be harsh."\nmodel = "critic-model"\n'
    )
    end = '[agents.critic]\ndescription = "Criticises."\nconfig_file = "critic.toml"\n'
    async with growing(tmp_path, end=end) as tree:
        root = await tree.root(approval_policy="never", sandbox="danger-full-access")
        turn = await busy(tree, root)
        agents = agents_of(root)
        critic = await agents.spawn(turn, root, "#critic go", "critic")
        explorer = await agents.spawn(turn, root, "#explorer go", "explorer")
        with pytest.raises(AgentError, match="unknown agent_type 'wizard'; there are:.*critic"):
            await agents.spawn(turn, root, "#x", "wizard")
        await tree.until(lambda: tree.requests["#critic"] and tree.requests["#explorer"])
        assert tree.requests["#critic"][0]["model"] == "critic-model"
        assert "Be harsh." in " ".join(words_of(tree.requests["#critic"][0]))
        assert critic.session.config.sandbox == {"type": "dangerFullAccess"}
        assert explorer.session.config.sandbox["type"] == "readOnly"
        assert explorer.session.config.policy.refuses
        assert critic.nickname != explorer.nickname


async def test_a_thread_that_closes_writes_nothing_of_its_agents(tree: Tree) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    await at_work(tree, turn, root, "#a")
    tree.fake.resume()
    await tree.end_of(turn.turn_id)
    await tree.manager.close(root.thread_id)
    from codex_jupyter.core.config import ThreadOptions

    again, _ = await tree.manager.resume(root.thread_id, ThreadOptions())
    await tree.turn(again, "hello again")
    assert notices(tree.requests["#root"][-1]) == []


async def test_a_thread_that_somebody_hears_keeps_the_threads_above_it_loaded(
    tmp_path: Path,
) -> None:
    async with growing(tmp_path, "thread_idle_limit = 0") as tree:
        heard = tree.heard
        root = await tree.root()
        heard.add(root.thread_id)
        turn = await busy(tree, root)
        child = await agents_of(root).spawn(turn, root, "#a go", None)
        heard.add(child.thread_id)
        tree.fake.resume()
        await tree.end_of(turn.turn_id)
        await tree.until(lambda: tree.ends(child.thread_id))
        await tree.until(lambda: root.is_idle)
        other = await tree.root()
        # The looks are at the oldest first, so the other one is looked at after these.
        heard -= {root.thread_id}
        with anyio.fail_after(LIMIT):
            await other.closed.wait()
        assert set(tree.manager.loaded) == {root.thread_id, child.thread_id}
        heard -= {child.thread_id}
        with anyio.fail_after(LIMIT):
            await root.closed.wait()
            await child.session.closed.wait()
