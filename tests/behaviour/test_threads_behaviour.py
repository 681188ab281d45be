"""Threads over time: read, list, resume, several connections, several servers."""

from typing import Any

import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect
from tests.fake_model import call, reason, say, status

pytestmark = pytest.mark.anyio

NOBODY = "0190a0b0-0000-7000-8000-000000000009"


def plain(items: list[Json]) -> list[Json]:
    """Drop the times, which differ, and members that say nothing."""
    timeless = ("startedAtMs", "completedAtMs")
    return [{k: v for k, v in i.items() if k not in timeless and v is not None} for i in items]


async def test_resume_in_a_new_process_goes_on_with_the_conversation(lab: Lab) -> None:
    lab.fake.add(say("I will remember."), say("It was 42."))
    async with lab.stdio() as server:
        thread_id = await server.talk.start_thread(lab.workspace, approvalPolicy="untrusted")
        await server.talk.turn(thread_id, "Remember 42.")
        server.close_input()
        assert await server.wait() == 0
    async with lab.stdio() as server:
        resumed = await server.talk.ask("thread/resume", {"threadId": thread_id})
        assert resumed["approvalPolicy"] == "untrusted"
        assert resumed["cwd"] == str(lab.workspace)
        assert resumed["model"] == "fake-model"
        assert [turn["status"] for turn in resumed["thread"]["turns"]] == ["completed"]
        assert (await server.talk.turn(thread_id, "Which number?"))["status"] == "completed"
    first, second = (request["input"] for request in lab.fake.requests)
    assert second[: len(first)] == first
    assert [i["content"][0]["text"] for i in second[len(first) :]] == [
        "I will remember.",
        "Which number?",
    ]


async def test_items_are_the_same_live_read_and_resumed(lab: Lab) -> None:
    lab.fake.add(
        reason("why", raw_text="bare") + call("shell_command", {"command": "pwd"}, call_id="c1"),
        say("done"),
    )
    full: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace, **full)
        await talk.turn(thread_id)
        live = plain(talk.items())
        asked = {"threadId": thread_id, "includeTurns": True}
        loaded = (await talk.ask("thread/read", asked))["thread"]["turns"]
    async with lab.serving() as server, connect(server) as talk:
        stored = (await talk.ask("thread/read", asked))["thread"]["turns"]
        resumed = await talk.ask("thread/resume", {"threadId": thread_id})
    assert [item["type"] for item in live] == [
        "userMessage",
        "reasoning",
        "commandExecution",
        "agentMessage",
    ]
    for turns in (loaded, stored, resumed["thread"]["turns"]):
        assert plain(turns[0]["items"]) == live
        assert turns[0]["itemsView"] == "full"


async def test_resume_takes_wishes_over_what_was(lab: Lab) -> None:
    lab.fake.add(say("a"), say("b"))
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace, sandbox="read-only")
        await talk.turn(thread_id)
    async with lab.serving() as server, connect(server) as talk:
        params = {"threadId": thread_id, "model": "other", "excludeTurns": True}
        resumed = await talk.ask("thread/resume", params)
        assert resumed["thread"]["turns"] == []
        assert (resumed["model"], resumed["sandbox"]["type"]) == ("other", "readOnly")
        await talk.turn(thread_id)
    assert lab.fake.requests[1]["model"] == "other"


async def test_tools_of_the_thread_come_back_with_it(lab: Lab) -> None:
    tool = {"name": "weather", "description": "d", "inputSchema": {"type": "object"}}
    lab.fake.add(say("a"), say("b"))
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        thread_id = await talk.start_thread(lab.workspace, dynamicTools=[tool])
        await talk.turn(thread_id)
    async with lab.serving() as server, connect(server) as talk:
        await talk.ask("thread/resume", {"threadId": thread_id})
        await talk.turn(thread_id)
    names = [[tool["name"] for tool in request["tools"]] for request in lab.fake.requests]
    assert names[0] == names[1]
    assert "weather" in names[0]


async def test_usage_goes_on_counting_after_a_restart(lab: Lab) -> None:
    lab.fake.add(say("a").with_usage(100, 10), say("b").with_usage(200, 20))
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        await talk.turn(thread_id)
    async with lab.serving() as server, connect(server) as talk:
        await talk.ask("thread/resume", {"threadId": thread_id})
        await talk.turn(thread_id)
        usage = talk.notices("thread/tokenUsage/updated")[0]["tokenUsage"]
    assert usage["total"]["totalTokens"] == 330


