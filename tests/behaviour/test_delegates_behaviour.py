"""Delegates over the wire: heard by whoever hears the thread, answered by them, ended together."""

import uuid
from typing import Any

import anyio
import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Talk, text
from tests.fake_model import Answer, call, say

pytestmark = pytest.mark.anyio

Json = dict[str, Any]


async def delegate(talk: Talk, thread_id: str, *prompts: str, **params: Any) -> Json:
    tasks = [{"input": [text(prompt)]} for prompt in prompts]
    return await talk.ask("delegate/start", {"threadId": thread_id, "tasks": tasks, **params})


def shell(command: str) -> Answer:
    return call("shell_command", {"command": command}, call_id="c1")


async def test_each_task_is_an_item_and_a_thread_of_its_own(talk: Talk, lab: Lab) -> None:
    lab.fake.by_prompt({"one": [say("first")], "two": [say("second")]})
    thread_id = await talk.start_thread(lab.workspace)

    started = await delegate(talk, thread_id, "one", "two")
    turn = await talk.turn_end(started["turn"]["id"])

    assert turn["status"] == "completed"
    host = started["thread"]
    assert host["parentThreadId"] == thread_id
    assert host["source"] == {"subAgent": {"other": "delegation"}}
    items = {item["id"]: item for item in talk.items("collabAgentToolCall")}
    said = [items[task["itemId"]]["agentsStates"][task["threadId"]] for task in started["tasks"]]
    assert said == [
        {"status": "completed", "message": "first"},
        {"status": "completed", "message": "second"},
    ]
    facts = items[started["tasks"][0]["itemId"]]["agents"][0]
    assert (facts["nickname"], facts["tokens"]) == ("#1", 15)
    below = [n["thread"] for n in talk.notices("thread/started")]
    assert {(t["parentThreadId"], t["agentNickname"]) for t in below[1:]} >= {
        (host["id"], "#1"),
        (host["id"], "#2"),
    }
    usage = talk.notices("thread/tokenUsage/updated")
    totals = [n["tokenUsage"]["total"]["totalTokens"] for n in usage if n["threadId"] == host["id"]]
    assert totals[-1] == 30


async def test_a_task_takes_no_more_text_than_a_turn(talk: Talk, lab: Lab) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    large = "x" * 1_048_577
    turn = {"threadId": thread_id, "input": [text(large)]}
    as_turn = await talk.refused("turn/start", turn)
    task = {"input": [text(large)]}
    as_task = await talk.refused("delegate/start", {"threadId": thread_id, "tasks": [task]})
    assert (as_task.code, as_task.message) == (as_turn.code, as_turn.message)
    assert (await talk.ask("thread/loaded/list", {}))["data"] == [thread_id]
    opened = {"threadId": thread_id, "tasks": [], "keepOpen": True}
    started = await talk.ask("delegate/start", opened)
    where = {"threadId": started["thread"]["id"], "turnId": started["turn"]["id"]}
    later = await talk.refused("delegate/add", {**where, "tasks": [task]})
    assert later.message == as_turn.message
    await talk.ask("delegate/close", where)
    await talk.turn_end(where["turnId"])


async def test_one_task_is_the_answer_of_the_turn(talk: Talk, lab: Lab) -> None:
    lab.fake.add(say("the answer"))
    thread_id = await talk.start_thread(lab.workspace)

    started = await delegate(talk, thread_id, "one")
    await talk.turn_end(started["turn"]["id"])

    host = started["thread"]["id"]
    last = [
        n["item"]
        for n in talk.notices("item/completed")
        if n["threadId"] == host and n["item"]["type"] == "agentMessage"
    ]
    assert [item["text"] for item in last] == ["the answer"]
    read = await talk.ask("thread/read", {"threadId": host, "includeTurns": True})
    assert [item["type"] for item in read["thread"]["turns"][0]["items"]] == [
        "collabAgentToolCall",
        "agentMessage",
    ]


