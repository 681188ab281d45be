"""Ids that the caller chooses: every spelling, every kind of duplicate, every way to fail."""

from uuid import UUID

import anyio
import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, RefusedError, Talk, connect, text
from tests.fake_model import say, status

pytestmark = pytest.mark.anyio

ONE = "0190a0b0-0000-7000-8000-00000000000a"
TWO = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
SPELLINGS = [ONE, ONE.upper(), UUID(ONE).hex, f"{{{ONE}}}", f"urn:uuid:{ONE}"]
NIL = "00000000-0000-0000-0000-000000000000"


def turn_params(thread_id: str, turn_id: str | None = ONE, **more: object) -> Json:
    return {"threadId": thread_id, "turnId": turn_id, "input": [text("hi")], **more}


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_chosen_thread_id_is_canonical_everywhere(
    lab: Lab, talk: Talk, spelling: str
) -> None:
    lab.fake.add(say("ok"))
    opened = await talk.ask("thread/start", {"cwd": str(lab.workspace), "threadId": spelling})
    assert opened["thread"]["id"] == opened["thread"]["sessionId"] == ONE
    await talk.turn(spelling)
    told = [m["params"].get("threadId", ONE) for m in talk.heard if "params" in m]
    assert set(told) == {ONE}
    read = await talk.ask("thread/read", {"threadId": spelling})
    assert ONE in read["thread"]["path"]
    listed = await talk.ask("thread/list", {})
    assert [thread["id"] for thread in listed["data"]] == [ONE]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_chosen_turn_id_is_canonical_everywhere(
    lab: Lab, talk: Talk, spelling: str
) -> None:
    lab.fake.add(say("ok"))
    thread_id = await talk.start_thread(lab.workspace)
    started = await talk.ask("turn/start", turn_params(thread_id, spelling))
    assert started["turn"]["id"] == ONE
    await talk.turn_end(ONE)
    told = [m["params"].get("turnId", ONE) for m in talk.heard if "params" in m]
    assert set(told) == {ONE}
    read = await talk.ask("thread/read", {"threadId": thread_id, "includeTurns": True})
    assert [turn["id"] for turn in read["thread"]["turns"]] == [ONE]


@pytest.mark.parametrize(
    "bad",
    ["", "x", NIL, f" {ONE}", f"{ONE}\n", ONE[:-1], f"{{{ONE}", f"URN:UUID:{ONE}", "z" * 10_000],
)
async def test_a_bad_id_is_refused_and_nothing_starts(lab: Lab, talk: Talk, bad: str) -> None:
    refusal = await talk.refused("thread/start", {"threadId": bad})
    assert refusal.code == -32600
    assert refusal.message.startswith("invalid thread id: ")
    assert len(refusal.message) < 300
    thread_id = await talk.start_thread(lab.workspace)
    refusal = await talk.refused("turn/start", turn_params(thread_id, bad))
    assert refusal.message.startswith("invalid turn id: ")
    assert talk.notices("turn/started") == []
    assert len(talk.notices("thread/started")) == 1


@pytest.mark.parametrize("bad", [7, True, [ONE], {"id": ONE}])
async def test_an_id_that_is_no_string_is_refused(lab: Lab, talk: Talk, bad: object) -> None:
    assert (await talk.refused("thread/start", {"threadId": bad})).code == -32600
    thread_id = await talk.start_thread(lab.workspace)
    params = {"threadId": thread_id, "turnId": bad, "input": [text("hi")]}
    assert (await talk.refused("turn/start", params)).code == -32600


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_turn_id_is_taken_once(lab: Lab, talk: Talk, spelling: str) -> None:
    lab.fake.add(say("ok"))
    thread_id = await talk.start_thread(lab.workspace)
    await talk.turn(thread_id, turnId=ONE)
    refusal = await talk.refused("turn/start", turn_params(thread_id, spelling))
    assert (refusal.code, refusal.message) == (-32600, f"turn id already exists: {ONE}")
    assert refusal.data == {"duplicate": "turn", "id": ONE, "status": "completed"}


async def test_a_turn_id_is_taken_after_a_restart_too(lab: Lab) -> None:
    lab.fake.add(say("ok"), status(400, "bad"))
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        await talk.turn(thread_id, turnId=ONE)
        await talk.turn(thread_id, turnId=TWO)
    async with lab.serving() as server, connect(server) as talk:
        await talk.ask("thread/resume", {"threadId": thread_id})
        for turn_id, state in ((ONE, "completed"), (TWO, "failed")):
            refusal = await talk.refused("turn/start", turn_params(thread_id, turn_id))
            assert refusal.data == {"duplicate": "turn", "id": turn_id, "status": state}


async def test_two_threads_may_use_one_turn_id_and_a_thread_its_own(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("ok"), say("ok"), say("ok"))
    for thread_id in (await talk.start_thread(lab.workspace), await talk.start_thread(lab.home)):
        turn = await talk.ask("turn/start", turn_params(thread_id))
        await talk.told("turn/completed", threadId=thread_id)
        assert turn["turn"]["id"] == ONE
    await talk.start_thread(lab.workspace, threadId=ONE)
    assert (await talk.ask("turn/start", turn_params(ONE)))["turn"]["id"] == ONE


