"""Who is asked before something runs, and what each answer does."""

import json
from typing import Any

import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

COMMAND = "item/commandExecution/requestApproval"
PATCH = "*** Begin Patch\n*** Add File: {0}\n+{0}\n*** End Patch"


def touch(name: str, call_id: str = "c1") -> Any:
    return call("shell_command", {"command": f"touch {name}"}, call_id=call_id)


def patch(name: str, call_id: str = "p1") -> Any:
    return call("apply_patch", {"input": PATCH.format(name)}, call_id=call_id)


def output(lab: Lab, request: int = 1, call_id: str = "c1") -> str:
    items = lab.fake.requests[request]["input"]
    return next(i["output"] for i in items if i.get("call_id") == call_id and "output" in i)


@pytest.mark.parametrize("policy", ["untrusted", "on-request"])
async def test_what_is_not_provably_read_only_asks(lab: Lab, talk: Talk, policy: str) -> None:
    lab.fake.add(touch("made"), say("ok"))
    thread_id = await talk.start_thread(lab.workspace, approvalPolicy=policy)
    turn_id = await talk.start_turn(thread_id)
    request = await talk.asked(COMMAND)
    params = request["params"]
    assert params["threadId"] == thread_id
    assert params["turnId"] == turn_id
    assert params["itemId"] == "c1"
    assert params["command"] == "touch made"
    assert params["cwd"] == str(lab.workspace)
    assert params["sandboxing"] == "not sandboxed"
    assert talk.notices("thread/status/changed")[-1]["status"] == {
        "type": "active",
        "activeFlags": ["waitingOnApproval"],
    }
    assert not (lab.workspace / "made").exists()
    await talk.answer(request, {"decision": "accept", "digest": params["digest"]})
    assert (await talk.turn_end(turn_id))["status"] == "completed"
    assert (lab.workspace / "made").exists()
    flags = [told["status"].get("activeFlags") for told in talk.notices("thread/status/changed")]
    assert flags == [[], ["waitingOnApproval"], [], None]
    (resolved,) = talk.notices("serverRequest/resolved")
    assert resolved["requestId"] == request["id"]
    assert resolved["outcome"] == "accept"


@pytest.mark.parametrize("policy", ["untrusted", "on-request", "never"])
async def test_a_read_only_command_runs_unasked(lab: Lab, talk: Talk, policy: str) -> None:
    (lab.workspace / "seen").touch()
    lab.fake.add(call("shell_command", {"command": "ls"}, call_id="c1"), say("ok"))
    await talk.turn(await talk.start_thread(lab.workspace, approvalPolicy=policy))
    assert talk.requests() == []
    assert "seen" in output(lab)


@pytest.mark.parametrize(
    "answer",
    [
        {"decision": "decline"},
        {"decision": "accept", "digest": "0" * 64},
        {"decision": "acceptForSession", "digest": ""},
        {"decision": "yes"},
        {"decision": ["accept"]},
        {"decision": None},
        {},
        [],
        "accept",
        None,
        True,
    ],
    ids=str,
)
async def test_any_answer_but_a_clear_yes_declines(lab: Lab, talk: Talk, answer: Any) -> None:
    lab.fake.add(touch("made"), say("ok"))
    turn_id = await talk.start_turn(await talk.start_thread(lab.workspace))
    await talk.answer(await talk.asked(COMMAND), answer)
    assert (await talk.turn_end(turn_id))["status"] == "completed"
    assert not (lab.workspace / "made").exists()
    assert talk.items("commandExecution")[0]["status"] == "declined"
    assert output(lab) == "exec command not run: this command was rejected by user"


@pytest.mark.parametrize("code", [-32601, -32000])
async def test_an_error_for_an_answer_declines(lab: Lab, talk: Talk, code: int) -> None:
    lab.fake.add(touch("made"), say("ok"))
    turn_id = await talk.start_turn(await talk.start_thread(lab.workspace))
    await talk.answer_error(await talk.asked(COMMAND), code, "cannot")
    assert (await talk.turn_end(turn_id))["status"] == "completed"
    assert not (lab.workspace / "made").exists()
    assert "rejected by user (cannot)" in output(lab)


