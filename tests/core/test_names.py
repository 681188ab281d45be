"""The name of a thread, and what is known of its repository, from before its first turn."""

import errno
import os
from pathlib import Path

import pytest

from codex_jupyter.core.config import ThreadOptions
from codex_jupyter.errors import RolloutError
from codex_jupyter.rollout.disk import Disk
from tests.core.tree import growing

pytestmark = pytest.mark.anyio


async def test_a_full_disk_at_the_first_turn_does_not_lose_what_was_told_before_it(
    tmp_path: Path,
) -> None:
    full = [True]

    def write(descriptor: int, data: bytes | memoryview) -> int:
        if b"thread_name_updated" in bytes(data) and full:
            full.clear()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(descriptor, data)

    async with growing(tmp_path, disk=Disk(write=write)) as tree:
        root = await tree.root()
        await root.rename("Whales")
        root.git_info = {"sha": "abc", "branch": "main", "originUrl": None}
        with pytest.raises(RolloutError):
            await tree.begin(root, "#first")
        assert (await tree.turn(root, "#again"))["status"] == "completed"
        await tree.manager.close(root.thread_id)
        again, _ = await tree.manager.resume(root.thread_id, ThreadOptions())
        assert again.name == "Whales"
        assert again.git_info == root.git_info
