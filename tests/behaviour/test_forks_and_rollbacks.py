"""Copies of threads, and turns taken back: in memory, on disk, and after a restart alike."""

import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect, text
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

ONE = "0190a0b0-0000-7000-8000-00000000000a"
TWO = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
THREE = "f47ac10b-58cc-4372-a567-0e02b2c3d480"
FREE: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}


async def spoken(lab: Lab, talk: Talk, *words: str, **params: object) -> tuple[str, list[str]]:
    """Start a thread with one turn for each of ``words``."""
    thread_id = await talk.start_thread(lab.workspace, **params)
    ids: list[str] = []
    for word in words:
        lab.fake.add(say(f"answer to {word}"))
        ids.append((await talk.turn(thread_id, word))["id"])
    return thread_id, ids


async def turn_ids(talk: Talk, thread_id: str) -> list[str]:
    read = await talk.ask("thread/read", {"threadId": thread_id, "includeTurns": True})
    return [turn["id"] for turn in read["thread"]["turns"]]


def remembered(lab: Lab) -> list[str]:
    """Return the texts of the conversation in the last request, without what we add."""
    items = lab.fake.requests[-1]["input"]
    texts = [i["content"][0]["text"] for i in items if i.get("type") == "message"]
    return [words for words in texts if not words.startswith("<")]


async def test_a_fork_has_the_turns_of_its_source_and_goes_its_own_way(
    lab: Lab, talk: Talk
) -> None:
    source, ids = await spoken(lab, talk, "one", "two")
    await talk.ask("thread/name/set", {"threadId": source, "name": "the source"})
    fork = await talk.ask("thread/fork", {"threadId": source, "newThreadId": TWO.upper()})
    assert fork["thread"]["id"] == TWO
    assert fork["thread"]["forkedFromId"] == source
    assert fork["thread"]["name"] is None
    assert [turn["id"] for turn in fork["thread"]["turns"]] == ids
    told = talk.notices("thread/started")[-1]["thread"]
    assert [turn["id"] for turn in told["turns"]] == ids
    lab.fake.add(say("a"), say("b"))
    await talk.turn(TWO, "three")
    assert remembered(lab) == ["one", "answer to one", "two", "answer to two", "three"]
    await talk.turn(source, "four")
    assert remembered(lab)[-1] == "four"
    assert "three" not in remembered(lab)


async def test_a_fork_lives_on_after_a_restart(lab: Lab) -> None:
    async with lab.serving() as server, connect(server) as talk:
        source, ids = await spoken(lab, talk, "one", "two")
        await talk.ask("thread/fork", {"threadId": source, "newThreadId": ONE})
    async with lab.serving() as server, connect(server) as talk:
        resumed = await talk.ask("thread/resume", {"threadId": ONE})
        assert [turn["id"] for turn in resumed["thread"]["turns"]] == ids
        assert resumed["thread"]["forkedFromId"] == source
        listed = await talk.ask("thread/list", {})
        assert {thread["id"] for thread in listed["data"]} == {source, ONE}


@pytest.mark.parametrize("ephemeral", [False, True])
@pytest.mark.parametrize(
    ("cut", "kept"),
    [("lastTurnId", [0, 1]), ("beforeTurnId", [0])],
)
async def test_a_fork_ends_where_it_is_cut(
    lab: Lab, talk: Talk, cut: str, kept: list[int], ephemeral: bool
) -> None:
    source, ids = await spoken(lab, talk, "one", "two", "three")
    params = {"threadId": source, cut: ids[1].upper(), "ephemeral": ephemeral}
    fork = (await talk.ask("thread/fork", params))["thread"]
    assert [turn["id"] for turn in fork["turns"]] == [ids[place] for place in kept]
    assert (fork["path"] is None) == ephemeral
    lab.fake.add(say("on"))
    await talk.turn(fork["id"], "and now")
    assert len(remembered(lab)) == 2 * len(kept) + 1
    refusal = await talk.refused("thread/fork", {"threadId": source, cut: ONE})
    assert (refusal.code, refusal.message) == (-32600, f"turn not found: {ONE}")
    both = {"threadId": source, "lastTurnId": ids[0], "beforeTurnId": ids[1]}
    refusal = await talk.refused("thread/fork", both)
    assert refusal.message == "`beforeTurnId` cannot be combined with `lastTurnId`"


