"""The stream of the offline model: its events, its pace, and leaving it early."""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.model.interface import ModelClient, ModelEvent, ModelRequest
from codex_jupyter.model.offline.answer import answer_batches
from codex_jupyter.model.offline.moves import CallTool, End, Move, Reason, Say
from codex_jupyter.model.offline.provider import OfflineModel

pytestmark = pytest.mark.anyio

PLAY = """
play = 1
title = "T"
prompt = "go"
[[step]]
reason = "I think so."
[[step]]
say = "one two\\nthree "
[[step]]
run = "x"
[[step]]
say = "done"
"""
PYTHON = {"type": "function", "name": "run_python", "parameters": {}}


def request(
    *items: Mapping[str, Any], tools: Sequence[Mapping[str, Any]] = (PYTHON,)
) -> ModelRequest:
    return ModelRequest(model="offline", instructions="Be good.", input=items, tools=tools)


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def model(folder: Path, pace: float) -> ModelClient:
    (folder / "play.toml").write_text(PLAY, encoding="utf-8")
    return OfflineModel(pace=pace, play_dirs=[folder])


async def batches(client: ModelClient, asked: ModelRequest) -> list[list[ModelEvent]]:
    with anyio.fail_after(30):
        async with client.stream(asked) as stream:
            return [batch async for batch in stream]


async def all_events(client: ModelClient, asked: ModelRequest) -> list[ModelEvent]:
    return [event for batch in await batches(client, asked) for event in batch]


def of_type(events: list[ModelEvent], kind: str) -> list[ModelEvent]:
    return [event for event in events if event["type"] == kind]


async def test_an_answer_streams_word_by_word_from_created_to_completed(tmp_path: Path) -> None:
    steps = await batches(model(tmp_path, 10_000), request(user("go")))
    assert all(steps)
    assert [event["type"] for event in steps[0]] == ["response.created"]
    assert [event["type"] for event in steps[-1]] == ["response.completed"]
    deltas = [[event["delta"] for event in step if "delta" in event] for step in steps]
    assert [delta for delta in deltas if delta] == [
        ["I "], ["think "], ["so."], ["one "], ["two\n"], ["three "],
    ]  # fmt: skip


async def test_items_open_before_their_deltas_and_close_whole(tmp_path: Path) -> None:
    events = await all_events(model(tmp_path, 10_000), request(user("go")))
    order = [event["type"].removeprefix("response.") for event in events]
    assert order == [
        "created",
        "output_item.added",
        "reasoning_summary_part.added",
        *["reasoning_summary_text.delta"] * 3,
        "output_item.done",
        "output_item.added",
        *["output_text.delta"] * 3,
        "output_item.done",
        "output_item.added",
        "output_item.done",
        "completed",
    ]
    reasoning, message, call = (
        event["item"] for event in of_type(events, "response.output_item.done")
    )
    assert reasoning["summary"] == [{"type": "summary_text", "text": "I think so."}]
    assert message["content"][0]["text"] == "one two\nthree "
    assert (call["type"], call["name"]) == ("function_call", "run_python")
    assert json.loads(call["arguments"]) == {"code": "x"}
    added = [event["item"]["id"] for event in of_type(events, "response.output_item.added")]
    assert added == [reasoning["id"], message["id"], call["id"]]
    assert {e["item_id"] for e in of_type(events, "response.output_text.delta")} == {message["id"]}


async def test_without_a_pace_each_move_arrives_whole(tmp_path: Path) -> None:
    steps = await batches(model(tmp_path, 0), request(user("go")))
    assert len(steps) == 5
    assert [len(step) for step in steps] == [1, 4, 3, 2, 1]


