"""Input that a turn has taken is never lost, however the turn is stopped."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import pytest

from codex_jupyter.core.config import ThreadOptions
from codex_jupyter.core.spoken import Spoken
from codex_jupyter.errors import RolloutError
from codex_jupyter.protocol.items import LocalImageInput, TextInput
from codex_jupyter.rollout.disk import Disk
from tests.core.test_late_words import GatedDisk
from tests.core.tree import growing, prompt, words_of
from tests.fake_model import say

pytestmark = pytest.mark.anyio

KNOWN = {"text": "the sea is deep"}


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
        await root.steer(turn_id, Spoken(prompt("a first word")))
        await root.steer(turn_id, Spoken((TextInput(text="and a picture"), image)))
        await root.steer(turn_id, Spoken(prompt("and a last one")))
        stops += [lambda: root.interrupt(turn_id)] * 2
        tree.fake.resume()
        assert (await tree.end_of(turn_id))["status"] == "interrupted"
        shown = [item["content"][0]["text"] for item in tree.items(root, "userMessage")]
        assert shown == ["#go", "a first word", "and a picture", "and a last one"]


async def test_input_is_not_taken_by_a_turn_that_then_cannot_begin(tmp_path: Path) -> None:
    reached, gate, problems = anyio.Event(), threading.Event(), list[BaseException]()

    def write(descriptor: int, data: bytes | memoryview) -> int:
        if b"the refused one" in bytes(data):
            anyio.from_thread.run_sync(reached.set)
            assert gate.wait(30)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(descriptor, data)

    async with growing(tmp_path, disk=Disk(write=write)) as tree:
        root = await tree.root()

        async def refused() -> None:
            try:
                await tree.begin(root, "#go the refused one")
            except RolloutError as problem:
                problems.append(problem)

        async def taken() -> None:
            turn_ids.append(await tree.begin(root, "#two come too"))

        turn_ids: list[str] = []
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(refused)
                await reached.wait()
                await root.inject([{"role": "user", "content": [{"type": "input_text"} | KNOWN]}])
                tasks.start_soon(taken)
                await anyio.wait_all_tasks_blocked()
                gate.set()
        assert len(problems) == 1
        assert (await tree.end_of(turn_ids[0]))["status"] == "completed"
        assert words_of(tree.requests["#two"][-1])[-1] == "#two come too"
        await tree.manager.close(root.thread_id)
        again, _ = await tree.manager.resume(root.thread_id, ThreadOptions())
        await tree.turn(again, "and what else?")
        assert KNOWN["text"] in words_of(tree.requests["#two"][-1])


def told(words: str) -> dict[str, Any]:
    return {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": words}],
    }


def fails_once_at(words: bytes) -> Disk:
    """A disk that refuses one write, the first that has some words."""
    refused: list[bytes] = []

    def write(descriptor: int, data: bytes | memoryview) -> int:
        if words in bytes(data) and not refused:
            refused.append(bytes(data))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(descriptor, data)

    return Disk(write=write)


async def test_what_a_thread_was_told_before_it_has_a_rollout_outlives_a_new_name(
    tmp_path: Path,
) -> None:
    """The turn it was told to could not begin; a name is then told to nobody but the session."""
    gated = GatedDisk(b"session_meta", fails=True)
    async with growing(tmp_path, disk=gated.disk()) as tree:
        root = await tree.root()
        problems: list[BaseException] = []

        async def refused() -> None:
            try:
                await tree.begin(root, "#refused")
            except RolloutError as problem:
                problems.append(problem)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(refused)
                await gated.reached.wait()
                await root.inject([told("the sea is deep")])
                gated.gate.set()
        assert len(problems) == 1
        await root.rename("Whales")
        await tree.turn(root, "#first")
        assert "the sea is deep" in words_of(tree.requests["#first"][-1])
        await tree.manager.close(root.thread_id)
        again, _ = await tree.manager.resume(root.thread_id, ThreadOptions())
        assert again.name == "Whales"
        assert told("the sea is deep") in again.state.history.items


@pytest.mark.parametrize("way", ["injected", "steered"])
async def test_what_a_turn_was_told_is_remembered_though_the_disk_refused_it_once(
    tmp_path: Path, way: str
) -> None:
    async with growing(tmp_path, disk=fails_once_at(b"the sea is deep")) as tree:
        root = await tree.root()
        tree.plan("#go", say("one moment", deltas=3).hang(after=3))
        turn_id = await tree.begin(root, "#go")
        await tree.hanging()
        if way == "steered":
            await root.steer(turn_id, Spoken(prompt("the sea is deep")))
        else:
            await root.inject([told("the sea is deep")])
            await root.steer(turn_id, Spoken(prompt("and now?")))
        tree.fake.resume()
        assert (await tree.end_of(turn_id))["status"] == "failed"
        await tree.turn(root, "next")
        assert words_of(tree.requests["#go"][-1]).count("the sea is deep") == 1
        await tree.manager.close(root.thread_id)
        again, _ = await tree.manager.resume(root.thread_id, ThreadOptions())
        assert told("the sea is deep") in again.state.history.items
        shown = [item["content"][0]["text"] for item in tree.items(root, "userMessage")]
        assert shown.count("the sea is deep") == (way == "steered")