@pytest.mark.parametrize(
    "wrong",
    [{"input": []}, {"cwd": "not/absolute"}, {"model": 7}, {"approvalPolicy": "perhaps"}],
    ids=str,
)
async def test_a_refused_start_leaves_the_turn_id_free(lab: Lab, talk: Talk, wrong: Json) -> None:
    lab.fake.add(say("ok"))
    thread_id = await talk.start_thread(lab.workspace)
    params = turn_params(thread_id, model="other-model")
    assert (await talk.refused("turn/start", {**params, **wrong})).code == -32600
    await talk.turn(thread_id, turnId=ONE)
    assert lab.fake.requests[0]["model"] == "fake-model"


async def test_two_starts_at_once_with_one_turn_id_start_one_turn(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("ok"))
    thread_id = await talk.start_thread(lab.workspace)
    messages = [talk.make("turn/start", turn_params(thread_id)) for _ in range(5)]
    await talk.send(*messages)
    won = 0
    for message in messages:
        try:
            await talk.response(message["id"])
            won += 1
        except RefusedError as error:
            assert error.data["id"] == ONE
    assert won == 1
    await talk.turn_end(ONE)
    assert len(lab.fake.requests) == 1


async def test_the_id_of_a_loaded_thread_is_taken(lab: Lab, talk: Talk) -> None:
    for ephemeral, thread_id in ((False, ONE), (True, TWO)):
        await talk.start_thread(lab.workspace, threadId=thread_id, ephemeral=ephemeral)
        refusal = await talk.refused("thread/start", {"threadId": thread_id.upper()})
        assert (refusal.code, refusal.message) == (
            -32600,
            f"thread id already exists: {thread_id}",
        )
        assert refusal.data == {"duplicate": "thread", "id": thread_id, "status": "loaded"}


async def test_the_id_of_a_stored_thread_is_taken(lab: Lab) -> None:
    lab.fake.add(say("ok"))
    async with lab.serving() as server, connect(server) as talk:
        await talk.start_thread(lab.workspace, threadId=ONE)
        await talk.turn(ONE)
    async with lab.serving() as server, connect(server) as talk:
        for ephemeral in (False, True):
            params = {"threadId": ONE, "ephemeral": ephemeral}
            refusal = await talk.refused("thread/start", params)
            assert refusal.data == {"duplicate": "thread", "id": ONE, "status": "stored"}


async def test_the_id_of_a_thread_that_never_spoke_is_free_after_a_restart(lab: Lab) -> None:
    for ephemeral in (False, True):
        for _ in range(2):
            async with lab.serving() as server, connect(server) as talk:
                await talk.start_thread(lab.workspace, threadId=ONE, ephemeral=ephemeral)


@pytest.mark.parametrize(
    "wrong",
    [
        {"modelProvider": "nobody"},
        {"config": {"model_context_window": "wide"}},
        {"dynamicTools": [{"name": "", "description": "d", "inputSchema": {}}]},
        {"sandbox": "none"},
    ],
    ids=str,
)
async def test_a_refused_start_leaves_the_thread_id_free(lab: Lab, talk: Talk, wrong: Json) -> None:
    params: Json = {"threadId": ONE, "cwd": str(lab.workspace)}
    assert (await talk.refused("thread/start", {**params, **wrong})).code == -32600
    await talk.ask("thread/start", params)


async def test_of_starts_at_once_with_one_thread_id_exactly_one_wins(lab: Lab) -> None:
    async with lab.serving() as server, connect(server) as one, connect(server) as two:
        params = {"threadId": ONE, "cwd": str(lab.workspace)}
        sent = [(talk, talk.make("thread/start", params)) for talk in (one, two) * 4]
        async with anyio.create_task_group() as tasks:
            for talk, message in sent:
                tasks.start_soon(talk.send, message)
        results: list[str] = []
        for talk, message in sent:
            try:
                results.append((await talk.response(message["id"]))["thread"]["id"])
            except RefusedError as error:
                results.append(error.data["duplicate"])
        assert sorted(results) == [ONE] + ["thread"] * 7


async def test_of_two_servers_on_one_home_exactly_one_gets_the_id(lab: Lab) -> None:
    params = {"threadId": ONE, "cwd": str(lab.workspace)}
    async with (
        lab.serving() as first,
        lab.serving() as second,
        connect(first) as one,
        connect(second) as two,
    ):
        sent = [(talk, await talk.request("thread/start", params)) for talk in (one, two)]
        results: list[str] = []
        for talk, request_id in sent:
            try:
                results.append((await talk.response(request_id))["thread"]["id"])
            except RefusedError as error:
                results.append(error.data["status"])
        assert sorted(results) == [ONE, "reserved"]
