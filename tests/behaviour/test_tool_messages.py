"""Turns that a tool outside of the conversation starts, as the official SDK's ExternalMessage."""

from typing import Any

import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk
from tests.fake_model import say

pytestmark = pytest.mark.anyio

MAIL: Json = {"name": "mail", "namespace": "office", "output": "You have mail."}
PARTS = [
    {"type": "input_text", "text": "You have mail."},
    {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
]


async def deliver(talk: Talk, thread_id: str, told: Json, **more: Any) -> str:
    asked = {"threadId": thread_id, "input": [], "toolOutput": told, **more}
    return (await talk.ask("turn/start", asked))["turn"]["id"]


@pytest.mark.parametrize("output", ["You have mail.", PARTS], ids=["text", "parts"])
async def test_it_is_shown_and_read_as_a_tools_output(lab: Lab, talk: Talk, output: Any) -> None:
    lab.fake.add(say("Thanks"), say("again"))
    thread_id = await talk.start_thread(lab.workspace)
    told = {**MAIL, "output": output, "retain": True}
    turn_id = await deliver(talk, thread_id, told, turnTrigger="cron", serviceTierForTurn="fast")
    assert (await talk.turn_end(turn_id))["status"] == "completed"
    (item,) = talk.items("functionCallOutput")
    assert (item["name"], item["namespace"], item["output"]) == ("mail", "office", output)
    call, answer = lab.fake.requests[0]["input"][-2:]
    assert (call["type"], call["name"]) == ("function_call", "office__mail")
    assert (answer["type"], answer["output"]) == ("function_call_output", output)
    assert call["call_id"] == answer["call_id"]
    assert talk.items("userMessage") == []
    # It is part of the conversation, also of the stored one.
    await talk.turn(thread_id)
    assert answer in lab.fake.requests[1]["input"]
    read = await talk.ask("thread/read", {"threadId": thread_id, "includeTurns": True})
    (stored, *_) = read["thread"]["turns"][0]["items"]
    assert stored == item


async def test_it_joins_a_running_turn(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("slow", deltas=4).hang(after=3), say("Read it"))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id)
    await lab.fake.wait_for_hang()
    assert await deliver(talk, thread_id, MAIL) == turn_id
    lab.fake.resume()
    await talk.turn_end(turn_id)
    assert lab.fake.requests[1]["input"][-1]["output"] == MAIL["output"]
    (item,) = talk.items("functionCallOutput")
    assert item["name"] == "mail"


@pytest.mark.parametrize(
    ("params", "told"),
    [
        (
            {"toolOutput": MAIL, "input": [{"type": "text", "text": "x"}]},
            "`toolOutput` cannot be combined with nonempty `input`",
        ),
        ({"toolOutput": {**MAIL, "name": " "}}, "`toolOutput.name` must not be empty"),
        ({"toolOutput": {**MAIL, "output": [{"type": "x"}]}}, "`toolOutput.output[0]` must be"),
        ({"toolOutput": {"output": "x"}}, "missing field `name`"),
        ({"toolOutput": {**MAIL, "output": "x" * 1_048_577}}, "exceeds the maximum length"),
        ({}, "input must not be empty"),
    ],
)
async def test_what_cannot_be_delivered_is_refused(
    lab: Lab, talk: Talk, params: Json, told: str
) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    refusal = await talk.refused("turn/start", {"threadId": thread_id, "input": [], **params})
    assert told in refusal.message
    assert lab.fake.requests == []
