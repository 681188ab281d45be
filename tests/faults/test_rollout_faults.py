"""The disk fails at some point of a turn: the turn fails, it is told, and nothing hangs."""

import errno
import os
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import pytest

from codex_jupyter.core.config import ThreadOptions
from codex_jupyter.core.session import Session
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.errors import RolloutError
from codex_jupyter.flow.requests import Answered
from codex_jupyter.ids import TurnId, new_turn_id
from codex_jupyter.protocol.events import (
    ErrorNoted,
    Event,
    ItemCompleted,
    ItemStarted,
    RequestOpened,
    StatusChanged,
    TextDelta,
    TurnCompleted,
)
from codex_jupyter.protocol.items import TextInput
from codex_jupyter.protocol.ops import Submission, TurnOverrides, UserTurn
from codex_jupyter.rollout.disk import Disk
from codex_jupyter.rollout.store import ThreadStore
from codex_jupyter.settings import Settings
from tests.behaviour.talk import environment, write_config
from tests.fake_model import Answer, FakeModel, call, say

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
Msg = TypeVar("Msg")


@dataclass
class FaultyDisk:
    """Writes until it holds a line that contains ``full_at``; syncs until told not to."""

    full_at: bytes | None = None
    sync_fails: bool = False
    held_at: bytes | None = None
    held: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if self.full_at is not None and self.full_at in bytes(data):
            os.write(descriptor, data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.held_at is not None and self.held_at in bytes(data):
            self.held.set()
            assert self.gate.wait(5)
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        if self.sync_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fsync(descriptor)


class Bench:
    """One thread on a faulty disk, and everything it told."""

    def __init__(self, fake: FakeModel, disk: FaultyDisk) -> None:
        self.fake, self.disk = fake, disk
        self.events: list[Event] = []
        self._news = anyio.Event()
        self.session: Session

    def hear(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()
        self._news = anyio.Event()

    def told(self, kind: type[Msg]) -> list[Msg]:
        return [event.msg for event in self.events if isinstance(event.msg, kind)]

    async def until(self, is_true: Callable[[], bool]) -> None:
        with anyio.fail_after(30):
            while not is_true():
                await self._news.wait()

    async def start(self) -> TurnId:
        op = UserTurn((TextInput(text="hi"),))
        accepted = await self.session.submit(Submission(new_turn_id(), op, chosen_by_caller=False))
        accepted.start()
        return accepted.turn_id

    async def turn(self) -> Json:
        ended = len(self.told(TurnCompleted))
        await self.start()
        await self.until(lambda: len(self.told(TurnCompleted)) > ended)
        return self.told(TurnCompleted)[-1].turn


@pytest.fixture
async def open_bench(tmp_path: Path) -> Any:
    @asynccontextmanager
    async def bench(disk: FaultyDisk, *answers: Answer, **policy: Any) -> AsyncGenerator[Bench]:
        home, workspace = tmp_path / "home", tmp_path / "workspace"
        workspace.mkdir(exist_ok=True)
        async with FakeModel(answers) as fake:
            write_config(home, fake.base_url)
            settings = Settings.load(environ=environment(home))
            bench = Bench(fake, disk)
            store = ThreadStore(home, disk=Disk(write=disk.write, sync=disk.sync))
            manager = ThreadManager(settings, store, bench.hear)
            started = anyio.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(manager.run, started)
                await started.wait()
                options = ThreadOptions(cwd=str(workspace), **policy)
                bench.session = await manager.start(options)
                yield bench
                disk.full_at, disk.sync_fails = None, False
                tasks.cancel_scope.cancel()

    return bench


FULL = {"approval_policy": "never", "sandbox": "danger-full-access"}


@pytest.mark.parametrize(
    "point",
    [
        b'"type":"agentMessage"',
        b'"role":"assistant"',
        b'"token_count"',
        b'"type":"commandExecution"',
        b'"function_call"',
        b'"function_call_output"',
        b'"task_complete"',
    ],
    ids=bytes.decode,
)
async def test_a_full_disk_fails_the_turn_and_the_next_one_works(
    open_bench: Any, point: bytes
) -> None:
    disk = FaultyDisk()
    answers = call("shell_command", {"command": "echo x"}, call_id="c1"), say("done"), say("next")
    async with open_bench(disk, *answers, say("next"), say("next"), **FULL) as bench:
        disk.full_at = point
        turn = await bench.turn()
        assert turn["status"] == "failed"
        assert "ENOSPC" in turn["error"]["message"]
        assert [told.error for told in bench.told(ErrorNoted)] == [turn["error"]]
        assert bench.told(StatusChanged)[-1].status == {"type": "systemError"}
        started = {told.item["id"] for told in bench.told(ItemStarted)}
        closed = [told.item["id"] for told in bench.told(ItemCompleted)]
        assert sorted(started) == sorted(closed), "every item is closed, once"
        assert isinstance(bench.events[-1].msg, TurnCompleted)
        disk.full_at = None
        assert (await bench.turn())["status"] == "completed"
        assert bench.told(StatusChanged)[-1].status == {"type": "idle"}


async def test_a_full_disk_at_acceptance_refuses_the_turn_and_changes_nothing(
    open_bench: Any,
) -> None:
    disk = FaultyDisk()
    async with open_bench(disk, say("ok")) as bench:
        session: Session = bench.session
        disk.full_at = b'"task_started"'
        turn_id = new_turn_id()
        op = UserTurn((TextInput(text="hi"),), TurnOverrides(model="other-model"))
        for _ in range(2):
            with pytest.raises(RolloutError, match="ENOSPC"):
                await session.submit(Submission(turn_id, op, chosen_by_caller=True))
        assert session.active_turn_id is None
        assert session.config.model == "fake-model"
        assert bench.events == []
        disk.full_at = None
        accepted = await session.submit(Submission(turn_id, op, chosen_by_caller=True))
        accepted.start()
        await bench.until(lambda: bool(bench.told(TurnCompleted)))
        assert bench.told(TurnCompleted)[0].turn["status"] == "completed"
        said = [item["content"][0]["text"] for item in bench.fake.requests[0]["input"]]
        assert said.count("hi") == 1


async def test_a_full_disk_at_the_first_line_leaves_the_thread_usable(open_bench: Any) -> None:
    disk = FaultyDisk(full_at=b'"session_meta"')
    async with open_bench(disk, say("ok")) as bench:
        with pytest.raises(RolloutError):
            await bench.start()
        assert bench.session.path is None
        disk.full_at = None
        assert (await bench.turn())["status"] == "completed"


async def test_a_disk_that_cannot_sync_fails_the_turn_and_refuses_the_next(
    open_bench: Any,
) -> None:
    disk = FaultyDisk()
    async with open_bench(disk, say("one").hang(after=3)) as bench:
        await bench.start()
        with anyio.fail_after(30):
            await bench.fake.wait_for_hang()
        disk.sync_fails = True
        bench.fake.resume()
        await bench.until(lambda: bool(bench.told(TurnCompleted)))
        assert bench.told(TurnCompleted)[0].turn["status"] == "failed"
        disk.sync_fails = False
        with pytest.raises(RolloutError, match="resume the thread"):
            await bench.start()
        assert bench.session.active_turn_id is None


async def test_a_full_disk_keeps_a_stopped_turn_from_hanging(open_bench: Any) -> None:
    disk = FaultyDisk()
    async with open_bench(disk, say("one two", deltas=2).hang(after=3)) as bench:
        turn_id = await bench.start()
        await bench.until(lambda: bool(bench.told(TextDelta)))
        disk.full_at = b"{"
        bench.session.interrupt(turn_id)
        await bench.until(lambda: bool(bench.told(TurnCompleted)))
        turn = bench.told(TurnCompleted)[0].turn
        assert turn["status"] == "failed"
        assert "ENOSPC" in turn["error"]["message"]
        assert bench.session.active_turn_id is None


@pytest.mark.parametrize(
    "tool",
    [
        call("shell_command", {"command": "touch made"}, call_id="c1"),
        call(
            "apply_patch",
            {"input": "*** Begin Patch\n*** Add File: made\n+x\n*** End Patch"},
            call_id="c1",
        ),
    ],
    ids=["command", "patch"],
)
async def test_a_stop_while_the_answer_is_being_stored_still_stops(
    open_bench: Any, tmp_path: Path, tool: Answer
) -> None:
    disk = FaultyDisk(held_at=b'"request_resolved"')
    async with open_bench(disk, tool, say("next")) as bench:
        turn_id = await bench.start()
        await bench.until(lambda: bool(bench.told(RequestOpened)))
        request = bench.told(RequestOpened)[0]
        accept = Answered({"decision": "accept", "digest": request.params["digest"]})
        assert bench.session.state.broker.answer(request.request_id, accept)
        assert await anyio.to_thread.run_sync(disk.held.wait, 5)
        bench.session.interrupt(turn_id)
        disk.gate.set()
        await bench.until(lambda: bool(bench.told(TurnCompleted)))
        assert bench.told(TurnCompleted)[0].turn["status"] == "interrupted"
        assert not (tmp_path / "workspace" / "made").exists()


async def test_an_approval_that_cannot_be_stored_runs_nothing(
    open_bench: Any, tmp_path: Path
) -> None:
    disk = FaultyDisk(full_at=b'"request_resolved"')
    tool = call("shell_command", {"command": "touch made"}, call_id="c1")
    async with open_bench(disk, tool) as bench:
        await bench.start()
        await bench.until(lambda: bool(bench.told(RequestOpened)))
        request = bench.told(RequestOpened)[0]
        bench.session.state.broker.answer(request.request_id, Answered({"decision": "accept"}))
        await bench.until(lambda: bool(bench.told(TurnCompleted)))
        assert bench.told(TurnCompleted)[0].turn["status"] == "failed"
        assert not (tmp_path / "workspace" / "made").exists()
