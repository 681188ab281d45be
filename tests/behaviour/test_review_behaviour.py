"""Reviews over the wire: in the thread itself, or in a copy that leaves the thread alone."""

import json
import uuid
from typing import Any

import anyio
import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import LIMIT, Talk
from tests.core.reviewing import FOUND
from tests.core.tree import words_of
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

Json = dict[str, Any]

CUSTOM: Json = {"type": "custom", "instructions": " look at mean.py "}
TARGETS: list[tuple[Json, str]] = [
    ({"type": "uncommittedChanges"}, "current changes"),
    ({"type": "baseBranch", "branch": "main"}, "changes against 'main'"),
    ({"type": "commit", "sha": "0123456789", "title": "Mend it"}, "commit 0123456: Mend it"),
    (CUSTOM, "look at mean.py"),
]


async def review(talk: Talk, thread_id: str, target: Any = CUSTOM, **params: Any) -> Json:
    return await talk.ask("review/start", {"threadId": thread_id, "target": target, **params})


def items_of(talk: Talk, thread_id: str) -> list[Json]:
    return [n["item"] for n in talk.notices("item/completed") if n["threadId"] == thread_id]


async def loaded(talk: Talk) -> set[str]:
    return set((await talk.ask("thread/loaded/list", {}))["data"])


@pytest.mark.parametrize("delivery", ["inline", "detached"])
@pytest.mark.parametrize(("target", "hint"), TARGETS, ids=[hint for _, hint in TARGETS])
async def test_every_target_is_reviewed_and_named(
    talk: Talk, lab: Lab, target: Json, hint: str, delivery: str
) -> None:
    lab.fake.add(say(json.dumps(FOUND)))
    thread_id = await talk.start_thread(lab.workspace)
    started = await review(talk, thread_id, target, delivery=delivery)
    end = await talk.turn_end(started["turn"]["id"])

    assert end["status"] == "completed"
    assert started["turn"]["items"][0]["content"][0]["text"] == hint
    where = started["reviewThreadId"]
    assert (where == thread_id) == (delivery == "inline")
    entered, exited, said = items_of(talk, where)
    assert (entered["type"], entered["review"]) == ("enteredReviewMode", hint)
    assert (exited["type"], exited["output"]) == ("exitedReviewMode", FOUND)
    assert said["text"] == exited["review"]
    assert len([n for n in talk.notices("turn/started") if n["threadId"] == where]) == 1


async def test_a_detached_review_knows_the_thread_and_leaves_it_alone(talk: Talk, lab: Lab) -> None:
    lab.fake.add(
        say("I remember"), say(json.dumps(FOUND)), say("of the copy"), say("of the thread")
    )
    thread_id = await talk.start_thread(lab.workspace, approvalPolicy="untrusted")
    await talk.turn(thread_id, "the word is plum")
    ids = {"reviewThreadId": str(uuid.uuid4()), "turnId": str(uuid.uuid4())}
    before = len(talk.heard)
    started = await review(talk, thread_id, delivery="detached", **ids)

    assert started["reviewThreadId"] == ids["reviewThreadId"]
    assert started["turn"]["id"] == ids["turnId"]
    methods = talk.methods(after=before)
    assert methods.index("thread/started") < methods.index("=review/start")
    await talk.turn_end(ids["turnId"])
    of_thread = [m for m in talk.heard[before:] if m.get("params", {}).get("threadId") == thread_id]
    assert of_thread == []

    # The copy goes on from all of it, the thread as if nothing had been.
    await talk.turn(ids["reviewThreadId"], "and now?")
    words = words_of(lab.fake.requests[-1])
    assert any("the word is plum" in text for text in words)
    assert any("One case is missing." in text for text in words)
    await talk.turn(thread_id, "and now?")
    assert not any("One case is missing." in text for text in words_of(lab.fake.requests[-1]))


async def test_a_detached_review_goes_on_beside_a_turn_of_the_thread(talk: Talk, lab: Lab) -> None:
    lab.fake.add(say("long", deltas=4).hang(after=3), say(json.dumps(FOUND)))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = await talk.start_turn(thread_id)
    with anyio.fail_after(LIMIT):
        await lab.fake.wait_for_hang()
    started = await review(talk, thread_id, delivery="detached")
    assert (await talk.turn_end(started["turn"]["id"]))["status"] == "completed"
    assert [n["turn"]["id"] for n in talk.notices("turn/completed")] == [started["turn"]["id"]]
    lab.fake.resume()
    assert (await talk.turn_end(turn_id))["status"] == "completed"


