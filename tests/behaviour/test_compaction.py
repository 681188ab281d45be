"""The model's memory made smaller: by hand, by itself, and when that fails."""

from typing import Any

import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect, text
from tests.fake_model import call, failed, say, status

pytestmark = pytest.mark.anyio

ONE = "0190a0b0-0000-7000-8000-00000000000a"
TWO = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
FREE: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}
PICTURE = "data:image/png;base64,iVBORw0KGgo="


def texts(request: Json) -> list[str]:
    return [
        part.get("text", part.get("image_url", ""))
        for item in request["input"]
        for part in item.get("content") or ()
    ]


def is_summary_request(request: Json) -> bool:
    return "will be forgotten" in texts(request)[-1] and not request.get("tools")


@pytest.fixture
def small(lab: Lab) -> Lab:
    """A model whose window is 1,000 tokens, so that memory is compacted at 900."""
    lab.configure("model_context_window = 1000")
    return lab


async def test_by_hand_it_is_a_turn_that_keeps_the_users_words(lab: Lab) -> None:
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        lab.fake.add(say("first answer"), say("we did this and that"), say("on"), say("and on"))
        await talk.turn(thread_id, "first wish")
        asked = {"threadId": thread_id, "turnId": ONE.upper()}
        assert await talk.ask("thread/compact/start", asked) == {}
        assert (await talk.turn_end(ONE))["status"] == "completed"
        assert [item["type"] for item in talk.items()][2:] == ["contextCompaction"]
        await talk.told("thread/compacted", turnId=ONE)
        assert "summed up" in (await talk.told("warning"))["message"]
        assert is_summary_request(lab.fake.requests[1])
        await talk.turn(thread_id, "second wish")
        first, summary, *context, wish = texts(lab.fake.requests[2])
        assert (first, wish) == ("first wish", "second wish")
        assert "we did this and that" in summary
        assert any("<environment_context>" in words for words in context)
        refusal = await talk.refused("thread/compact/start", asked)
        assert refusal.data == {"duplicate": "turn", "id": ONE, "status": "completed"}
    async with lab.serving() as server, connect(server) as talk:
        resumed = await talk.ask("thread/resume", {"threadId": thread_id})
        kinds = [[i["type"] for i in turn["items"]] for turn in resumed["thread"]["turns"]]
        assert kinds[1] == ["contextCompaction"]
        await talk.turn(thread_id, "third wish")
        assert texts(lab.fake.requests[3])[: len(texts(lab.fake.requests[2]))] == texts(
            lab.fake.requests[2]
        )


