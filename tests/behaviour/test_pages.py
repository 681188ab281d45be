"""Pages, kernels and the policy at one server: who is asked, who may answer, who watches what."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from codex_jupyter.server.app import AppServer
from codex_jupyter.server.rights import PAGE, kernel_rights
from codex_jupyter.view.turn_state import fold
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

TOOL = {
    "name": "shout",
    "description": "Shouts.",
    "inputSchema": {"type": "object", "properties": {}},
    "readOnly": True,
}


@dataclass
class House:
    """A server with a kernel and a page."""

    lab: Lab
    server: AppServer
    kernel: Talk
    page: Talk
    stack: AsyncExitStack

    async def another_page(self) -> Talk:
        return await self.stack.enter_async_context(self.lab.connect(self.server, rights=PAGE))

    async def another_kernel(self, kernel_id: str) -> Talk:
        rights = kernel_rights(kernel_id)
        return await self.stack.enter_async_context(
            self.lab.connect(self.server, rights=rights, experimentalApi=True)
        )


@pytest.fixture
async def house(lab: Lab) -> AsyncGenerator[House]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(lab.serving(watchable=True))
        kernel = await stack.enter_async_context(
            lab.connect(server, rights=kernel_rights("k1"), experimentalApi=True)
        )
        page = await stack.enter_async_context(lab.connect(server, rights=PAGE))
        await page.ask("serverRequest/list", {})  # it takes part from here on
        yield House(lab, server, kernel, page, stack)


def touch(name: str, call_id: str = "c1") -> Any:
    return call("shell_command", {"command": f"touch {name}"}, call_id=call_id)


def fold_all(seen: Json, talk: Talk, turn_id: str) -> Json:
    """Return the snapshot with every op that was told since, checking the numbers."""
    state, seq = seen["snapshot"], seen["seq"]
    for told in talk.notices("turn/ops"):
        if told["turnId"] == turn_id and told["seq"] > seq:
            assert told["seq"] == seq + 1
            seq = told["seq"]
            for op in told["ops"]:
                fold(state, op)
    return state


async def asked_page(house: House, text: str = "Hello") -> tuple[str, str, Json]:
    """Let the kernel's turn ask; return thread, turn, and the question as the page hears it."""
    house.lab.fake.add(touch("made"), say("done"))
    thread_id = await house.kernel.start_thread(house.lab.workspace)
    turn_id = await house.kernel.start_turn(thread_id, text)
    opened = await house.page.told("serverRequest/opened")
    return thread_id, turn_id, opened["request"]


async def test_the_page_is_asked_and_its_answer_counts(house: House) -> None:
    thread_id, turn_id, request = await asked_page(house)
    assert request["threadId"] == thread_id
    assert request["turnId"] == turn_id
    assert request["kind"] == "command"
    assert request["command"] == "touch made"
    listed = await house.page.ask("serverRequest/list", {})
    assert [entry["requestId"] for entry in listed["data"]] == [request["requestId"]]
    answer = {"requestId": request["requestId"], "digest": request["digest"]}
    reply = await house.page.ask("serverRequest/answer", {**answer, "decision": "accept"})
    assert reply == {"status": "ok"}
    assert (await house.kernel.turn_end(turn_id))["status"] == "completed"
    assert (house.lab.workspace / "made").exists()
    resolved = await house.page.told("serverRequest/resolved")
    assert (resolved["outcome"], resolved["turnId"]) == ("accept", turn_id)
    again = await house.page.ask("serverRequest/answer", {**answer, "decision": "accept"})
    assert again == {"status": "gone"}
    assert (await house.page.ask("serverRequest/list", {}))["data"] == []
    assert house.kernel.requests() == []


