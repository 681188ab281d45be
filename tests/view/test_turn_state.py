import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.view.turn_state import TurnState, fold
from tests.view.turn_stories import COMMAND_REQUEST, THREAD, TURN, Story, finished_story


def replayed(ops: list[dict[str, Any]], **settings: Any) -> dict[str, Any]:
    """The state of a page that saw nothing but the ops, each through JSON."""
    state = TurnState(THREAD, TURN, model="gpt-5.5", **settings).snapshot()
    for op in ops:
        fold(state, json.loads(json.dumps(op)))
    return state


def item(story: Story, item_id: str) -> dict[str, Any]:
    return next(i for i in story.state.snapshot()["items"] if i["id"] == item_id)


def test_the_ops_of_a_whole_turn_rebuild_its_snapshot() -> None:
    story = finished_story()
    assert replayed(story.ops) == story.state.snapshot(max_bytes=10_000_000)


def test_notifications_of_other_turns_and_threads_cause_nothing() -> None:
    state = TurnState(THREAD, TURN)
    before = state.snapshot()
    delta = {"itemId": "m", "delta": "x"}
    elsewhere = ({"threadId": "t2", "turnId": TURN}, {"threadId": THREAD, "turnId": "other"}, {})
    for ids in elsewhere:
        assert state.apply("item/agentMessage/delta", {**ids, **delta}) == []
    assert state.apply("account/updated", {}) == []
    assert state.snapshot() == before


def test_deltas_grow_their_item_and_the_completed_item_replaces_it() -> None:
    story = Story().begin()
    story.answer("Hello there", whole=False)
    assert item(story, "msg_1")["text"] == "Hello there"
    story.completed({"type": "agentMessage", "id": "msg_1", "text": "Hello there."})
    assert item(story, "msg_1")["text"] == "Hello there."


def test_a_delta_after_the_item_is_complete_changes_nothing() -> None:
    story = Story().begin().answer("done")
    story.tell("item/agentMessage/delta", itemId="msg_1", delta="more")
    assert item(story, "msg_1")["text"] == "done"


def test_a_delta_of_an_unannounced_item_brings_the_item() -> None:
    story = Story()
    story.tell("item/commandExecution/outputDelta", itemId="c9", delta="hi\n")
    assert item(story, "c9") == {"type": "commandExecution", "id": "c9", "aggregatedOutput": "hi\n"}


def test_reasoning_parts_go_where_their_index_says() -> None:
    story = Story().think()
    story.tell("item/reasoning/summaryPartAdded", itemId="rs_1", summaryIndex=2)
    story.tell("item/reasoning/textDelta", itemId="rs_1", contentIndex=0, delta="raw")
    assert [bool(part) for part in item(story, "rs_1")["summary"]] == [True, False, False]
    assert item(story, "rs_1")["content"] == ["raw"]


@pytest.mark.parametrize("index", [-1, 256, 10**9])
def test_an_absurd_part_index_allocates_nothing(index: int) -> None:
    story = Story().think()
    before = story.state.snapshot()
    story.tell("item/reasoning/textDelta", itemId="rs_1", contentIndex=index, delta="x")
    assert story.state.snapshot() == before


def test_tokens_of_the_turn_are_summed_over_its_responses() -> None:
    usage = Story().usage().usage().state.snapshot()["usage"]
    assert (usage["inputTokens"], usage["outputTokens"]) == (9_600, 800)
    assert (usage["contextTokens"], usage["contextWindow"]) == (5_200, 258_400)


def test_a_retry_is_told_once_and_forgotten_when_the_turn_goes_on() -> None:
    story = Story().begin()
    for attempt in ("Reconnecting... 1/2", "Reconnecting... 2/2"):
        story.tell("error", willRetry=True, error={"message": attempt})
    notices = story.state.snapshot()["notices"]
    assert notices == [{"level": "retry", "text": "Reconnecting... 2/2"}]
    story.started({"type": "agentMessage", "id": "m", "text": ""})
    assert story.state.snapshot()["notices"] == []


def test_a_retry_within_an_item_is_forgotten_at_its_next_delta() -> None:
    story = Story().begin().answer("Hel", whole=False)
    story.tell("error", willRetry=True, error={"message": "Reconnecting... 1/2"})
    story.tell("item/agentMessage/delta", itemId="msg_1", delta="lo")
    assert story.state.snapshot()["notices"] == []


def test_a_failure_keeps_its_error_and_says_what_to_do() -> None:
    error = {"message": "too long", "codexErrorInfo": "contextWindowExceeded"}
    story = Story().begin().tell("error", willRetry=False, error=error).end("failed")
    snapshot = story.state.snapshot()
    assert (snapshot["status"], snapshot["error"]["message"]) == ("failed", "too long")
    assert "new thread" in snapshot["error"]["advice"]


def test_an_error_with_a_structured_kind_has_advice_too() -> None:
    info = {"responseTooManyFailedAttempts": {"httpStatusCode": 429}}
    story = Story().begin().end("failed", {"message": "429", "codexErrorInfo": info})
    assert "quota" in story.state.snapshot()["error"]["advice"]


def test_a_question_is_open_until_it_is_settled_once() -> None:
    story = Story().begin().ask()
    assert story.state.snapshot()["requests"][0]["outcome"] is None
    assert story.state.settle(COMMAND_REQUEST["requestId"], "decline")
    assert story.state.settle(COMMAND_REQUEST["requestId"], "accept") == []
    assert story.state.settle("unknown", "accept") == []
    (request,) = story.end().state.snapshot()["requests"]
    assert request["outcome"] == "decline"
    assert "digest" not in request