async def test_memory_is_compacted_before_it_overflows(small: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(small.workspace)
    small.fake.add(say("answer").with_usage(895, 10), say("in short"), say("fresh"))
    await talk.turn(thread_id, "before")
    await talk.turn(thread_id, "after")
    assert [is_summary_request(r) for r in small.fake.requests] == [False, True, False]
    said = texts(small.fake.requests[2])
    assert said[0] == "before"
    assert said.index("after") < next(n for n, t in enumerate(said) if "in short" in t)
    # W-25: the user's message was stored before anything could fail.
    kinds = [item["type"] for item in talk.items()]
    assert kinds[-3:] == ["userMessage", "contextCompaction", "agentMessage"]


async def test_below_ninety_percent_nothing_is_compacted(small: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(small.workspace)
    small.fake.add(say("answer").with_usage(600, 10), say("second"))
    await talk.turn(thread_id, "before")
    await talk.turn(thread_id, "after")
    assert not any(map(is_summary_request, small.fake.requests))


async def test_in_the_middle_of_a_turn_the_work_goes_on(small: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(small.workspace, **FREE)
    step = call("shell_command", {"command": "echo seen"}, call_id="c1").with_usage(950, 10)
    small.fake.add(step, say("ran echo, saw `seen`"), say("finished"))
    turn = await talk.turn(thread_id, "do it")
    assert turn["status"] == "completed"
    last = small.fake.requests[-1]
    assert not any(item["type"].startswith("function_call") for item in last["input"])
    assert any("<environment_context>" in words for words in texts(last))
    assert any("ran echo" in words for words in texts(last))
    assert any(is_summary_request(request) for request in small.fake.requests)


async def test_compactions_in_a_turn_are_bounded(small: Lab, talk: Talk) -> None:
    """W-53: nothing bounds them in the original."""
    thread_id = await talk.start_thread(small.workspace, **FREE)
    for number in range(20):
        step = call("shell_command", {"command": "true"}, call_id=f"c{number}")
        small.fake.add(step.with_usage(950, 10), say("summary"))
    turn = await talk.turn(thread_id, "do it")
    assert turn["status"] == "failed"
    assert turn["error"]["codexErrorInfo"] == "contextWindowExceeded"
    assert sum(map(is_summary_request, small.fake.requests)) == 4


async def test_what_is_too_long_even_summed_up_fails_and_says_so(small: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(small.workspace)
    small.fake.add(say("x" * 8000), say("never asked"))
    turn = await talk.turn(thread_id, "y" * 8000)
    assert turn["status"] == "failed"
    assert "even after the conversation was summed up" in turn["error"]["message"]


async def test_pictures_of_the_user_survive(lab: Lab, talk: Talk) -> None:
    """W-53."""
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(say("a picture"), say("there was a picture"), say("yes"))
    shown = [text("look"), {"type": "image", "url": PICTURE}]
    turn = await talk.ask("turn/start", {"threadId": thread_id, "input": shown})
    await talk.turn_end(turn["turn"]["id"])
    await talk.ask("thread/compact/start", {"threadId": thread_id, "turnId": ONE})
    await talk.turn_end(ONE)
    await talk.turn(thread_id, "still there?")
    assert PICTURE in texts(lab.fake.requests[-1])


@pytest.mark.parametrize(
    "answer", [say("  "), status(400, "no"), call("x", {})], ids=["blank", "refused", "call"]
)
async def test_without_a_summary_nothing_is_forgotten(lab: Lab, talk: Talk, answer: Any) -> None:
    """W-53: in the original an old answer becomes the summary."""
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(say("an old answer"), answer, say("on"))
    await talk.turn(thread_id, "wish")
    await talk.ask("thread/compact/start", {"threadId": thread_id, "turnId": ONE})
    assert (await talk.turn_end(ONE))["status"] == "failed"
    assert (await talk.turn(thread_id, "next"))["status"] == "completed"
    assert [t for t in texts(lab.fake.requests[-1]) if not t.startswith("<")] == [
        "wish",
        "an old answer",
        "next",
    ]


async def test_a_summary_that_does_not_fit_leaves_out_the_oldest_half(lab: Lab, talk: Talk) -> None:
    """W-52: one request for each dropped item in the original."""
    thread_id = await talk.start_thread(lab.workspace)
    for number in range(8):
        lab.fake.add(say(f"answer {number}"))
        await talk.turn(thread_id, f"wish {number}")
    too_long = failed("context_length_exceeded", "too long")
    lab.fake.add(too_long, too_long, say("the end of it"))
    await talk.ask("thread/compact/start", {"threadId": thread_id, "turnId": ONE})
    assert (await talk.turn_end(ONE))["status"] == "completed"
    sizes = [len(request["input"]) for request in lab.fake.requests[8:]]
    assert len(sizes) == 3
    assert sizes[0] > 1.5 * sizes[1] > 1.5 * sizes[2]


@pytest.mark.parametrize("window", [(), ("model_context_window = 1000",)], ids=["unknown", "known"])
async def test_after_a_refusal_for_length_the_next_turn_makes_room(
    lab: Lab, window: tuple[str, ...]
) -> None:
    """The model's word is enough, whether or not anybody knows how much it takes."""
    lab.configure(*window)
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        lab.fake.add(failed("context_length_exceeded", "too long"), say("short"))
        lab.fake.add(say("ok"), say("ok"))
        assert (await talk.turn(thread_id, "one"))["status"] == "failed"
        assert (await talk.turn(thread_id, "two"))["status"] == "completed"
        assert (await talk.turn(thread_id, "three"))["status"] == "completed"
    assert [is_summary_request(r) for r in lab.fake.requests] == [False, True, False, False]


async def test_what_one_model_refused_for_length_another_may_take(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(failed("context_length_exceeded", "too long"), say("ok"))
    assert (await talk.turn(thread_id, "one"))["status"] == "failed"
    assert (await talk.turn(thread_id, "two", model="roomy"))["status"] == "completed"
    assert [is_summary_request(r) for r in lab.fake.requests] == [False, False]


async def test_what_was_refused_for_length_and_taken_back_needs_no_room(
    lab: Lab, talk: Talk
) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(failed("context_length_exceeded", "too long"), say("ok"))
    assert (await talk.turn(thread_id, "one"))["status"] == "failed"
    await talk.ask("thread/rollback", {"threadId": thread_id, "numTurns": 1})
    assert (await talk.turn(thread_id, "two"))["status"] == "completed"
    assert [is_summary_request(r) for r in lab.fake.requests] == [False, False]


async def test_stop_ends_a_compaction_at_once_and_nothing_is_forgotten(
    lab: Lab, talk: Talk
) -> None:
    """W-54: deaf to the token in the original. Also while it waits to ask again."""
    lab.configure(stream_max_retries=5)
    async with lab.serving() as server, connect(server) as other:
        thread_id = await other.start_thread(lab.workspace)
        lab.fake.add(say("old"), say("half", deltas=2).hang(after=3), say("on"))
        await other.turn(thread_id, "wish")
        await other.ask("thread/compact/start", {"threadId": thread_id, "turnId": ONE})
        await lab.fake.wait_for_hang()
        await other.ask("turn/interrupt", {"threadId": thread_id, "turnId": ONE})
        assert (await other.turn_end(ONE))["status"] == "interrupted"
        await other.turn(thread_id, "next")
        assert "old" in texts(lab.fake.requests[-1])


async def test_a_compaction_takes_no_input_and_waits_for_no_turn(lab: Lab, talk: Talk) -> None:
    """W-19: input for a turn that never reads it is refused, not parked."""
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(say("old"), say("half", deltas=2).hang(after=3))
    await talk.turn(thread_id, "wish")
    await talk.ask("thread/compact/start", {"threadId": thread_id, "turnId": ONE})
    await lab.fake.wait_for_hang()
    asked: Json = {"threadId": thread_id, "input": [text("hello")]}
    for method, more in (("turn/start", {}), ("turn/steer", {"expectedTurnId": ONE})):
        refusal = await talk.refused(method, {**asked, **more})
        assert (refusal.code, refusal.message) == (-32600, "cannot steer a compact turn")
        assert refusal.data == {
            "message": "cannot steer a compact turn",
            "codexErrorInfo": {"activeTurnNotSteerable": {"turnKind": "compact"}},
            "additionalDetails": None,
        }
    refusal = await talk.refused("turn/start", {**asked, "turnId": TWO})
    assert refusal.message == f"expected active turn id `{TWO}` but found `{ONE}`"
    lab.fake.resume()
    await talk.turn_end(ONE)
    lab.fake.add(say("busy", deltas=2).hang(after=3))
    running = await talk.start_turn(thread_id, "go")
    refusal = await talk.refused("thread/compact/start", {"threadId": thread_id})
    assert refusal.message == f"cannot start a compact turn: turn {running} is in progress"
    assert refusal.data["codexErrorInfo"] == "other"
    lab.fake.resume()
    await talk.turn_end(running)


async def test_an_image_the_model_refuses_is_left_out_for_good(lab: Lab) -> None:
    """W-39: in the original it is back after a restart."""
    shown = {"contentItems": [{"type": "inputImage", "imageUrl": PICTURE}], "success": True}
    tool = {"name": "look", "description": "d", "inputSchema": {"type": "object"}}
    refused = status(400, {"error": {"message": "Invalid image: it cannot be decoded"}})
    lab.fake.add(call("look", {}, call_id="l1"), refused, say("then without"), say("on"))
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        thread_id = await talk.start_thread(lab.workspace, dynamicTools=[tool])
        turn_id = await talk.start_turn(thread_id, "look")
        await talk.answer(await talk.asked("item/tool/call"), shown)
        assert (await talk.turn_end(turn_id))["status"] == "completed"
        assert PICTURE in str(lab.fake.requests[1]["input"])
        assert PICTURE not in str(lab.fake.requests[2]["input"])
    async with lab.serving() as server, connect(server) as talk:
        await talk.ask("thread/resume", {"threadId": thread_id})
        await talk.turn(thread_id, "and now?")
    assert PICTURE not in str(lab.fake.requests[-1]["input"])
    assert "image left out" in str(lab.fake.requests[-1]["input"])


async def test_what_a_summary_costs_is_counted(lab: Lab, talk: Talk) -> None:
    """W-13: in the thread's totals, though the context that is left is the new memory."""
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(say("answer").with_usage(700, 10), say("in short").with_usage(720, 5))
    await talk.turn(thread_id, "before")
    await talk.ask("thread/compact/start", {"threadId": thread_id, "turnId": ONE})
    assert (await talk.turn_end(ONE))["status"] == "completed"
    told = await talk.told("thread/tokenUsage/updated", turnId=ONE)
    total = told["tokenUsage"]["total"]
    assert (total["inputTokens"], total["outputTokens"]) == (1420, 15)
    assert told["tokenUsage"]["last"]["totalTokens"] < 500
