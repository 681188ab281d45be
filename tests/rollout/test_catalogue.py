"""Pages of stored threads: order, cursors, filters, and files that change meanwhile."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.ids import new_thread_id
from codex_jupyter.rollout.catalogue import Catalogue, ListQuery
from codex_jupyter.rollout.folders import Folders


def stamp(second: int) -> str:
    return datetime.fromtimestamp(1_700_000_000 + second, UTC).isoformat()


def line(kind: str, **payload: Any) -> str:
    return json.dumps({"timestamp": stamp(0), "type": kind, "payload": payload}) + "\n"


def named(name: str) -> str:
    return line("event_msg", type="thread_name_updated", thread_name=name)


def add(
    home: Path,
    created: int,
    *,
    text: str | None = "hello",
    updated: int | None = None,
    folder: str = "sessions/2023/11/14",
    extra: str = "",
    **meta: Any,
) -> Path:
    thread_id = new_thread_id()
    path = home / folder / f"rollout-2023-11-14T22-13-20-{thread_id}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = line("session_meta", id=thread_id, timestamp=stamp(created), **meta)
    if text is not None:
        content += line("event_msg", type="user_message", message=text)
    path.write_text(content + extra)
    if updated is not None:
        os.utime(path, (1_700_000_000 + updated, 1_700_000_000 + updated))
    return path


def pages(catalogue: Catalogue, **query: Any) -> list[list[Path]]:
    found: list[list[Path]] = []
    cursor = None
    while True:
        page = catalogue.list(ListQuery(cursor=cursor, **query))
        found.append([summary.path for summary in page.data])
        cursor = page.next_cursor
        if cursor is None:
            return found


def flat(found: list[list[Path]]) -> list[Path]:
    return [path for page in found for path in page]


def catalogue_of(home: Path) -> Catalogue:
    return Catalogue(Folders(home))


@pytest.mark.parametrize("sort_key", ["created_at", "updated_at"])
def test_threads_come_newest_first_page_by_page(
    tmp_path: Path, sort_key: Literal["created_at", "updated_at"]
) -> None:
    paths = [
        add(tmp_path, n, updated=10 - n, folder=f"sessions/2023/1{n % 2}/0{n % 3}")
        for n in range(7)
    ]
    expected = paths[::-1] if sort_key == "created_at" else paths
    found = pages(catalogue_of(tmp_path), sort_key=sort_key, limit=3)
    assert found == [expected[:3], expected[3:6], expected[6:]]


def test_threads_of_one_moment_are_each_listed_once(tmp_path: Path) -> None:
    paths = {add(tmp_path, 5, updated=5) for _ in range(9)}
    for sort_key in ("created_at", "updated_at"):
        found = flat(pages(catalogue_of(tmp_path), sort_key=sort_key, limit=2))
        assert len(found) == 9
        assert set(found) == paths


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=8), st.integers(-1, 5))
def test_pages_tile_the_list_whatever_their_size(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[int], limit: int
) -> None:
    home = tmp_path_factory.mktemp("home")
    for second in seconds:
        add(home, second)
    catalogue = catalogue_of(home)
    found = pages(catalogue, limit=limit)
    assert flat(found) == pages(catalogue, limit=100)[0]
    assert len(flat(found)) == len(seconds)
    assert all(len(page) == max(limit, 1) for page in found[:-1])


def test_a_cursor_is_a_time_and_an_id_and_another_is_refused(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path)
    older, newer = add(tmp_path, 1), add(tmp_path, 2)
    cursor = catalogue.list(ListQuery(limit=1)).next_cursor
    assert cursor == f"2023-11-14T22:13:22.000000Z|{newer.stem[-36:]}"
    thread = newer.stem[-36:]
    assert pages(catalogue, limit=5)[0] == [newer, older]
    for wrong in (
        "",
        "x",
        "|",
        f"x|{thread}",
        f"2023-11-14T22:13:22|{thread}",
        "2023-11-14T22:13:22Z|x",
    ):
        with pytest.raises(InvalidRequestError, match="invalid cursor: "):
            catalogue.list(ListQuery(cursor=wrong))
    after = catalogue.list(ListQuery(cursor=f"2023-11-14T23:13:22+01:00|{thread}"))
    assert [summary.path for summary in after.data] == [older]


def test_filters_keep_what_they_name(tmp_path: Path) -> None:
    plain = add(tmp_path, 1, text="about Whales", cwd="/a", model_provider="openai")
    other = add(tmp_path, 2, text="about ants", cwd="/a/b", model_provider="local")
    titled = add(tmp_path, 3, text="Whales", cwd="/c", extra=named("on birds"))
    gone = add(tmp_path, 4, text="Whales", folder="archived_sessions")
    add(tmp_path, 5, text=None)
    catalogue = catalogue_of(tmp_path)
    assert pages(catalogue) == [[titled, other, plain]]
    assert pages(catalogue, archived=True) == [[gone]]
    assert pages(catalogue, cwd="/a") == [[plain]]
    assert pages(catalogue, model_providers=("local", "x")) == [[other]]
    assert pages(catalogue, model_providers=()) == [[titled, other, plain]]
    assert pages(catalogue, search_term="Whales") == [[plain]]
    assert pages(catalogue, search_term="bird") == [[titled]]


def test_a_summary_tells_the_thread_without_its_bulk(tmp_path: Path) -> None:
    path = add(
        tmp_path,
        3,
        updated=9,
        cwd="/w",
        base_instructions={"text": "long"},
        extra=named("a") + named("b"),
    )
    [summary] = catalogue_of(tmp_path).list(ListQuery()).data
    assert summary.path == path
    assert summary.thread_id == path.stem[-36:]
    assert (summary.created_at, summary.updated_at) == (1_700_000_003, 1_700_000_009)
    assert (summary.preview, summary.name, summary.archived) == ("hello", "b", False)
    assert summary.meta["cwd"] == "/w"
    assert "base_instructions" not in summary.meta


def test_a_file_that_grows_is_read_on_and_one_that_goes_is_gone(tmp_path: Path) -> None:
    catalogue = catalogue_of(tmp_path)
    path = add(tmp_path, 1, text=None)
    assert pages(catalogue) == [[]]

    def append(text: str) -> None:
        with path.open("a") as file:
            file.write(text)

    append(line("event_msg", type="task_started", turn_id="t"))
    [summary] = catalogue.list(ListQuery()).data
    assert (summary.preview, summary.name) == ("", None)
    append(line("event_msg", type="user_message", message="hi") + named("one"))
    [summary] = catalogue.list(ListQuery()).data
    assert (summary.preview, summary.name) == ("hi", "one")
    append(named("two")[:-5])
    assert catalogue.list(ListQuery()).data[0].name == "one"
    append(named("two")[-5:])
    assert catalogue.list(ListQuery()).data[0].name == "two"
    path.unlink()
    assert pages(catalogue) == [[]]


def test_files_that_are_no_rollouts_are_not_listed(tmp_path: Path) -> None:
    path = add(tmp_path, 1)
    for name in ("x.jsonl", path.name + ".torn-1", "rollout-" + "x" * 56 + ".jsonl"):
        path.with_name(name).write_bytes(path.read_bytes())
    assert pages(catalogue_of(tmp_path)) == [[path]]
