"""What is acknowledged is stored: group commit, faults at every call, cancelled callers."""

import asyncio
import errno
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import TaskStatus

from codex_jupyter.errors import RolloutError
from codex_jupyter.rollout.disk import Disk
from codex_jupyter.rollout.reader import read_records
from codex_jupyter.rollout.recorder import Recorder, RolloutFile
from codex_jupyter.rollout.records import Record, encode_lines

pytestmark = pytest.mark.anyio

META = encode_lines([Record("session_meta", {"id": "x"}, "t")])


def note(text: str, *, size: int = 0) -> Record:
    return Record("event_msg", {"type": "note", "text": text, "padding": "ü" * size}, "t")


def notes(path: Path) -> list[str]:
    return [record.payload["text"] for record in read_records(path) if record.type == "event_msg"]


@dataclass
class GatedDisk:
    """Counts syncs, and holds them while the gate is closed."""

    syncs: int = 0
    in_flight: threading.Event = field(default_factory=threading.Event)
    gate: threading.Event = field(default_factory=threading.Event)

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        self.in_flight.set()
        assert self.gate.wait(5)
        os.fsync(descriptor)

    async def wait_in_flight(self) -> None:
        with anyio.fail_after(30):
            await anyio.to_thread.run_sync(self.in_flight.wait, 5)


def recorder_on(path: Path, disk: Disk | None = None) -> Recorder:
    path.write_bytes(META)
    return Recorder(RolloutFile(path, len(META), disk or Disk()), anyio.CapacityLimiter(8))


async def test_writes_that_come_during_a_sync_share_the_next_one(tmp_path: Path) -> None:
    gated = GatedDisk()
    recorder = recorder_on(tmp_path / "r.jsonl", Disk(sync=gated.sync))
    done: list[str] = []

    async def write(text: str) -> None:
        await recorder.write([note(text)])
        done.append(text)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, "first")
            await gated.wait_in_flight()
            for number in range(50):
                tasks.start_soon(write, str(number))
            await anyio.wait_all_tasks_blocked()
            assert done == []
            gated.gate.set()
    expected = ["first", *map(str, range(50))]
    assert done == expected
    assert notes(recorder.path) == expected
    assert gated.syncs == 2


async def test_a_write_returns_only_after_its_sync(tmp_path: Path) -> None:
    seen: list[list[str]] = []
    path = tmp_path / "r.jsonl"

    def sync(descriptor: int) -> None:
        seen.append(notes(path))

    recorder = recorder_on(path, Disk(sync=sync))
    for text in ("a", "b"):
        await recorder.write([note(text), note(text + "!")])
    assert seen == [["a", "a!"], ["a", "a!", "b", "b!"]]


@pytest.mark.parametrize("who", ["leader", "follower", "next leader"])
async def test_a_cancelled_caller_harms_nobody_and_no_line(tmp_path: Path, who: str) -> None:
    gated = GatedDisk()
    recorder = recorder_on(tmp_path / "r.jsonl", Disk(sync=gated.sync))
    scopes: dict[str, anyio.CancelScope] = {}
    done: list[str] = []

    async def write(name: str, *, task_status: TaskStatus[None]) -> None:
        with anyio.CancelScope() as scopes[name]:
            task_status.started()
            await recorder.write([note(name, size=5000), note(name + "!")])
            done.append(name)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for name in ("leader", "next leader", "follower", "other"):
                await tasks.start(lambda n=name, **kw: write(n, **kw))
                await gated.wait_in_flight()
            scopes[who].cancel()
            await anyio.wait_all_tasks_blocked()
            gated.gate.set()
        await recorder.write([note("after")])
    stored = notes(recorder.path)
    assert {"leader", "next leader", "follower", "other"} - {who} <= set(done)
    assert stored[-1] == "after"
    for name in done:
        assert stored[stored.index(name) + 1] == name + "!"
    assert recorder.path.read_bytes().count(b"\n") == 1 + len(stored)


async def test_a_leader_cancelled_before_it_gets_a_thread_still_serves_its_batch(
    tmp_path: Path,
) -> None:
    """Steps: 1. a first sync is held; 2. two join the next batch, another recorder queues for the
    only thread; 3. the batch's leader, waiting behind it, is cancelled; 4. its follower is served.
    """
    mine, theirs = GatedDisk(), GatedDisk()
    limiter = anyio.CapacityLimiter(1)
    paths = tmp_path / "mine", tmp_path / "theirs"
    for path in paths:
        path.write_bytes(META)
    recorder = Recorder(RolloutFile(paths[0], len(META), Disk(sync=mine.sync)), limiter)
    other = Recorder(RolloutFile(paths[1], len(META), Disk(sync=theirs.sync)), limiter)
    done: list[str] = []
    scope = anyio.CancelScope()

    async def leader() -> None:
        with scope:
            await recorder.write([note("leader")])

    async def follower() -> None:
        await recorder.write([note("follower")])
        done.append("follower")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(recorder.write, [note("first")])
            await mine.wait_in_flight()
            tasks.start_soon(leader)
            tasks.start_soon(follower)
            tasks.start_soon(other.write, [note("theirs")])
            await anyio.wait_all_tasks_blocked()
            mine.gate.set()
            await theirs.wait_in_flight()
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await anyio.wait_all_tasks_blocked()
            theirs.gate.set()
    assert done == ["follower"]
    assert notes(recorder.path) == ["first", "leader", "follower"]


