"""The delegates of a turn: which notifications make a row, and what changes it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.view.delegate_words import delegate_line
from codex_jupyter.view.delegates import MAX_DELEGATES
from codex_jupyter.view.requests import pending_request
from codex_jupyter.view.turn_state import TurnState, fold
from tests.view.delegate_stories import ADA, CARL, EVE, Family, agents_call, five_delegates, row
from tests.view.turn_stories import THREAD, TURN, Story


def replayed(ops: list[dict[str, Any]]) -> dict[str, Any]:
    state = TurnState(THREAD, TURN, model="gpt-5.5").snapshot()
    for op in ops:
        fold(state, json.loads(json.dumps(op)))
    return state


def test_the_ops_of_a_turn_with_delegates_rebuild_its_snapshot() -> None:
    family = five_delegates()
    assert replayed(family.ops) == family.state.snapshot()
    assert len(family.state.snapshot()["delegates"]) == 5


def test_a_delegate_goes_from_waiting_to_its_last_word() -> None:
    family = Family()
    family.begin()
    family.appears(ADA, "Ada", "explorer")
    new = row(family, ADA)
    assert (new["name"], new["role"], new["status"]) == ("Ada", "explorer", "waiting")
    family.works(ADA, "Look around.", at=7)
    running = row(family, ADA)
    assert (running["status"], running["turnId"]) == ("running", f"turn-{ADA}")
    assert (running["task"], running["startedAtMs"]) == ("Look around.", 7_000)
    family.uses(ADA, 1_000, 200).uses(ADA, 10, 2).uses(ADA, 5_000, 5_000, delegated={})
    assert family.says(ADA, "Found it.").ends(ADA).state.delegate(ADA) == {
        **running,
        "status": "completed",
        "message": "Found it.",
        "tokens": 1_212,
        "durationMs": 3_400,
    }


def test_a_thread_without_a_nickname_is_called_by_its_id() -> None:
    family = Family()
    assert row(family.appears(ADA), ADA)["name"] == ADA[:8]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"type": "commandExecution", "command": "/bin/bash -lc 'pytest -q'"}, "$ pytest -q"),
        ({"type": "fileChange", "changes": [{"path": "/w/load.py"}]}, "Patching /w/load.py"),
        ({"type": "agentMessage", "text": ""}, "Writing"),
        ({"type": "reasoning"}, "Thinking"),
        ({"type": "mcpToolCall", "server": "docs", "tool": "find"}, "docs · find"),
        ({"type": "dynamicToolCall", "namespace": "mail", "tool": "send"}, "mail.send"),
        ({"type": "dynamicToolCall", "namespace": None, "tool": "send"}, "send"),
        (
            {
                "type": "dynamicToolCall",
                "namespace": "lab",
                "tool": "run_python",
                "arguments": {"code": "1"},
            },
            "lab.run_python",
        ),
        ({"type": "collabAgentToolCall", "tool": "wait"}, "Working with agents"),
        ({"type": "webSearch", "query": "pandas"}, "Searched the web: pandas"),
        ({"type": "commandExecution", "command": "a\n" + "b " * 200}, "$ a " + "b " * 57 + "b…"),
    ],
)
def test_what_it_does_now_is_said_in_a_few_words(item: dict[str, Any], words: str) -> None:
    family = Family()
    family.appears(ADA).works(ADA).does(ADA, {"id": "x", **item})
    assert row(family, ADA)["activity"] == words
    assert row(family.ends(ADA), ADA)["activity"] is None


COMMAND = {"type": "commandExecution", "id": "c", "command": "touch made"}


@pytest.mark.parametrize(
    ("flags", "waits"),
    [
        (("waitingOnApproval",), "approval"),
        (("waitingOnUserInput",), "answer"),
        (("waitingOnApproval", "waitingOnUserInput"), "approval"),
    ],
)
def test_a_row_says_that_its_delegate_waits_for_a_person(flags: tuple[str], waits: str) -> None:
    family = Family()
    family.begin()
    family.appears(ADA).works(ADA).does(ADA, COMMAND).waits(ADA, *flags)
    shown = row(family, ADA)
    assert (shown["waitsOn"], shown["activity"]) == (waits, "$ touch made")
    assert delegate_line(shown, live=True) == f"Waits for your {waits} · $ touch made"
    assert delegate_line(shown) == "$ touch made"
    assert replayed(family.ops) == family.state.snapshot()
    assert row(family.waits(ADA), ADA)["waitsOn"] is None


@pytest.mark.parametrize("end", ["its turn", "its thread"])
def test_what_has_ended_waits_for_nobody(end: str) -> None:
    family = Family()
    family.appears(ADA).works(ADA).waits(ADA, "waitingOnApproval")
    if end == "its turn":
        family.ends(ADA, "interrupted")
    else:
        family.hears("thread/closed", threadId=ADA)
    assert row(family, ADA)["waitsOn"] is None


def test_whoever_comes_late_sees_that_a_delegate_waits() -> None:
    family, status = Family(), {"type": "active", "activeFlags": ["waitingOnApproval"]}
    thread = {"id": ADA, "parentThreadId": THREAD, "preview": "", "status": status}
    family.hears("thread/started", thread=thread)
    assert row(family, ADA)["waitsOn"] == "approval"


def test_only_a_change_of_a_row_is_an_op_and_deltas_are_none() -> None:
    family = Family()
    family.appears(ADA).works(ADA).does(ADA, {"type": "reasoning", "id": "r"})
    before = len(family.ops)
    family.does(ADA, {"type": "reasoning", "id": "r2"})
    delta = {"threadId": ADA, "turnId": f"turn-{ADA}", "itemId": "m", "delta": "x"}
    family.hears("item/agentMessage/delta", **delta)
    family.hears("thread/closed", threadId=CARL)
    assert len(family.ops) == before


def test_threads_of_others_and_of_a_turn_that_is_over_have_no_row() -> None:
    family = Family()
    family.begin()
    family.appears(ADA, parent=CARL).appears(THREAD).end()
    family.appears(EVE)
    assert family.state.snapshot()["delegates"] == []
    assert not family.state.knows_delegate(ADA)
    assert family.state.delegate(ADA) is None


def test_what_a_delegate_starts_is_known_by_its_parent() -> None:
    family = Family()
    family.appears(ADA).appears(EVE, parent=ADA)
    assert family.state.knows_delegate(EVE)
    assert row(family, EVE)["parentThreadId"] == ADA


def test_a_failure_is_the_message_and_a_retry_is_not() -> None:
    family = Family()
    family.appears(ADA).works(ADA)
    family.hears("error", threadId=ADA, willRetry=True, error={"message": "again"})
    assert row(family, ADA)["message"] is None
    family.hears("error", threadId=ADA, willRetry=False, error={"message": "too long"})
    assert row(family, ADA)["message"] == "too long"
    family.ends(ADA, "failed", "out of quota")
    assert (row(family, ADA)["status"], row(family, ADA)["message"]) == ("failed", "out of quota")


def test_a_thread_that_closes_keeps_how_its_turn_ended() -> None:
    family = Family()
    family.appears(ADA).works(ADA).ends(ADA).appears(CARL).works(CARL)
    for thread_id in (ADA, CARL):
        family.hears("thread/closed", threadId=thread_id)
    assert (row(family, ADA)["status"], row(family, CARL)["status"]) == ("completed", "closed")


def test_the_next_turn_of_a_delegate_forgets_the_last_message_and_sums_tokens() -> None:
    family = Family()
    family.appears(ADA).works(ADA, "First.").uses(ADA, 10, 1).says(ADA, "Done.").ends(ADA)
    family.works(ADA, "Second.").uses(ADA, 20, 2)
    again = row(family, ADA)
    assert (again["status"], again["message"], again["durationMs"]) == ("running", None, None)
    assert (again["task"], again["tokens"]) == ("First.", 33)


STATES = {ADA: {"status": "completed", "message": "Found it."}}
AGENT = {"threadId": ADA, "turnId": "t", "nickname": "Ada", "role": "explorer", "tokens": 1200}


def test_a_stored_turn_shows_the_same_rows_as_the_live_one() -> None:
    live = Family()
    live.begin()
    live.appears(ADA, "Ada", "explorer").works(ADA, "Look.").uses(ADA, 1_000, 200)
    live.says(ADA, "Found it.").ends(ADA)
    agents = [{**AGENT, "turnId": f"turn-{ADA}", "durationMs": 3_400}]
    spawn = agents_call("spawnAgent", ADA, prompt="Look.", agents=agents)
    spawn["agentsStates"] = {ADA: {"status": "running", "message": None}}
    wait = agents_call("wait", ADA, agentsStates=STATES, agents=agents)
    for item in (spawn, wait):
        live.started({**item, "status": "inProgress", "agentsStates": {}}).completed(item)
    stored = Story().tell(
        "turn/completed", turn={"id": TURN, "status": "completed", "items": [spawn, wait]}
    )
    known = row(live, ADA)
    assert row(stored, ADA) == {**known, "startedAtMs": None}
    assert known["status"] == "completed"


@pytest.mark.parametrize("first", ["call", "turn"])
def test_what_a_call_says_late_does_not_undo_what_the_thread_told(first: str) -> None:
    family = Family()
    spawn = agents_call("spawnAgent", ADA, prompt="Look.")
    spawn["agentsStates"] = {ADA: {"status": "pendingInit", "message": None}}
    family.appears(ADA, "Ada")
    if first == "call":
        family.completed(spawn)
    family.works(ADA).says(ADA, "Found it.").ends(ADA)
    if first == "turn":
        family.completed(spawn)
    shown = row(family, ADA)
    assert (shown["status"], shown["message"]) == ("completed", "Found it.")


@pytest.mark.parametrize(
    ("said", "status"),
    [("errored", "failed"), ("shutdown", "closed"), ("pendingInit", "waiting")],
)
def test_states_of_agents_are_those_of_rows(said: str, status: str) -> None:
    states = {ADA: {"status": said, "message": "why"}}
    story = Story().completed(agents_call("wait", ADA, agentsStates=states))
    assert (row(story, ADA)["status"], row(story, ADA)["message"]) == (status, "why")


def test_what_only_the_model_takes_for_an_agent_never_seems_to_work() -> None:
    story = Story().begin().completed(agents_call("wait", "x" * 65, "nobody", status="failed"))
    assert story.state.snapshot()["delegates"] == []
    guess = agents_call("closeAgent", "nobody", id="c", status="inProgress")
    story.started(guess).completed({**guess, "status": "failed"})
    assert row(story, "nobody")["status"] == "failed"


def test_beyond_the_bound_one_line_counts_what_is_not_shown() -> None:
    family = Family()
    for number in range(MAX_DELEGATES + 3):
        family.appears(f"{number:08}-x")
    family.appears(f"{MAX_DELEGATES:08}-x")
    snapshot = family.state.snapshot(max_bytes=10_000_000)
    assert len(snapshot["delegates"]) == MAX_DELEGATES
    assert [n["text"] for n in snapshot["notices"]] == ["3 more delegates are not shown."]
    assert replayed(family.ops) == snapshot


def test_long_texts_of_a_delegate_are_clipped() -> None:
    family = Family()
    family.appears(ADA).works(ADA, "t" * 9_000).says(ADA, "m" * 90_000)
    shown = row(family, ADA)
    assert 1_900 < len(shown["task"]) < 2_100
    assert 19_900 < len(shown["message"]) < 20_100


def size(snapshot: dict[str, Any]) -> int:
    return len(json.dumps(snapshot, ensure_ascii=False, separators=(",", ":")).encode())


def test_messages_of_delegates_are_shortened_before_the_turn_s_own() -> None:
    family = Family()
    family.appears(ADA).works(ADA).says(ADA, "ü" * 15_000).ends(ADA)
    family.completed({"type": "agentMessage", "id": "own", "text": "o" * 15_000})
    snapshot = family.state.snapshot(max_bytes=25_000)
    assert size(snapshot) <= 25_000
    assert snapshot["truncated"]
    assert len(snapshot["items"][0]["text"]) == 15_000
    assert "not kept" in snapshot["delegates"][0]["message"]


def test_a_text_of_the_turn_itself_is_shortened_no_more_than_it_must() -> None:
    family = Family()
    family.appears(ADA).works(ADA).says(ADA, "ü" * 15_000).ends(ADA)
    family.completed({"type": "agentMessage", "id": "own", "text": "o" * 100_000})
    snapshot = family.state.snapshot(max_bytes=80_000)
    assert len(snapshot["items"][0]["text"]) > 65_000
    assert len(snapshot["delegates"][0]["message"]) < 1_100


def test_a_call_that_tells_nothing_new_changes_no_row() -> None:
    story = Story().completed(agents_call("wait", ADA, agentsStates=STATES))
    before = len(story.ops)
    story.completed(agents_call("wait", ADA, id="again", agentsStates=STATES))
    assert [op["op"] for op in story.ops[before:]] == ["item"]


@pytest.mark.parametrize("max_bytes", [3_000, 60_000, 262_144])
def test_a_thousand_delegates_fit(max_bytes: int) -> None:
    family = five_delegates()
    for number in range(MAX_DELEGATES):
        name = f"{number:08}-0000-7000-8000-000000000000"
        family.appears(name, f"Ada {number}", "explorer").works(name, "t" * 500)
        family.says(name, "ü" * 2_000).ends(name)
    snapshot = family.state.snapshot(max_bytes=max_bytes)
    assert size(snapshot) <= max_bytes
    assert snapshot["truncated"]


def test_a_question_of_a_delegate_says_who_asks() -> None:
    asking = {"threadId": ADA, "turnId": "t", "parentThreadId": THREAD, "nickname": None}
    params = {"threadId": THREAD, "turnId": TURN, "itemId": "c", "command": "ls"}
    method = "item/commandExecution/requestApproval"
    shown = pending_request(method, {**params, "delegate": {**asking, "role": "explorer"}}, "r", {})
    assert shown["delegate"] == {"threadId": ADA, "name": ADA[:8], "role": "explorer"}
    assert "delegate" not in pending_request(method, params, "r", {})


IDS = st.sampled_from([ADA, CARL, EVE, "unknown"])
STEPS = st.one_of(
    st.tuples(st.just("appears"), IDS, st.sampled_from([THREAD, ADA, "other"])),
    st.tuples(st.sampled_from(["works", "ends", "uses", "says", "closes", "calls"]), IDS, IDS),
    st.tuples(st.just("waits"), IDS, st.sampled_from(["waitingOnApproval", "", "other"])),
    st.tuples(st.just("ends the turn"), IDS, IDS),
)


def step(family: Family, what: str, thread_id: str, other: str) -> None:
    match what:
        case "appears":
            family.appears(thread_id, parent=other)
        case "uses":
            family.uses(thread_id, 3, 4)
        case "waits":
            family.waits(thread_id, other)
        case "says":
            family.says(thread_id, f"half \ud83d {other}")
        case "closes":
            family.hears("thread/closed", threadId=thread_id)
        case "calls":
            call = agents_call("wait", thread_id, other, id=f"c{len(family.ops)}")
            family.completed({**call, "agentsStates": STATES})
        case "ends the turn":
            family.end()
        case _:
            getattr(family, what)(thread_id)


@given(st.lists(STEPS, max_size=25))
def test_any_order_of_what_delegates_tell_gives_ops_that_rebuild_the_state(
    steps: list[tuple[str, str, str]],
) -> None:
    family = Family()
    for what, thread_id, other in steps:
        step(family, what, thread_id, other)
    snapshot = family.state.snapshot()
    assert replayed(family.ops) == snapshot
    assert THREAD not in [r["threadId"] for r in snapshot["delegates"]]
    for shown in snapshot["delegates"]:
        assert family.state.delegate(shown["threadId"]) == shown