async def test_inherited_turn_ids_are_used_and_later_ones_are_not(lab: Lab, talk: Talk) -> None:
    """Case 6 of the ids: the set of used ids belongs to the thread, not to the process."""
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(say("a"), say("b"), say("c"))
    await talk.turn(thread_id, turnId=ONE)
    await talk.ask("thread/fork", {"threadId": thread_id, "newThreadId": THREE})
    refusal = await talk.refused(
        "turn/start", {"threadId": THREE, "turnId": ONE, "input": [text("x")]}
    )
    assert refusal.data == {"duplicate": "turn", "id": ONE, "status": "completed"}
    for thread in (thread_id, THREE):
        started = await talk.start_turn(thread, turnId=TWO)
        await talk.told("turn/completed", threadId=thread, after=len(talk.heard) - 1)
        assert started == TWO


async def test_a_fork_of_a_running_thread_has_what_is_stored(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(say("half of it", deltas=2).hang(after=3))
    turn_id = await talk.start_turn(thread_id, "go")
    await talk.item_started("agentMessage")
    fork = (await talk.ask("thread/fork", {"threadId": thread_id}))["thread"]
    assert [(t["id"], t["status"]) for t in fork["turns"]] == [(turn_id, "interrupted")]
    lab.fake.resume()
    assert (await talk.turn_end(turn_id))["status"] == "completed"


@pytest.mark.parametrize("chosen", [True, False])
async def test_what_cannot_be_forked_is_refused_and_the_id_stays_free(
    lab: Lab, talk: Talk, chosen: bool
) -> None:
    new = {"newThreadId": ONE} if chosen else {}
    silent = await talk.start_thread(lab.workspace)
    refusal = await talk.refused("thread/fork", {"threadId": silent, **new})
    assert refusal.message == f"no rollout found for thread id {silent}"
    source, ids = await spoken(lab, talk, "one")
    for wrong in (
        {"modelProvider": "nobody"},
        {"lastTurnId": TWO},
        {"config": {"model_context_window": "wide"}},
    ):
        await talk.refused("thread/fork", {"threadId": source, **new, **wrong})
    fork = await talk.ask("thread/fork", {"threadId": source, **new})
    assert [turn["id"] for turn in fork["thread"]["turns"]] == ids
    listed = await talk.ask("thread/list", {})
    assert {t["id"] for t in listed["data"]} == {source, fork["thread"]["id"]}
    refusal = await talk.refused(
        "thread/fork", {"threadId": source, "newThreadId": fork["thread"]["id"]}
    )
    assert refusal.data == {
        "duplicate": "thread",
        "id": fork["thread"]["id"],
        "status": "loaded",
    }


@pytest.mark.parametrize("ephemeral", [False, True])
@pytest.mark.parametrize("by", ["count", "id"])
async def test_turns_taken_back_are_forgotten_and_their_ids_stay_used(
    lab: Lab, talk: Talk, by: str, ephemeral: bool
) -> None:
    """W-38, and case 5 of the ids."""
    thread_id = await talk.start_thread(lab.workspace, ephemeral=ephemeral)
    for turn_id in (ONE, TWO, THREE):
        lab.fake.add(say(f"answer {turn_id[-3:]}"))
        await talk.turn(thread_id, f"say {turn_id[-3:]}", turnId=turn_id)
    if by == "count":
        method, asked = "thread/rollback", {"threadId": thread_id, "numTurns": 2}
    else:
        method, asked = "thread/revert", {"threadId": thread_id, "beforeTurnId": TWO.upper()}
    left = (await talk.ask(method, asked))["thread"]
    assert [turn["id"] for turn in left["turns"]] == [ONE]
    await talk.told("thread/reverted", threadId=thread_id)
    lab.fake.add(say("on"))
    await talk.turn(thread_id, "and now")
    assert remembered(lab) == ["say 00a", "answer 00a", "and now"]
    refusal = await talk.refused(
        "turn/start", {"threadId": thread_id, "turnId": TWO, "input": [text("x")]}
    )
    assert refusal.data == {"duplicate": "turn", "id": TWO, "status": "used"}


async def test_a_turn_with_steered_messages_is_one_turn(lab: Lab) -> None:
    """W-38: the original counts messages, and takes half a turn back."""
    async with lab.serving() as server, connect(server) as talk:
        thread_id, (first,) = await spoken(lab, talk, "one")
        lab.fake.add(say("wait", deltas=2).hang(after=3), say("done"))
        second = await talk.start_turn(thread_id, "two")
        await talk.item_started("agentMessage", after=len(talk.heard) - 1)
        steer = {"threadId": thread_id, "expectedTurnId": second, "input": [text("and this")]}
        await talk.ask("turn/steer", steer)
        lab.fake.resume()
        await talk.turn_end(second)
        left = await talk.ask("thread/rollback", {"threadId": thread_id, "numTurns": 1})
        assert [turn["id"] for turn in left["thread"]["turns"]] == [first]
    async with lab.serving() as server, connect(server) as talk:
        await talk.ask("thread/resume", {"threadId": thread_id})
        assert await turn_ids(talk, thread_id) == [first]
        lab.fake.add(say("on"))
        await talk.turn(thread_id, "three")
        assert remembered(lab) == ["one", "answer to one", "three"]


async def test_what_cannot_be_taken_back_is_refused_and_nothing_changes(
    lab: Lab, talk: Talk
) -> None:
    """W-27: a refused side operation says nothing about the thread's state."""
    thread_id, ids = await spoken(lab, talk, "one")
    params = {"threadId": thread_id}
    refusal = await talk.refused("thread/rollback", {**params, "numTurns": 0})
    assert refusal.message == "numTurns must be >= 1"
    await talk.refused("thread/revert", {**params, "beforeTurnId": ONE})
    lab.fake.add(say("busy", deltas=2).hang(after=3))
    running = await talk.start_turn(thread_id, "two")
    for method, more in (
        ("thread/rollback", {"numTurns": 1}),
        ("thread/revert", {"beforeTurnId": ids[0]}),
    ):
        refusal = await talk.refused(method, {**params, **more})
        assert refusal.message == "Cannot rollback while a turn is in progress."
    lab.fake.resume()
    await talk.turn_end(running)
    assert await turn_ids(talk, thread_id) == [*ids, running]
    assert all(n["status"]["type"] != "systemError" for n in talk.notices("thread/status/changed"))
    left = await talk.ask("thread/rollback", {**params, "numTurns": 99})
    assert left["thread"]["turns"] == []


async def test_a_fork_of_what_was_taken_back_does_not_bring_it_again(lab: Lab, talk: Talk) -> None:
    source, ids = await spoken(lab, talk, "one", "two")
    await talk.ask("thread/revert", {"threadId": source, "beforeTurnId": ids[1]})
    lab.fake.add(say("3"))
    third = (await talk.turn(source, "three"))["id"]
    gone = await talk.refused("thread/fork", {"threadId": source, "lastTurnId": ids[1]})
    assert gone.message.startswith("turn not found: ")
    for cut, kept in (({"lastTurnId": ids[0]}, ids[:1]), ({}, [ids[0], third])):
        fork = await talk.ask("thread/fork", {"threadId": source, **cut})
        assert [turn["id"] for turn in fork["thread"]["turns"]] == kept


async def test_files_stay_as_they_are(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace, **FREE)
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c"), say("done"))
    turn = await talk.turn(thread_id)
    await talk.ask("thread/revert", {"threadId": thread_id, "beforeTurnId": turn["id"]})
    assert (lab.workspace / "made").exists()