def test_the_end_of_a_turn_closes_its_open_questions() -> None:
    story = Story().begin().ask().end("interrupted")
    assert story.state.snapshot()["requests"][0]["outcome"] == "closed"


def test_items_that_only_the_completed_turn_names_are_shown() -> None:
    late = {"type": "agentMessage", "id": "late", "text": "ran"}
    story = Story().begin()
    turn = {"id": TURN, "items": [late], "status": "completed", "error": None, "durationMs": 1}
    story.tell("turn/completed", turn=turn)
    assert item(story, "late")["text"] == "ran"


def test_warnings_holds_notices_and_models_reach_the_state() -> None:
    story = Story(notice="offline model")
    story.tell("model/rerouted", fromModel="a", toModel="b", reason="capacity")
    story.state.apply("warning", {"threadId": THREAD, "message": "careful"})
    story.ops += story.state.hold("while True: pass")
    snapshot = story.state.snapshot()
    assert [notice["text"] for notice in snapshot["notices"]] == ["offline model", "careful"]
    assert (snapshot["model"], snapshot["hold"]) == ("b", "while True: pass")


def test_what_a_notebook_cannot_carry_is_cleaned() -> None:
    image = {"type": "inputImage", "imageUrl": "data:image/png;base64," + "A" * 5000}
    text = {"type": "inputText", "text": "half \ud83d of a pair; data:text, stays"}
    call = {"type": "dynamicToolCall", "id": "d", "tool": "plot", "status": "completed"}
    sound = {"type": "inputAudio", "audioUrl": "data:audio/wav;base64," + "A" * 5000}
    story = Story().completed({**call, "contentItems": [image, text, sound]})
    shown_image, shown_text, shown_sound = item(story, "d")["contentItems"]
    assert shown_sound["audioUrl"] == "data:audio/wav;base64,…"
    assert shown_image["imageUrl"] == "data:image/png;base64,…"
    assert shown_text["text"] == "half ? of a pair; data:text, stays"
    json.dumps(story.ops, ensure_ascii=False).encode()


def test_a_snapshot_shares_nothing_with_the_state() -> None:
    story = finished_story()
    first = story.state.snapshot()
    first["items"].clear()
    first["plan"]["plan"].clear()
    assert story.state.snapshot()["items"]
    assert story.state.snapshot()["plan"]["plan"]


@pytest.mark.parametrize("max_bytes", [3_000, 20_000, 262_144])
def test_a_snapshot_fits_and_says_that_it_was_shortened(max_bytes: int) -> None:
    story = finished_story()
    for number in range(300):
        text = f"{number} " + "lang ü " * 200
        story.completed({"type": "agentMessage", "id": f"m{number}", "text": text})
    snapshot = story.state.snapshot(max_bytes=max_bytes)
    size = len(json.dumps(snapshot, ensure_ascii=False, separators=(",", ":")).encode())
    assert size <= max_bytes
    assert snapshot["truncated"]
    assert snapshot["threadId"] == THREAD


def test_a_long_output_keeps_its_head_and_its_tail() -> None:
    output = "first\n" + "x" * 1_000_000 + "\nlast"
    story = Story().command(status="completed", exitCode=0, aggregatedOutput=output)
    kept = story.state.snapshot()["items"][0]["aggregatedOutput"]
    assert kept.startswith("first\n")
    assert kept.endswith("\nlast")
    assert "not kept" in kept


RECORDED = [
    ("item/started", {"item": {"type": "agentMessage", "id": "a", "text": ""}}),
    ("item/started", {"item": {"type": "reasoning", "id": "b", "summary": [], "content": []}}),
    ("item/completed", {"item": {"type": "agentMessage", "id": "a", "text": "whole"}}),
    ("turn/diff/updated", {"diff": "diff --git a/x b/x\n"}),
    ("turn/plan/updated", {"plan": [{"step": "s", "status": "pending"}]}),
    ("error", {"willRetry": True, "error": {"message": "again"}}),
    ("turn/completed", {"turn": {"id": TURN, "status": "interrupted"}}),
]
TEXT = st.text(alphabet=st.characters(codec="utf-8"), max_size=12)
NOTIFICATIONS = st.one_of(
    st.sampled_from(RECORDED),
    st.builds(
        lambda item_id, delta: ("item/agentMessage/delta", {"itemId": item_id, "delta": delta}),
        st.sampled_from("ac"),
        TEXT,
    ),
    st.builds(
        lambda delta, index: (
            "item/reasoning/summaryTextDelta",
            {"itemId": "b", "delta": delta, "summaryIndex": index},
        ),
        TEXT,
        st.integers(0, 3),
    ),
)


@given(st.lists(NOTIFICATIONS, max_size=30))
def test_any_order_of_notifications_gives_ops_that_rebuild_the_state(
    notifications: list[tuple[str, dict[str, Any]]],
) -> None:
    story = Story()
    for method, params in notifications:
        story.tell(method, **params)
    assert replayed(story.ops) == story.state.snapshot()


def test_a_plan_of_thousands_of_steps_keeps_a_snapshot_within_its_bytes() -> None:
    state = TurnState("t", "u")
    plan = [{"step": "x" * 300, "status": "pending"}] * 3_000
    state.apply("turn/plan/updated", {"threadId": "t", "turnId": "u", "plan": plan})
    item = {"type": "agentMessage", "id": "a", "text": "All done."}
    state.apply("item/completed", {"threadId": "t", "turnId": "u", "item": item})
    snapshot = state.snapshot(max_bytes=65_536)
    assert len(json.dumps(snapshot, ensure_ascii=False, separators=(",", ":"))) <= 65_536
    assert snapshot["truncated"]
    assert snapshot["items"] == [item]