async def test_a_kernel_may_not_answer(house: House) -> None:
    _, turn_id, request = await asked_page(house)
    answer = {
        "requestId": request["requestId"],
        "digest": request["digest"],
        "decision": "accept",
    }
    refusal = await house.kernel.refused("serverRequest/answer", answer)
    assert "may not answer" in str(refusal)
    assert "kernel" in str(refusal)
    await house.kernel.refused("serverRequest/list", {})
    await house.kernel.send({"id": request["requestId"], "result": {"decision": "accept"}})
    listed = await house.page.ask("serverRequest/list", {})
    assert len(listed["data"]) == 1
    assert not (house.lab.workspace / "made").exists()
    await house.page.ask("serverRequest/answer", {**answer, "decision": "decline"})
    await house.kernel.turn_end(turn_id)
    assert not (house.lab.workspace / "made").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"digest": "0" * 64, "decision": "accept"},
        {"decision": "accept"},
        {"requestId": "11111111-1111-1111-1111-111111111111", "decision": "accept"},
    ],
)
async def test_an_answer_to_something_else_is_gone(house: House, wrong: Json) -> None:
    _, turn_id, request = await asked_page(house)
    answer = {"requestId": request["requestId"], **wrong}
    assert await house.page.ask("serverRequest/answer", answer) == {"status": "gone"}
    right = {"requestId": request["requestId"], "digest": request["digest"], "decision": "cancel"}
    assert await house.page.ask("serverRequest/answer", right) == {"status": "ok"}
    assert (await house.kernel.turn_end(turn_id))["status"] == "interrupted"


@pytest.mark.parametrize("both", [{}, {"decision": "accept", "answers": {}}])
async def test_an_answer_is_one_thing(house: House, both: Json) -> None:
    refusal = await house.page.refused("serverRequest/answer", {"requestId": "x", **both})
    assert "either" in str(refusal)


async def test_the_first_of_two_pages_counts(house: House) -> None:
    other = await house.another_page()
    _, turn_id, request = await asked_page(house)
    await other.told("serverRequest/opened")
    answer = {"requestId": request["requestId"], "digest": request["digest"]}
    first = await other.request("serverRequest/answer", {**answer, "decision": "decline"})
    second = await house.page.request("serverRequest/answer", {**answer, "decision": "accept"})
    assert await other.response(first) == {"status": "ok"}
    assert await house.page.response(second) == {"status": "gone"}
    await house.kernel.turn_end(turn_id)
    assert not (house.lab.workspace / "made").exists()
    told = await house.page.told("serverRequest/resolved")
    assert told["outcome"] == "decline"


@pytest.mark.parametrize("early", [True, False])
async def test_a_page_that_watches_holds_what_the_server_holds(house: House, early: bool) -> None:
    house.lab.fake.add(say("one two three", deltas=3), touch("made"), say("four"))
    thread_id = await house.kernel.start_thread(house.lab.workspace)
    await house.kernel.turn(thread_id)
    turn_id = await house.kernel.start_turn(thread_id, "again")
    request = (await house.page.told("serverRequest/opened"))["request"]
    where = {"threadId": thread_id, "turnId": turn_id}
    answer = {"requestId": request["requestId"], "digest": request["digest"]}
    seen: Json = {}
    if early:
        seen = await house.page.ask("turn/watch", where)
        assert seen["running"]
        assert seen["open"] == [request["requestId"]]
        (shown,) = seen["snapshot"]["requests"]
        assert shown["command"] == "touch made"
        assert shown["outcome"] is None
    await house.page.ask("serverRequest/answer", {**answer, "decision": "accept"})
    await house.kernel.turn_end(turn_id)
    if not early:
        seen = await house.page.ask("turn/watch", where)
        assert not seen["running"]
        assert seen["open"] == []
    last = await house.page.ask("turn/watch", where)
    state = fold_all(seen, house.page, turn_id)
    assert state == last["snapshot"]
    assert state["status"] == "completed"
    assert [item["type"] for item in state["items"]] == [
        "userMessage",
        "commandExecution",
        "agentMessage",
    ]
    (settled,) = state["requests"]
    assert settled["outcome"] == "accept"


