"""Questions of several threads of one tree, which must not be taken for each other."""

import json
import sys
from pathlib import Path

import anyio
import pytest

from codex_jupyter.core.delegate import DelegateHandle
from codex_jupyter.core.turn_questions import WaitsOn
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.flow.requests import Withdrawn
from codex_jupyter.ids import ItemId
from codex_jupyter.protocol.events import Event, RequestOpened, RequestResolved
from tests.core.agency import agents_of, at_work, busy
from tests.core.handles import joined, one_shot
from tests.core.tree import LIMIT, Json, Tree, growing, shell
from tests.fake_model import Answer, call, say

pytestmark = pytest.mark.anyio

MCP_PROGRAM = Path(__file__).parents[1] / "behaviour" / "mcp_program.py"


def params_of(question: Event) -> Json:
    assert isinstance(question.msg, RequestOpened)
    return question.msg.params


async def test_two_at_once_of_parallel_tools_are_answered_in_reverse(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#child", shell("touch one", "c1") + shell("touch two", "c2"), say("done"))
    handle = await one_shot(tree, root, CancelToken())
    first, second = await tree.question(1), await tree.question(2)
    assert len(root.state.broker.open_requests) == 2
    assert tree.answer(root, second, "accept")
    await tree.until(lambda: tree.items(handle.thread_id, "commandExecution"))
    assert not tree.answer(root, second, "decline")
    assert tree.answer(root, first, "decline")
    await joined(handle)
    by_command = {params_of(q)["itemId"]: params_of(q)["command"] for q in (first, second)}
    status = {i["id"]: i["status"] for i in tree.items(handle.thread_id, "commandExecution")}
    assert {by_command[item]: status[item] for item in status} == {
        params_of(first)["command"]: "declined",
        params_of(second)["command"]: "completed",
    }
    made = [path.name for path in tree.workspace.iterdir()]
    assert made == [params_of(second)["command"].split()[-1].strip("'\"")]


async def test_one_call_id_in_three_threads_is_three_questions(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#root", shell("touch made", "same"), say("done"))
    turn_id = await tree.begin(root, "#root")
    handles: list[DelegateHandle] = []
    for tag in ("#a", "#b"):
        tree.plan(tag, shell("touch made", "same"), say("done"))
        handles.append(await one_shot(tree, root, CancelToken(), words=tag))
    questions = [await tree.question(n) for n in (1, 2, 3)]
    ids = {q.msg.request_id for q in questions if isinstance(q.msg, RequestOpened)}
    assert len(ids) == 3
    assert {params_of(q)["itemId"] for q in questions} == {"same"}
    asker = {params_of(q)["threadId"]: q for q in questions}
    assert set(asker) == {root.thread_id, *(h.thread_id for h in handles)}
    for thread_id, decision in zip(asker, ("accept", "decline", "decline"), strict=True):
        assert tree.answer(root, asker[thread_id], decision)
    await tree.end_of(turn_id)
    for handle in handles:
        await joined(handle)
    done = [tree.items(q.thread_id, "commandExecution")[0]["status"] for q in asker.values()]
    assert done == ["completed", "declined", "declined"]


async def test_a_late_answer_counts_for_nothing(tree: Tree) -> None:
    root = await tree.root()

    def ask(word: str) -> Answer:
        questions = [{"id": word, "question": f"{word}?"}]
        return call("request_user_input", {"questions": questions}, call_id=word)

    tree.plan("#child", ask("first"), ask("second"), say("done"))
    handle = await one_shot(tree, root, CancelToken())
    first = await tree.question(1)
    assert tree.answer(root, first, {"answers": {"first": {"answers": ["one"]}}})
    second = await tree.question(2)
    assert not tree.answer(root, first, {"answers": {"second": {"answers": ["wrong"]}}})
    assert len(root.state.broker.open_requests) == 1
    assert tree.answer(root, second, {"answers": {"second": {"answers": ["two"]}}})
    await joined(handle)
    outputs = [json.loads(text)["answers"] for text in tree.outputs("#child")]
    assert outputs == [{"first": {"answers": ["one"]}}, {"second": {"answers": ["two"]}}]


async def test_a_turn_that_has_ended_asks_nobody(tree: Tree) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    tree.fake.resume()
    await tree.end_of(turn.turn_id)
    before = len(tree.events)
    with anyio.fail_after(LIMIT):
        outcome = await turn.ask("item/tool/call", {}, ItemId("x"), "client")
    assert isinstance(outcome, Withdrawn)
    assert len(tree.events) == before
    assert not root.state.broker.open_requests


@pytest.mark.parametrize("waits_on", ["approval", "userInput", "client"])
async def test_an_asker_that_is_cancelled_leaves_no_question(tree: Tree, waits_on: WaitsOn) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn.ask, "item/tool/call", {}, ItemId("x"), waits_on)
            await tree.question()
            tasks.cancel_scope.cancel()
    assert tree.outcomes() == ["withdrawn"]
    assert not tree.answer(root, tree.asked()[0], "accept")
    assert root.state.status["activeFlags"] == []


async def test_an_agent_that_waits_stops_neither_its_parent_nor_another_agent(tree: Tree) -> None:
    root = await tree.root()
    turn = await busy(tree, root)
    slow, _ = await at_work(tree, turn, root, "#slow")
    quick, question = await at_work(tree, turn, root, "#quick")
    tree.answer(root, question, "accept")
    await tree.until(lambda: tree.ends(quick.thread_id))
    tree.fake.resume()
    assert (await tree.end_of(turn.turn_id))["status"] == "completed"
    assert slow.status() == "running"
    await agents_of(root).close(root, slow.thread_id)


def things(tmp_path: Path, *arguments: str, **more: object) -> str:
    pytest.importorskip("mcp.server.mcpserver", reason="the extra `mcp` (2.x) is not installed")
    args = [str(MCP_PROGRAM), *arguments]
    stated = {"command": sys.executable, "args": args, "cwd": str(tmp_path), **more}
    return "\n".join(
        ["[mcp_servers.things]", *(f"{name} = {json.dumps(v)}" for name, v in stated.items())]
    )


async def test_a_start_that_hangs_ends_with_the_stop(tmp_path: Path) -> None:
    async with growing(tmp_path, end=things(tmp_path, "mute", startup_timeout_sec=60)) as tree:
        root, token = await tree.root(), CancelToken()
        handle = await one_shot(tree, root, token)
        await tree.until(lambda: tree.begins(handle.thread_id))
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        token.cancel("enough")
        await joined(handle)
        assert [end["status"] for end in tree.ends(handle.thread_id)] == ["interrupted"]
        assert tree.requests["#child"] == []
        assert tree.manager.loaded == (root.thread_id,)
        with anyio.fail_after(LIMIT):
            await tree.manager.close(root.thread_id)


@pytest.mark.parametrize("way", ["by its stream", "by its mark"])
async def test_of_two_calls_at_once_each_gets_its_own_form(
    tmp_path: Path, way: str, request: pytest.FixtureRequest
) -> None:
    end = things(tmp_path, startup_timeout_sec=20)
    if way == "by its stream":
        end = f'[mcp_servers.things]\nurl = "{request.getfixturevalue("mcp_address")}"'
    async with growing(tmp_path, end=end) as tree:
        root = await tree.root(approval_policy="never", sandbox="danger-full-access")
        handles: dict[str, DelegateHandle] = {}
        for who in ("#first", "#second"):
            asked = {"who": who, "echo": way == "by its mark"}
            tree.plan(who, call("mcp__things__choose_for", asked, call_id=who), say("done"))
            handles[who] = await one_shot(tree, root, CancelToken(), words=who)
            with anyio.fail_after(3 * LIMIT):
                await tree.until(lambda who=who: tree.started(None, id=who))
        for question in [await tree.question(1), await tree.question(2)]:
            params = params_of(question)
            assert params["itemId"] == params["message"]
            assert params["threadId"] == handles[params["message"]].thread_id
            assert "_meta" not in params  # our own mark is nobody's business
            content = {"colour": params["message"]}
            assert tree.answer(root, question, {"action": "accept", "content": content})
        for who, handle in handles.items():
            await joined(handle)
            assert f"{who}: " in tree.outputs(who)[0]
            assert f"'{who}'" in tree.outputs(who)[0]


async def test_a_form_does_not_outlive_the_call_it_belongs_to(tmp_path: Path) -> None:
    end = things(tmp_path, startup_timeout_sec=20, tool_timeout_sec=0.5)
    async with growing(tmp_path, end=end) as tree:
        root = await tree.root(approval_policy="never", sandbox="danger-full-access")
        tree.plan("#child", call("mcp__things__choose", {}, call_id="c1"), say("done"))
        handle = await one_shot(tree, root, CancelToken())
        with anyio.fail_after(3 * LIMIT):
            await handle.join()
        (output,) = tree.outputs("#child")
        assert "took more than 0.5 s" in output
        assert tree.outcomes() == ["withdrawn"]
        assert not root.state.broker.open_requests
        told = [e for e in tree.of(handle.thread_id) if isinstance(e.msg, RequestResolved)]
        ended = tree.ends(handle.thread_id)
        assert len(told) == len(ended) == 1
