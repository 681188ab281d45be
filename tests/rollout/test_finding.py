"""Threads found again: by words, and in lists, while files come, grow and go."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from codex_jupyter.ids import ThreadId, new_thread_id
from codex_jupyter.rollout.records import Record, encode_lines
from codex_jupyter.rollout.store import ListQuery, ThreadStore
from tests.rollout.notes import foreign_rollout

pytestmark = pytest.mark.anyio

THREAD = ThreadId("0199a213-81c0-7800-8aa1-bbab2a035a53")


async def test_a_search_goes_on_where_a_thread_is_deleted_meanwhile(
    store: ThreadStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the folder and the reading of the file."""
    message = '{"type":"event_msg","payload":{"type":"user_message","message":"penguins"}}\n'
    kept, deleted = new_thread_id(), new_thread_id()
    paths = [foreign_rollout(tmp_path, thread_id) for thread_id in (deleted, kept)]
    for path in paths:
        path.write_text(path.read_text() + message)
    really_open = Path.open

    def slow_open(self: Path, *given: Any, **more: Any) -> Any:
        if self == paths[0]:
            self.unlink(missing_ok=True)
        return really_open(self, *given, **more)

    monkeypatch.setattr(Path, "open", slow_open)
    found = await store.search("penguins")
    assert [thread.thread_id for thread, _place in found] == [kept]
    assert not paths[0].exists()


async def test_a_line_that_was_being_written_during_a_search_is_found_by_the_next_one(
    store: ThreadStore, tmp_path: Path
) -> None:
    """Also in a thread of which turns were taken back, which is read in another way."""
    path = foreign_rollout(tmp_path, THREAD)
    back = Record("event_msg", {"type": "thread_rolled_back", "num_turns": 1})
    told = Record("event_msg", {"type": "user_message", "message": "penguins"})
    line = encode_lines([told])
    with path.open("ab") as file:
        file.write(encode_lines([back]) + line[:40])
        file.flush()
        assert await store.search("penguins") == []
        file.write(line[40:])
        file.flush()
    assert [thread.thread_id for thread, _ in await store.search("penguins")] == [THREAD]


async def test_a_thread_made_again_under_the_id_of_a_deleted_one_is_listed_as_itself(
    store: ThreadStore,
) -> None:
    paths: list[Path] = []
    listed: list[tuple[str, str | None]] = []
    thread_id = new_thread_id()
    # The name of a rollout has the second in it: two of one second are what this is about.
    with anyio.fail_after(30):
        while len(paths) < 2 or paths[-1] != paths[-2]:
            await store.reserve(thread_id)
            recorder = await store.create(thread_id, {})
            said = {"type": "user_message", "message": f"word {len(paths)}"}
            name = {"type": "thread_name_updated", "thread_name": f"name {len(paths)}"}
            await recorder.write([Record("event_msg", said), Record("event_msg", name)])
            assert recorder.path is not None
            paths.append(recorder.path)
            await store.release(thread_id)
            listed = [(one.preview, one.name) for one in (await store.list(ListQuery())).data]
            await store.delete(thread_id)
    assert listed == [(f"word {len(paths) - 1}", f"name {len(paths) - 1}")]


async def test_an_index_whose_words_are_broken_is_made_anew_by_the_search_that_finds_out(
    store: ThreadStore, tmp_path: Path
) -> None:
    """Its list of files is whole, so nothing is seen of it before the words are asked for."""
    path = foreign_rollout(tmp_path, THREAD)
    with path.open("ab") as file:
        told = Record("event_msg", {"type": "user_message", "message": "penguins"})
        file.write(encode_lines([told]))
    assert len(await store.search("penguins")) == 1
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as db, db:
        db.execute("UPDATE messages_data SET block = x'ffffffffffffffff'")
    found = await store.search("penguins")
    assert [thread.thread_id for thread, _place in found] == [THREAD]


async def test_words_of_an_old_thread_are_found_also_when_it_has_a_name(
    store: ThreadStore, tmp_path: Path
) -> None:
    """Its messages have no ids in the file, as the name has none."""
    path = foreign_rollout(tmp_path, THREAD)
    told = Record("event_msg", {"type": "user_message", "message": "penguins"})
    name = Record("event_msg", {"type": "thread_name_updated", "thread_name": "birds"})
    with path.open("ab") as file:
        file.write(encode_lines([told, name]))
    for term in ("penguins", "birds"):
        assert [thread.thread_id for thread, _place in await store.search(term)] == [THREAD]
    (place,) = await store.occurrences(THREAD, "penguins")
    assert place.turn_id
    assert place.item_id