async def test_the_next_request_goes_on_after_the_tool(tmp_path: Path) -> None:
    client = model(tmp_path, 0)
    call = {"type": "function_call", "call_id": "c", "name": "run_python", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c", "output": "ok"}
    events = await all_events(client, request(user("go"), call, result))
    [done] = of_type(events, "response.output_item.done")
    assert done["item"]["content"][0]["text"] == "done"


async def test_no_id_is_ever_used_twice(tmp_path: Path) -> None:
    client = model(tmp_path, 0)
    events = [
        event
        for _ in range(3)
        for step in await batches(client, request(user("go")))
        for event in step
    ]
    items = [event["item"] for event in of_type(events, "response.output_item.done")]
    ids = [item["id"] for item in items] + [item["call_id"] for item in items if "call_id" in item]
    ids += [event["response"]["id"] for event in of_type(events, "response.created")]
    assert len(set(ids)) == len(ids) == 3 * 5


async def test_usage_is_estimated_at_four_bytes_a_token(tmp_path: Path) -> None:
    *_, [completed] = await batches(model(tmp_path, 0), request(user("go")))
    usage = completed["response"]["usage"]
    sent = len(json.dumps([user("go")]))
    assert usage["input_tokens"] == 2 + -(-sent // 4)
    reasoning, said, called = -(-11 // 4), -(-14 // 4), -(-len('{"code": "x"}') // 4)
    assert usage["output_tokens"] == reasoning + said + called
    assert usage["output_tokens_details"] == {"reasoning_tokens": reasoning}
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


async def test_a_custom_patch_tool_gets_free_text(tmp_path: Path) -> None:
    client = model(tmp_path, 0)
    text = PLAY.replace('run = "x"', 'patch = "*** Begin Patch"')
    (tmp_path / "play.toml").write_text(text, encoding="utf-8")
    asked = request(user("go"), tools=[{"type": "custom", "name": "apply_patch"}])
    events = await all_events(client, asked)
    item = of_type(events, "response.output_item.done")[-1]["item"]
    assert item["type"] == "custom_tool_call"
    assert item["input"] == "*** Begin Patch"
    assert item["call_id"] != item["id"]


@pytest.mark.parametrize("items", [[user("write a poem")], []])
async def test_a_prompt_without_a_play_gets_an_honest_answer(
    tmp_path: Path, items: list[dict[str, Any]]
) -> None:
    events = await all_events(model(tmp_path, 0), request(*items))
    [done] = of_type(events, "response.output_item.done")
    answer = done["item"]["content"][0]["text"]
    assert "not a language model" in answer
    assert "> go" in answer


async def test_a_message_in_the_middle_of_a_play_is_not_taken_silently(tmp_path: Path) -> None:
    client = model(tmp_path, 0)
    call = {"type": "function_call", "call_id": "c", "name": "run_python", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c", "output": "ok"}
    events = await all_events(client, request(user("go"), call, result, user("go")))
    first = of_type(events, "response.output_item.done")[0]["item"]
    assert "I leave that task" in first["content"][0]["text"]
    later = [user("go"), call, result, user("go"), {**call, "call_id": "d"}]
    later.append({**result, "call_id": "d"})
    events = await all_events(client, request(*later))
    [done] = of_type(events, "response.output_item.done")
    assert done["item"]["content"][0]["text"] == "done"


async def test_cancelling_leaves_in_the_middle_of_a_pause(tmp_path: Path) -> None:
    seen: list[ModelEvent] = []
    left = anyio.Event()
    started = anyio.Event()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:

            async def read() -> None:
                try:
                    # One word in 1000 seconds: only cancelling can end this.
                    async with model(tmp_path, 0.001).stream(request(user("go"))) as stream:
                        async for batch in stream:
                            seen.extend(batch)
                            started.set()
                finally:
                    left.set()

            group.start_soon(read)
            await started.wait()
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
    assert left.is_set()
    assert [event["type"] for event in seen] == ["response.created"]


async def test_cancelling_is_noticed_without_a_pace_too(tmp_path: Path) -> None:
    seen = 0
    with anyio.fail_after(30), anyio.CancelScope() as scope:
        async with model(tmp_path, 0).stream(request(user("go"))) as stream:
            async for _ in stream:
                seen += 1
                scope.cancel()
    assert seen == 1


async def test_a_reader_may_leave_early(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with model(tmp_path, 10_000).stream(request(user("go"))) as stream:
            async for _ in stream:
                break
        with pytest.raises(StopAsyncIteration):
            await anext(stream)


async def test_an_edited_play_counts_at_once(tmp_path: Path) -> None:
    client = model(tmp_path, 0)
    await batches(client, request(user("go")))
    (tmp_path / "play.toml").write_text(PLAY.replace("one two", "changed"), encoding="utf-8")
    assert "changed" in str(await batches(client, request(user("go"))))


@pytest.mark.parametrize("pace", [-1, float("nan"), float("inf")])
def test_a_pace_that_is_none_is_refused(pace: float) -> None:
    with pytest.raises(ValueError, match="words a second"):
        OfflineModel(pace=pace)


MOVES: st.SearchStrategy[list[Move]] = st.lists(
    st.builds(Say, st.text())
    | st.builds(Reason, st.text())
    | st.builds(CallTool, st.text(), st.text())
)


@given(MOVES, st.booleans())
def test_the_deltas_of_an_item_add_up_to_it_however_they_are_cut(
    moves: list[Move], word_by_word: bool
) -> None:
    steps = list(
        answer_batches([*moves, End()], model="m", input_tokens=1, word_by_word=word_by_word)
    )
    assert all(steps)
    heard: dict[str, str] = {}
    whole: dict[str, str] = {}
    for event in chain.from_iterable(steps):
        if "delta" in event:
            heard[event["item_id"]] = heard.get(event["item_id"], "") + event["delta"]
        elif event["type"] == "response.output_item.done" and "call_id" not in event["item"]:
            item = event["item"]
            [part] = item["content"] if item["type"] == "message" else item["summary"]
            whole[item["id"]] = part["text"]
    assert {key: text for key, text in whole.items() if text} == heard
    assert list(whole.values()) == [
        move.text for move in moves if not isinstance(move, CallTool | End)
    ]