async def test_a_question_names_who_asks_and_its_answer_reaches_the_asker(
    talk: Talk, lab: Lab
) -> None:
    lab.fake.by_prompt(
        {
            "one": [shell("touch one"), say("done")],
            "two": [shell("touch two"), say("not done")],
        }
    )
    thread_id = await talk.start_thread(lab.workspace)

    started = await delegate(talk, thread_id, "one", "two")
    await talk.asked(n=2)
    asked = {request["params"]["delegate"]["nickname"]: request for request in talk.requests()}
    assert {name: r["params"]["command"] for name, r in asked.items()} == {
        "#1": "touch one",
        "#2": "touch two",
    }
    threads = [task["threadId"] for task in started["tasks"]]
    assert [asked[name]["params"]["threadId"] for name in ("#1", "#2")] == threads
    await talk.answer(asked["#2"], {"decision": "decline"})
    await talk.answer(asked["#1"], {"decision": "accept"})
    turn = await talk.turn_end(started["turn"]["id"])

    assert turn["status"] == "completed"
    assert [path.name for path in lab.workspace.iterdir()] == ["one"]
    status = {i["command"]: i["status"] for i in talk.items("commandExecution")}
    assert status == {"touch one": "completed", "touch two": "declined"}


async def test_a_stop_ends_the_delegates_first(talk: Talk, lab: Lab) -> None:
    lab.fake.by_prompt({"one": [say("never", deltas=3).hang(after=3)], "two": [shell("touch two")]})
    thread_id = await talk.start_thread(lab.workspace)
    started = await delegate(talk, thread_id, "one", "two")
    await talk.asked()
    with anyio.fail_after(30):
        await lab.fake.wait_for_hang()

    host, turn_id = started["thread"]["id"], started["turn"]["id"]
    await talk.ask("turn/interrupt", {"threadId": host, "turnId": turn_id})
    turn = await talk.turn_end(turn_id)

    assert turn["status"] == "interrupted"
    ends = [n["turn"] for n in talk.notices("turn/completed")]
    assert [end["status"] for end in ends] == ["interrupted"] * 3
    assert ends[-1]["id"] == turn_id
    assert {i["status"] for i in talk.items("collabAgentToolCall")} == {"interrupted"}
    assert list(lab.workspace.iterdir()) == []


async def test_a_second_stop_leaves_no_item_without_its_word(talk: Talk, lab: Lab) -> None:
    lab.fake.by_prompt({"one": [shell("touch one")]})
    thread_id = await talk.start_thread(lab.workspace)
    started = await delegate(talk, thread_id, "one")
    await talk.asked()
    place = {"threadId": started["thread"]["id"], "turnId": started["turn"]["id"]}

    both = [talk.make("turn/interrupt", place), talk.make("turn/interrupt", place)]
    await talk.send(*both)
    turn = await talk.turn_end(place["turnId"])

    assert turn["status"] == "interrupted"
    assert {i["status"] for i in talk.items("collabAgentToolCall")} == {"interrupted"}
    ends = [n["turn"]["id"] for n in talk.notices("turn/completed")]
    assert ends == [started["tasks"][0]["turnId"], place["turnId"]]


async def test_one_delegate_can_be_stopped_alone(talk: Talk, lab: Lab) -> None:
    lab.fake.by_prompt({"one": [shell("touch one")], "two": [say("fine")]})
    thread_id = await talk.start_thread(lab.workspace)
    started = await delegate(talk, thread_id, "one", "two")
    await talk.asked()

    task = started["tasks"][0]
    await talk.ask("turn/interrupt", {"threadId": task["threadId"], "turnId": task["turnId"]})
    turn = await talk.turn_end(started["turn"]["id"])

    assert turn["status"] == "completed"
    items = {item["id"]: item["status"] for item in talk.items("collabAgentToolCall")}
    assert [items[t["itemId"]] for t in started["tasks"]] == ["interrupted", "completed"]


@pytest.mark.parametrize("added", [False, True])
async def test_one_that_waits_for_its_place_can_be_stopped_too(
    talk: Talk, lab: Lab, added: bool
) -> None:
    lab.fake.by_prompt({"one": [shell("touch one"), say("done")], "two": [say("no")]})
    thread_id = await talk.start_thread(lab.workspace)
    first = ("one",) if added else ("one", "two")
    started = await delegate(talk, thread_id, *first, limit=1)
    place = {"threadId": started["thread"]["id"], "turnId": started["turn"]["id"]}
    tasks = started["tasks"]
    if added:
        more = await talk.ask("delegate/add", {**place, "tasks": [{"input": [text("two")]}]})
        tasks += more["tasks"]
    request = await talk.asked()

    ids = {key: tasks[1][key] for key in ("threadId", "turnId")}
    other = {**ids, "turnId": str(uuid.uuid4())}
    assert "thread not found" in (await talk.refused("turn/interrupt", other)).message
    await talk.ask("turn/interrupt", ids)
    await talk.until(lambda m: m.get("params", {}).get("item", {}).get("status") == "interrupted")
    await talk.answer(request, {"decision": "decline"})
    turn = await talk.turn_end(place["turnId"])

    assert turn["status"] == "completed"
    items = {item["id"]: item["status"] for item in talk.items("collabAgentToolCall")}
    assert [items[task["itemId"]] for task in tasks] == ["completed", "interrupted"]
    assert len(lab.fake.requests) == 2, "of the first one only"
    assert "thread not found" in (await talk.refused("turn/interrupt", ids)).message


