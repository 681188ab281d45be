"""Tools that a client runs, and questions of the model to the user."""

import json
from typing import Any

import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

TOOL: Json = {"name": "weather", "description": "d", "inputSchema": {"type": "object"}}
WEATHER = call("weather", {"city": "Oslo"}, call_id="c1")
QUESTIONS = [
    {"id": "color", "question": "Which?", "options": [{"label": "red"}, {"label": "blue"}]},
    {"id": "why", "question": "Why?"},
]


def output(lab: Lab, request: int = 1) -> Any:
    return next(i["output"] for i in lab.fake.requests[request]["input"] if "output" in i)


async def test_a_tool_of_the_client_is_called_and_answers(lab: Lab, talk: Talk) -> None:
    lab.fake.add(WEATHER, say("ok"))
    thread_id = await talk.start_thread(lab.workspace, dynamicTools=[TOOL])
    turn_id = await talk.start_turn(thread_id)
    request = await talk.asked("item/tool/call")
    assert request["params"] == {
        "threadId": thread_id,
        "turnId": turn_id,
        "callId": "c1",
        "namespace": None,
        "tool": "weather",
        "arguments": {"city": "Oslo"},
    }
    content = [
        {"type": "inputText", "text": "rain"},
        {"type": "inputImage", "imageUrl": "data:image/png;base64,AA=="},
    ]
    await talk.answer(request, {"contentItems": content, "success": True})
    await talk.turn_end(turn_id)
    (item,) = talk.items("dynamicToolCall")
    assert (item["status"], item["success"], item["contentItems"]) == ("completed", True, content)
    assert output(lab) == [
        {"type": "input_text", "text": "rain"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
    ]
    assert talk.notices("serverRequest/resolved") == []


SOUND: Json = {"type": "inputAudio", "audioUrl": "data:audio/wav;base64,AAAA"}
INVALID = "dynamic tool response was invalid"
NO_AUDIO = "audio content omitted because you do not support audio input"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([SOUND], NO_AUDIO),
        (
            [{"type": "inputText", "text": "a"}, SOUND, {"type": "inputText", "text": "b"}],
            f"a\n{NO_AUDIO}\nb",
        ),
        (
            [SOUND, {"type": "inputImage", "imageUrl": "data:image/png;base64,AA=="}],
            [
                {"type": "input_text", "text": NO_AUDIO},
                {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
            ],
        ),
    ],
)
async def test_audio_is_kept_and_the_model_is_told_that_it_cannot_be_passed_on(
    lab: Lab, talk: Talk, content: list[Json], told: Any
) -> None:
    lab.fake.add(WEATHER, say("ok"))
    thread_id = await talk.start_thread(lab.workspace, dynamicTools=[TOOL])
    turn_id = await talk.start_turn(thread_id)
    request = await talk.asked("item/tool/call")
    await talk.answer(request, {"contentItems": content, "success": True})
    await talk.turn_end(turn_id)
    assert output(lab) == told
    assert talk.items("dynamicToolCall")[0]["contentItems"] == content


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"contentItems": [{"type": "inputText", "text": "no idea"}], "success": False}, "no idea"),
        ({"contentItems": "rain", "success": True}, INVALID),
        ({"success": True}, INVALID),
        ("rain", INVALID),
        (None, INVALID),
        ({"contentItems": [{"type": "inputSmell"}], "success": True}, INVALID),
        ({"contentItems": [{"type": "inputAudio"}], "success": True}, INVALID),
        ({"contentItems": [{"type": "inputText"}], "success": True}, INVALID),
    ],
    ids=str,
)
async def test_a_tool_that_fails_is_told_to_the_model(
    lab: Lab, talk: Talk, answer: Any, told: str
) -> None:
    lab.fake.add(WEATHER, say("ok"))
    thread_id = await talk.start_thread(lab.workspace, dynamicTools=[TOOL])
    turn_id = await talk.start_turn(thread_id)
    await talk.answer(await talk.asked("item/tool/call"), answer)
    assert (await talk.turn_end(turn_id))["status"] == "completed"
    (item,) = talk.items("dynamicToolCall")
    assert (item["status"], item["success"]) == ("failed", False)
    assert output(lab) == told