async def test_a_task_torn_away_by_the_loop_leaves_whole_lines(tmp_path: Path) -> None:
    """A bare ``Task.cancel`` does not ask shields; the next append waits for the thread."""
    gated = GatedDisk(gate=threading.Event())

    def write(descriptor: int, content: bytes | memoryview) -> int:
        written = os.write(descriptor, content[:100])
        gated.in_flight.set()
        assert gated.gate.wait(5)
        return written

    recorder = recorder_on(tmp_path / "r.jsonl", Disk(write=write))
    with anyio.fail_after(30):
        torn = asyncio.ensure_future(recorder.write([note("torn", size=200)]))
        await gated.wait_in_flight()
        torn.cancel()
        with pytest.raises(asyncio.CancelledError):
            await torn
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(recorder.write, [note("next")])
            await anyio.wait_all_tasks_blocked()
            gated.gate.set()
    assert notes(recorder.path) == ["torn", "next"]


async def test_a_disk_that_hangs_refuses_in_time_and_takes_all_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_jupyter.rollout.recorder.WRITE_LIMIT", 0.05)
    path = tmp_path / "r.jsonl"
    gated = GatedDisk()
    recorder = recorder_on(path, Disk(sync=gated.sync))
    with anyio.fail_after(30):
        with pytest.raises(RolloutError, match="did not take a record within"):
            await recorder.write([note("in doubt")])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(recorder.write, [note("after it")])
            await anyio.lowlevel.checkpoint()
            gated.gate.set()
        await recorder.write([note("last")])
        await recorder.aclose()
    assert notes(path) == ["in doubt", "after it", "last"]


async def test_a_write_that_gets_no_thread_in_time_is_refused_and_not_done_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_jupyter.rollout.recorder.WRITE_LIMIT", 0.05)
    path = tmp_path / "r.jsonl"
    path.write_bytes(META)
    limiter = anyio.CapacityLimiter(1)
    recorder = Recorder(RolloutFile(path, len(META), Disk()), limiter)
    with anyio.fail_after(30):
        await limiter.acquire_on_behalf_of(other := object())
        with pytest.raises(RolloutError, match="other writes did not end in time"):
            await recorder.write([note("refused")])
        limiter.release_on_behalf_of(other)
        await recorder.write([note("taken")])
    assert notes(path) == ["taken"]


async def test_a_failure_that_nobody_foresaw_refuses_the_write_and_hangs_no_later_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "r.jsonl"
    problems = [MemoryError("no room")]

    def sync(descriptor: int) -> None:
        if problems:
            raise problems.pop()
        os.fsync(descriptor)

    recorder = recorder_on(path, Disk(sync=sync))
    with anyio.fail_after(30):
        with pytest.raises(RolloutError, match="MemoryError: no room"):
            await recorder.write([note("in doubt")])
        await recorder.write([note("next")])
        await recorder.aclose()
    assert notes(path) == ["in doubt", "next"]


