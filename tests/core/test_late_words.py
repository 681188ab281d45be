"""What comes to a turn whose start is not stored yet, or whose end is decided."""

import errno
import os
import threading
from pathlib import Path

import anyio
import anyio.from_thread
import pytest

from codex_jupyter.core.spoken import Spoken
from codex_jupyter.errors import CodexError, NoActiveTurnError, RolloutError
from codex_jupyter.protocol.ops import Compact
from codex_jupyter.rollout.disk import Disk
from tests.core.agency import at_work, busy, notices
from tests.core.tree import growing, prompt
from tests.fake_model import say

pytestmark = pytest.mark.anyio


class GatedDisk:
    """Holds one write that has a text until the test lets it go on, or fail."""

    def __init__(self, text: bytes, *, fails: bool = False) -> None:
        self.reached = anyio.Event()
        self.gate = threading.Event()
        self._text = text
        self._fails = fails
        self._is_used = False

    def disk(self) -> Disk:
        return Disk(write=self._write)

    def _write(self, descriptor: int, data: bytes | memoryview) -> int:
        if self._text in bytes(data) and not self._is_used:
            self._is_used = True
            anyio.from_thread.run_sync(self.reached.set)
            assert self.gate.wait(30)
            if self._fails:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(descriptor, data)


class Lasting:
    """Something of a turn's that takes a moment to close."""

    def __init__(self, *, is_over: bool) -> None:
        self.is_over = is_over
        self.closing = anyio.Event()
        self.gate = anyio.Event()

    async def aclose(self) -> None:
        self.closing.set()
        await self.gate.wait()


async def test_a_failure_that_comes_after_the_end_is_decided_comes_too_late(
    tmp_path: Path,
) -> None:
    async with growing(tmp_path) as tree:
        root = await tree.root()
        tree.plan("#go", say("all is done", deltas=3).hang(after=3))
        turn_id = await tree.begin(root, "#go")
        await tree.hanging()
        turn = root.active
        assert turn is not None

        lasting = Lasting(is_over=False)
        turn.delegates.add(lasting)
        tree.fake.resume()
        with anyio.fail_after(30):
            await lasting.closing.wait()
        assert turn.closed
        try:
            with pytest.raises(NoActiveTurnError):
                root.fail(turn_id, CodexError("nobody is there to ask"))
        finally:
            lasting.gate.set()
        assert (await tree.end_of(turn_id))["status"] == "completed"


async def test_input_to_a_turn_that_then_cannot_begin_is_refused(tmp_path: Path) -> None:
    gated = GatedDisk(b"the refused one", fails=True)
    async with growing(tmp_path, disk=gated.disk()) as tree:
        root = await tree.root()
        problems: list[type[BaseException]] = []

        async def refused() -> None:
            try:
                await tree.begin(root, "#go the refused one")
            except RolloutError as problem:
                problems.append(type(problem))

        async def steering() -> None:
            try:
                await root.steer(root.active_turn_id or "", Spoken(prompt("and more")))
            except CodexError as problem:
                problems.append(type(problem))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(refused)
                await gated.reached.wait()
                tasks.start_soon(steering)
                await anyio.wait_all_tasks_blocked()
                gated.gate.set()
        assert problems == [RolloutError, NoActiveTurnError]


async def test_an_agents_end_is_told_also_after_a_compaction_that_came_first(
    tmp_path: Path,
) -> None:
    async with growing(tmp_path) as tree:
        root = await tree.root()
        turn = await busy(tree, root)
        agent, question = await at_work(tree, turn, root, "#a")
        lasting = Lasting(is_over=True)
        turn.delegates.add(lasting)
        tree.fake.resume()
        with anyio.fail_after(30):
            try:
                await lasting.closing.wait()
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(tree.begin, root, Compact())
                    await anyio.wait_all_tasks_blocked()
                    tree.answer(root, question, "accept")
                    await tree.until(lambda: tree.ends(agent.thread_id))
                    await anyio.wait_all_tasks_blocked()
                    lasting.gate.set()
            finally:
                lasting.gate.set()
            told = await tree.until(lambda: notices(tree.requests["#root"][-1]))
        assert [notice["status"] for notice in told] == [{"completed": "done #a"}]