async def test_a_newcomer_gets_the_half_said_item_then_the_rest(lab: Lab) -> None:
    words = "one two three four"
    lab.fake.add(say(words, deltas=6).hang(after=4))
    async with lab.serving() as server, connect(server) as first:
        thread_id = await first.start_thread(lab.workspace)
        turn_id = await first.start_turn(thread_id)
        item = await first.item_started("agentMessage")
        await first.until(lambda _: first.deltas(item["id"]) == words[:6])
        async with connect(server) as second:
            resumed = await second.ask("thread/resume", {"threadId": thread_id})
            assert resumed["thread"]["status"] == {"type": "active", "activeFlags": []}
            (turn,) = resumed["thread"]["turns"]
            assert (turn["id"], turn["status"]) == (turn_id, "inProgress")
            assert [i["type"] for i in turn["items"]] == ["userMessage", "agentMessage"]
            assert (turn["items"][1]["id"], turn["items"][1]["text"]) == (item["id"], words[:6])
            lab.fake.resume()
            await second.turn_end(turn_id)
            assert turn["items"][1]["text"] + second.deltas(item["id"]) == words
            assert second.notices("item/started") == []
            assert [i["text"] for i in second.items()] == [words]


async def test_however_late_a_newcomer_nothing_is_missed_or_doubled(lab: Lab) -> None:
    words = "".join(f"{n} " for n in range(300))
    lab.fake.add(say(words, deltas=300).slow(0.0005))
    async with lab.serving() as server, connect(server) as first:
        thread_id = await first.start_thread(lab.workspace)
        turn_id = await first.start_turn(thread_id)
        item = await first.item_started("agentMessage")
        for _ in range(5):
            length = len(first.heard)
            await first.until(lambda _: True, after=length)
            async with connect(server) as late:
                resumed = await late.ask("thread/resume", {"threadId": thread_id})
                shown = resumed["thread"]["turns"][0]["items"][-1]
                await late.until(lambda m: m.get("method", "").endswith(("delta", "completed")))
                if late.items():
                    continue
                sofar = shown["text"] + late.deltas(item["id"])
                assert words.startswith(sofar)
        await first.turn_end(turn_id)
        assert first.deltas(item["id"]) == words


async def test_a_newcomer_is_asked_what_waits_and_its_answer_counts(lab: Lab) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"), say("ok"))
    async with lab.serving() as server:
        async with connect(server) as first:
            thread_id = await first.start_thread(lab.workspace)
            turn_id = await first.start_turn(thread_id)
            request = await first.asked()
        async with connect(server) as second:
            resumed = await second.ask("thread/resume", {"threadId": thread_id})
            assert resumed["thread"]["status"]["activeFlags"] == ["waitingOnApproval"]
            assert resumed["thread"]["turns"][0]["items"][-1]["status"] == "inProgress"
            again = await second.asked()
            assert again == request
            await second.answer(again, {"decision": "accept"})
            assert (await second.turn_end(turn_id))["status"] == "completed"
    assert (lab.workspace / "made").exists()


async def test_the_first_answer_wins_and_the_others_are_told(lab: Lab) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"), say("ok"))
    async with lab.serving() as server, connect(server) as first, connect(server) as second:
        thread_id = await first.start_thread(lab.workspace)
        await second.ask("thread/resume", {"threadId": thread_id})
        turn_id = await first.start_turn(thread_id)
        request, same = await first.asked(), await second.asked()
        assert same == request
        await second.answer(request, {"decision": "decline"})
        await first.told("serverRequest/resolved", requestId=request["id"])
        await first.answer(request, {"decision": "accept"})
        assert (await first.turn_end(turn_id))["status"] == "completed"
        assert (await second.turn_end(turn_id))["status"] == "completed"
        assert len(second.notices("serverRequest/resolved")) == 1
    assert not (lab.workspace / "made").exists()


async def test_a_connection_that_does_not_know_the_question_leaves_it_to_others(lab: Lab) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"), say("ok"))
    async with lab.serving() as server, connect(server) as first, connect(server) as second:
        thread_id = await first.start_thread(lab.workspace)
        await second.ask("thread/resume", {"threadId": thread_id})
        turn_id = await first.start_turn(thread_id)
        request = await first.asked()
        await second.asked()
        await second.answer_error(request, -32601, "method not found")
        await second.ask("thread/list", {})
        assert first.notices("serverRequest/resolved") == []
        await first.answer(request, {"decision": "accept"})
        await first.turn_end(turn_id)
    assert (lab.workspace / "made").exists()


async def test_a_connection_that_leaves_stops_no_turn(lab: Lab) -> None:
    lab.fake.add(say("one two", deltas=2).hang(after=3))
    async with lab.serving() as server:
        async with connect(server) as first:
            thread_id = await first.start_thread(lab.workspace)
            turn_id = await first.start_turn(thread_id)
            await first.told("item/agentMessage/delta")
        async with connect(server) as second:
            await second.ask("thread/resume", {"threadId": thread_id})
            lab.fake.resume()
            assert (await second.turn_end(turn_id))["status"] == "completed"
            assert second.items("agentMessage")[0]["text"] == "one two"


async def test_who_is_not_subscribed_hears_status_only(lab: Lab) -> None:
    lab.fake.add(say("a"))
    async with lab.serving() as server, connect(server) as first, connect(server) as other:
        await first.turn(await first.start_thread(lab.workspace))
        await other.until(lambda _: len(other.notices("thread/status/changed")) == 2)
        assert set(other.methods()) <= {"=initialize", "thread/started", "thread/status/changed"}


