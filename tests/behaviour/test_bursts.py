"""Many requests at once: each is answered once, and a stop does not wait behind them."""

from collections import Counter

import anyio
import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk
from tests.fake_model import say

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

BURST = 5_000


async def answered(talk: Talk, before: int, count: int) -> list[Json]:
    """Wait for ``count`` answers after position ``before``."""
    with anyio.fail_after(60):
        while len(found := [m for m in talk.heard[before:] if "method" not in m]) < count:
            await talk.until(lambda _: True, after=len(talk.heard))
    return found


async def test_five_thousand_requests_in_one_burst_are_all_answered_once(lab: Lab) -> None:
    async with lab.stdio() as server:
        talk = server.talk
        before = len(talk.heard)
        methods = ("thread/list", "thread/loaded/list", "no/such/method", "thread/read")
        sent = [talk.make(methods[n % 4], {}) for n in range(BURST)]
        await talk.send(*sent)
        answers = await answered(talk, before, BURST)
        assert Counter(message["id"] for message in answers) == {m["id"]: 1 for m in sent}
        codes = Counter(m.get("error", {}).get("code") for m in answers)
        assert set(codes) <= {None, -32600, -32001}


async def test_a_stop_passes_a_burst_of_requests(lab: Lab) -> None:
    lab.fake.add(say("it never ends", deltas=2).hang(after=3))
    async with lab.stdio() as server:
        talk = server.talk
        thread_id = await talk.start_thread(lab.workspace)
        turn_id = await talk.start_turn(thread_id)
        await talk.told("item/agentMessage/delta")
        before = len(talk.heard)
        stop = talk.make("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
        listings: list[Json] = [talk.make("thread/list", {}) for _ in range(2_000)]
        await talk.send(*listings, stop)
        assert (await talk.turn_end(turn_id))["status"] == "interrupted"
        at = talk.position(lambda m: m.get("id") == stop["id"])
        assert at - before < 1_500, "most of the requests before it are still unanswered"
        answers = await answered(talk, before, len(listings) + 1)
        assert {m["id"] for m in answers} == {m["id"] for m in (*listings, stop)}
