"""Messages that wait for the next turns, a thread's metadata, and a running turn's settings."""

import pytest

from codex_jupyter.ids import ThreadId
from codex_jupyter.server import queued_turns
from codex_jupyter.server.queued_turns import QueuedTurns
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect, text
from tests.fake_model import call, say, status

pytestmark = pytest.mark.anyio

FREE: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}


def message(thread_id: str, words: str) -> Json:
    params = {"input": [text(words)], "clientUserMessageId": f"client-{words}"}
    return {"threadId": thread_id, **params}


async def add(talk: Talk, thread_id: str, words: str) -> str:
    added = await talk.ask("thread/queue/add", message(thread_id, words))
    return added["queuedSubmission"]["id"]


async def waiting(talk: Talk, thread_id: str) -> list[str]:
    listed = await talk.ask("thread/queue/list", {"threadId": thread_id})
    return [queued["input"][0]["text"] for queued in listed["data"]]


def said(lab: Lab) -> list[str]:
    """Return the last words of the user in each request to the model."""
    found: list[str] = []
    for request in lab.fake.requests:
        texts = [c["text"] for m in request["input"] for c in m.get("content") or []]
        found.append(texts[-1])
    return found


async def busy(lab: Lab, talk: Talk) -> tuple[str, str]:
    """Start a turn that goes on until the fake resumes."""
    lab.fake.add(say("long").hang(after=1))
    thread_id = await talk.start_thread(lab.workspace, **FREE)
    turn_id = await talk.start_turn(thread_id, "first")
    await lab.fake.wait_for_hang()
    return thread_id, turn_id


async def test_a_message_for_a_thread_at_rest_begins_as_recorded(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("four"))
    thread_id = await talk.start_thread(lab.workspace)
    begin = len(talk.heard)
    added = await talk.ask("thread/queue/add", message(thread_id, "queued"))
    queued = added["queuedSubmission"]
    assert queued.keys() == {
        "id",
        "input",
        "clientUserMessageId",
        "responsesapiClientMetadata",
    }
    assert await waiting(talk, thread_id) == []
    item = await talk.item_started("userMessage")
    assert (item["clientId"], item["content"][0]["text"]) == ("client-queued", "queued")
    await talk.told("turn/completed")
    order = [m for m in talk.methods(after=begin) if m != "thread/started"]
    start = ["thread/queue/changed"] * 2 + ["=thread/queue/add"]
    assert order[:3] == start
    assert order.index("thread/status/changed") < order.index("turn/started")


async def test_what_waits_begins_in_order_when_a_turn_completes(lab: Lab, talk: Talk) -> None:
    thread_id, turn_id = await busy(lab, talk)
    lab.fake.add(say("two"), say("three"))
    for words in ("second", "third"):
        await add(talk, thread_id, words)
    assert await waiting(talk, thread_id) == ["second", "third"]
    assert len(talk.notices("turn/started")) == 1
    lab.fake.resume()
    assert (await talk.turn_end(turn_id))["status"] == "completed"
    await talk.until(lambda _: len(talk.notices("turn/completed")) == 3)
    assert said(lab) == ["first", "second", "third"]
    assert await waiting(talk, thread_id) == []
    turns = [params["turn"]["id"] for params in talk.notices("turn/started")]
    assert len(set(turns)) == 3


@pytest.mark.parametrize("how", ["interrupt", "fail"])
async def test_after_a_stop_or_a_failure_they_wait_until_they_are_started(
    lab: Lab, talk: Talk, how: str
) -> None:
    if how == "fail":
        tool = call("shell_command", {"command": "true"})
        lab.fake.add(tool.hang(after=1), status(400, "no"))
        thread_id = await talk.start_thread(lab.workspace, **FREE)
        turn_id = await talk.start_turn(thread_id, "first")
        await lab.fake.wait_for_hang()
        await add(talk, thread_id, "second")
        lab.fake.resume()
    else:
        thread_id, turn_id = await busy(lab, talk)
        await add(talk, thread_id, "second")
        await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
    ended = await talk.turn_end(turn_id)
    assert ended["status"] == ("failed" if how == "fail" else "interrupted")
    await add(talk, thread_id, "third")
    assert await waiting(talk, thread_id) == ["second", "third"]
    assert len(talk.notices("turn/started")) == 1
    lab.fake.add(say("ok"), say("ok"))
    started = await talk.ask("thread/queue/start", {"threadId": thread_id})
    assert started["turn"]["status"] == "inProgress"
    await talk.turn_end(started["turn"]["id"])
    await talk.until(lambda _: len(talk.notices("turn/completed")) == 3)
    assert said(lab)[-2:] == ["second", "third"]