async def test_cancel_declines_and_stops_the_turn(lab: Lab, talk: Talk) -> None:
    lab.fake.add(touch("one", "c1") + touch("two", "c2"))
    turn_id = await talk.start_turn(await talk.start_thread(lab.workspace))
    await talk.asked(n=2)
    first = next(r for r in talk.requests() if r["params"]["itemId"] == "c1")
    await talk.answer(first, {"decision": "cancel"})
    assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    assert [item["status"] for item in talk.items("commandExecution")] == ["declined"] * 2
    assert len(talk.notices("serverRequest/resolved")) == 2
    assert [p.name for p in lab.workspace.iterdir()] == []


async def test_accept_for_session_covers_the_very_same_command_only(lab: Lab, talk: Talk) -> None:
    lab.fake.add(touch("a"), touch("a"), touch("b"), say("ok"))
    turn_id = await talk.start_turn(await talk.start_thread(lab.workspace))
    await talk.answer(await talk.asked(COMMAND), {"decision": "acceptForSession"})
    other = await talk.asked(COMMAND, n=2)
    assert other["params"]["command"] == "touch b"
    await talk.answer(other, {"decision": "decline"})
    assert (await talk.turn_end(turn_id))["status"] == "completed"
    statuses = [item["status"] for item in talk.items("commandExecution")]
    assert statuses == ["completed", "completed", "declined"]


async def test_accept_for_session_is_not_for_a_terminal_that_anything_is_typed_into(
    lab: Lab, talk: Talk
) -> None:
    lab.fake.add(
        call("exec_command", {"cmd": "sh", "yield_time_ms": 5000}, call_id="c1"),
        call("exec_command", {"cmd": "sh", "tty": True}, call_id="c2"),
        say("ok"),
    )
    turn_id = await talk.start_turn(await talk.start_thread(lab.workspace))
    await talk.answer(await talk.asked(COMMAND), {"decision": "acceptForSession"})
    other = await talk.asked(COMMAND, n=2)
    assert other["params"]["itemId"] == "c2"
    await talk.answer(other, {"decision": "decline"})
    assert (await talk.turn_end(turn_id))["status"] == "completed"


async def test_accept_for_session_lasts_over_turns_but_not_over_threads(
    lab: Lab, talk: Talk
) -> None:
    lab.fake.add(touch("a"), say("1"), touch("a"), say("2"), touch("a"), say("3"))
    thread_id = await talk.start_thread(lab.workspace)
    first = await talk.start_turn(thread_id)
    await talk.answer(await talk.asked(COMMAND), {"decision": "acceptForSession"})
    await talk.turn_end(first)
    await talk.turn(thread_id)
    assert len(talk.requests()) == 1
    await talk.start_turn(await talk.start_thread(lab.workspace))
    await talk.asked(COMMAND, n=2)


async def test_a_patch_asks_and_is_shown_before_it_is_applied(lab: Lab, talk: Talk) -> None:
    lab.fake.add(patch("new.txt"), say("ok"))
    turn_id = await talk.start_turn(await talk.start_thread(lab.workspace))
    request = await talk.asked("item/fileChange/requestApproval")
    item = await talk.item_started("fileChange")
    assert item["id"] == request["params"]["itemId"] == "p1"
    assert item["changes"][0]["diff"] == "new.txt\n"
    assert not (lab.workspace / "new.txt").exists()
    await talk.answer(request, {"decision": "accept", "digest": request["params"]["digest"]})
    await talk.turn_end(turn_id)
    assert (lab.workspace / "new.txt").read_text() == "new.txt\n"


async def test_a_declined_patch_changes_nothing_and_is_told_once(lab: Lab, talk: Talk) -> None:
    lab.fake.add(patch("new.txt"), say("ok"))
    turn_id = await talk.start_turn(await talk.start_thread(lab.workspace))
    await talk.answer(await talk.asked(), {"decision": "decline"})
    await talk.turn_end(turn_id)
    assert [item["status"] for item in talk.items("fileChange")] == ["declined"]
    assert not (lab.workspace / "new.txt").exists()


async def test_never_without_full_access_refuses_to_the_model(lab: Lab, talk: Talk) -> None:
    lab.fake.add(touch("made") + patch("new.txt"), say("ok"))
    turn = await talk.turn(await talk.start_thread(lab.workspace, approvalPolicy="never"))
    assert turn["status"] == "completed"
    assert talk.requests() == []
    assert list(lab.workspace.iterdir()) == []
    assert "rejected by policy" in output(lab)
    assert "rejected by policy" in output(lab, call_id="p1")


