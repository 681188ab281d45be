"""Input that a turn has taken is never lost, however the turn is stopped."""

import os
from collections.abc import Callable
from pathlib import Path

import anyio.from_thread
import pytest

from codex_jupyter.core.spoken import Spoken
from codex_jupyter.protocol.items import LocalImageInput, TextInput
from codex_jupyter.rollout.disk import Disk
from tests.core.tree import growing, prompt
from tests.fake_model import say

pytestmark = pytest.mark.anyio


async def test_a_hard_stop_while_input_is_taken_in_loses_none_of_it(tmp_path: Path) -> None:
    stops: list[Callable[[], None]] = []

    def write(descriptor: int, data: bytes | memoryview) -> int:
        while stops and b"a first word" in bytes(data):
            anyio.from_thread.run_sync(stops.pop())
        return os.write(descriptor, data)

    async with growing(tmp_path, disk=Disk(write=write)) as tree:
        root = await tree.root()
        tree.plan("#go", say("one moment", deltas=3).hang(after=3))
        turn_id = await tree.begin(root, "#go")
        await tree.hanging()
        image = LocalImageInput(type="localImage", path=str(tmp_path / "none.png"))
        root.steer(turn_id, Spoken(prompt("a first word")))
        root.steer(turn_id, Spoken((TextInput(text="and a picture"), image)))
        root.steer(turn_id, Spoken(prompt("and a last one")))
        stops += [lambda: root.interrupt(turn_id)] * 2
        tree.fake.resume()
        assert (await tree.end_of(turn_id))["status"] == "interrupted"
        shown = [item["content"][0]["text"] for item in tree.items(root, "userMessage")]
        assert shown == ["#go", "a first word", "and a picture", "and a last one"]