async def test_deltas_come_as_few_batches_and_whole(house: House) -> None:
    house.lab.fake.add(say("word " * 500, deltas=500))
    thread_id = await house.kernel.start_thread(house.lab.workspace)
    chosen = "0192f0c1-2345-7abc-8def-0123456789ab"
    await house.kernel.start_turn(thread_id, turnId=chosen)
    where = {"threadId": thread_id, "turnId": chosen}
    seen = await house.page.ask("turn/watch", where)
    if seen["running"]:
        await house.page.until(
            lambda m: (
                m.get("method") == "turn/ops"
                and any(op.get("status") == "completed" for op in m["params"]["ops"])
            )
        )
    state = fold_all(seen, house.page, chosen)
    assert state["items"][-1]["text"] == "word " * 500
    assert len(house.page.notices("turn/ops")) < 100


async def test_a_turn_of_an_earlier_server_is_known(lab: Lab) -> None:
    lab.fake.add(say("stored"))
    async with lab.serving(watchable=True) as server, lab.connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        turn_id = (await talk.turn(thread_id))["id"]
    async with lab.serving(watchable=True) as server, lab.connect(server, rights=PAGE) as page:
        where = {"threadId": thread_id, "turnId": turn_id}
        seen = await page.ask("turn/watch", where)
        assert (seen["known"], seen["running"]) == (True, False)
        assert seen["snapshot"]["items"][-1]["text"] == "stored"
        output = await page.ask("turn/output", where)
        assert "stored" in output["data"]["text/markdown"]
        assert output["metadata"] == {"codex": where}
        for other in (
            {**where, "turnId": "0192f0c1-2345-7abc-8def-0123456789ab"},
            {**where, "threadId": "0192f0c1-2345-7abc-8def-0123456789ab"},
        ):
            assert (await page.ask("turn/watch", other))["known"] is False
            await page.refused("turn/output", other)


async def test_an_unwatched_turn_says_nothing(house: House) -> None:
    thread_id, turn_id, request = await asked_page(house)
    where = {"threadId": thread_id, "turnId": turn_id}
    await house.page.ask("turn/watch", where)
    await house.page.ask("turn/unwatch", where)
    before = len(house.page.notices("turn/ops"))
    answer = {"requestId": request["requestId"], "digest": request["digest"]}
    await house.page.ask("serverRequest/answer", {**answer, "decision": "accept"})
    await house.kernel.turn_end(turn_id)
    await house.page.ask("serverRequest/list", {})
    assert len(house.page.notices("turn/ops")) == before


async def test_a_stop_of_one_kernel_leaves_the_other_alone(house: House) -> None:
    other = await house.another_kernel("k2")
    turns: list[tuple[Talk, str]] = []
    for talk in (house.kernel, other):
        house.lab.fake.add(touch("made"))
        thread_id = await talk.start_thread(house.lab.workspace)
        turns.append((talk, await talk.start_turn(thread_id)))
        with anyio.fail_after(30):
            while len(house.page.notices("serverRequest/opened")) < len(turns):
                await house.page.ask("serverRequest/list", {})
    assert house.server.interrupt_kernel("k1") == 1
    assert (await turns[0][0].turn_end(turns[0][1]))["status"] == "interrupted"
    assert house.server.interrupt_kernel("k1") == 0
    listed = await house.page.ask("serverRequest/list", {})
    assert [entry["turnId"] for entry in listed["data"]] == [turns[1][1]]
    assert house.server.kernel_gone("k2") == 1
    assert (await turns[1][0].turn_end(turns[1][1]))["status"] == "interrupted"


async def test_a_turn_that_cannot_go_on_fails_with_its_reason(house: House) -> None:
    thread_id, turn_id, _ = await asked_page(house)
    assert house.server.fail_turn(thread_id, turn_id, "nobody can answer here")
    ended = await house.kernel.turn_end(turn_id)
    assert ended["status"] == "failed"
    assert "nobody can answer" in ended["error"]["message"]
    assert not house.server.fail_turn(thread_id, turn_id, "too late")