async def test_only_so_many_work_at_a_time(talk: Talk, lab: Lab) -> None:
    lab.fake.by_prompt({name: [shell(f"touch {name}")] for name in "abc"})
    thread_id = await talk.start_thread(lab.workspace)
    started = await delegate(talk, thread_id, "a", "b", "c", limit=2)
    await talk.asked(n=2)

    task = started["tasks"][0]
    await talk.ask("turn/interrupt", {"threadId": task["threadId"], "turnId": task["turnId"]})
    await talk.asked(n=3)

    commands = [request["params"]["command"] for request in talk.requests()]
    assert sorted(commands[:2]) == ["touch a", "touch b"]
    assert commands[2] == "touch c"


async def test_tasks_can_be_added_while_it_runs_and_not_after(talk: Talk, lab: Lab) -> None:
    lab.fake.by_prompt({"one": [shell("touch one")], "two": [say("second")]})
    thread_id = await talk.start_thread(lab.workspace)
    started = await delegate(talk, thread_id, "one")
    await talk.asked()
    place = {"threadId": started["thread"]["id"], "turnId": started["turn"]["id"]}

    added = await talk.ask("delegate/add", {**place, "tasks": [{"input": [text("two")]}]})
    await talk.answer(await talk.asked(), {"decision": "cancel"})
    turn = await talk.turn_end(place["turnId"])

    assert turn["status"] == "completed"
    items = {item["id"]: item for item in talk.items("collabAgentToolCall")}
    assert items[added["tasks"][0]["itemId"]]["status"] == "completed"
    assert items[added["tasks"][0]["itemId"]]["agents"][0]["nickname"] == "#2"
    refusal = await talk.refused("delegate/add", {**place, "tasks": [{"input": [text("x")]}]})
    assert refusal.message == "no active turn to add to"


@pytest.mark.parametrize("ends", ["closed", "stopped"])
async def test_a_turn_that_is_kept_open_waits_for_tasks(talk: Talk, lab: Lab, ends: str) -> None:
    lab.fake.by_prompt({"one": [say("first")]})
    thread_id = await talk.start_thread(lab.workspace)
    started = await delegate(talk, thread_id, keepOpen=True)
    place = {"threadId": started["thread"]["id"], "turnId": started["turn"]["id"]}
    await talk.ask("delegate/add", {**place, "tasks": [{"input": [text("one")]}]})
    await talk.until(lambda m: m.get("params", {}).get("item", {}).get("status") == "completed")

    await talk.ask("delegate/close" if ends == "closed" else "turn/interrupt", place)
    turn = await talk.turn_end(place["turnId"])

    assert turn["status"] == ("completed" if ends == "closed" else "interrupted")
    assert [item["status"] for item in talk.items("collabAgentToolCall")] == ["completed"]


async def test_it_fails_if_every_task_does(talk: Talk, lab: Lab) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    started = await delegate(talk, thread_id, "one", "two")
    turn = await talk.turn_end(started["turn"]["id"])
    assert turn["status"] == "failed"
    assert "has no answer" in turn["error"]["message"]


async def test_a_delegate_may_not_do_more_than_the_thread(talk: Talk, lab: Lab) -> None:
    lab.fake.by_prompt({"one": [shell("touch one"), say("no")]})
    thread_id = await talk.start_thread(lab.workspace)
    task = {
        "input": [text("one")],
        "approvalPolicy": "never",
        "sandboxPolicy": {"type": "dangerFullAccess"},
    }

    started = await talk.ask("delegate/start", {"threadId": thread_id, "tasks": [task]})
    # It wished to be asked nothing; the thread's own settings ask.
    await talk.answer(await talk.asked(), {"decision": "decline"})
    await talk.turn_end(started["turn"]["id"])

    assert list(lab.workspace.iterdir()) == []


