"""A rollout that is written at its end: nothing before, everything after, once."""

import errno
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from codex_jupyter.errors import RolloutError, ThreadOwnedElsewhereError
from codex_jupyter.ids import ThreadId, new_thread_id
from codex_jupyter.rollout import late
from codex_jupyter.rollout.disk import Disk
from codex_jupyter.rollout.reader import read_records
from codex_jupyter.rollout.store import ThreadStore
from tests.rollout.notes import note, notes

pytestmark = pytest.mark.anyio

META = {"cwd": "/w", "source": {"subagent": "review"}}


class Full:
    """A disk without room until some is made."""

    def __init__(self) -> None:
        self.is_full = False

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(descriptor, data)


@pytest.fixture
def disk() -> Full:
    return Full()


@pytest.fixture
async def store(tmp_path: Path, disk: Full) -> AsyncGenerator[ThreadStore, None]:
    store = ThreadStore(tmp_path, disk=Disk(write=disk.write))
    yield store
    await store.aclose()


async def test_it_is_written_whole_when_it_closes(store: ThreadStore, other: ThreadStore) -> None:
    thread_id = new_thread_id()
    recorder = store.create_late(thread_id, META)
    await recorder.write([note("one")])
    await recorder.write([note("two"), note("three")])
    assert not recorder.path.exists()
    await recorder.aclose()
    await store.release(thread_id)
    first = next(iter(read_records(recorder.path)))
    assert (first.type, first.payload["id"]) == ("session_meta", thread_id)
    assert first.payload["source"] == {"subagent": "review"}
    assert notes(recorder.path) == ["one", "two", "three"]
    assert recorder.path.stat().st_mode & 0o777 == 0o600
    # It belongs to nobody, so anybody may go on with it.
    opened, _ = await other.open(thread_id)
    await opened.write([note("four")])
    assert notes(recorder.path)[-1] == "four"


async def test_one_that_said_nothing_leaves_no_file(store: ThreadStore) -> None:
    thread_id = new_thread_id()
    recorder = store.create_late(thread_id, META)
    await store.release(thread_id)
    assert recorder.is_closed
    assert not recorder.path.exists()


async def test_releasing_or_closing_the_store_writes_it(tmp_path: Path) -> None:
    store = ThreadStore(tmp_path)
    released, left = new_thread_id(), new_thread_id()
    paths: list[Path] = []
    for thread_id in (released, left):
        recorder = store.create_late(thread_id, META)
        await recorder.write([note("kept")])
        paths.append(recorder.path)
    await store.release(released)
    assert notes(paths[0]) == ["kept"]
    assert not paths[1].exists()
    await store.aclose()
    assert notes(paths[1]) == ["kept"]


async def test_what_is_too_much_to_keep_is_written_and_claimed(
    store: ThreadStore, other: ThreadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late, "MOST_LATE", 300)
    thread_id = new_thread_id()
    recorder = store.create_late(thread_id, META)
    texts = [f"{n}" * 100 for n in range(7)]
    for text in texts:
        await recorder.write([note(text)])
    assert 0 < len(notes(recorder.path)) < 7
    with pytest.raises(ThreadOwnedElsewhereError):
        await other.open(thread_id)
    await store.release(thread_id)
    assert notes(recorder.path) == texts
    await other.open(thread_id)


async def test_writes_at_once_keep_their_order(
    store: ThreadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late, "MOST_LATE", 1)
    thread_id = new_thread_id()
    recorder = store.create_late(thread_id, META)
    async with anyio.create_task_group() as tasks:
        for n in range(30):
            tasks.start_soon(recorder.write, [note(str(n))])
    await recorder.aclose()
    assert notes(recorder.path) == [str(n) for n in range(30)]


async def test_a_full_disk_loses_nothing_that_was_taken_and_stores_nothing_that_was_refused(
    store: ThreadStore, disk: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is refused says it again, or tells that it did not happen."""
    thread_id = new_thread_id()
    recorder = store.create_late(thread_id, META)
    await recorder.write([note("taken")])
    monkeypatch.setattr(late, "MOST_LATE", 1)
    disk.is_full = True
    with pytest.raises(RolloutError, match="free some space"):
        await recorder.write([note("one")])
    with pytest.raises(RolloutError):
        await recorder.write([note("two")])
    assert not recorder.path.exists()
    disk.is_full = False
    await recorder.write([note("one")])
    assert notes(recorder.path) == ["taken", "one"]


async def test_of_writes_at_once_only_the_refused_one_is_not_stored(
    store: ThreadStore, disk: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = store.create_late(new_thread_id(), META)
    monkeypatch.setattr(late, "MOST_LATE", 1)
    refused: list[str] = []

    async def write(text: str) -> None:
        try:
            await recorder.write([note(text)])
        except RolloutError:
            refused.append(text)
            disk.is_full = False

    disk.is_full = True
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for text in ("one", "two", "three"):
                tasks.start_soon(write, text)
    assert refused == ["one"]
    assert notes(recorder.path) == ["two", "three"]


async def test_a_closed_one_takes_nothing(store: ThreadStore) -> None:
    recorder = store.create_late(ThreadId(new_thread_id()), META)
    await recorder.aclose()
    await recorder.aclose()
    with pytest.raises(RolloutError, match="closed"):
        await recorder.write([note("late")])