async def test_messages_are_changed_moved_and_taken_back(lab: Lab, talk: Talk) -> None:
    thread_id, turn_id = await busy(lab, talk)
    ids = [await add(talk, thread_id, words) for words in ("a", "b", "c")]
    asked: Json = {"threadId": thread_id}
    update = {**asked, "queuedSubmissionId": ids[1], "input": [text("B")]}
    updated = await talk.ask("thread/queue/update", update)
    assert updated["queuedSubmission"]["clientUserMessageId"] == "client-b"
    await talk.ask("thread/queue/reorder", {**asked, "queuedSubmissionIds": ids[::-1]})
    assert await waiting(talk, thread_id) == ["c", "B", "a"]
    page = await talk.ask("thread/queue/list", {**asked, "limit": 2})
    assert (len(page["data"]), page["nextCursor"]) == (2, "2")
    delete = {**asked, "queuedSubmissionId": ids[2]}
    assert await talk.ask("thread/queue/delete", delete) == {"deleted": True}
    assert await talk.ask("thread/queue/delete", delete) == {"deleted": False}
    assert await waiting(talk, thread_id) == ["B", "a"]
    for wrong in ([ids[0]], [ids[0], ids[0]], [*ids]):
        refused = await talk.refused(
            "thread/queue/reorder", {**asked, "queuedSubmissionIds": wrong}
        )
        assert refused.message == "queue reorder must include every queued submission exactly once"
    for method, params in (
        ("thread/queue/update", {"input": [text("x")]}),
        ("thread/queue/start", {}),
    ):
        refused = await talk.refused(method, {**asked, "queuedSubmissionId": ids[2], **params})
        assert refused.message == f"queued submission not found: {ids[2]}"
    assert len(talk.notices("thread/queue/changed")) == 3 + 3
    await talk.ask("turn/interrupt", {**asked, "turnId": turn_id})


@pytest.mark.parametrize("change", ["delete", "update", "reorder"])
async def test_what_changes_as_the_next_is_about_to_begin_leaves_none_waiting_at_rest(
    lab: Lab, change: str
) -> None:
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        thread_id, turn_id = await busy(lab, talk)
        lab.fake.add(say("two"), say("three"))
        ids = [await add(talk, thread_id, words) for words in ("second", "third")]
        engine = await server.engine()
        queues: QueuedTurns = engine.handlers._methods["thread/queue/add"].__self__._queues  # pyright: ignore[reportFunctionMemberAccess]
        # As long as this is held, so is what the turn's end let begin.
        async with queues._queue(engine.threads.get(ThreadId(thread_id))).starting:
            lab.fake.resume()
            await talk.turn_end(turn_id)
            await talk.ask("thread/loaded/list", {})
            params: Json = {"threadId": thread_id}
            if change == "reorder":
                params["queuedSubmissionIds"] = ids[::-1]
            else:
                params["queuedSubmissionId"] = ids[0]
            if change == "update":
                params["input"] = [text("changed")]
            await talk.ask(f"thread/queue/{change}", params)
        expected = {
            "delete": ["third"],
            "update": ["changed", "third"],
            "reorder": ["third", "second"],
        }[change]
        await talk.until(lambda _: len(talk.notices("turn/completed")) == 1 + len(expected))
        assert said(lab) == ["first", *expected]
        assert await waiting(talk, thread_id) == []


async def test_a_message_can_join_the_running_turn(lab: Lab, talk: Talk) -> None:
    thread_id, turn_id = await busy(lab, talk)
    await add(talk, thread_id, "later")
    now = await add(talk, thread_id, "now")
    lab.fake.add(say("heard"), say("last"))
    params = {"threadId": thread_id, "queuedSubmissionId": now}
    assert (await talk.ask("thread/queue/start", params))["turn"]["id"] == turn_id
    assert await waiting(talk, thread_id) == ["later"]
    lab.fake.resume()
    await talk.until(lambda _: len(talk.notices("turn/completed")) == 2)
    assert said(lab) == ["first", "now", "later"]


