"""Rollouts are found by name, also while the folders change."""

import os
import time
from datetime import datetime
from pathlib import Path

import pytest

from codex_jupyter.ids import ThreadId, new_thread_id
from codex_jupyter.rollout.folders import Folders, new_rollout_path

MOMENT = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - the names are in local time


def add(home: Path, thread_id: ThreadId, moment: datetime = MOMENT) -> Path:
    path = home / new_rollout_path(thread_id, moment)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_new_rollout_goes_where_the_original_puts_it() -> None:
    thread_id = new_thread_id()
    assert new_rollout_path(thread_id, MOMENT) == Path(
        f"sessions/2026/01/02/rollout-2026-01-02T03-04-05-{thread_id}.jsonl"
    )


@pytest.mark.parametrize("age", [0, 3600])
def test_each_file_that_comes_or_goes_is_noticed(tmp_path: Path, age: int) -> None:
    folders = Folders(tmp_path)
    assert folders.rollouts(archived=False) == []
    for day in (2, 2, 3):
        thread_id = new_thread_id()
        assert folders.find(thread_id, archived=False) is None
        path = add(tmp_path, thread_id, MOMENT.replace(day=day))
        assert folders.find(thread_id, archived=False) == path
        past = time.time() - age - day
        os.utime(path.parent, (past, past))
        assert folders.find(thread_id, archived=False) == path
        path.unlink()
        assert folders.find(thread_id, archived=False) is None


def test_a_file_that_comes_within_one_tick_of_the_clock_is_noticed(tmp_path: Path) -> None:
    """A change may leave the folder's change time as it was, if it follows closely enough."""
    folders = Folders(tmp_path)
    thread_id = new_thread_id()
    folder = add(tmp_path, new_thread_id()).parent
    state = folder.stat()
    assert folders.find(thread_id, archived=False) is None
    path = add(tmp_path, thread_id)
    os.utime(folder, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert folders.find(thread_id, archived=False) == path


def test_of_two_files_with_one_id_the_newer_counts(tmp_path: Path) -> None:
    thread_id = new_thread_id()
    add(tmp_path, thread_id)
    add(tmp_path, thread_id, MOMENT.replace(second=9))
    newest = add(tmp_path, thread_id, MOMENT.replace(day=9))
    assert Folders(tmp_path).find(thread_id, archived=False) == newest


def test_a_hint_is_believed_only_if_it_names_a_rollout_of_the_thread(tmp_path: Path) -> None:
    thread_id = new_thread_id()
    path = add(tmp_path, thread_id)
    folders = Folders(tmp_path)
    hint = path.relative_to(tmp_path).as_posix()
    assert folders.hinted(hint, thread_id) == path
    archived = tmp_path / "archived_sessions" / path.name
    archived.parent.mkdir()
    archived.touch()
    for wrong in (
        None,
        "",
        f"archived_sessions/{path.name}",
        f"sessions/../archived_sessions/{path.name}",
        str(path),
        "sessions/2026",
    ):
        assert folders.hinted(wrong, thread_id) is None
    assert folders.hinted(hint, new_thread_id()) is None
    path.unlink()
    assert folders.hinted(hint, thread_id) is None
