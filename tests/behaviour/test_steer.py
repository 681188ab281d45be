"""Input while a turn runs: it joins the turn or is refused, and never vanishes."""

import anyio
import anyio.lowlevel
import pytest

from codex_jupyter.core.spoken import Spoken
from codex_jupyter.errors import NoActiveTurnError
from codex_jupyter.ids import ThreadId
from codex_jupyter.protocol.events import TokenUsageUpdated
from codex_jupyter.protocol.items import TextInput
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect, text
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

CHOSEN = "0190a0b0-0000-7000-8000-0000000000aa"


def said(lab: Lab, request: int) -> list[str]:
    return [i["content"][0]["text"] for i in lab.fake.requests[request]["input"] if "role" in i]


async def waiting_turn(lab: Lab, talk: Talk) -> tuple[str, str]:
    """Return a thread and its turn, which waits for an approval."""
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id, "first")
    await talk.asked()
    return thread_id, turn_id


async def test_steered_input_goes_into_the_next_request(lab: Lab, talk: Talk) -> None:
    thread_id, turn_id = await waiting_turn(lab, talk)
    lab.fake.add(say("ok"))
    params: Json = {
        "threadId": thread_id,
        "expectedTurnId": turn_id,
        "input": [text("and more")],
        "clientUserMessageId": "mine",
    }
    assert await talk.ask("turn/steer", params) == {"turnId": turn_id}
    await talk.answer(talk.requests()[0], {"decision": "decline"})
    await talk.turn_end(turn_id)
    assert said(lab, 1)[-1] == "and more"
    first, second = talk.items("userMessage")
    assert first["content"][0]["text"] == "first"
    assert (second["content"][0]["text"], second["clientId"]) == ("and more", "mine")
    assert len(talk.notices("turn/started")) == len(talk.notices("turn/completed")) == 1


async def test_input_after_the_last_answer_gets_one_more_request(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("first answer").hang(after=3), say("second answer"))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id)
    await talk.told("item/agentMessage/delta")
    params = {"threadId": thread_id, "expectedTurnId": turn_id, "input": [text("wait")]}
    await talk.ask("turn/steer", params)
    lab.fake.resume()
    await talk.turn_end(turn_id)
    assert [item["text"] for item in talk.items("agentMessage")] == [
        "first answer",
        "second answer",
    ]
    assert said(lab, 1)[-2:] == ["first answer", "wait"]


async def test_steered_input_survives_an_interrupt(lab: Lab, talk: Talk) -> None:
    thread_id, turn_id = await waiting_turn(lab, talk)
    lab.fake.add(say("ok"))
    params = {"threadId": thread_id, "expectedTurnId": turn_id, "input": [text("keep this")]}
    await talk.ask("turn/steer", params)
    await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
    await talk.turn_end(turn_id)
    assert [item["content"][0]["text"] for item in talk.items("userMessage")][-1] == "keep this"
    await talk.turn(thread_id, "again")
    assert "keep this" in said(lab, 1)


async def test_steering_needs_an_active_turn(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    params = {"threadId": thread_id, "expectedTurnId": CHOSEN, "input": [text("x")]}
    refusal = await talk.refused("turn/steer", params)
    assert (refusal.code, refusal.message) == (-32600, "no active turn to steer")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"expectedTurnId": ""}, "expectedTurnId must not be empty"),
        ({"input": []}, "input must not be empty"),
        ({"expectedTurnId": CHOSEN}, f"expected active turn id `{CHOSEN}` but found `{{0}}`"),
        ({"expectedTurnId": "odd"}, "expected active turn id `odd` but found `{0}`"),
    ],
)
async def test_refused_steering_says_why(lab: Lab, talk: Talk, changed: Json, message: str) -> None:
    thread_id, turn_id = await waiting_turn(lab, talk)
    params: Json = {"threadId": thread_id, "expectedTurnId": turn_id, "input": [text("x")]}
    refusal = await talk.refused("turn/steer", {**params, **changed})
    assert (refusal.code, refusal.message) == (-32600, message.format(turn_id))


async def test_steering_takes_any_spelling_of_the_id(lab: Lab, talk: Talk) -> None:
    thread_id, turn_id = await waiting_turn(lab, talk)
    params = {
        "threadId": thread_id.upper(),
        "expectedTurnId": f"{{{turn_id.upper()}}}",
        "input": [text("x")],
    }
    assert await talk.ask("turn/steer", params) == {"turnId": turn_id}


async def test_a_start_without_an_id_steers_the_active_turn(lab: Lab, talk: Talk) -> None:
    thread_id, turn_id = await waiting_turn(lab, talk)
    lab.fake.add(say("ok"))
    assert await talk.start_turn(thread_id, "and more") == turn_id
    await talk.answer(talk.requests()[0], {"decision": "decline"})
    await talk.turn_end(turn_id)
    assert said(lab, 1)[-1] == "and more"
    assert len(talk.notices("turn/started")) == len(talk.notices("turn/completed")) == 1


async def test_a_start_with_an_id_is_refused_while_another_runs(lab: Lab, talk: Talk) -> None:
    thread_id, turn_id = await waiting_turn(lab, talk)
    lab.fake.add(say("ok"), say("ok"))
    params: Json = {
        "threadId": thread_id,
        "turnId": CHOSEN,
        "input": [text("mine")],
        "model": "other-model",
    }
    refusal = await talk.refused("turn/start", params)
    expected = f"expected active turn id `{CHOSEN}` but found `{turn_id}`"
    assert (refusal.code, refusal.message) == (-32600, expected)
    await talk.answer(talk.requests()[0], {"decision": "decline"})
    await talk.turn_end(turn_id)
    del params["model"]
    assert (await talk.ask("turn/start", params))["turn"]["id"] == CHOSEN
    await talk.turn_end(CHOSEN)
    assert [request["model"] for request in lab.fake.requests] == ["fake-model"] * 3
    assert "mine" not in said(lab, 1)


async def test_a_start_with_the_id_that_runs_is_a_duplicate(lab: Lab, talk: Talk) -> None:
    thread_id, turn_id = await waiting_turn(lab, talk)
    params = {"threadId": thread_id, "turnId": turn_id.upper(), "input": [text("again")]}
    refusal = await talk.refused("turn/start", params)
    assert refusal.message == f"turn id already exists: {turn_id}"
    assert refusal.data == {"duplicate": "turn", "id": turn_id, "status": "inProgress"}


async def test_input_is_taken_only_while_it_will_still_be_answered(lab: Lab) -> None:
    """W-19: between the last look at the input and the end there is no gap to fall into."""
    async with lab.serving() as server, connect(server) as talk:
        thread_id = ThreadId(await talk.start_thread(lab.workspace))
        session = (await server.engine()).threads.get(thread_id)
        for n in range(10):
            lab.fake.add(say("first"), say("second"))
            before = session.state.log.last
            turn_id = await talk.start_turn(thread_id, f"wish {n}")
            with anyio.fail_after(30):
                while not any(
                    isinstance(event.msg, TokenUsageUpdated)
                    for event in session.state.log.since(before) or ()
                ):
                    await anyio.lowlevel.checkpoint()
            taken = True
            try:
                await session.steer(turn_id, Spoken((TextInput(text="one more"),)))
            except NoActiveTurnError:
                taken = False
            await talk.turn_end(turn_id)
            lab.fake.clear()
            kinds = [item["type"] for item in session.state.transcript.turns()[-1]["items"]]
            assert kinds[-1] == "agentMessage"
            assert kinds.count("userMessage") == 1 + taken