async def test_a_chosen_turn_is_shown_instead_of_done_again(talk: Talk, lab: Lab) -> None:
    lab.fake.add(say("once"))
    thread_id = await talk.start_thread(lab.workspace)
    ids = {"hostThreadId": str(uuid.uuid4()), "turnId": str(uuid.uuid4())}
    started = await delegate(talk, thread_id, "one", **ids)
    await talk.turn_end(ids["turnId"])
    assert started["thread"]["id"] == ids["hostThreadId"]

    tasks = [{"input": [text("one")]}]
    refusal = await talk.refused("delegate/start", {"threadId": thread_id, "tasks": tasks, **ids})

    assert refusal.data == {
        "duplicate": "turn",
        "id": ids["turnId"],
        "status": "completed",
    }
    assert len(lab.fake.requests) == 1


@pytest.mark.parametrize("closed", [False, True])
async def test_the_delegations_of_one_thread_are_not_those_of_another(
    talk: Talk, lab: Lab, closed: bool
) -> None:
    lab.fake.add(say("once"), say("again"))
    thread_id, other = [await talk.start_thread(lab.workspace) for _ in range(2)]
    host = {"hostThreadId": str(uuid.uuid4())}
    started = await delegate(talk, thread_id, "one", **host)
    await talk.turn_end(started["turn"]["id"])
    if closed:
        await talk.ask("thread/unsubscribe", {"threadId": host["hostThreadId"]})
        await talk.ask("thread/archive", {"threadId": host["hostThreadId"]})
        await talk.ask("thread/unarchive", {"threadId": host["hostThreadId"]})

    tasks = [{"input": [text("two")]}]
    refusal = await talk.refused("delegate/start", {"threadId": other, "tasks": tasks, **host})

    assert "is no thread of this one's delegations" in refusal.message
    again = await delegate(talk, thread_id, "two", **host)
    assert (await talk.turn_end(again["turn"]["id"]))["status"] == "completed"


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"tasks": []}, "tasks must not be empty"),
        ({"tasks": [{"input": []}]}, "tasks[0]: input must not be empty"),
        ({"tasks": [{"input": [text("x")]}], "limit": 0}, "limit must be 1 to 64, found 0"),
        ({"tasks": [{"input": [text("x")], "threadId": "x"}]}, "invalid thread id: "),
    ],
)
async def test_what_does_not_fit_is_refused(
    talk: Talk, lab: Lab, params: Json, problem: str
) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    refusal = await talk.refused("delegate/start", {"threadId": thread_id, **params})
    assert refusal.message.startswith(problem)
    assert (await talk.ask("thread/loaded/list", {}))["data"] == [thread_id]


async def test_an_unknown_role_is_a_failed_task(talk: Talk, lab: Lab) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    task = {"input": [text("one")], "role": "juggler"}
    started = await talk.ask("delegate/start", {"threadId": thread_id, "tasks": [task]})
    turn = await talk.turn_end(started["turn"]["id"])
    assert "unknown agent_type 'juggler'; there are: default" in turn["error"]["message"]


async def test_whoever_comes_late_hears_the_tree_and_its_questions(lab: Lab) -> None:
    async with lab.serving() as server, lab.connect(server, experimentalApi=True) as first:
        lab.fake.by_prompt({"one": [shell("touch one"), say("done")]})
        thread_id = await first.start_thread(lab.workspace)
        started = await delegate(first, thread_id, "one")
        await first.asked()
        async with lab.connect(server, experimentalApi=True) as late:
            await late.ask("thread/resume", {"threadId": thread_id})
            request = await late.asked()
            await late.answer(request, {"decision": "accept"})
            await late.turn_end(started["turn"]["id"])
            assert len(late.requests()) == 1
    assert (lab.workspace / "one").exists()


async def test_agents_and_delegates_are_no_conversations_of_the_user(talk: Talk, lab: Lab) -> None:
    lab.fake.by_prompt({"hi": [say("hello")], "one": [say("first")]})
    thread_id = await talk.start_thread(lab.workspace)
    await talk.turn(thread_id, "hi")
    started = await delegate(talk, thread_id, "one")
    await talk.turn_end(started["turn"]["id"])
    host, child = started["thread"]["id"], started["tasks"][0]["threadId"]

    async def listed(**query: Any) -> list[str]:
        found = await talk.ask("thread/list", query)
        return sorted(thread["id"] for thread in found["data"])

    assert await listed() == [thread_id]
    assert await listed(sourceKinds=["subAgent"]) == sorted([host, child])
    assert await listed(sourceKinds=["subAgentOther"]) == [host]
    assert await listed(parentThreadId=host) == [child]
    assert await listed(ancestorThreadId=thread_id) == sorted([host, child])
