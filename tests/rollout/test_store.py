"""The life of a thread on disk, with other stores and processes about."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.from_thread
import pytest

from codex_jupyter.errors import (
    DuplicateIdError,
    RolloutError,
    ThreadNotFoundError,
    ThreadOwnedElsewhereError,
)
from codex_jupyter.ids import ThreadId, new_thread_id
from codex_jupyter.rollout.disk import Disk
from codex_jupyter.rollout.reader import read_records
from codex_jupyter.rollout.records import Record, decode_line
from codex_jupyter.rollout.store import ListQuery, ThreadStore
from tests.rollout.notes import foreign_rollout, note, notes

pytestmark = pytest.mark.anyio

THREAD = ThreadId("0199a213-81c0-7800-8aa1-bbab2a035a53")


async def status_of_reserving(store: ThreadStore, thread_id: ThreadId) -> str:
    with pytest.raises(DuplicateIdError) as caught:
        await store.reserve(thread_id)
    assert caught.value.data == {
        "duplicate": "thread",
        "id": thread_id,
        "status": caught.value.status,
    }
    return caught.value.status


async def test_a_thread_is_created_written_released_and_opened_again(
    store: ThreadStore, other: ThreadStore, tmp_path: Path
) -> None:
    await store.reserve(THREAD)
    recorder = await store.create(THREAD, {"cwd": "/work", "model_provider": "openai"})
    await recorder.write([note("one")])
    await store.release(THREAD)
    with pytest.raises(RolloutError, match="closed"):
        await recorder.write([note("late")])

    recorder, thread = await other.open(THREAD)
    await recorder.write([note("two")])

    assert thread.meta["id"] == THREAD
    assert thread.meta["cwd"] == "/work"
    assert notes(recorder.path) == ["one", "two"]
    place = recorder.path.relative_to(tmp_path)
    assert place.match(f"sessions/*/*/*/rollout-*-{THREAD}.jsonl")
    _, year, month, day, name = place.parts
    assert name.startswith(f"rollout-{year}-{month}-{day}T")


async def test_a_created_rollout_and_the_names_leading_to_it_are_on_the_medium(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bytes]] = []

    def sync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}")
        content = path.read_bytes() if path.is_file() else b""
        synced.append((str(path.readlink()), content))

    monkeypatch.setattr(os, "fsync", sync)
    store = ThreadStore(tmp_path, disk=Disk(sync=sync))
    await store.reserve(THREAD)
    recorder = await store.create(THREAD, {"cwd": "/w"})
    assert (str(recorder.path), recorder.path.read_bytes()) in synced
    folders = {path for path, _ in synced}
    assert {str(folder) for folder in recorder.path.parents if folder.is_relative_to(tmp_path)} <= (
        folders
    )
    await store.aclose()


async def test_the_entry_of_a_released_thread_names_its_rollout_and_no_owner(
    store: ThreadStore, tmp_path: Path
) -> None:
    await store.reserve(THREAD)
    recorder = await store.create(THREAD, {})
    await store.release(THREAD)
    entry = json.loads((tmp_path / "threads" / THREAD).read_bytes())
    assert entry == {"owner": None, "rollout": str(recorder.path.relative_to(tmp_path))}


async def test_only_the_owner_can_look_into_what_is_stored(
    store: ThreadStore, tmp_path: Path
) -> None:
    await store.reserve(THREAD)
    await store.create(THREAD, {})
    for path in tmp_path.rglob("*"):
        expected = 0o700 if path.is_dir() else 0o600
        assert path.stat().st_mode & 0o777 == expected, path


async def test_making_a_store_touches_nothing(tmp_path: Path) -> None:
    store = ThreadStore(tmp_path / "home")
    assert await store.read(THREAD) is None
    assert (await store.list(ListQuery())).data == []
    await store.release(THREAD)
    await store.aclose()
    assert not (tmp_path / "home").exists()


async def test_an_id_in_use_is_refused_with_its_status(
    store: ThreadStore, other: ThreadStore, tmp_path: Path
) -> None:
    await store.reserve(THREAD)
    assert await status_of_reserving(store, THREAD) == "reserved"
    assert await status_of_reserving(other, THREAD) == "reserved"
    await store.create(THREAD, {})
    assert await status_of_reserving(other, THREAD) == "stored"
    await store.release(THREAD)
    assert await status_of_reserving(store, THREAD) == "stored"

    stored, archived = new_thread_id(), new_thread_id()
    foreign_rollout(tmp_path, stored)
    foreign_rollout(tmp_path, archived, "archived_sessions")
    assert await status_of_reserving(store, stored) == "stored"
    assert await status_of_reserving(store, archived) == "archived"


async def test_files_that_appear_later_are_seen(store: ThreadStore, tmp_path: Path) -> None:
    await store.reserve(new_thread_id())
    for folder in ("sessions/2025/01/02", "sessions/2025/01/02", "sessions/2031/12/31"):
        thread_id = new_thread_id()
        foreign_rollout(tmp_path, thread_id, folder)
        assert await status_of_reserving(store, thread_id) == "stored"


async def test_a_released_id_without_a_rollout_is_free_again(
    store: ThreadStore, other: ThreadStore, tmp_path: Path
) -> None:
    await store.reserve(THREAD)
    await other.release(THREAD)
    assert await status_of_reserving(other, THREAD) == "reserved"
    await store.release(THREAD)
    assert list((tmp_path / "threads").iterdir()) == []
    await other.reserve(THREAD)
    await store.release(new_thread_id())


@pytest.mark.parametrize("rubbish", [b"", b"\0\0\0", b"[]", b'{"owner": 5}', b'{"owner": "../x"}'])
async def test_an_entry_that_makes_no_sense_belongs_to_nobody(
    store: ThreadStore, tmp_path: Path, rubbish: bytes
) -> None:
    (tmp_path / "threads").mkdir()
    (tmp_path / "threads" / THREAD).write_bytes(rubbish)
    await store.reserve(THREAD)
    stored = new_thread_id()
    foreign_rollout(tmp_path, stored)
    (tmp_path / "threads" / stored).write_bytes(rubbish)
    await store.open(stored)


async def test_of_many_who_reserve_one_id_exactly_one_wins(
    store: ThreadStore, other: ThreadStore
) -> None:
    statuses: set[str] = set()
    for _ in range(10):
        thread_id = new_thread_id()
        wins: list[ThreadStore] = []

        async def reserve(who: ThreadStore, thread_id: ThreadId, wins: list[ThreadStore]) -> None:
            try:
                await who.reserve(thread_id)
                wins.append(who)
            except DuplicateIdError as error:
                statuses.add(error.status)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for who in (store, other) * 5:
                    tasks.start_soon(reserve, who, thread_id, wins)
        assert len(wins) == 1
    assert statuses == {"reserved"}


async def test_of_many_who_take_a_dead_owners_thread_exactly_one_wins(tmp_path: Path) -> None:
    thread_ids = [new_thread_id() for _ in range(5)]
    dead = ThreadStore(tmp_path)
    for thread_id in thread_ids:
        await dead.reserve(thread_id)
        await dead.create(thread_id, {})
    os.close(dead._ownership._owner_file[1])  # type: ignore[index] - as the system does for the dead
    stores = [ThreadStore(tmp_path) for _ in range(4)]
    wins: list[ThreadId] = []

    async def take(who: ThreadStore, thread_id: ThreadId) -> None:
        try:
            await who.open(thread_id)
            wins.append(thread_id)
        except ThreadOwnedElsewhereError:
            pass

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for thread_id in thread_ids:
                for who in stores:
                    tasks.start_soon(take, who, thread_id)
    assert sorted(wins) == sorted(thread_ids)
    for who in stores:
        await who.aclose()


async def test_a_thread_is_open_once_in_a_store(store: ThreadStore) -> None:
    await store.reserve(THREAD)
    await store.create(THREAD, {})
    with pytest.raises(RolloutError, match="open already"):
        await store.open(THREAD)
    with pytest.raises(RolloutError, match="open already"):
        await store.create(THREAD, {})
    await store.release(THREAD)
    refused = 0

    async def open_it() -> None:
        nonlocal refused
        try:
            await store.open(THREAD)
        except RolloutError:
            refused += 1

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(open_it)
    assert refused == 4


async def test_a_closed_store_gives_its_threads_back(store: ThreadStore, tmp_path: Path) -> None:
    gone = ThreadStore(tmp_path)
    await gone.reserve(THREAD)
    recorder = await gone.create(THREAD, {})
    reserved = new_thread_id()
    await gone.reserve(reserved)
    await gone.aclose()
    await gone.aclose()
    assert recorder.is_closed
    await store.open(THREAD)
    await store.reserve(reserved)


async def test_what_is_not_there_or_archived_cannot_be_opened(
    store: ThreadStore, tmp_path: Path
) -> None:
    for thread_id in (new_thread_id(), new_thread_id()):
        with pytest.raises(
            ThreadNotFoundError, match=f"no rollout found for thread id {thread_id}"
        ):
            await store.open(thread_id)
        foreign_rollout(tmp_path, thread_id, "archived_sessions")
        with pytest.raises(ThreadNotFoundError):
            await store.open(thread_id)
        thread = await store.read(thread_id)
        assert thread is not None
        assert thread.archived
    await store.reserve(THREAD)
    with pytest.raises(ThreadNotFoundError):
        await store.open(THREAD)


async def test_a_thread_that_is_deleted_while_it_is_read_does_not_exist(
    store: ThreadStore, tmp_path: Path
) -> None:
    """A name that leads nowhere is what a reader has of a file that went just now."""
    path = foreign_rollout(tmp_path, THREAD)
    path.unlink()
    path.symlink_to(tmp_path / "gone")
    copy = new_thread_id()
    await store.reserve(copy)
    assert await store.read(THREAD) is None
    for doing in (
        lambda: store.open(THREAD),
        lambda: store.records(THREAD),
        lambda: store.fork(THREAD, copy),
    ):
        with pytest.raises(ThreadNotFoundError, match=f"no rollout found for thread id {THREAD}"):
            await doing()
    assert (await store.list(ListQuery())).data == []
    assert await store.search("cwd") == []
    # What is there but cannot be read is another matter.
    path.unlink()
    path.mkdir()
    with pytest.raises(RolloutError):
        await store.records(THREAD)


async def test_reading_needs_no_ownership(store: ThreadStore, other: ThreadStore) -> None:
    await store.reserve(THREAD)
    recorder = await store.create(THREAD, {"cwd": "/w"})
    await recorder.write([Record("event_msg", {"type": "task_started", "turn_id": "t"})])
    thread = await other.read(THREAD)
    assert thread is not None
    assert [turn["id"] for turn in thread.turns] == ["t"]
    assert not thread.archived


async def test_a_rollout_that_moved_is_found_by_its_name(
    store: ThreadStore, tmp_path: Path
) -> None:
    await store.reserve(THREAD)
    recorder = await store.create(THREAD, {})
    await store.release(THREAD)
    moved = tmp_path / "sessions" / "2024" / "01" / "01" / recorder.path.name
    moved.parent.mkdir(parents=True)
    recorder.path.rename(moved)
    recorder, thread = await store.open(THREAD)
    assert recorder.path == thread.path == moved


CUT_RECORDS = [
    Record("event_msg", {"type": "note", "text": "é1"}, "t"),
    Record("event_msg", {"type": "note", "text": "€2"}, "t"),
    Record("event_msg", {"type": "note", "text": "😀3"}, "t"),
]


async def test_a_file_cut_at_any_byte_of_its_last_records_goes_on_without_a_joined_line(
    tmp_path: Path,
) -> None:
    """Every whole line before the cut is kept, the rest set aside, the next record readable."""
    store = ThreadStore(tmp_path, disk=Disk(sync=lambda descriptor: None))
    await store.reserve(THREAD)
    recorder = await store.create(THREAD, {})
    start = recorder.path.stat().st_size
    await recorder.write(CUT_RECORDS)
    whole = recorder.path.read_bytes()
    for cut in range(start, len(whole)):
        thread_id = new_thread_id()
        path = foreign_rollout(tmp_path, thread_id)
        path.write_bytes(whole[:cut])
        kept = whole[start:cut].count(b"\n")

        recorder, _ = await store.open(thread_id)
        await recorder.write([note("next")])

        assert notes(path) == [*["é1", "€2", "😀3"][:kept], "next"]
        lines = path.read_bytes().split(b"\n")
        assert lines.pop() == b""
        assert all(decode_line(line) for line in lines)
        torn = path.with_name(path.name + ".torn-1")
        good_end = whole[:cut].rfind(b"\n") + 1
        assert (torn.read_bytes() if torn.exists() else b"") == whole[good_end:cut]
    await store.aclose()


@pytest.mark.parametrize("content", [b"", b'{"type":"session_m', b"\0\0\0\0", b"garbage\n"])
async def test_a_file_that_lost_its_first_line_gets_a_new_one(
    store: ThreadStore, tmp_path: Path, content: bytes
) -> None:
    path = foreign_rollout(tmp_path, THREAD)
    path.write_bytes(content)
    recorder, thread = await store.open(THREAD)
    await recorder.write([note("next")])
    assert thread.turns == []
    first, second = read_records(path)
    assert (first.type, first.payload["id"]) == ("session_meta", THREAD)
    assert second.payload["text"] == "next"


async def test_a_rollout_that_cannot_be_stored_leaves_no_file_and_the_id_reserved(
    tmp_path: Path,
) -> None:
    faults = [OSError(28, "No space left on device")]

    def write(descriptor: int, content: bytes | memoryview) -> int:
        if faults:
            os.write(descriptor, content[:10])
            raise faults.pop()
        return os.write(descriptor, content)

    store = ThreadStore(tmp_path, disk=Disk(write=write))
    await store.reserve(THREAD)
    with pytest.raises(RolloutError, match=r"create .*ENOSPC.*free some space"):
        await store.create(THREAD, {})
    assert list((tmp_path / "sessions").rglob("*.jsonl")) == []
    assert await status_of_reserving(store, THREAD) == "reserved"
    await store.create(THREAD, {})
    await store.aclose()


async def test_a_file_that_cannot_be_repaired_is_not_kept_in_possession(
    other: ThreadStore, tmp_path: Path
) -> None:
    def full(descriptor: int, content: bytes | memoryview) -> int:
        raise OSError(28, "No space left on device")

    path = foreign_rollout(tmp_path, THREAD)
    path.write_bytes(path.read_bytes() + b"torn")
    store = ThreadStore(tmp_path, disk=Disk(write=full))
    with pytest.raises(RolloutError, match="ENOSPC"):
        await store.open(THREAD)
    await other.open(THREAD)
    await store.aclose()


async def test_a_cancelled_call_that_began_has_happened(store: ThreadStore) -> None:
    with anyio.CancelScope() as scope:
        await anyio.lowlevel.checkpoint()
        scope.cancel()
        await store.reserve(THREAD)
    await store.reserve(THREAD)  # nothing had begun: the id is free
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.release(THREAD)
    await store.reserve(THREAD)  # giving up is never cut short


async def test_a_fork_whose_asker_goes_away_happens_or_leaves_nothing(tmp_path: Path) -> None:
    during: list[Callable[[], None]] = []

    def sync(descriptor: int) -> None:
        os.fsync(descriptor)
        while during:
            anyio.from_thread.run_sync(during.pop())

    store, copy = ThreadStore(tmp_path, disk=Disk(sync=sync)), new_thread_id()
    await store.reserve(THREAD)
    recorder = await store.create(THREAD, {"cwd": "/w"})
    await recorder.write([note("one")])
    await store.reserve(copy)
    forked = None
    with anyio.CancelScope() as asking:
        during.append(asking.cancel)
        forked = await store.fork(THREAD, copy)
    assert (await store.read(copy) is None) == (forked is None)
    await store.aclose()
