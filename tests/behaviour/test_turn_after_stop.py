"""A turn that was stopped but still winds down does not turn the next one away."""

import anyio
import pytest

from codex_jupyter.ids import new_turn_id
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, text
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

FULL: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}
STUBBORN = "trap '' TERM; echo ready > started; sleep 60 & wait; wait"


async def test_a_chosen_id_waits_for_the_turn_that_leaves(lab: Lab, talk: Talk) -> None:
    lab.fake.add(call("shell_command", {"command": STUBBORN}), say("the next one"))
    thread_id = await talk.start_thread(lab.workspace, **FULL)
    first = await talk.start_turn(thread_id)
    await talk.item_started("commandExecution")
    with anyio.fail_after(30):
        while not (lab.workspace / "started").exists():
            await anyio.sleep(0.005)
    stop = await talk.request("turn/interrupt", {"threadId": thread_id, "turnId": first})
    chosen = new_turn_id()
    params: Json = {"threadId": thread_id, "turnId": chosen, "input": [text("Go on")]}
    answer = await talk.request("turn/start", params)
    assert await talk.response(stop) == {}
    assert (await talk.response(answer))["turn"]["id"] == chosen
    assert (await talk.turn_end(first))["status"] == "interrupted"
    assert (await talk.turn_end(chosen))["status"] == "completed"


async def test_a_chosen_id_is_refused_while_a_turn_works(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("one two", deltas=2).hang(after=2))
    thread_id = await talk.start_thread(lab.workspace)
    first = await talk.start_turn(thread_id)
    chosen = new_turn_id()
    params: Json = {"threadId": thread_id, "turnId": chosen, "input": [text("Now")]}
    refused = await talk.refused("turn/start", params)
    assert refused.message == f"expected active turn id `{chosen}` but found `{first}`"
    await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": first})
    await talk.turn_end(first)
