"""A review that is stopped, at every stage: one end, its entry and its exit, nothing left."""

import json
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from codex_jupyter.core.session import Session
from codex_jupyter.errors import DuplicateIdError, NoActiveTurnError, NotSteerableError
from codex_jupyter.ids import TurnId, new_turn_id
from codex_jupyter.protocol.ops import Compact, Submission
from tests.core.reviewing import FOUND, check_the_shape, of_custom, review
from tests.core.tree import LIMIT, Tree, growing, shell, words_of
from tests.fake_model import reason, say

pytestmark = pytest.mark.anyio


async def stopped(tree: Tree, root: Session, turn_id: str) -> None:
    """Check the end of a review that was stopped, and that the thread goes on."""
    assert (await tree.end_of(turn_id))["status"] == "interrupted"
    check_the_shape(tree, root, turn_id)
    assert tree.items(root, "exitedReviewMode")[-1]["output"] is None
    tree.plans.clear()
    await tree.turn(root, "#root what now?")
    words = " ".join(words_of(tree.requests["#root"][-1]))
    assert "the review was interrupted" in words


async def test_before_it_starts(tree: Tree) -> None:
    root = await tree.root()
    submission = Submission(new_turn_id(), of_custom(), chosen_by_caller=False)
    accepted = await root.submit(submission)
    root.interrupt(accepted.turn_id)
    accepted.start()
    await stopped(tree, root, accepted.turn_id)
    assert tree.requests["reviewer"] == []


