"""What is staged is stored with what comes next, and told when it is, in order."""

import errno
import os
import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from codex_jupyter.core.session_state import SessionState
from codex_jupyter.errors import RolloutError
from codex_jupyter.ids import ThreadId, TurnId
from codex_jupyter.protocol.events import (
    Event,
    ItemCompleted,
    ItemStarted,
    TokenUsageUpdated,
    TurnStarted,
    Warned,
)
from codex_jupyter.rollout.disk import Disk
from codex_jupyter.rollout.reader import read_records
from codex_jupyter.rollout.records import Record
from codex_jupyter.rollout.store import ThreadStore

pytestmark = pytest.mark.anyio

THREAD = ThreadId("0199a213-81c0-7800-8aa1-bbab2a035a53")
TURN = TurnId("0199a213-81c0-7800-8aa1-bbab2a035a54")


class Lab:
    """A state that writes to a disk which may be full."""

    def __init__(self, store: ThreadStore) -> None:
        self.store = store
        self.events: list[Event] = []
        self.state = SessionState(THREAD, self.events.append, {})

    def told(self) -> list[str]:
        return [e.msg.message for e in self.events if isinstance(e.msg, Warned)]

    def stored(self) -> list[Any]:
        assert self.state.recorder is not None
        assert self.state.recorder.path is not None
        found = read_records(self.state.recorder.path)
        return [r.payload["text"] for r in found if r.type == "event_msg"]

    def stage(self, text: str) -> None:
        self.state.stage(TURN, [note(text)], [Warned(text)])


def note(text: str) -> Record:
    return Record("event_msg", {"type": "note", "text": text})


class Full:
    is_full = False

    def __init__(self) -> None:
        self.writes, self.gate = threading.Event(), threading.Event()
        self.gate.set()

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        self.writes.set()
        assert self.gate.wait(30)
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(descriptor, data)


@pytest.fixture
def disk() -> Full:
    return Full()


@pytest.fixture
async def lab(tmp_path: Path, disk: Full) -> Any:
    store = ThreadStore(tmp_path, disk=Disk(write=disk.write))
    lab = Lab(store)
    await store.reserve(THREAD)
    lab.state.recorder = await store.create(THREAD, {})
    lab.state.emit(TurnStarted({"id": TURN}), TURN)
    yield lab
    await store.aclose()


async def test_it_is_neither_stored_nor_told_before_the_next_record(lab: Lab) -> None:
    lab.stage("one")
    lab.stage("two")
    assert (lab.stored(), lab.told()) == ([], [])
    await lab.state.record([note("next")])
    assert lab.stored() == ["one", "two", "next"]
    assert lab.told() == ["one", "two"]


async def test_it_can_be_written_for_its_own_sake(lab: Lab) -> None:
    lab.stage("one")
    await lab.state.record()
    assert (lab.stored(), lab.told()) == (["one"], ["one"])
    await lab.state.record()
    assert (lab.stored(), lab.told()) == (["one"], ["one"])


async def test_what_could_not_be_stored_is_told_when_it_could(lab: Lab, disk: Full) -> None:
    lab.stage("one")
    disk.is_full = True
    with pytest.raises(RolloutError):
        await lab.state.record([note("refused")])
    assert (lab.stored(), lab.told()) == ([], [])
    lab.stage("two")
    disk.is_full = False
    await lab.state.record([note("next")])
    assert lab.stored() == ["one", "two", "next"]
    assert lab.told() == ["one", "two"]


async def test_what_is_being_stored_is_neither_open_nor_forgotten_meanwhile(
    lab: Lab, disk: Full
) -> None:
    item = {"type": "commandExecution", "id": "c1", "status": "inProgress"}
    lab.state.emit(ItemStarted(item), TURN)
    usage = {"last": {"totalTokens": 3, "inputTokens": 3}, "modelContextWindow": None}
    told = [ItemCompleted({**item, "status": "failed"}), TokenUsageUpdated(usage)]
    lab.state.stage(TURN, [note("one")], told)
    disk.writes.clear()
    disk.gate.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lab.state.record)
        with anyio.fail_after(30):
            await anyio.to_thread.run_sync(disk.writes.wait, 30)
        # The end of the turn looks now: it must not complete the item once more.
        assert lab.state.open_items() == []
        assert lab.state.extras["usage"]["inputTokens"] == 3
        disk.gate.set()
    assert lab.state.open_items() == []
    assert lab.state.extras["usage"]["inputTokens"] == 3


async def test_what_is_given_up_is_told_to_nobody(lab: Lab, disk: Full) -> None:
    lab.stage("one")
    disk.is_full = True
    with pytest.raises(RolloutError):
        await lab.state.record()
    lab.state.unstage()
    disk.is_full = False
    await lab.state.record([note("next")])
    assert (lab.stored(), lab.told()) == (["next"], [])


async def test_what_two_could_not_store_keeps_its_order(lab: Lab, disk: Full) -> None:
    refused: list[RolloutError] = []

    async def record() -> None:
        try:
            await lab.state.record()
        except RolloutError as problem:
            refused.append(problem)

    disk.gate.clear()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for text in ("one", "two"):
                lab.stage(text)
                tasks.start_soon(record)
                await anyio.wait_all_tasks_blocked()
            lab.stage("three")
            disk.is_full = True
            disk.gate.set()
    assert len(refused) == 2
    disk.is_full = False
    await lab.state.record([note("next")])
    assert lab.stored() == ["one", "two", "three", "next"]
    assert lab.told() == ["one", "two", "three"]


async def test_what_is_stored_first_is_told_first_when_one_write_is_for_both(
    lab: Lab, disk: Full
) -> None:
    """Who stores the end of a turn right after another record tells what others staged before."""

    async def first_and_last() -> None:
        await lab.state.record([note("first")])
        lab.stage("last")
        await lab.state.record()

    disk.gate.clear()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first_and_last)
            await anyio.wait_all_tasks_blocked()
            for text in ("one", "two"):
                lab.stage(text)
                tasks.start_soon(lab.state.record)
                await anyio.wait_all_tasks_blocked()
            disk.gate.set()
    assert lab.stored() == ["first", "one", "two", "last"]
    assert lab.told() == ["one", "two", "last"]