async def test_only_the_kernel_that_started_a_turn_runs_its_tools(house: House) -> None:
    house.lab.fake.add(call("shout", {}, call_id="s1"), say("heard"))
    thread_id = await house.kernel.start_thread(house.lab.workspace, dynamicTools=[TOOL])
    other = await house.another_kernel("k2")
    house.lab.fake.add()
    turn_id = await house.kernel.start_turn(thread_id)
    request = await house.kernel.asked("item/tool/call")
    await other.ask("thread/resume", {"threadId": thread_id})
    await house.page.ask("thread/resume", {"threadId": thread_id})
    result = {"contentItems": [{"type": "inputText", "text": "HEY"}], "success": True}
    await house.kernel.answer(request, result)
    assert (await house.kernel.turn_end(turn_id))["status"] == "completed"
    assert other.requests() == []
    assert house.page.requests() == []


async def test_a_tool_that_its_only_runner_does_not_know_is_told_to_the_model(house: House) -> None:
    """A page may answer questions, but runs no tools: there is nobody left to wait for."""
    house.lab.fake.add(call("shout", {}, call_id="s1"), say("so be it"))
    thread_id = await house.kernel.start_thread(house.lab.workspace, dynamicTools=[TOOL])
    turn_id = await house.kernel.start_turn(thread_id)
    request = await house.kernel.asked("item/tool/call")
    await house.kernel.answer_error(request, -32601, "no such tool here")
    assert (await house.kernel.turn_end(turn_id))["status"] == "completed"
    output = house.lab.fake.requests[-1]["input"][-1]
    assert output["output"] == "dynamic tool request failed"


async def test_a_kernel_says_which_code_holds_it(house: House) -> None:
    thread_id, turn_id, _ = await asked_page(house)
    where = {"threadId": thread_id, "turnId": turn_id}
    await house.page.ask("turn/watch", where)
    await house.kernel.send({"method": "turn/held", "params": {**where, "code": "while True: …"}})
    told = await house.page.until(
        lambda m: (
            m.get("method") == "turn/ops" and any(op["op"] == "hold" for op in m["params"]["ops"])
        )
    )
    assert {"op": "hold", "code": "while True: …"} in told["params"]["ops"]


async def test_a_page_sees_delegates_asks_for_them_and_hears_of_their_end(house: House) -> None:
    house.lab.fake.by_prompt({"one": [touch("one")], "two": [touch("two")]})
    thread_id = await house.kernel.start_thread(house.lab.workspace)
    tasks = [{"input": [{"type": "text", "text": name}]} for name in ("one", "two")]
    asked = {"threadId": thread_id, "tasks": tasks}
    started = await house.kernel.ask("delegate/start", asked)
    host, turn_id = started["thread"]["id"], started["turn"]["id"]
    place = {"threadId": host, "turnId": turn_id}
    for number in (1, 2):
        await house.page.until(
            lambda _, n=number: len(house.page.notices("serverRequest/opened")) >= n
        )
    watched = await house.page.ask("turn/watch", place)
    state = watched["snapshot"]
    assert len(watched["open"]) == 2
    assert {r["delegate"]["name"] for r in state["requests"]} == {"#1", "#2"}
    assert [row["status"] for row in state["delegates"]] == ["running", "running"]
    assert [row["waitsOn"] for row in state["delegates"]] == ["approval", "approval"]
    listed = await house.page.ask("serverRequest/list", {})
    assert len(listed["data"]) == 2, "each once, though two turns show it"
    # So a page finds the output that it is asked in, which is not of the turn that asks.
    assert [request["shownIn"] for request in listed["data"]] == [[turn_id], [turn_id]]
    assert turn_id not in {request["turnId"] for request in listed["data"]}

    await house.kernel.ask("turn/interrupt", place)
    await house.kernel.turn_end(turn_id)
    await house.page.until(
        lambda m: (
            m.get("method") == "turn/ops"
            and m["params"]["turnId"] == turn_id
            and any(op["op"] == "status" for op in m["params"]["ops"])
        )
    )
    for told in house.page.notices("turn/ops"):
        for op in told["ops"] if told["turnId"] == turn_id else ():
            fold(state, op)
    assert [row["status"] for row in state["delegates"]] == ["interrupted", "interrupted"]
    assert [row["waitsOn"] for row in state["delegates"]] == [None, None]
    assert all(request["outcome"] is not None for request in state["requests"])
    child = {key: started["tasks"][0][key] for key in ("threadId", "turnId")}
    seen = await house.page.ask("turn/snapshot", child)
    assert seen["snapshot"]["status"] == "interrupted"
    unknown = {"threadId": child["threadId"], "turnId": turn_id}
    assert await house.page.ask("turn/snapshot", unknown) == {"snapshot": None}


