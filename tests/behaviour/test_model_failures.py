"""The model fails: what is told, what is tried again, and that the next turn works."""

import socket
from typing import Any

import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Talk, write_config
from tests.fake_model import Answer, call, failed, garbage, incomplete, raw, reason, say, status

pytestmark = pytest.mark.anyio

FULL = ('approval_policy = "never"', 'sandbox_mode = "danger-full-access"')


async def test_a_cut_answer_is_abandoned_and_asked_for_again(lab: Lab) -> None:
    lab.configure(stream_max_retries=2)
    lab.fake.add(say("Half an answer", deltas=2).cut_after(3), say("The whole answer"))
    async with lab.serving() as server, lab.connect(server) as talk:
        turn = await talk.turn(await talk.start_thread(lab.workspace))
    assert turn["status"] == "completed"
    (problem,) = talk.notices("error")
    assert problem["willRetry"] is True
    assert problem["error"]["message"] == "Reconnecting... 1/2"
    assert "responseStreamDisconnected" in problem["error"]["codexErrorInfo"]
    half, whole = talk.items("agentMessage")
    assert (half["text"], half["abandoned"]) == ("Half an", True)
    assert (whole["text"], whole.get("abandoned")) == ("The whole answer", None)
    assert half["id"] != whole["id"]
    told = talk.methods()
    assert told.index("error") > told.index("item/agentMessage/delta")


async def test_an_abandoned_half_is_neither_stored_nor_remembered(lab: Lab) -> None:
    lab.configure(stream_max_retries=2)
    lab.fake.add(say("Half an answer", deltas=2).cut_after(3), say("Whole"), say("next"))
    async with lab.serving() as server, lab.connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        await talk.turn(thread_id)
        read = await talk.ask("thread/read", {"threadId": thread_id, "includeTurns": True})
        texts = [i["text"] for i in read["thread"]["turns"][0]["items"] if "text" in i]
        assert texts == ["Whole"]
        await talk.turn(thread_id)
    roles = [i["content"][0]["text"] for i in lab.fake.requests[2]["input"] if "role" in i]
    assert roles[-3:] == ["Hello", "Whole", "Hello"]


async def test_what_an_answer_held_before_it_broke_is_not_remembered_twice(lab: Lab) -> None:
    lab.configure(*FULL, stream_max_retries=2)
    broken = reason("thought") + call("shell_command", {"command": "echo x"}, call_id="c1")
    lab.fake.add(
        (broken + say("never")).cut_after(8),
        reason("thought") + call("shell_command", {"command": "echo x"}, call_id="c2"),
        say("done"),
    )
    async with lab.serving() as server, lab.connect(server) as talk:
        turn = await talk.turn(await talk.start_thread(lab.workspace))
    assert turn["status"] == "completed"
    assert lab.fake.requests[1]["input"] == lab.fake.requests[0]["input"]
    sent = [i["type"] for i in lab.fake.requests[2]["input"] if i["type"] != "message"]
    assert sent == ["reasoning", "function_call", "function_call_output"]


async def test_a_tool_never_runs_twice_when_the_answer_breaks_after_its_call(lab: Lab) -> None:
    lab.configure(*FULL, stream_max_retries=2)
    wanted = call("shell_command", {"command": "echo x >> ran"}, call_id="c1")
    lab.fake.add((wanted + say("never")).cut_after(5), wanted, say("done"))
    async with lab.serving() as server, lab.connect(server) as talk:
        turn = await talk.turn(await talk.start_thread(lab.workspace))
    assert turn["status"] == "completed"
    assert (lab.workspace / "ran").read_text() == "x\n"
    assert len(talk.items("commandExecution")) == 1


async def test_a_stream_that_breaks_too_often_fails_the_turn(lab: Lab) -> None:
    lab.configure(stream_max_retries=1)
    lab.fake.add(say("one").cut_after(3), say("two").end_without_completed())
    async with lab.serving() as server, lab.connect(server) as talk:
        turn = await talk.turn(await talk.start_thread(lab.workspace))
    assert turn["status"] == "failed"
    assert [told["willRetry"] for told in talk.notices("error")] == [True, False]
    assert turn["error"] == talk.notices("error")[-1]["error"]
    assert turn["error"]["message"].startswith("stream disconnected before completion: ")