async def test_an_error_of_the_client_is_told_to_the_model(lab: Lab, talk: Talk) -> None:
    lab.fake.add(WEATHER, say("ok"))
    thread_id = await talk.start_thread(lab.workspace, dynamicTools=[TOOL])
    turn_id = await talk.start_turn(thread_id)
    await talk.answer_error(await talk.asked("item/tool/call"), -32000)
    assert (await talk.turn_end(turn_id))["status"] == "completed"
    assert output(lab) == "dynamic tool request failed"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": ""}, "dynamic tool name must not be empty"),
        ({"name": " a"}, "dynamic tool name has leading/trailing whitespace:  a"),
        ({"name": "a b"}, "dynamic tool name must match ^[a-zA-Z0-9_-]+$ to match"),
        ({"name": "ok\n"}, "dynamic tool name has leading/trailing whitespace"),
        ({"name": "a" * 129}, "dynamic tool name must be at most 128 characters to match"),
        ({"name": "mcp__x"}, "dynamic tool name is reserved: mcp__x"),
        ({"name": "apply_patch"}, "dynamic tool name is reserved: apply_patch"),
        ({"name": "spawn_agent"}, "dynamic tool name is reserved: spawn_agent"),
        ({"inputSchema": "text"}, "dynamic tool input schema is not supported for weather"),
    ],
)
async def test_a_tool_that_does_not_fit_is_refused(
    lab: Lab, talk: Talk, wrong: Json, message: str
) -> None:
    params = {"cwd": str(lab.workspace), "dynamicTools": [{**TOOL, **wrong}]}
    assert (await talk.refused("thread/start", params)).message.startswith(message)
    twice = {"cwd": str(lab.workspace), "dynamicTools": [TOOL, TOOL]}
    refusal = await talk.refused("thread/start", twice)
    assert refusal.message == "duplicate dynamic tool name: weather"


@pytest.mark.parametrize("decision", ["accept", "decline"])
async def test_a_tool_may_require_approval(lab: Lab, talk: Talk, decision: str) -> None:
    tool = {**TOOL, "name": "run", "requiresApproval": True, "codeArgument": "code"}
    lab.fake.add(call("run", {"code": "print('\u202e')"}, call_id="c1"), say("ok"))
    thread_id = await talk.start_thread(lab.workspace, dynamicTools=[tool])
    turn_id = await talk.start_turn(thread_id)
    request = await talk.asked("item/commandExecution/requestApproval")
    assert request["params"]["kind"] == "dynamicTool"
    assert "\u202e" not in request["params"]["command"]
    await talk.answer(request, {"decision": decision})
    if decision == "accept":
        answer = {"contentItems": [], "success": True}
        await talk.answer(await talk.asked("item/tool/call"), answer)
    await talk.turn_end(turn_id)
    states = {"accept": "completed", "decline": "declined"}
    assert talk.items("dynamicToolCall")[0]["status"] == states[decision]
    assert ("item/tool/call" in talk.methods()) == (decision == "accept")


async def test_a_tool_call_is_withdrawn_by_an_interrupt(lab: Lab, talk: Talk) -> None:
    lab.fake.add(WEATHER)
    thread_id = await talk.start_thread(lab.workspace, dynamicTools=[TOOL])
    turn_id = await talk.start_turn(thread_id)
    await talk.asked("item/tool/call")
    await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
    assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    assert talk.items("dynamicToolCall")[0]["status"] == "failed"


async def ask_user(lab: Lab, talk: Talk) -> tuple[str, Json]:
    lab.fake.add(call("request_user_input", {"questions": QUESTIONS}, call_id="q1"), say("ok"))
    turn_id = await talk.start_turn(await talk.start_thread(lab.workspace))
    return turn_id, await talk.asked("item/tool/requestUserInput")


async def test_the_user_answers_questions_of_the_model(lab: Lab, talk: Talk) -> None:
    turn_id, request = await ask_user(lab, talk)
    assert [q["id"] for q in request["params"]["questions"]] == ["color", "why"]
    assert [q["isOther"] for q in request["params"]["questions"]] == [True, True]
    status = talk.notices("thread/status/changed")[-1]["status"]
    assert status["activeFlags"] == ["waitingOnUserInput"]
    answers = {"color": {"answers": ["blue"]}, "why": {"answers": ["because"]}}
    await talk.answer(request, {"answers": answers})
    await talk.turn_end(turn_id)
    assert json.loads(output(lab)) == {"answers": answers}
    assert len(talk.notices("serverRequest/resolved")) == 1


@pytest.mark.parametrize("answer", [{}, {"answers": {"color": "blue"}}, None, 7], ids=str)
async def test_an_answer_that_cannot_be_read_is_none(lab: Lab, talk: Talk, answer: Any) -> None:
    turn_id, request = await ask_user(lab, talk)
    await talk.answer(request, answer)
    assert (await talk.turn_end(turn_id))["status"] == "completed"
    assert json.loads(output(lab)) == {"answers": {}}


async def test_what_the_user_typed_is_not_stored_beside_the_model_s_memory(
    lab: Lab, talk: Talk
) -> None:
    turn_id, request = await ask_user(lab, talk)
    await talk.answer(request, {"answers": {"why": {"answers": ["hush-hush"]}}})
    await talk.turn_end(turn_id)
    (rollout,) = lab.home.rglob("rollout-*.jsonl")
    holding = [line for line in rollout.read_text().splitlines() if "hush-hush" in line]
    assert [json.loads(line)["type"] for line in holding] == ["response_item"]


async def test_a_question_is_withdrawn_by_an_interrupt(lab: Lab, talk: Talk) -> None:
    turn_id, request = await ask_user(lab, talk)
    thread_id = request["params"]["threadId"]
    await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
    assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    methods = talk.methods()
    assert methods.index("serverRequest/resolved") < methods.index("turn/completed")