@pytest.mark.parametrize("way", ["turn", "delegate", "agent"])
async def test_only_the_kernel_that_began_it_runs_the_tools_of_what_is_below(
    house: House, way: str
) -> None:
    other = await house.another_kernel("k2")
    tool = {"name": "run", "description": "d", "inputSchema": {"type": "object"}}
    tools = {"dynamicTools": [tool], "approvalPolicy": "never", "sandbox": "danger-full-access"}
    spawn = call("spawn_agent", {"message": "use it"}, call_id="s1")
    house.lab.fake.by_prompt(
        {
            "use it": [call("run", {}, call_id="c1"), say("used")],
            "spawn": [spawn, say("spawned").hang(after=1), say("read")],
        }
    )
    thread_id = await house.kernel.start_thread(house.lab.workspace, **tools)
    await other.ask("thread/resume", {"threadId": thread_id})
    if way == "delegate":
        task = {"input": [{"type": "text", "text": "use it"}]}
        await house.kernel.ask("delegate/start", {"threadId": thread_id, "tasks": [task]})
    else:
        await house.kernel.start_turn(thread_id, "use it" if way == "turn" else "spawn")
    asked = await house.kernel.asked("item/tool/call")
    await other.ask("thread/loaded/list", {})
    assert other.requests() == []
    content = [{"type": "inputText", "text": "ran"}]
    await house.kernel.answer(asked, {"contentItems": content, "success": True})
    await house.kernel.until(
        lambda m: (
            m.get("method") == "item/completed" and m["params"]["item"]["type"] == "dynamicToolCall"
        )
    )


@pytest.mark.parametrize("steps", range(12))
async def test_a_delegate_that_is_stopped_as_it_begins_ends_nothing_else(
    lab: Lab, steps: int
) -> None:
    """It ended every thread: its turn began while it was unloaded, and pages looked for it."""
    lab.fake.by_prompt({"one": [say("fine")], "two": [say("never", deltas=9).hang(after=4)]})
    async with lab.serving(watchable=True) as server, lab.connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        tasks = [{"input": [{"type": "text", "text": prompt}]} for prompt in ("one", "two")]
        asked = {"threadId": thread_id, "tasks": tasks, "limit": 1}
        started = await talk.ask("delegate/start", asked)
        where = {"threadId": started["thread"]["id"], "turnId": started["turn"]["id"]}
        await talk.until(
            lambda m: (
                m.get("method") == "item/completed" and m["params"]["threadId"] == where["threadId"]
            )
        )
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        await talk.ask("turn/interrupt", where)
        assert (await talk.turn_end(where["turnId"]))["status"] == "interrupted"
        lab.fake.by_prompt({"three": [say("still here")]})
        assert (await talk.turn(thread_id, "three"))["status"] == "completed"
