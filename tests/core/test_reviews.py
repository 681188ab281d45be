"""Review turns: what is reviewed, what is shown, what stays."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from codex_jupyter.core.config import ThreadOptions
from codex_jupyter.core.session import Session
from codex_jupyter.core.spoken import Spoken
from codex_jupyter.protocol.events import (
    ErrorNoted,
    Event,
    ItemStarted,
    RequestOpened,
    StatusChanged,
    TextDelta,
    ThreadClosed,
    TokenUsageUpdated,
    TurnCompleted,
)
from codex_jupyter.protocol.ops import TurnOverrides, UserShell
from codex_jupyter.rollout.disk import Disk
from codex_jupyter.rollout.records import Record
from codex_jupyter.rollout.store import ThreadStore
from tests.core.reviewing import (
    FOUND,
    check_the_shape,
    commit,
    git,
    of_custom,
    prompt_of_the_reviewer,
    review,
)
from tests.core.tree import Tree, growing, prompt, refusal, shell, words_of
from tests.fake_model import reason, say

pytestmark = pytest.mark.anyio


async def test_what_is_not_committed(tree: Tree) -> None:
    root = await tree.root()
    end = await tree.turn(root, review({"type": "uncommittedChanges"}))
    assert end["status"] == "completed"
    assert "not committed yet" in prompt_of_the_reviewer(tree)
    assert tree.items(root, "enteredReviewMode")[0]["review"] == "current changes"


@pytest.mark.parametrize("known", [True, False])
async def test_what_a_branch_changed_is_named_by_its_merge_base(tree: Tree, known: bool) -> None:
    folder = tree.workspace
    git(folder, "init", "-q")
    base = commit(folder, "one")
    git(folder, "checkout", "-q", "-b", "topic")
    commit(folder, "two")
    git(folder, "checkout", "-q", "main")
    commit(folder, "three")
    git(folder, "checkout", "-q", "topic")
    root = await tree.root()
    branch = "main" if known else "nowhere"
    await tree.turn(root, review({"type": "baseBranch", "branch": branch}))
    asked = prompt_of_the_reviewer(tree)
    assert (f"git diff {base}" in asked) == known
    assert (f"git merge-base HEAD {branch}" in asked) == (not known)
    assert tree.items(root, "enteredReviewMode")[0]["review"] == f"changes against '{branch}'"


async def test_the_merge_base_is_looked_for_where_the_turn_works(tree: Tree) -> None:
    other = tree.workspace / "other"
    other.mkdir()
    git(other, "init", "-q")
    base = commit(other, "one")
    root = await tree.root()
    root.update_settings(TurnOverrides(cwd=str(other), model="other-model"))
    await tree.turn(root, review({"type": "baseBranch", "branch": "main"}))
    assert base in prompt_of_the_reviewer(tree)
    (request,) = tree.requests["reviewer"]
    assert str(other) in " ".join(words_of(request))
    assert request["model"] == "other-model"


async def test_a_branch_that_looks_like_an_option_is_none(tree: Tree) -> None:
    git(tree.workspace, "init", "-q")
    commit(tree.workspace, "one")
    root = await tree.root()
    await tree.turn(root, review({"type": "baseBranch", "branch": "--output=made"}))
    assert "Find the merge base" in prompt_of_the_reviewer(tree)
    assert not (tree.workspace / "made").exists()


async def test_a_commit_and_free_words(tree: Tree) -> None:
    root = await tree.root()
    await tree.turn(root, review({"type": "commit", "sha": "0123456789", "title": "Mend it"}))
    assert '0123456789 ("Mend it")' in prompt_of_the_reviewer(tree)
    await tree.turn(root, of_custom("only the tests"))
    assert prompt_of_the_reviewer(tree, 1) == "only the tests"
    hints = [item["review"] for item in tree.items(root, "enteredReviewMode")]
    assert hints == ["commit 0123456: Mend it", "only the tests"]


async def test_the_reviewer_knows_nothing_of_the_thread_and_the_thread_all_it_found(
    tree: Tree,
) -> None:
    root = await tree.root(developer_instructions="Be kind.")
    await tree.turn(root, "#root a secret")
    looking = reason("looking") + say("Let me see.") + shell("ls", "c1")
    tree.plan("reviewer", looking, say(json.dumps(FOUND)))
    turn_id = await tree.begin(root, of_custom())
    await tree.end_of(turn_id)
    check_the_shape(tree, root, turn_id)
    request = tree.requests["reviewer"][0]
    assert request["instructions"].startswith("You review a change")
    seen = " ".join(words_of(request))
    assert "a secret" not in seen
    assert "Be kind." not in seen
    (left,) = tree.items(root, "exitedReviewMode")
    assert left["output"] == FOUND
    said = (
        "One case is missing.\n\nReview comment:\n\n- [P1] Do not divide by zero — "
        "/w/mean.py:3-4\n  It fails when the list is empty.\n  Say so instead."
    )
    assert left["review"] == said
    # Words on the way are shown when others follow; the object itself never.
    messages = [item["text"] for item in tree.items(root, "agentMessage")]
    assert messages == ["ok #root", "Let me see.", said]
    await tree.turn(root, "mend it")
    words = words_of(tree.requests["#root"][-1])
    assert words[-2] == said
    assert words[-3].startswith("<user_action>")
    assert said in words[-3]
    assert words[-1] == "mend it"


async def test_the_reviewers_words_are_not_the_users_nor_streamed(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("reviewer", reason("thinking") + say(json.dumps(FOUND), deltas=4))
    turn_id = await tree.begin(root, of_custom())
    await tree.end_of(turn_id)
    assert tree.items(root, "userMessage") == []
    deltas = [e.msg for e in tree.of(root) if isinstance(e.msg, TextDelta)]
    assert [(d.kind, d.delta) for d in deltas] == [("summary", "thinking")]
    order = [e.msg.item["type"] for e in tree.of(root) if isinstance(e.msg, ItemStarted)]
    assert order == ["enteredReviewMode", "reasoning", "exitedReviewMode", "agentMessage"]


async def test_the_model_for_reviews_is_a_setting(tmp_path: Any) -> None:
    async with growing(tmp_path, 'review_model = "sharp-eyes"') as tree:
        root = await tree.root()
        await tree.turn(root, of_custom())
        assert tree.requests["reviewer"][0]["model"] == "sharp-eyes"


@pytest.mark.parametrize("decision", ["accept", "decline"])
async def test_an_approval_inside_a_review_is_asked_in_the_turn_after_its_item(
    tree: Tree, decision: str
) -> None:
    root = await tree.root()
    tree.plan("reviewer", shell("touch made", "c1"), say("done"))
    turn_id = await tree.begin(root, of_custom())
    question = await tree.question()
    assert isinstance(question.msg, RequestOpened)
    assert (question.thread_id, question.turn_id) == (root.thread_id, turn_id)
    params = question.msg.params
    assert (params["threadId"], params["turnId"]) == (root.thread_id, turn_id)
    assert params["delegate"]["nickname"] == "reviewer"
    assert params["itemId"] in _shown_before(tree, root, question)
    assert root.state.status == {"type": "active", "activeFlags": ["waitingOnApproval"]}
    assert tree.answer(root, question, decision)
    assert (await tree.end_of(turn_id))["status"] == "completed"
    check_the_shape(tree, root, turn_id)
    (item,) = tree.items(root, "commandExecution")
    assert item["status"] == ("completed" if decision == "accept" else "declined")
    assert (tree.workspace / "made").exists() == (decision == "accept")
    assert [e.msg.status["type"] for e in tree.of(root) if isinstance(e.msg, StatusChanged)][
        -1
    ] == "idle"


def _shown_before(tree: Tree, root: Session, event: Event) -> list[str]:
    """Return the items of the root that had begun when something was said."""
    said = [e.msg for e in tree.events[: tree.events.index(event)] if e.thread_id == root.thread_id]
    return [msg.item["id"] for msg in said if isinstance(msg, ItemStarted)]


async def test_a_slow_disk_puts_no_question_before_its_item(tree: Tree) -> None:
    root = await tree.root()
    await tree.turn(root, "#root")
    tree.plan("reviewer", reason("a") + reason("b") + shell("touch made", "c1"), say("done"))
    weight = Record("event_msg", {"type": "weight", "text": "x" * 4_000_000})

    async def weigh_down() -> None:
        while not tree.asked():
            await root.state.record([weight])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(weigh_down)
        turn_id = await tree.begin(root, of_custom())
        question = await tree.question()
        assert isinstance(question.msg, RequestOpened)
        assert question.msg.params["itemId"] in _shown_before(tree, root, question)
        tree.answer(root, question, "decline")
        await tree.end_of(turn_id)


async def test_a_reviewer_may_do_no_more_than_the_thread(tree: Tree) -> None:
    root = await tree.root(approval_policy="never", sandbox="read-only")
    tree.plan("reviewer", shell("touch made", "c1"), say("done"))
    assert (await tree.turn(root, of_custom()))["status"] == "completed"
    assert tree.asked() == []
    assert not (tree.workspace / "made").exists()
    assert "rejected by policy" in tree.outputs("reviewer")[0]


async def test_input_during_a_review_is_answered_after_it(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("reviewer", say("all good", deltas=3).hang(after=3))
    tree.plan("#more", say("and this is the answer"))
    turn_id = await tree.begin(root, of_custom())
    await tree.hanging()
    assert root.steer(turn_id, Spoken(prompt("#more please"))) == turn_id
    tree.fake.resume()
    assert (await tree.end_of(turn_id))["status"] == "completed"
    check_the_shape(tree, root, turn_id)
    assert tree.items(root, "agentMessage")[-1]["text"] == "and this is the answer"
    words = words_of(tree.requests["#more"][-1])
    assert words[-1] == "#more please"
    assert "all good" in words
    kinds = [e.msg.item["type"] for e in tree.of(root) if isinstance(e.msg, ItemStarted)]
    assert kinds.index("exitedReviewMode") < kinds.index("userMessage")


async def test_a_command_of_the_users_outlives_the_review_it_was_run_beside(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("reviewer", say("all good", deltas=3).hang(after=3))
    turn_id = await tree.begin(root, of_custom())
    await tree.hanging()
    shell_op = UserShell("while [ ! -e go ]; do sleep 0.01; done; echo done")
    assert await tree.begin(root, shell_op) == turn_id
    await tree.until(lambda: tree.started(root, source="userShell"))
    tree.fake.resume()
    await tree.until(lambda: tree.items(root, "exitedReviewMode") or tree.ends(root))
    (tree.workspace / "go").touch()
    assert (await tree.end_of(turn_id))["status"] == "completed"
    (command,) = tree.items(root, "commandExecution")
    assert (command["status"], command["aggregatedOutput"]) == ("completed", "done\n")


async def test_the_reviewer_has_closed_with_a_rollout_of_its_own_before_the_turn_ends(
    tree: Tree,
) -> None:
    root = await tree.root()
    tree.plan("reviewer", say("all good", deltas=8).hang(after=4))
    turn_id = await tree.begin(root, of_custom())
    await tree.hanging()
    (child,) = root.kin.children.values()
    assert child.path is not None
    assert not child.path.exists()  # what it says is stored by the turn that shows it
    tree.heard.add(child.thread_id)
    tree.fake.resume()
    await tree.end_of(turn_id)
    told = [(e.thread_id, type(e.msg)) for e in tree.of()]
    assert told.index((child.thread_id, ThreadClosed)) < told.index((root.thread_id, TurnCompleted))
    assert (await tree.manager.resume(child.thread_id, ThreadOptions()))[0].preview


async def test_usage_of_the_reviewer_counts(tree: Tree) -> None:
    root = await tree.root()
    await tree.turn(root, "#root")
    tree.plan("reviewer", say("good").with_usage(100, 20))
    turn_id = await tree.begin(root, of_custom())
    await tree.end_of(turn_id)
    assert root.state.total_tokens == 15 + 120
    told = [e for e in tree.of(root) if isinstance(e.msg, TokenUsageUpdated)]
    assert told[-1].turn_id == turn_id


async def test_a_reviewer_that_fails_fails_the_turn_with_its_reason_told_once(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("reviewer", refusal("the reviewer has no key"))
    turn_id = await tree.begin(root, of_custom())
    end = await tree.end_of(turn_id)
    assert end["status"] == "failed"
    assert "the reviewer has no key" in end["error"]["message"]
    check_the_shape(tree, root, turn_id)
    errors = [e for e in tree.of(root) if isinstance(e.msg, ErrorNoted)]
    assert len(errors) == 1
    assert "the reviewer has no key" in tree.items(root, "agentMessage")[-1]["text"]


@pytest.mark.parametrize("how", ["interrupt", "close"])
async def test_a_reviewer_that_somebody_else_stops_has_found_nothing(tree: Tree, how: str) -> None:
    root = await tree.root()
    tree.plan("reviewer", say("Let me see.") + shell("touch made", "c1"), say("done"))
    turn_id = await tree.begin(root, of_custom())
    await tree.question()
    (child,) = root.kin.children.values()
    if how == "interrupt":
        child.stop("enough")
    else:
        await tree.manager.close(child.thread_id)
    end = await tree.end_of(turn_id)
    assert end["status"] == "failed"
    assert "reviewer was stopped" in end["error"]["message"]
    check_the_shape(tree, root, turn_id)
    assert tree.items(root, "exitedReviewMode")[0]["output"] is None


def no_room_for_commands(descriptor: int, data: bytes | memoryview) -> int:
    """Write anything but what tells of a command that has run."""
    if b'"exitCode":0' in bytes(data).replace(b" ", b""):
        raise OSError(errno.ENOSPC, "no space is left")
    return os.write(descriptor, data)


async def test_a_review_that_cannot_be_stored_says_so_and_spoils_nothing_else(
    tmp_path: Path,
) -> None:
    async with growing(tmp_path, disk=Disk(write=no_room_for_commands)) as tree:
        root = await tree.root()
        tree.plan("reviewer", shell("ls", "c1"), say("all good"))
        turn_id = await tree.begin(root, of_custom())
        end = await tree.end_of(turn_id)
        assert end["status"] == "failed"
        assert "no space is left" in end["error"]["message"]
        (said,) = tree.items(root, "agentMessage")
        assert "no space is left" in said["text"]
        assert len(tree.items(root, "exitedReviewMode")) == 1
        assert tree.manager.loaded == (root.thread_id,)
        assert (await tree.turn(root, "#root"))["status"] == "completed"
    # Leaving closes all threads, that of the reviewer whose rollout has no room included.
    again = ThreadStore(tree.home)
    assert (await again.open(root.thread_id))[1].thread_id == root.thread_id
    await again.aclose()