async def test_the_partial_text_of_a_failed_answer_is_kept(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("Half an answer", deltas=2).cut_after(3), say("next"))
    thread_id = await talk.start_thread(lab.workspace)
    await talk.turn(thread_id)
    (item,) = talk.items("agentMessage")
    assert item["text"] == "Half an"
    assert talk.position(lambda m: m.get("params", {}).get("item", {}) == item) < talk.position(
        lambda m: m.get("method") == "turn/completed"
    )
    await talk.turn(thread_id)
    assert lab.fake.requests[1]["input"][-2]["content"][0]["text"] == "Half an"


@pytest.mark.parametrize(
    ("answer", "info"),
    [
        (status(400, "bad request, said the model"), "other"),
        (status(401, "no key"), {"httpConnectionFailed": {"httpStatusCode": 401}}),
        (status(404, "no such page"), {"httpConnectionFailed": {"httpStatusCode": 404}}),
        (status(429, "slow down"), {"responseTooManyFailedAttempts": {"httpStatusCode": 429}}),
        (status(500, "oops"), "internalServerError"),
        (status(503, {"error": {"code": "server_is_overloaded"}}), "serverOverloaded"),
        (garbage(), None),
        (raw(b"data: {not json\n\n"), None),
        (failed("context_length_exceeded", "too long"), "contextWindowExceeded"),
        (failed("insufficient_quota", "pay"), "usageLimitExceeded"),
        (failed("who_knows", "something"), None),
        (incomplete("max_output_tokens"), None),
        (say("cut").cut_after(2), None),
        (say("ended").end_without_completed(), None),
    ],
    ids=lambda value: "",
)
async def test_a_failure_is_told_and_the_next_turn_works(
    lab: Lab, talk: Talk, answer: Answer, info: Any
) -> None:
    # After a refusal for length the first of the two is the summary.
    lab.fake.add(answer, say("better"), say("better"))
    thread_id = await talk.start_thread(lab.workspace)
    turn = await talk.turn(thread_id)
    assert turn["status"] == "failed"
    assert turn["error"]["message"]
    if info is not None:
        assert turn["error"]["codexErrorInfo"] == info
    (problem,) = talk.notices("error")
    assert (problem["willRetry"], problem["error"]) == (False, turn["error"])
    methods = talk.methods()
    assert methods[-2:] == ["thread/status/changed", "turn/completed"]
    assert methods.index("error") < len(methods) - 2
    assert talk.notices("thread/status/changed")[-1]["status"] == {"type": "systemError"}
    assert (await talk.turn(thread_id))["status"] == "completed"
    assert talk.notices("thread/status/changed")[-1]["status"] == {"type": "idle"}


async def test_a_model_that_says_nothing_is_given_up(lab: Lab) -> None:
    lab.configure(stream_idle_timeout_ms=50)
    lab.fake.add(say("never").hang(after=2), say("better"))
    async with lab.serving() as server, lab.connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        turn = await talk.turn(thread_id)
        assert turn["status"] == "failed"
        assert "idle timeout" in turn["error"]["message"]
        assert (await talk.turn(thread_id))["status"] == "completed"


async def test_a_model_that_is_not_there_fails_the_turn(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    write_config(lab.home, f"http://127.0.0.1:{port}/v1")
    async with lab.serving() as server, lab.connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        turn = await talk.turn(thread_id)
        assert turn["status"] == "failed"
        assert f"127.0.0.1:{port}" in str(turn["error"])
        read = await talk.ask("thread/read", {"threadId": thread_id, "includeTurns": True})
        assert read["thread"]["turns"][0]["status"] == "failed"
        assert read["thread"]["turns"][0]["error"] == turn["error"]


async def test_a_failed_turn_stays_failed_after_a_restart(lab: Lab) -> None:
    lab.fake.add(status(400, "bad"))
    async with lab.serving() as server, lab.connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        turn = await talk.turn(thread_id)
    async with lab.serving() as server, lab.connect(server) as talk:
        read = await talk.ask("thread/read", {"threadId": thread_id, "includeTurns": True})
    (stored,) = read["thread"]["turns"]
    assert (stored["status"], stored["error"]) == ("failed", turn["error"])


async def test_a_missing_key_fails_the_turn_and_names_the_variable(lab: Lab) -> None:
    lab.configure()
    path = lab.home / "config.toml"
    path.write_text(path.read_text() + '\nenv_key = "NO_SUCH_KEY"\n')
    async with lab.serving() as server, lab.connect(server) as talk:
        turn = await talk.turn(await talk.start_thread(lab.workspace))
    assert turn["status"] == "failed"
    assert "NO_SUCH_KEY" in turn["error"]["message"]
