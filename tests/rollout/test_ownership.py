"""Owner files and entries, one step below the store."""

import errno
import fcntl
import json
import os
import time
from pathlib import Path

import pytest

from codex_jupyter.errors import RolloutError
from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.ownership import Entry, Ownership

THREAD = ThreadId("0199a213-81c0-7800-8aa1-bbab2a035a53")


def put(ownership: Ownership, *, owned: bool = True, rollout: str | None = None) -> None:
    with ownership.guarded():
        ownership.put(THREAD, owned=owned, rollout=rollout)


def test_an_owner_is_known_to_others_by_pid_and_host_as_long_as_it_lives(tmp_path: Path) -> None:
    mine, theirs = Ownership(tmp_path), Ownership(tmp_path)
    put(mine, rollout="sessions/x")
    entry = theirs.entry(THREAD)
    assert entry is not None
    assert entry.rollout == "sessions/x"
    holder = theirs.holder(entry)
    assert holder is not None
    assert (holder.text, holder.is_self) == (f"pid {os.getpid()} on {os.uname().nodename}", False)
    own = mine.holder(entry)
    assert own is not None
    assert own.is_self
    mine.close()
    assert theirs.holder(entry) is None
    assert not mine.is_own(entry)


def test_an_owner_file_says_who_and_is_not_inherited(tmp_path: Path) -> None:
    ownership = Ownership(tmp_path)
    put(ownership)
    put(ownership)
    [path] = (tmp_path / "owners").glob("*-*.lock")
    facts = json.loads(path.read_bytes())
    assert (facts["pid"], facts["host"]) == (os.getpid(), os.uname().nodename)
    assert ownership._owner_file is not None
    assert not os.get_inheritable(ownership._owner_file[1])
    ownership.close()
    assert not path.exists()


def test_an_entry_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    ownership = Ownership(tmp_path)
    put(ownership, rollout="a" * 500)
    put(ownership, owned=False, rollout="b")
    assert ownership.entry(THREAD) == Entry(None, "b")
    assert [path.name for path in (tmp_path / "threads").iterdir()] == [THREAD]
    with ownership.guarded():
        ownership.remove(THREAD)
        ownership.remove(THREAD)
    assert ownership.entry(THREAD) is None
    ownership.close()


def test_owner_files_of_the_long_dead_are_removed_and_no_others(tmp_path: Path) -> None:
    living = Ownership(tmp_path)
    put(living)
    owners = tmp_path / "owners"
    [held] = owners.glob("*-*.lock")
    old, fresh = owners / "1-old.lock", owners / "2-fresh.lock"
    old.touch()
    fresh.touch()
    long_ago = time.time() - 100_000
    for path in (old, held):
        os.utime(path, (long_ago, long_ago))
    newcomer = Ownership(tmp_path)
    put(newcomer)
    assert not old.exists()
    assert fresh.exists()
    assert held.exists()
    living.close()
    newcomer.close()


def test_the_guard_keeps_a_second_store_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_jupyter.rollout.ownership._GUARD_TIMEOUT", 0.02)
    first, second = Ownership(tmp_path), Ownership(tmp_path)
    with (
        first.guarded(),
        pytest.raises(RolloutError, match=r"entries\.lock was locked by another process"),
        second.guarded(),
    ):
        pytest.fail("both are inside")
    with second.guarded():
        pass


def test_a_file_system_without_locks_is_refused_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with (
        pytest.raises(RolloutError, match=r"no file locks.*local disk.*No locks available"),
        Ownership(tmp_path).guarded(),
    ):
        pytest.fail("the guard was taken")


def test_a_home_that_cannot_be_written_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(RolloutError, match=rf"{tmp_path}/file/owners"),
        Ownership(tmp_path / "file").guarded(),
    ):
        pytest.fail("the guard was taken")