async def test_while_the_merge_base_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    git = tmp_path / "bin" / "git"
    git.write_text("#!/bin/sh\necho $$ > asked\nexec sleep 300\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    async with growing(tmp_path) as tree:
        root = await tree.root()
        turn_id = await tree.begin(root, review({"type": "baseBranch", "branch": "main"}))
        asked = tree.workspace / "asked"
        with anyio.fail_after(30):
            while not (asked.exists() and asked.read_text().strip()):
                await anyio.lowlevel.checkpoint()
        root.interrupt(turn_id)
        await stopped(tree, root, turn_id)
        assert tree.requests["reviewer"] == []
        assert not Path(f"/proc/{asked.read_text().strip()}").exists()


@pytest.mark.parametrize("twice", [False, True])
async def test_while_the_model_answers(tree: Tree, twice: bool) -> None:
    root = await tree.root()
    tree.plan("reviewer", reason("hm") + say("all is", deltas=5).hang(after=6))
    turn_id = await tree.begin(root, of_custom())
    await tree.hanging()
    root.interrupt(turn_id)
    if twice:
        await anyio.lowlevel.checkpoint()
        root.interrupt(turn_id)
    await stopped(tree, root, turn_id)


@pytest.mark.parametrize("how", ["interrupt", "decision", "both"])
async def test_while_an_approval_is_open(tree: Tree, how: str) -> None:
    root = await tree.root()
    tree.plan("reviewer", shell("touch made", "c1") + shell("touch made", "c2"), say("done"))
    turn_id = await tree.begin(root, of_custom())
    question = await tree.question()
    if how == "decision":
        tree.answer(root, question, "cancel")
    elif how == "interrupt":
        root.interrupt(turn_id)
    else:
        # In one tick: the stop counts.
        tree.answer(root, question, "accept")
        root.interrupt(turn_id)
    await stopped(tree, root, turn_id)
    assert not (tree.workspace / "made").exists()
    assert all(i["status"] == "declined" for i in tree.items(root, "commandExecution"))
    settled = tree.outcomes()
    assert len(settled) == len(tree.asked())


async def test_while_a_command_of_the_reviewers_runs(tree: Tree) -> None:
    root = await tree.root(approval_policy="never", sandbox="danger-full-access")
    tree.plan("reviewer", shell("echo $$ > asked; trap '' TERM; sleep 300", "c1"))
    turn_id = await tree.begin(root, of_custom())
    asked = tree.workspace / "asked"
    with anyio.fail_after(30):
        while not (asked.exists() and asked.read_text().strip()):
            await anyio.lowlevel.checkpoint()
    root.interrupt(turn_id)
    with anyio.fail_after(30):
        await stopped(tree, root, turn_id)
    assert not Path(f"/proc/{asked.read_text().strip()}").exists()


@pytest.mark.parametrize("n", range(32))
async def test_after_any_number_of_events(tree: Tree, n: int) -> None:
    root = await tree.root(approval_policy="never", sandbox="danger-full-access")
    tree.plan("reviewer", reason("hm") + shell("echo hi", "c1"), say(json.dumps(FOUND), deltas=3))
    turn_id = await tree.begin(root, of_custom())
    await tree.until(lambda: len(tree.events) >= n or tree.ends(root))
    try:
        root.interrupt(turn_id)
    except NoActiveTurnError:
        assert tree.ends(root)
    end = await tree.end_of(turn_id)
    check_the_shape(tree, root, turn_id)
    left = tree.items(root, "exitedReviewMode")[0]
    if end["status"] == "completed":
        assert left["output"] == FOUND
    else:
        assert end["status"] == "interrupted"
        assert left["output"] in (None, FOUND)


@pytest.mark.parametrize("steps", range(0, 30, 3))
async def test_right_at_the_end(tree: Tree, steps: int) -> None:
    root = await tree.root()
    tree.plan("reviewer", say("all good").hang(after=2))
    turn_id = await tree.begin(root, of_custom())
    await tree.hanging()
    (child,) = root.kin.children
    tree.heard.add(child)
    tree.fake.resume()
    await tree.until(lambda: tree.ends(child))
    for _ in range(steps):
        await anyio.lowlevel.checkpoint()
    if root.active is not None:
        root.interrupt(turn_id)
    assert (await tree.end_of(turn_id))["status"] in ("completed", "interrupted")
    check_the_shape(tree, root, turn_id)


async def test_a_review_takes_the_place_of_a_turn_that_runs(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#root", say("long", deltas=4).hang(after=3))
    first = await tree.begin(root, "#root")
    await tree.hanging()
    second = await tree.begin(root, of_custom())
    assert second != first
    assert (await tree.end_of(first))["status"] == "interrupted"
    assert (await tree.end_of(second))["status"] == "completed"
    check_the_shape(tree, root, second)


async def test_no_second_review_and_no_compaction_while_one_runs(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("reviewer", say("long", deltas=4).hang(after=3))
    turn_id = await tree.begin(root, of_custom())
    await tree.hanging()
    for op in (of_custom("again"), Compact()):
        with pytest.raises(NotSteerableError):
            await tree.begin(root, op)
    tree.fake.resume()
    assert (await tree.end_of(turn_id))["status"] == "completed"


async def test_a_thread_that_is_closed_during_a_review(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("reviewer", say("long", deltas=4).hang(after=3))
    turn_id = await tree.begin(root, of_custom())
    await tree.hanging()
    await tree.manager.close(root.thread_id)
    (end,) = tree.ends(root)
    assert (end["id"], end["status"]) == (turn_id, "interrupted")
    assert tree.manager.loaded == ()
    assert len(tree.items(root, "exitedReviewMode")) == 1


async def test_a_review_whose_id_is_taken_stops_nothing(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#root", say("first"), say("long", deltas=4).hang(after=3))
    used = (await tree.turn(root, "#root"))["id"]
    running = await tree.begin(root, "go on")
    await tree.hanging()
    for taken in (used, running):
        with pytest.raises(DuplicateIdError):
            await root.submit(Submission(TurnId(taken), of_custom(), chosen_by_caller=True))
    tree.fake.resume()
    assert (await tree.end_of(running))["status"] == "completed"


async def test_a_review_does_not_undo_an_end_that_is_decided(tree: Tree) -> None:
    root = await tree.root()
    first = await tree.begin(root, "#root")
    turn = root.active
    assert turn is not None
    with anyio.fail_after(LIMIT):
        while not turn.closed:
            await anyio.lowlevel.checkpoint()
    assert root.active is turn
    second = await tree.begin(root, of_custom())
    assert (await tree.end_of(first))["status"] == "completed"
    assert (await tree.end_of(second))["status"] == "completed"
