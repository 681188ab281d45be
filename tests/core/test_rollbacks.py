"""Turns that are taken back while something of theirs, or of whoever asked, still goes on."""

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.from_thread
import pytest

from codex_jupyter.core.config import ThreadOptions
from codex_jupyter.rollout.disk import Disk
from codex_jupyter.rollout.store import ThreadStore
from tests.core.tree import Tree, growing
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

FREE = {"approval_policy": "never", "sandbox": "danger-full-access"}


async def test_a_command_that_outlives_a_turn_that_was_taken_back_ends_in_no_turn(
    tree: Tree,
) -> None:
    root = await tree.root(**FREE)
    waits = {"cmd": "while [ ! -e go ]; do sleep 0.01; done", "yield_time_ms": 250}
    tree.plan("#one", say("first"), call("exec_command", waits), say("it runs"))
    await tree.turn(root, "#one")
    await tree.turn(root, "start it")
    assert len(root.terminals.live) == 1
    await root.edits.roll_back(1)
    (tree.workspace / "go").touch()
    await tree.until(lambda: tree.items(root, "commandExecution"))
    (shown,) = root.state.transcript.turns()
    assert "commandExecution" not in [item["type"] for item in shown["items"]]
    assert (await tree.turn(root, "and more"))["status"] == "completed"
    loaded = root.state.transcript.turns()
    await tree.manager.close(root.thread_id)
    again, _ = await tree.manager.resume(root.thread_id, ThreadOptions())
    stored = again.state.transcript.turns()
    assert [turn["id"] for turn in stored] == [turn["id"] for turn in loaded]
    kinds = [[item["type"] for item in turn["items"]] for turn in stored]
    assert kinds == [["userMessage", "agentMessage"]] * 2


async def test_a_command_of_the_only_turn_that_was_taken_back_ends(tree: Tree) -> None:
    root = await tree.root(**FREE)
    waits = {"cmd": "while [ ! -e go ]; do sleep 0.01; done", "yield_time_ms": 250}
    tree.plan("#one", call("exec_command", waits), say("it runs"))
    await tree.turn(root, "#one")
    await root.edits.roll_back(1)
    (tree.workspace / "go").touch()
    await tree.until(lambda: tree.items(root, "commandExecution"))
    assert root.state.transcript.turns() == []
    assert (await tree.turn(root, "go on"))["status"] == "completed"
    assert root.thread_id in tree.manager.loaded


async def test_whoever_goes_while_turns_are_taken_back_leaves_all_or_nothing(
    tmp_path: Path,
) -> None:
    during: list[Callable[[], None]] = []

    def sync(descriptor: int) -> None:
        os.fsync(descriptor)
        while during:
            anyio.from_thread.run_sync(during.pop())

    async with growing(tmp_path, disk=Disk(sync=sync)) as tree:
        root = await tree.root()
        await tree.turn(root, "#one")
        await tree.turn(root, "and two")
        with anyio.CancelScope() as asking:
            during.append(asking.cancel)
            await root.edits.roll_back(1)
        stored = await ThreadStore(tree.home).read(root.thread_id)
        assert stored is not None
        loaded = root.state.transcript.turn_ids
        assert [turn["id"] for turn in stored.turns] == loaded
        assert len(loaded) == 1
        assert len(root.state.history) == len(stored.history)