async def test_never_with_full_access_runs_everything(lab: Lab, talk: Talk) -> None:
    lab.fake.add(touch("made") + patch("new.txt"), say("ok"))
    thread_id = await talk.start_thread(
        lab.workspace, approvalPolicy="never", sandbox="danger-full-access"
    )
    await talk.turn(thread_id)
    assert talk.requests() == []
    assert sorted(path.name for path in lab.workspace.iterdir()) == ["made", "new.txt"]


async def test_full_access_alone_still_asks(lab: Lab, talk: Talk) -> None:
    lab.fake.add(touch("made"), say("ok"))
    thread_id = await talk.start_thread(
        lab.workspace, approvalPolicy="on-request", sandbox="danger-full-access"
    )
    await talk.start_turn(thread_id)
    await talk.asked(COMMAND)


async def test_two_approvals_are_open_at_once_and_answered_in_reverse(lab: Lab, talk: Talk) -> None:
    lab.fake.add(touch("one", "c1") + touch("two", "c2"), say("ok"))
    turn_id = await talk.start_turn(await talk.start_thread(lab.workspace))
    await talk.asked(n=2)
    by_item: dict[str, Json] = {r["params"]["itemId"]: r for r in talk.requests()}
    await talk.answer(by_item["c2"], {"decision": "decline"})
    await talk.told("serverRequest/resolved", requestId=by_item["c2"]["id"])
    assert talk.notices("thread/status/changed")[-1]["status"]["activeFlags"] == [
        "waitingOnApproval"
    ]
    await talk.answer(by_item["c1"], {"decision": "accept"})
    await talk.turn_end(turn_id)
    assert [path.name for path in lab.workspace.iterdir()] == ["one"]
    assert "Exit code: 0" in output(lab)
    assert "rejected by user" in output(lab, call_id="c2")


async def test_an_answer_after_the_answer_changes_nothing(lab: Lab, talk: Talk) -> None:
    lab.fake.add(touch("made"), say("ok"), touch("other", "c2"), say("ok"))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id)
    request = await talk.asked(COMMAND)
    await talk.answer(request, {"decision": "decline"})
    await talk.answer(request, {"decision": "accept"})
    await talk.turn_end(turn_id)
    assert not (lab.workspace / "made").exists()
    second = await talk.start_turn(thread_id)
    await talk.asked(COMMAND, n=2)
    await talk.answer(request, {"decision": "accept"})
    await talk.ask("thread/list", {})
    assert not (lab.workspace / "other").exists()
    await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": second})


async def test_more_approvals_than_are_shown_at_once_wait_in_line(lab: Lab, talk: Talk) -> None:
    calls = touch("f0", "c0")
    for n in range(1, 25):
        calls += touch(f"f{n}", f"c{n}")
    lab.fake.add(calls, say("ok"))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id)
    await talk.asked(n=20)
    await talk.ask("thread/list", {})
    assert len(talk.requests()) == 20
    await talk.answer(talk.requests()[3], {"decision": "accept"})
    await talk.asked(n=21)
    await talk.until(lambda m: "exitCode" in str(m) and m.get("method") == "item/completed")
    await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
    assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    asked = {request["id"] for request in talk.requests()}
    resolved = [told["requestId"] for told in talk.notices("serverRequest/resolved")]
    assert len(asked) == 21
    assert sorted(resolved) == sorted(asked), "what was never asked is not resolved"
    assert len(list(lab.workspace.iterdir())) == 1


async def test_each_decision_is_stored_before_anybody_acts_on_it(lab: Lab, talk: Talk) -> None:
    """W-84: the original logs neither the question nor the answer."""
    lab.fake.add(
        call("shell_command", {"command": "touch one"}, call_id="c1"),
        call("shell_command", {"command": "cp *.jsonl two"}, call_id="c2"),
        say("ok"),
    )
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id)
    await talk.answer(await talk.asked(), {"decision": "accept"})
    await talk.answer(await talk.asked(n=2), {"decision": "decline"})
    await talk.turn_end(turn_id)
    lines = next(lab.home.rglob("rollout-*.jsonl")).read_text().splitlines()
    records = [json.loads(line)["payload"] for line in lines]
    resolved = [r for r in records if r.get("type") == "request_resolved"]
    assert [r["answer"]["decision"] for r in resolved] == ["accept", "decline"]
    kinds = [r.get("type") if "item" not in r else r["item"]["id"] for r in records]
    assert kinds.index("request_resolved") < kinds.index("c1")
