"""What the records of a thread add up to, ours and the original's."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.fold import Fold, StoredThread, user_text
from codex_jupyter.rollout.records import Record

THREAD = ThreadId("0199a213-81c0-7800-8aa1-bbab2a035a53")
TIME = "2026-01-01T00:00:10.500Z"
T0 = 1767225610


def event(kind: str, **fields: Any) -> Record:
    return Record("event_msg", {"type": kind, **fields}, TIME)


def message(text: str, role: str = "user") -> Record:
    kind = "input_text" if role == "user" else "output_text"
    content = [{"type": kind, "text": text}]
    return Record("response_item", {"type": "message", "role": role, "content": content}, TIME)


def said(turn: str, text: str) -> Record:
    item = {"type": "userMessage", "id": f"u-{text}", "content": [{"type": "text", "text": text}]}
    return event("item_completed", thread_id=THREAD, turn_id=turn, item=item)


def turn_of(turn: str, text: str) -> list[Record]:
    return [
        event("task_started", turn_id=turn, started_at_ms=1_000_999),
        Record("turn_context", {"turn_id": turn, "model": f"model-{turn}"}, TIME),
        message(text),
        said(turn, text),
        message(f"re: {text}", "assistant"),
        event("task_complete", turn_id=turn, completed_at_ms=2_000_000, duration_ms=999_001),
    ]


def fold(*records: Record) -> StoredThread:
    folded = Fold()
    for record in records:
        folded.add(record)
    return folded.thread(THREAD, Path("/r.jsonl"), updated_at=5.0, archived=False)


def texts(thread: StoredThread) -> list[str]:
    return [item["content"][0]["text"] for item in thread.history]


META = Record("session_meta", {"id": THREAD, "timestamp": "2026-01-01T00:00:00Z"}, TIME)


def test_a_finished_turn_reads_back_as_it_was_shown() -> None:
    thread = fold(META, *turn_of("t1", "hello"))
    assert thread.turns == [
        {
            "id": "t1",
            "items": [
                {
                    "type": "userMessage",
                    "id": "u-hello",
                    "content": [{"type": "text", "text": "hello"}],
                }
            ],
            "status": "completed",
            "error": None,
            "startedAt": 1000,
            "completedAt": 2000,
            "durationMs": 999_001,
        }
    ]
    assert texts(thread) == ["hello", "re: hello"]
    assert thread.preview == "hello"
    assert thread.created_at == T0 - 10
    assert thread.updated_at == 5.0
    assert thread.used_turn_ids == {"t1"}
    assert thread.last_turn_context == {"turn_id": "t1", "model": "model-t1"}


def test_each_end_gives_its_status_and_none_means_interrupted() -> None:
    error = {"message": "no", "codexErrorInfo": "other", "additionalDetails": None}
    thread = fold(
        *turn_of("done", "a"),
        event("task_started", turn_id="stopped"),
        event("turn_aborted", turn_id="stopped", reason="interrupted"),
        event("task_started", turn_id="broken"),
        event("turn_failed", turn_id="broken", error=error),
        event("task_started", turn_id="cut off"),
    )
    assert [(turn["id"], turn["status"], turn["error"]) for turn in thread.turns] == [
        ("done", "completed", None),
        ("stopped", "interrupted", None),
        ("broken", "failed", error),
        ("cut off", "interrupted", None),
    ]
    assert thread.turns[1]["startedAt"] == T0
    assert thread.turns[3]["completedAt"] is None
    assert thread.used_turn_ids == {"done", "stopped", "broken", "cut off"}


def test_an_item_completed_again_replaces_the_first_in_its_place() -> None:
    def command(status: str) -> Record:
        item = {"type": "commandExecution", "id": "c1", "status": status}
        return event("item_completed", turn_id="t1", item=item)

    thread = fold(*turn_of("t1", "a"), command("failed"), said("t1", "more"), command("completed"))
    assert [item["id"] for item in thread.turns[0]["items"]] == ["u-a", "c1", "u-more"]
    assert thread.turns[0]["items"][1]["status"] == "completed"


def test_a_rolled_back_turn_leaves_the_view_and_the_history_but_its_id_stays_used() -> None:
    thread = fold(
        *turn_of("t1", "a"),
        *turn_of("t2", "b"),
        *turn_of("t3", "c"),
        event("thread_rolled_back", num_turns=2),
        *turn_of("t4", "d"),
    )
    assert [turn["id"] for turn in thread.turns] == ["t1", "t4"]
    assert texts(thread) == ["a", "re: a", "d", "re: d"]
    assert thread.used_turn_ids == {"t1", "t2", "t3", "t4"}


def test_an_item_that_ends_after_its_turn_was_taken_back_begins_no_turn() -> None:
    item = {"type": "commandExecution", "id": "c1", "status": "completed"}
    late = event("item_completed", turn_id="t2", item=item)
    back = event("thread_rolled_back", before_turn_id="t2")
    thread = fold(*turn_of("t1", "a"), *turn_of("t2", "b"), back, late, *turn_of("t3", "c"))
    assert [turn["id"] for turn in thread.turns] == ["t1", "t3"]
    assert thread.last_turn_context == {"turn_id": "t3", "model": "model-t3"}


def test_a_rollback_restores_the_settings_before_it() -> None:
    thread = fold(
        *turn_of("t1", "a"), *turn_of("t2", "b"), event("thread_rolled_back", num_turns=1)
    )
    assert thread.last_turn_context == {"turn_id": "t1", "model": "model-t1"}


def test_a_rollback_of_more_turns_than_there_are_clears_all() -> None:
    thread = fold(message("before", "developer"), *turn_of("t1", "a"))
    assert len(texts(thread)) == 3
    thread = fold(
        message("before", "developer"),
        *turn_of("t1", "a"),
        event("thread_rolled_back", num_turns=9),
    )
    assert thread.turns == []
    assert texts(thread) == ["before"]


def test_a_steered_turn_counts_once_and_a_turn_nobody_spoke_in_not_at_all() -> None:
    thread = fold(
        *turn_of("t1", "a"),
        event("task_started", turn_id="t2"),
        message("b"),
        said("t2", "b"),
        message("steered"),
        said("t2", "steered"),
        event("task_complete", turn_id="t2"),
        event("task_started", turn_id="compaction"),
        event("task_complete", turn_id="compaction"),
        event("thread_rolled_back", num_turns=1),
    )
    assert [turn["id"] for turn in thread.turns] == ["t1"]
    assert texts(thread) == ["a", "re: a"]


@pytest.mark.parametrize("count", [0, -1, None, "1"])
def test_a_senseless_rollback_changes_nothing(count: object) -> None:
    thread = fold(*turn_of("t1", "a"), event("thread_rolled_back", num_turns=count))
    assert [turn["id"] for turn in thread.turns] == ["t1"]


def test_a_compaction_replaces_the_history_and_a_rollback_past_it_brings_it_back() -> None:
    summary = message("summary").payload
    compaction = Record("compacted", {"message": "", "replacement_history": [summary, 7]}, TIME)
    records = [*turn_of("t1", "a"), *turn_of("t2", "b")]
    assert texts(fold(*records, compaction, *turn_of("t3", "c"))) == ["summary", "c", "re: c"]
    back = event("thread_rolled_back", num_turns=1)
    assert texts(fold(*records, compaction, *turn_of("t3", "c"), back)) == ["summary"]
    assert texts(fold(*records, compaction, back)) == ["a", "re: a"]


def test_a_compaction_without_a_replacement_keeps_what_the_user_wrote() -> None:
    compaction = Record("compacted", {"message": "summary"}, TIME)
    context = message("<environment_context>…")
    thread = fold(context, *turn_of("t1", "a"), compaction)
    assert texts(thread) == ["a", "summary"]


def test_name_usage_and_meta_are_the_last_the_last_and_the_first() -> None:
    thread = fold(
        META,
        Record("session_meta", {"id": "of the parent"}, TIME),
        event("thread_name_updated", thread_name="one"),
        event("thread_name_updated", thread_name="two"),
        event("token_count", info={"total": 1}),
        event("token_count", info=None),
    )
    assert (thread.name, thread.token_usage) == ("two", {"total": 1})
    assert thread.meta["id"] == THREAD


def test_a_file_of_the_original_has_its_items_from_events() -> None:
    thread = fold(
        META,
        event("task_started", turn_id="t1", started_at=77),
        Record("turn_context", {"turn_id": "t1"}, TIME),
        message("hi"),
        event(
            "user_message", message="hi", images=["data:x"], local_images=["/p"], text_elements=[]
        ),
        event("agent_reasoning", text="hm"),
        event("exec_command_end", call_id="c", command=["ls", "a b"], cwd="/", exit_code=1),
        event("agent_message", message="there"),
        event("item_completed", turn_id="t1", item={"type": "Plan", "id": "p", "text": "1."}),
        event("item_completed", turn_id="t1", item={"type": "AgentMessage", "id": "m"}),
        event("exited_review_mode", review_output={"overall_explanation": "fine"}),
        event("task_complete", turn_id="t1", last_agent_message="there"),
    )
    [turn] = thread.turns
    assert (turn["startedAt"], turn["status"]) == (77, "completed")
    assert [(item["type"], item["id"]) for item in turn["items"]] == [
        ("userMessage", "item-1"),
        ("reasoning", "item-2"),
        ("commandExecution", "c"),
        ("agentMessage", "item-4"),
        ("plan", "p"),
        ("exitedReviewMode", "item-5"),
    ]
    assert turn["items"][0]["content"] == [
        {"type": "text", "text": "hi", "text_elements": []},
        {"type": "image", "url": "data:x"},
        {"type": "localImage", "path": "/p"},
    ]
    assert turn["items"][2]["command"] == "ls 'a b'"
    assert turn["items"][2]["status"] == "failed"


def test_a_call_of_a_clients_tool_is_read_as_the_original_stores_it() -> None:
    content = [{"type": "inputText", "text": "hi"}]
    took = {"duration": {"secs": 1, "nanos": 2_000_000}}
    call = {"type": "DynamicToolCall", "id": "c1", "namespace": "mail", "tool": "send", **took}
    good = {"status": "completed", "success": True, "content_items": content}
    bad = {"type": "DynamicToolCall", "id": "c2", "tool": "look", "status": "failed"}
    thread = fold(
        event("task_started", turn_id="t1"),
        event("item_completed", turn_id="t1", item={**call, **good, "arguments": {"to": "me"}}),
        event("item_completed", turn_id="t1", item={**bad, "success": False, "arguments": {}}),
    )
    first, second = thread.turns[0]["items"]
    assert (first["type"], first["id"], first["namespace"]) == ("dynamicToolCall", "c1", "mail")
    assert (first["tool"], first["arguments"], first["status"]) == (
        "send",
        {"to": "me"},
        "completed",
    )
    assert (first["contentItems"], first["success"], first["durationMs"]) == (content, True, 1002)
    assert (second["namespace"], second["status"], second["success"]) == (None, "failed", False)
    assert (second["contentItems"], second["durationMs"]) == (None, None)


def test_what_is_stored_as_item_and_as_event_counts_once() -> None:
    thread = fold(
        event("task_started", turn_id="t1"),
        event("user_message", message="hi"),
        said("t1", "hi"),
        event("agent_message", message="yes"),
    )
    assert [item["id"] for item in thread.turns[0]["items"]] == ["u-hi", "item-2"]


def test_an_old_file_without_turn_ids_gets_stable_ones_that_are_not_used() -> None:
    records = [
        META,
        message("one"),
        event("user_message", message="one"),
        event("agent_message", message="1"),
        message("two"),
        event("user_message", message="two"),
        event("agent_message", message="2"),
    ]
    thread = fold(*records)
    assert [turn["id"] for turn in thread.turns] == ["rollout-1", "rollout-2"]
    assert [turn["status"] for turn in thread.turns] == ["completed", "completed"]
    assert thread.used_turn_ids == frozenset()
    assert fold(*records).turns == thread.turns
    assert texts(fold(*records, event("thread_rolled_back", num_turns=1))) == ["one"]


def test_a_turn_begun_without_its_id_takes_it_from_its_settings() -> None:
    thread = fold(
        event("task_started"),
        Record("turn_context", {"turn_id": "t1"}, TIME),
        event("user_message", message="hi"),
        event("task_complete"),
        event("task_started"),
        event("turn_aborted", reason="interrupted"),
    )
    assert [(turn["id"], turn["status"]) for turn in thread.turns] == [
        ("t1", "completed"),
        ("rollout-2", "interrupted"),
    ]
    assert len(thread.turns[0]["items"]) == 1


def test_an_error_event_of_the_original_makes_its_turn_failed() -> None:
    thread = fold(
        event("task_started", turn_id="t1"),
        event("error", message="full", codex_error_info="context_window_exceeded"),
        event("task_complete", turn_id="t1"),
    )
    assert thread.turns[0]["status"] == "failed"
    assert thread.turns[0]["error"] == {
        "message": "full",
        "codexErrorInfo": "contextWindowExceeded",
        "additionalDetails": None,
    }


@pytest.mark.parametrize(
    "text", ["<environment_context>", " <TURN_ABORTED> x", "# AGENTS.md instructions for /x"]
)
def test_messages_the_engine_wrote_are_not_the_users(text: str) -> None:
    assert user_text(message(text)) is None
    assert fold(message(text), message("mine")).preview == "mine"


VALUES = (
    st.none() | st.integers(-2, 3) | st.sampled_from(["t1", "t2", ""]) | st.just([1]) | st.just({})
)
KINDS = st.sampled_from(
    [
        "task_started", "task_complete", "turn_aborted", "turn_failed", "item_completed",
        "user_message", "agent_message", "thread_rolled_back", "token_count", "error",
        "thread_name_updated", "exec_command_end", "exited_review_mode",
    ]
)  # fmt: skip
FIELDS = st.dictionaries(
    st.sampled_from(
        ["turn_id", "item", "message", "text", "num_turns", "info", "error", "started_at_ms",
         "content", "replacement_history", "role", "command", "review_output"]
    ),
    VALUES,
)  # fmt: skip
ODD_RECORDS = st.builds(
    lambda kind, event_kind, fields: Record(kind, {"type": event_kind, **fields}, ""),
    st.sampled_from(["event_msg", "turn_context", "response_item", "compacted", "session_meta"]),
    KINDS,
    FIELDS,
)


@given(st.lists(ODD_RECORDS, max_size=12))
def test_odd_fields_never_break_the_fold(records: list[Record]) -> None:
    thread = fold(*records)
    ids = [turn["id"] for turn in thread.turns]
    assert len(ids) == len(set(ids))
    assert set(ids) <= thread.used_turn_ids | {f"rollout-{n}" for n in range(1, 14)} | {
        "t1",
        "t2",
        "",
    }