async def test_resuming_twice_on_one_connection_doubles_nothing(lab: Lab) -> None:
    lab.fake.add(say("a b", deltas=2))
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        await talk.ask("thread/resume", {"threadId": thread_id})
        await talk.turn(thread_id)
        assert len(talk.notices("turn/started")) == 1


async def test_resumes_at_once_load_the_thread_once(lab: Lab) -> None:
    lab.fake.add(say("a"), say("b"))
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        await talk.turn(thread_id)
    async with lab.serving() as server, connect(server) as one, connect(server) as two:
        sent = [(t, await t.request("thread/resume", {"threadId": thread_id})) for t in (one, two)]
        for talk, request_id in sent:
            assert (await talk.response(request_id))["thread"]["id"] == thread_id
        turn_id = await one.start_turn(thread_id)
        await two.turn_end(turn_id)


async def test_a_second_server_is_refused_and_told_who_has_the_thread(lab: Lab) -> None:
    lab.fake.add(say("a"), say("b"))
    async with lab.stdio() as owner:
        thread_id = await owner.talk.start_thread(lab.workspace)
        await owner.talk.turn(thread_id)
        async with lab.stdio() as other:
            refusal = await other.talk.refused("thread/resume", {"threadId": thread_id})
            assert refusal.code == -32600
            assert thread_id in refusal.message
            assert str(owner.process.pid) in refusal.message
            read = await other.talk.ask("thread/read", {"threadId": thread_id})
            assert read["thread"]["status"] == {"type": "notLoaded"}
            owner.close_input()
            assert await owner.wait() == 0
            await other.talk.ask("thread/resume", {"threadId": thread_id})
            assert (await other.talk.turn(thread_id))["status"] == "completed"


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("thread/read", "thread not loaded: {}"),
        ("thread/resume", "no rollout found for thread id {}"),
        ("turn/start", "thread not found: {}"),
    ],
)
async def test_a_thread_that_is_nowhere(talk: Talk, method: str, message: str) -> None:
    refusal = await talk.refused(method, {"threadId": NOBODY, "input": []})
    assert (refusal.code, refusal.message) == (-32600, message.format(NOBODY))


async def test_a_thread_that_never_spoke_has_no_turns_to_read(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    params: Json = {"threadId": thread_id, "includeTurns": True}
    refusal = await talk.refused("thread/read", params)
    assert refusal.message == (
        f"thread {thread_id} is not materialized yet; includeTurns is unavailable before first "
        "user message"
    )
    read = await talk.ask("thread/read", {"threadId": thread_id})
    assert (read["thread"]["turns"], read["thread"]["path"]) == ([], None)
    assert (await talk.ask("thread/list", {}))["data"] == []


async def test_an_ephemeral_thread_leaves_no_file(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("a"))
    thread_id = await talk.start_thread(lab.workspace, ephemeral=True)
    assert (await talk.turn(thread_id))["status"] == "completed"
    read = await talk.ask("thread/read", {"threadId": thread_id})
    assert (read["thread"]["ephemeral"], read["thread"]["path"]) == (True, None)
    assert list(lab.home.rglob("rollout-*")) == []


async def test_threads_are_listed_in_pages_newest_first(lab: Lab) -> None:
    lab.fake.add(*[say("ok")] * 5)
    async with lab.serving() as server, connect(server) as talk:
        made: list[str] = []
        for n in range(5):
            made.append(await talk.start_thread(lab.workspace))
            await talk.turn(made[-1], f"question {n}")
        seen: list[Any] = []
        cursor = None
        for _ in range(3):
            page = await talk.ask("thread/list", {"limit": 2, "cursor": cursor})
            seen += [(thread["id"], thread["preview"]) for thread in page["data"]]
            cursor = page["nextCursor"]
        assert cursor is None
        expected = [(thread_id, f"question {n}") for n, thread_id in enumerate(made)]
        assert seen == expected[::-1]
        refusal = await talk.refused("thread/list", {"cursor": "nonsense"})
        assert refusal.message == "invalid cursor: nonsense"
    async with lab.serving() as server, connect(server) as talk:
        page = await talk.ask("thread/list", {})
        assert [(t["id"], t["preview"]) for t in page["data"]] == expected[::-1]
        assert {t["status"]["type"] for t in page["data"]} == {"notLoaded"}


async def test_read_shows_what_loaded_threads_do(lab: Lab, talk: Talk) -> None:
    lab.fake.add(status(400, "bad"))
    thread_id = await talk.start_thread(lab.workspace)
    turn = await talk.turn(thread_id, "why?")
    read = await talk.ask("thread/read", {"threadId": thread_id, "includeTurns": True})
    assert read["thread"]["status"] == {"type": "systemError"}
    assert read["thread"]["preview"] == "why?"
    (stored,) = read["thread"]["turns"]
    assert {k: stored[k] for k in ("id", "status", "error")} == {
        k: turn[k] for k in ("id", "status", "error")
    }