@pytest.mark.parametrize("kind", ["new", "ephemeral"])
async def test_a_copy_has_the_settings_that_the_thread_has_now(
    talk: Talk, lab: Lab, kind: str
) -> None:
    other = lab.workspace / "other"
    other.mkdir()
    lab.fake.add(say("fine"), call("shell_command", {"command": "touch made"}), say("none"))
    thread_id = await talk.start_thread(
        lab.workspace,
        ephemeral=kind == "ephemeral",
        approvalPolicy="on-request",
        sandbox="danger-full-access",
    )
    narrow = {"type": "readOnly", "networkAccess": False}
    overrides = {"cwd": str(other), "approvalPolicy": "never", "sandboxPolicy": narrow}
    await talk.turn(thread_id, "Hello", **overrides)
    started = await review(talk, thread_id, delivery="detached")
    assert (await talk.turn_end(started["turn"]["id"]))["status"] == "completed"
    assert str(other) in " ".join(words_of(lab.fake.requests[1]))
    assert talk.requests() == []
    assert list(other.iterdir()) == []


@pytest.mark.parametrize("used", [False, True])
async def test_a_copy_has_the_tools_of_its_thread(talk: Talk, lab: Lab, used: bool) -> None:
    weather = {"name": "weather", "description": "", "inputSchema": {"type": "object"}}
    thread_id = await talk.start_thread(lab.workspace, dynamicTools=[weather])
    if used:
        lab.fake.add(say("hello"))
        await talk.turn(thread_id)
    lab.fake.add(say("fine"), say("hello"))
    started = await review(talk, thread_id, delivery="detached")
    await talk.turn_end(started["turn"]["id"])
    await talk.turn(started["reviewThreadId"])
    assert "weather" in [tool.get("name") for tool in lab.fake.requests[-1]["tools"]]


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"target": {"type": "custom", "instructions": "  "}}, "instructions must not be empty"),
        ({"target": {"type": "baseBranch", "branch": ""}}, "branch must not be empty"),
        ({"target": {"type": "commit", "sha": " "}}, "sha must not be empty"),
        ({"reviewThreadId": str(uuid.uuid4())}, "reviewThreadId is for `detached` reviews only"),
        ({"delivery": "detached", "reviewThreadId": "x"}, "invalid thread id"),
        ({"delivery": "detached", "reviewThreadId": "taken"}, "thread"),
        ({"delivery": "detached", "turnId": "taken"}, "turn"),
        ({"turnId": "taken"}, "turn"),
    ],
)
async def test_a_refused_review_leaves_nothing(
    talk: Talk, lab: Lab, params: Json, problem: str
) -> None:
    lab.fake.add(say("hello"))
    thread_id = await talk.start_thread(lab.workspace)
    used = (await talk.turn(thread_id))["id"]
    taken = {"reviewThreadId": thread_id, "turnId": used}
    params = {name: taken[name] if v == "taken" else v for name, v in params.items()}
    before = len(talk.heard)
    asked = {"threadId": thread_id, "target": CUSTOM, **params}
    refusal = await talk.refused("review/start", asked)
    assert refusal.message.startswith(problem)
    assert await loaded(talk) == {thread_id}
    assert "thread/started" not in talk.methods(after=before)
    listed = await talk.ask("thread/list", {})
    assert [thread["id"] for thread in listed["data"]] == [thread_id]


async def test_input_of_a_review_that_is_stopped_is_kept(talk: Talk, lab: Lab) -> None:
    lab.fake.add(say("long", deltas=4).hang(after=3), say("next"))
    thread_id = await talk.start_thread(lab.workspace)
    turn_id = (await review(talk, thread_id))["turn"]["id"]
    with anyio.fail_after(LIMIT):
        await lab.fake.wait_for_hang()
    assert await talk.start_turn(thread_id, "and the tests") == turn_id
    await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
    assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    assert [item["content"][0]["text"] for item in talk.items("userMessage")] == ["and the tests"]
    await talk.turn(thread_id, "go on")
    assert "and the tests" in words_of(lab.fake.requests[-1])