async def test_the_queue_is_bounded_and_says_what_it_does_not_take(
    lab: Lab, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued_turns, "MAX_QUEUED", 1)
    thread_id, turn_id = await busy(lab, talk)
    await add(talk, thread_id, "one")
    refused = await talk.refused("thread/queue/add", message(thread_id, "two"))
    assert "1 messages wait" in refused.message
    empty = await talk.refused("thread/queue/add", {**message(thread_id, ""), "input": []})
    assert empty.message == "input must not be empty"
    large = await talk.refused("thread/queue/add", message(thread_id, "x" * 1_048_577))
    assert large.code == -32602
    await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
    idle = await talk.start_thread(lab.workspace)
    nothing = await talk.refused("thread/queue/start", {"threadId": idle})
    assert nothing.message == "queue is empty"


async def test_a_queue_ends_with_the_loading_of_its_thread(lab: Lab, talk: Talk) -> None:
    thread_id, turn_id = await busy(lab, talk)
    await add(talk, thread_id, "lost")
    await talk.ask("thread/archive", {"threadId": thread_id})
    assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    missing = await talk.refused("thread/queue/list", {"threadId": thread_id})
    assert missing.message == f"thread not found: {thread_id}"
    await talk.ask("thread/unarchive", {"threadId": thread_id})
    await talk.ask("thread/resume", {"threadId": thread_id})
    assert await waiting(talk, thread_id) == []
    assert len(lab.fake.requests) == 1


async def test_the_repository_of_a_thread_is_noted_and_kept(lab: Lab) -> None:
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        update = {"threadId": thread_id, "gitInfo": {"branch": "b"}}
        thread = (await talk.ask("thread/metadata/update", update))["thread"]
        assert thread["gitInfo"] == {"sha": None, "branch": "b", "originUrl": None}
        lab.fake.add(say("ok"))
        await talk.turn(thread_id)
        for wrong in ({}, {"gitInfo": {}}):
            refused = await talk.refused("thread/metadata/update", {"threadId": thread_id, **wrong})
            assert refused.message.endswith("must include at least one field")
        brief = await talk.start_thread(lab.workspace, ephemeral=True)
        refused = await talk.refused("thread/metadata/update", {**update, "threadId": brief})
        text = f"ephemeral thread does not support metadata updates: {brief}"
        assert refused.message == text
    async with lab.serving() as server, connect(server) as talk:
        (listed,) = (await talk.ask("thread/list", {}))["data"]
        assert listed["gitInfo"]["branch"] == "b"
        stored = {"threadId": thread_id, "gitInfo": {"sha": "1" * 40, "branch": None}}
        thread = (await talk.ask("thread/metadata/update", stored))["thread"]
        assert thread["gitInfo"] == {"sha": "1" * 40, "branch": None, "originUrl": None}
        assert thread["status"] == {"type": "notLoaded"}
        (listed,) = (await talk.ask("thread/list", {}))["data"]
        assert listed["gitInfo"] == thread["gitInfo"]
        opened = await talk.ask("thread/resume", {"threadId": thread_id})
        assert opened["thread"]["gitInfo"] == thread["gitInfo"]
        none = {"threadId": thread_id, "gitInfo": {"sha": None}}
        assert (await talk.ask("thread/metadata/update", none))["thread"]["gitInfo"] is None
        (listed,) = (await talk.ask("thread/list", {}))["data"]
        assert listed["gitInfo"] is None


async def test_a_running_turn_asks_with_other_settings_from_its_next_request_on(
    lab: Lab, talk: Talk
) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}), say("done"), say("next"))
    thread_id = await talk.start_thread(lab.workspace, approvalPolicy="untrusted")
    turn_id = await talk.start_turn(thread_id)
    approval = await talk.asked()
    asked: Json = {"threadId": thread_id, "turnId": turn_id, "model": "other-model"}
    assert await talk.ask("turn/settings/update", asked) == {"status": "applied"}
    await talk.answer(approval, {"decision": "accept"})
    await talk.turn_end(turn_id)
    assert [request["model"] for request in lab.fake.requests] == ["fake-model", "other-model"]
    late = await talk.ask("turn/settings/update", asked)
    assert late == {"status": "targetUnavailable"}
    await talk.turn(thread_id, "again")
    assert lab.fake.requests[-1]["model"] == "fake-model"
