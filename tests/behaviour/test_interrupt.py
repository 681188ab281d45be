"""Stop means stop: at every point of a turn, with every item closed before its end."""

from pathlib import Path
from uuid import UUID

import anyio
import psutil
import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, text
from tests.fake_model import Answer, call, say

pytestmark = pytest.mark.anyio

FULL: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}


async def interrupt(talk: Talk, thread_id: str, turn_id: str) -> Json:
    return await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})


def is_running(pid: int) -> bool:
    """Tell whether a process lives; one that nobody has collected yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def open_items(talk: Talk) -> set[str]:
    started = {told["item"]["id"] for told in talk.notices("item/started")}
    return started - {item["id"] for item in talk.items()}


async def wait_for_file(path: Path) -> str:
    with anyio.fail_after(30):
        while not path.exists() or not path.read_text().endswith("\n"):
            await anyio.sleep(0.005)
    return path.read_text()


async def test_while_the_model_speaks(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("one two three", deltas=3).hang(after=4), say("next"))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id)
    await talk.until(lambda m: "two" in (m.get("params") or {}).get("delta", ""))
    await interrupt(talk, thread_id, turn_id)
    turn = await talk.turn_end(turn_id)
    assert (turn["status"], turn["error"]) == ("interrupted", None)
    assert open_items(talk) == set()
    (item,) = talk.items("agentMessage")
    assert item["text"] == talk.deltas(item["id"]) != ""
    assert talk.methods()[-2:] == ["thread/status/changed", "turn/completed"]
    assert talk.notices("thread/status/changed")[-1]["status"] == {"type": "idle"}
    with anyio.fail_after(30):
        await lab.fake.closed_early.wait()


async def test_what_was_said_is_kept_and_the_model_is_told(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("half a sentence", deltas=2).hang(after=3), say("next"))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id, "question")
    await talk.told("item/agentMessage/delta")
    await interrupt(talk, thread_id, turn_id)
    await talk.turn_end(turn_id)
    read = await talk.ask("thread/read", {"threadId": thread_id, "includeTurns": True})
    (stored,) = read["thread"]["turns"]
    assert stored["status"] == "interrupted"
    assert stored["items"][-1]["text"] == "half a "
    await talk.turn(thread_id, "again")
    said = [item["content"][0]["text"] for item in lab.fake.requests[1]["input"][-4:]]
    assert said[:2] == ["question", "half a "]
    assert said[2].startswith("<turn_aborted>")
    assert said[3] == "again"


async def test_while_a_command_runs_its_processes_end(lab: Lab, talk: Talk) -> None:
    script = "sleep 600 & echo $$ $! > pids; echo here; wait"
    lab.fake.add(call("shell_command", {"command": script}, call_id="c1"), say("next"))
    thread_id = await talk.start_thread(lab.workspace, **FULL)
    turn_id = await talk.start_turn(thread_id)
    pids = [int(pid) for pid in (await wait_for_file(lab.workspace / "pids")).split()]
    assert all(is_running(pid) for pid in pids)
    await interrupt(talk, thread_id, turn_id)
    assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    assert not any(is_running(pid) for pid in pids)
    (item,) = talk.items("commandExecution")
    assert (item["status"], item["exitCode"]) == ("failed", None)
    assert open_items(talk) == set()
    await talk.turn(thread_id)
    (output,) = [i for i in lab.fake.requests[1]["input"] if "output" in i]
    assert "aborted by user" in output["output"]


async def test_a_command_that_ignores_signals_is_ended_all_the_same(lab: Lab, talk: Talk) -> None:
    script = "trap '' TERM INT HUP; echo $$ > pid; while :; do sleep 0.05; done"
    lab.fake.add(call("shell_command", {"command": script}, call_id="c1"))
    thread_id = await talk.start_thread(lab.workspace, **FULL)
    turn_id = await talk.start_turn(thread_id)
    pid = int(await wait_for_file(lab.workspace / "pid"))
    await interrupt(talk, thread_id, turn_id)
    await talk.turn_end(turn_id)
    assert not is_running(pid)


async def test_while_an_approval_waits(lab: Lab, talk: Talk) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"), say("next"))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id)
    request = await talk.asked()
    await interrupt(talk, thread_id, turn_id)
    assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    methods = talk.methods()
    assert methods.index("serverRequest/resolved") < methods.index("turn/completed")
    assert methods.index("=turn/interrupt") < methods.index("turn/completed")
    assert [item["status"] for item in talk.items("commandExecution")] == ["declined"]
    await talk.answer(request, {"decision": "accept"})
    assert (await talk.turn(thread_id))["status"] == "completed"
    assert not (lab.workspace / "made").exists()


async def test_an_answer_and_a_stop_that_arrive_together_run_nothing(lab: Lab, talk: Talk) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id)
    request = await talk.asked()
    stop = talk.make("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
    await talk.send({"id": request["id"], "result": {"decision": "accept"}}, stop)
    assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    assert not (lab.workspace / "made").exists()


async def test_right_after_the_response_of_turn_start(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("never").hang(after=2))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id)
    await interrupt(talk, thread_id, turn_id)
    assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    assert len(talk.notices("turn/started")) == len(talk.notices("turn/completed")) == 1


async def test_in_the_same_batch_as_the_start_of_the_turn(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = "0190a0b0-0000-7000-8000-000000000001"
    start = talk.make(
        "turn/start", {"threadId": thread_id, "turnId": turn_id, "input": [text("hi")]}
    )
    stop = talk.make("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
    await talk.send(start, stop)
    await talk.response(start["id"])
    await talk.response(stop["id"])
    assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    assert lab.fake.requests == []


async def test_twice(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("never").hang(after=2), say("next"))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id)
    await talk.item_started("agentMessage")
    stop: Json = {"threadId": thread_id, "turnId": turn_id}
    both = talk.make("turn/interrupt", stop), talk.make("turn/interrupt", stop)
    await talk.send(*both)
    assert [await talk.response(message["id"]) for message in both] == [{}, {}]
    await talk.turn_end(turn_id)
    assert (await talk.refused("turn/interrupt", stop)).message == "no active turn to interrupt"
    await talk.turn(thread_id)
    ended = [told["turn"]["id"] for told in talk.notices("turn/completed")]
    assert len(ended) == len(set(ended)) == 2
    assert open_items(talk) == set()


async def test_during_the_wait_before_a_retry(lab: Lab) -> None:
    lab.configure(stream_max_retries=3)
    slow = {"error": {"code": "rate_limit_exceeded", "message": "Please try again in 60s."}}
    failure = {"type": "response.failed", "response": {"status": "failed", **slow}}
    lab.fake.add(Answer(last=failure))
    async with lab.serving() as server, lab.connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        turn_id = await talk.start_turn(thread_id)
        assert (await talk.told("error"))["willRetry"] is True
        await interrupt(talk, thread_id, turn_id)
        assert (await talk.turn_end(turn_id))["status"] == "interrupted"


async def test_with_the_id_of_another_turn(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("never").hang(after=2))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id)
    for other in ("0190a0b0-0000-7000-8000-000000000002", "no id", ""):
        refusal = await talk.refused("turn/interrupt", {"threadId": thread_id, "turnId": other})
        expected = f"expected active turn id {other} but found {turn_id}"
        assert (refusal.code, refusal.message) == (-32600, expected)
    await interrupt(talk, thread_id, turn_id)


async def test_with_another_spelling_of_the_id(lab: Lab, talk: Talk) -> None:
    lab.fake.add(*[say("never").hang(after=2)] * 4)
    thread_id = await talk.start_thread(lab.workspace)
    for spell in (
        str.upper,
        lambda i: UUID(i).hex,
        lambda i: f"{{{i}}}",
        lambda i: f"urn:uuid:{i}",
    ):
        turn_id = await talk.start_turn(thread_id)
        await interrupt(talk, spell(thread_id), spell(turn_id))
        assert (await talk.turn_end(turn_id))["status"] == "interrupted"


async def test_with_no_turn_active(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    refusal = await talk.refused("turn/interrupt", {"threadId": thread_id, "turnId": "x"})
    assert (refusal.code, refusal.message) == (-32600, "no active turn to interrupt")


async def test_of_a_thread_that_is_not_loaded(talk: Talk) -> None:
    nobody = "0190a0b0-0000-7000-8000-000000000009"
    refusal = await talk.refused("turn/interrupt", {"threadId": nobody, "turnId": "x"})
    assert (refusal.code, refusal.message) == (-32600, f"thread not found: {nobody}")


async def test_finished_commands_keep_their_outputs_when_another_is_stopped(
    lab: Lab, talk: Talk
) -> None:
    lab.fake.add(
        call("shell_command", {"command": "echo quick"}, call_id="c1")
        + call("shell_command", {"command": "echo $$ > pid; sleep 600"}, call_id="c2"),
        say("next"),
    )
    thread_id = await talk.start_thread(lab.workspace, **FULL)
    turn_id = await talk.start_turn(thread_id)
    await wait_for_file(lab.workspace / "pid")
    await talk.until(lambda m: m.get("method") == "item/completed" and "quick" in str(m))
    await interrupt(talk, thread_id, turn_id)
    await talk.turn_end(turn_id)
    await talk.turn(thread_id)
    outputs = {i["call_id"]: i["output"] for i in lab.fake.requests[1]["input"] if "output" in i}
    assert outputs["c1"].endswith("quick\n")
    assert "aborted by user" in outputs["c2"]
