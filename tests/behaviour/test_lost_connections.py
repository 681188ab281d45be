"""A client that lost its connection goes on after the last event it saw: no gap, nothing twice."""

import pytest

from codex_jupyter.core.event_log import RUNNING_BYTES, EventLog
from codex_jupyter.ids import ItemId, new_thread_id
from codex_jupyter.protocol.events import Event, TextDelta
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

WORDS = "".join(f"{n} " for n in range(200))


def last_seq(talk: Talk, place: int | None = None) -> int:
    return max(m["seq"] for m in talk.heard[:place] if "seq" in m)


def deltas(messages: list[Json]) -> str:
    wanted = "item/agentMessage/delta"
    return "".join(m["params"]["delta"] for m in messages if m.get("method") == wanted)


@pytest.mark.parametrize("ended", [False, True], ids=["turn runs", "turn ended"])
async def test_what_was_missed_follows_once(lab: Lab, ended: bool) -> None:
    """Both orders: the connection comes back before, and after, the turn's end."""
    lab.fake.add(say(WORDS, deltas=40).hang(after=20))
    async with lab.serving() as server, connect(server) as other:
        async with connect(server, eventSequences=True) as first:
            opened = await first.ask("thread/start", {"cwd": str(lab.workspace)})
            thread_id = opened["thread"]["id"]
            await other.ask("thread/resume", {"threadId": thread_id})
            turn_id = await first.start_turn(thread_id)
            await lab.fake.wait_for_hang()
            await first.told("item/agentMessage/delta")
            heard = list(first.heard)
        lab.fake.resume()
        if ended:
            await other.turn_end(turn_id)
        async with connect(server, eventSequences=True) as again:
            place = {"epoch": opened["epoch"], "sequence": last_seq(first, len(heard))}
            resumed = await again.ask("thread/resume", {"threadId": thread_id, "after": place})
            assert resumed["replayed"]
            assert resumed["thread"]["turns"] == []
            await again.turn_end(turn_id)
            whole = heard + again.heard
            assert deltas(whole) == WORDS
            numbers = [m["seq"] for m in whole if "seq" in m]
            assert numbers == sorted(set(numbers))
            for method in ("turn/started", "turn/completed"):
                assert len([m for m in whole if m.get("method") == method]) == 1


async def test_an_open_question_is_put_again_and_a_settled_one_is_told(lab: Lab) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"), say("ok"))
    async with lab.serving() as server:
        async with connect(server, eventSequences=True) as first:
            opened = await first.ask("thread/start", {"cwd": str(lab.workspace)})
            thread_id = opened["thread"]["id"]
            turn_id = await first.start_turn(thread_id)
            request = await first.asked()
            place = {"epoch": opened["epoch"], "sequence": last_seq(first)}
        async with connect(server, eventSequences=True) as again:
            await again.ask("thread/resume", {"threadId": thread_id, "after": place})
            assert await again.asked() == request
            await again.answer(request, {"decision": "accept"})
            assert (await again.turn_end(turn_id))["status"] == "completed"
        async with connect(server, eventSequences=True) as late:
            await late.ask("thread/resume", {"threadId": thread_id, "after": place})
            await late.told("serverRequest/resolved", requestId=request["id"])
            assert late.requests() == []


async def test_what_is_no_longer_kept_comes_as_a_snapshot(lab: Lab) -> None:
    lab.fake.add(say("short"), say("x" * 100_000, deltas=10))
    async with lab.serving() as server, connect(server, eventSequences=True) as talk:
        opened = await talk.ask("thread/start", {"cwd": str(lab.workspace)})
        thread_id = opened["thread"]["id"]
        await talk.turn(thread_id)
        place = {"epoch": opened["epoch"], "sequence": last_seq(talk)}
        await talk.turn(thread_id)
        for after in (place, {**place, "epoch": "another"}, {**place, "sequence": 10**9}):
            async with connect(server) as again:
                resumed = await again.ask("thread/resume", {"threadId": thread_id, "after": after})
                assert not resumed["replayed"]
                assert len(resumed["thread"]["turns"]) == 2
                assert resumed["sequence"] == last_seq(talk)


async def test_who_did_not_ask_gets_no_numbers(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("ok"))
    await talk.turn(await talk.start_thread(lab.workspace))
    assert not any("seq" in message for message in talk.heard)


def test_the_log_is_bounded_and_knows_what_it_dropped() -> None:
    log, thread_id = EventLog(), new_thread_id()
    for seq in range(1, 5001):
        delta = TextDelta("agentMessage", ItemId("i"), "x" * 1000)
        log.append(Event(thread_id, None, seq, 0, delta))
    assert log.since(0) is None
    assert log.since(5001) is None
    assert log.since(5000) == []
    kept = log.since(4500)
    assert kept is not None
    assert [event.seq for event in kept] == list(range(4501, 5001))
    everything = next(events for n in range(5001) if (events := log.since(n)) is not None)
    assert len(everything) * 1000 <= RUNNING_BYTES
    log.rest()
    assert log.since(4500) is None
    assert log.since(4999) is not None