async def test_a_file_that_is_synced_and_then_cannot_be_closed_has_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which a file system on the network may say; the medium has it by then."""
    path = tmp_path / "r.jsonl"
    closed: list[int] = []
    recorder = recorder_on(path, Disk(sync=closed.append))
    really_close = os.close

    def close(descriptor: int) -> None:
        really_close(descriptor)
        if descriptor in closed:
            closed.clear()
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "close", close)
    with anyio.fail_after(30):
        await recorder.write([note("one")])
        await recorder.write([note("two")])
        await recorder.aclose()
    assert notes(path) == ["one", "two"]


async def test_closing_waits_for_what_was_asked_and_then_refuses(tmp_path: Path) -> None:
    gated = GatedDisk()
    recorder = recorder_on(tmp_path / "r.jsonl", Disk(sync=gated.sync))
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(recorder.write, [note("a")])
            await gated.wait_in_flight()
            tasks.start_soon(recorder.write, [note("b")])
            tasks.start_soon(recorder.aclose)
            tasks.start_soon(recorder.aclose)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(RolloutError, match="closed"):
                await recorder.write([note("late")])
            gated.gate.set()
    assert notes(recorder.path) == ["a", "b"]
    await recorder.aclose()


async def test_closing_writes_what_a_cancelled_caller_left(tmp_path: Path) -> None:
    gated = GatedDisk()
    recorder = recorder_on(tmp_path / "r.jsonl", Disk(sync=gated.sync))
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(recorder.write, [note("a")])
            await gated.wait_in_flight()
            with anyio.CancelScope() as scope:
                scope.cancel()
                await recorder.write([note("left")])
            gated.gate.set()
        await recorder.aclose()
    assert notes(recorder.path) == ["a", "left"]


@dataclass
class FaultyDisk:
    """Fails one call, counted from 1, after writing ``part`` of the bytes it was given."""

    fail_at: int
    error: int
    part: float = 0.5
    calls: int = 0

    def disk(self) -> Disk:
        return Disk(write=self.write, sync=self.sync)

    def write(self, descriptor: int, content: bytes | memoryview) -> int:
        self.calls += 1
        if self.calls == self.fail_at:
            os.write(descriptor, content[: int(len(content) * self.part)])
            raise OSError(self.error, os.strerror(self.error))
        # Short on purpose: the system may always write less than it was given.
        return os.write(descriptor, content[: max(1, len(content) // 2)])

    def sync(self, descriptor: int) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            raise OSError(self.error, os.strerror(self.error))


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("part", [0.0, 0.5, 1.0])
async def test_whichever_call_fails_the_acknowledged_is_readable_and_the_rest_is_an_error(
    tmp_path: Path, error: int, part: float
) -> None:
    for fail_at in range(1, 1000):
        path = tmp_path / f"{fail_at}.jsonl"
        faulty = FaultyDisk(fail_at, error, part)
        recorder = recorder_on(path, faulty.disk())
        acknowledged: list[str] = []
        refused: list[str] = []
        for text in "abcd":
            try:
                await recorder.write([note(text), note(text.upper())])
                acknowledged += [text, text.upper()]
            except RolloutError as problem:
                refused.append(str(problem))
        stored = notes(path)
        assert [text for text in stored if text in acknowledged] == acknowledged
        assert path.read_bytes().endswith(b"\n")
        assert path.read_bytes().count(b"\n") == 1 + len(stored)
        if faulty.calls < fail_at:
            assert refused == []
            return
        assert refused
        assert all(str(path) in text and errno.errorcode[error] in text for text in refused)
    pytest.fail("the fault was always met")


async def test_after_a_full_disk_the_next_write_succeeds(tmp_path: Path) -> None:
    recorder = recorder_on(tmp_path / "r.jsonl", FaultyDisk(1, errno.ENOSPC).disk())
    with pytest.raises(RolloutError, match="free some space"):
        await recorder.write([note("lost", size=100)])
    await recorder.write([note("kept")])
    assert notes(recorder.path) == ["kept"]


async def test_after_a_failed_sync_no_write_succeeds(tmp_path: Path) -> None:
    faults = [OSError(errno.EIO, "Input/output error")]

    def sync(descriptor: int) -> None:
        if faults:
            raise faults.pop()

    recorder = recorder_on(tmp_path / "r.jsonl", Disk(sync=sync))
    for text in ("first", "second"):
        with pytest.raises(RolloutError, match="EIO"):
            await recorder.write([note(text)])
    assert "second" not in notes(recorder.path)


async def test_a_failed_batch_fails_for_all_who_share_it(tmp_path: Path) -> None:
    gated = GatedDisk()
    first = True

    def sync(descriptor: int) -> None:
        nonlocal first
        if first:
            first = False
            gated.sync(descriptor)
        else:
            raise OSError(errno.EIO, "Input/output error")

    recorder = recorder_on(tmp_path / "r.jsonl", Disk(sync=sync))
    refused: list[str] = []

    async def write(text: str) -> None:
        try:
            await recorder.write([note(text)])
        except RolloutError:
            refused.append(text)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write, "a")
            await gated.wait_in_flight()
            tasks.start_soon(write, "b")
            tasks.start_soon(write, "c")
            await anyio.wait_all_tasks_blocked()
            gated.gate.set()
    assert refused == ["b", "c"]


async def test_a_file_changed_by_another_program_is_not_written(tmp_path: Path) -> None:
    recorder = recorder_on(tmp_path / "r.jsonl")
    await recorder.write([note("a")])
    with recorder.path.open("ab") as file:
        file.write(b"other\n")
    before = recorder.path.read_bytes()
    with pytest.raises(RolloutError, match="another program"):
        await recorder.write([note("b")])
    assert recorder.path.read_bytes() == before


async def test_a_file_that_was_removed_is_an_error_and_not_made_again(tmp_path: Path) -> None:
    recorder = recorder_on(tmp_path / "r.jsonl")
    recorder.path.unlink()
    with pytest.raises(RolloutError, match="ENOENT"):
        await recorder.write([note("a")])
    assert not recorder.path.exists()


async def test_a_record_that_is_no_json_is_refused_and_others_are_stored(tmp_path: Path) -> None:
    recorder = recorder_on(tmp_path / "r.jsonl")
    with pytest.raises(RolloutError):
        await recorder.write([note("good"), Record("event_msg", {"bad": {1}})])
    await recorder.write([])
    await recorder.write([note("next")])
    assert notes(recorder.path) == ["next"]
