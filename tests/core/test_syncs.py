"""How often and how long a turn waits for the medium."""

import os
from pathlib import Path

import pytest

from codex_jupyter.rollout.disk import Disk
from tests.core.hanging import Hanging
from tests.core.reviewing import of_custom
from tests.core.tree import growing, shell
from tests.fake_model import say

pytestmark = pytest.mark.anyio


class Counting:
    """A disk that counts how often somebody waits for it."""

    def __init__(self) -> None:
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        os.fsync(descriptor)


async def test_a_turn_waits_at_its_start_for_its_message_and_at_its_end(tmp_path: Path) -> None:
    counting = Counting()
    async with growing(tmp_path, disk=Disk(sync=counting.sync)) as tree:
        root = await tree.root()
        await tree.turn(root, "#root")
        before = counting.syncs
        await tree.turn(root, "#root again")
        assert counting.syncs - before == 3


async def test_a_review_waits_at_its_start_and_at_its_end(tmp_path: Path) -> None:
    counting = Counting()
    async with growing(tmp_path, disk=Disk(sync=counting.sync)) as tree:
        root = await tree.root()
        await tree.turn(root, "#root")
        tree.plan("reviewer", say("all good"))
        before = counting.syncs
        await tree.end_of(await tree.begin(root, of_custom()))
        assert counting.syncs - before == 2


async def test_what_a_stop_ends_is_stored_with_the_end(tmp_path: Path) -> None:
    counting = Counting()
    async with growing(tmp_path, disk=Disk(sync=counting.sync)) as tree:
        root = await tree.root(approval_policy="never", sandbox="danger-full-access")
        tree.plan("#root", shell("echo begun; sleep 300", "c1") + shell("sleep 300", "c2"))
        turn_id = await tree.begin(root, "#root")
        await tree.until(lambda: "begun" in tree.said(root))
        before = counting.syncs
        root.interrupt(turn_id)
        end = await tree.end_of(turn_id)
        assert end["status"] == "interrupted"
        assert counting.syncs - before == 1
        # Each is told once, and is there when the thread comes back.
        ended = [item["status"] for item in tree.items(root, "commandExecution")]
        assert ended == ["failed", "failed"]
        await tree.manager.close(root.thread_id)
        stored = await tree.manager._store.read(root.thread_id)
        assert stored is not None
        items = [item["type"] for item in stored.turns[-1]["items"]]
        assert items == ["userMessage", "commandExecution", "commandExecution"]


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_turn_ends_while_the_disk_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    monkeypatch.setattr("codex_jupyter.rollout.recorder.WRITE_LIMIT", 0.05)
    monkeypatch.setattr("codex_jupyter.core.session_state.WRITE_LIMIT", 0.05)
    hanging = Hanging()
    async with growing(tmp_path, disk=hanging.disk) as tree:
        root, other = await tree.root(), await tree.root()
        tree.plan("#root", say("half a sentence", deltas=2).hang(after=3))
        turn_id = await tree.begin(root, "#root")
        await tree.hanging()
        hanging.gate.clear()
        if stopped:
            root.interrupt(turn_id)
        else:
            tree.fake.resume()
        ended = await tree.end_of(turn_id)
        assert ended["status"] == "failed"
        assert "did not take a record" in ended["error"]["message"]
        hanging.gate.set()
        assert (await tree.turn(other, "#other"))["status"] == "completed"
