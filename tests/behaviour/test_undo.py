"""Undo: the files of the newest turn's patches are as they were, or nothing is changed."""

import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

FREE: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}
PATCH = """*** Begin Patch
*** Update File: old.txt
@@
-before
+after
*** Add File: new.txt
+made
*** Delete File: gone.txt
*** End Patch
"""


async def patched(lab: Lab, talk: Talk) -> tuple[str, str]:
    (lab.workspace / "old.txt").write_text("before\n")
    (lab.workspace / "gone.txt").write_text("precious\n")
    lab.fake.add(call("apply_patch", {"input": PATCH}, call_id="c1"), say("done"))
    thread_id = await talk.start_thread(lab.workspace, **FREE)
    turn = await talk.turn(thread_id)
    assert (lab.workspace / "old.txt").read_text() == "after\n"
    return thread_id, turn["id"]


async def test_a_turns_patches_are_taken_back_and_the_model_is_told(lab: Lab, talk: Talk) -> None:
    thread_id, turn_id = await patched(lab, talk)
    done = await talk.ask("thread/undo", {"threadId": thread_id})
    assert done["turnId"] == turn_id
    assert done["files"] == [
        str(lab.workspace / name) for name in ("gone.txt", "new.txt", "old.txt")
    ]
    assert (lab.workspace / "old.txt").read_text() == "before\n"
    assert (lab.workspace / "gone.txt").read_text() == "precious\n"
    assert not (lab.workspace / "new.txt").exists()
    lab.fake.add(say("ok"))
    await talk.turn(thread_id, "and now?")
    said = [i["content"][0]["text"] for i in lab.fake.requests[-1]["input"] if "content" in i]
    assert any("<undone>" in words and "new.txt" in words for words in said)
    refusal = await talk.refused("thread/undo", {"threadId": thread_id})
    assert "nothing to undo" in refusal.message


async def test_a_file_that_was_changed_since_stops_all_of_it(lab: Lab, talk: Talk) -> None:
    thread_id, _ = await patched(lab, talk)
    (lab.workspace / "old.txt").write_text("mine\n")
    refusal = await talk.refused("thread/undo", {"threadId": thread_id})
    assert "old.txt" in refusal.message
    assert (lab.workspace / "old.txt").read_text() == "mine\n"
    assert (lab.workspace / "new.txt").exists()
    (lab.workspace / "old.txt").write_text("after\n")
    await talk.ask("thread/undo", {"threadId": thread_id})
    assert (lab.workspace / "old.txt").read_text() == "before\n"


async def test_during_a_turn_nothing_is_taken_back(lab: Lab, talk: Talk) -> None:
    thread_id, _ = await patched(lab, talk)
    lab.fake.add(say("busy").hang(after=1))
    turn_id = await talk.start_turn(thread_id)
    refusal = await talk.refused("thread/undo", {"threadId": thread_id})
    assert refusal.message == "Cannot undo while a turn is in progress."
    lab.fake.resume()
    await talk.turn_end(turn_id)
