"""Ids of cells, and what running one again means: pure."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.notebook.cell_identity import (
    CellKey,
    CellKeys,
    Notebook,
    client_mark,
    lasting_cell_id,
    normalised,
    read_mark,
    thread_id_of,
    turn_id_of,
)
from codex_jupyter.notebook.known_turns import recorded_code
from codex_jupyter.notebook.rerun import (
    KnownTurn,
    choose,
    known_turns,
    overtaken_by,
    replaced_before,
)

BOOK = Notebook("analysis", "%codex notebook")
THREAD = thread_id_of(BOOK)
KEY = CellKey("id abc", is_lasting=True)
SOURCE = "%%codex\nLoad the data."


def known(*statuses: str) -> list[KnownTurn]:
    return [
        KnownTurn(turn_id_of(THREAD, KEY, SOURCE, n), status, KEY.short, "Load")
        for n, status in enumerate(statuses)
    ]


def test_ids_are_uuids_and_always_the_same() -> None:
    assert thread_id_of(Notebook("analysis", "the page")) == THREAD
    assert uuid.UUID(THREAD).version == 5
    ids = {
        turn_id_of(thread, key, source, attempt)
        for thread in (THREAD, thread_id_of(Notebook("other", "the page")))
        for key in (KEY, CellKey("id abd", is_lasting=True))
        for source in (SOURCE, SOURCE + "!")
        for attempt in (0, 1)
    }
    assert len(ids) == 16
    assert all(uuid.UUID(turn_id).version == 5 for turn_id in ids)


@pytest.mark.parametrize(
    "spelling",
    [
        "%%codex\r\nLoad the data.\r\n",
        "%%codex   \nLoad the data.  \n\n",
        "\n%%codex --again\nLoad the data.",
        "%%codex --no-replay --quiet\nLoad the data.",
    ],
)
def test_what_editors_change_and_how_a_cell_is_run_does_not_count(spelling: str) -> None:
    assert normalised(spelling) == normalised(SOURCE)


@pytest.mark.parametrize(
    "other",
    [
        "%%codex\n Load the data.",
        "%%codex --model x\nLoad the data.",
        "%%codex\nLoad --again data.",
    ],
)
def test_what_a_cell_says_counts(other: str) -> None:
    assert normalised(other) != normalised(SOURCE)


@given(st.text())
def test_normalising_twice_changes_nothing(source: str) -> None:
    assert normalised(normalised(source)) == normalised(source)


def test_cells_without_ids_are_told_apart_by_their_number() -> None:
    first, second = CellKeys(), CellKeys()
    keys = [first.key(SOURCE, None), first.key(SOURCE, None), first.key("%%codex\nB", None)]
    assert len({key.text for key in keys}) == 3
    assert [second.key(SOURCE, None), second.key(SOURCE + "\n", None)] == keys[:2]
    assert first.key(SOURCE, "abc") == first.key("%%codex\nother", "abc") == KEY


@pytest.mark.parametrize(
    ("statuses", "again", "attempt", "does"),
    [
        ((), False, 0, "begin"),
        ((), True, 0, "begin"),
        (("completed",), False, 0, "show"),
        (("completed",), True, 1, "begin"),
        (("inProgress",), False, 0, "attach"),
        (("inProgress",), True, 0, "attach"),
        (("failed",), False, 1, "begin"),
        (("interrupted", "completed"), False, 1, "show"),
        (("completed", "completed"), False, 1, "show"),
        (("completed", "failed"), False, 2, "begin"),
        (("failed", "interrupted", "inProgress"), False, 2, "attach"),
    ],
)
def test_the_newest_attempt_decides(
    statuses: tuple[str, ...], again: bool, attempt: int, does: str
) -> None:
    choice = choose(THREAD, KEY, SOURCE, known(*statuses), again=again)
    assert (choice.attempt, choice.does) == (attempt, does)
    assert choice.turn_id == turn_id_of(THREAD, KEY, SOURCE, attempt)
    assert read_mark(choice.mark) == KEY.short


def test_marks_name_lasting_cells_only() -> None:
    assert read_mark(client_mark(CellKey("source 0 x", is_lasting=False), 0)) is None
    for strange in (None, 7, "", "codex-cell:", "mine", "codex-cell:short:1"):
        assert read_mark(strange) is None


def test_an_answer_is_stale_once_an_earlier_cell_was_answered_anew() -> None:
    turns = [
        KnownTurn("1", "completed", "a", "Load"),
        KnownTurn("2", "completed", "b", "Plot"),
        KnownTurn("3", "completed", "a", "Load more"),
    ]
    assert replaced_before("2", turns) == "Load more"
    assert replaced_before("3", turns) is None
    assert replaced_before("1", turns) is None
    assert replaced_before("2", [*turns[:2], KnownTurn("3", "failed", "a", "x")]) is None
    assert replaced_before("2", [*turns[:2], KnownTurn("3", "completed", "c", "x")]) is None
    assert replaced_before("9", turns) is None


def test_an_answer_is_stale_once_a_cell_that_ran_before_it_was_answered_after_it() -> None:
    turns = [KnownTurn(str(n), "completed", None, f"cell {n}") for n in range(4)]
    assert overtaken_by("1", turns, ["3"]) == "cell 3"
    assert overtaken_by("1", turns, ["0", "1"]) is None
    assert overtaken_by("1", turns, []) is None
    assert overtaken_by("9", turns, ["3"]) is None


def test_a_cell_that_asks_the_same_twice_in_one_run_is_two_cells() -> None:
    keys = CellKeys()
    asked = [keys.key(source, "a", run) for run in ("m1", "m2") for source in "xxy"]
    assert asked[:3] == asked[3:]
    assert asked[0] == asked[2] == CellKey("id a", is_lasting=True)
    assert asked[0] != asked[1]


@pytest.mark.parametrize("strange", [None, 7, "", "vscode-notebook-cell:/a.ipynb#W0sZmlsZQ%3D%3D"])
def test_ids_that_do_not_last_are_none(strange: object) -> None:
    assert lasting_cell_id(strange) is None
    assert lasting_cell_id("1c7e5b5a") == "1c7e5b5a"


def test_only_the_kernels_own_python_is_run_again() -> None:
    ran = {"type": "dynamicToolCall", "tool": "run_python", "status": "completed", "success": True}
    elsewhere = {**ran, "namespace": "remote"}
    assert recorded_code([{**ran, "namespace": None}, elsewhere, ran]) == [
        {**ran, "namespace": None},
        ran,
    ]


def test_turns_are_read_as_the_server_lists_them() -> None:
    said = {"type": "userMessage", "clientId": client_mark(KEY, 0), "content": [{"text": "a\n b"}]}
    long = {"type": "userMessage", "clientId": None, "content": [{"text": "x" * 99}]}
    first, second, third = known_turns(
        [
            {"id": "1", "status": "completed", "items": [said]},
            {"id": "2", "status": "failed", "items": [long]},
            {"id": "3", "status": "inProgress", "items": []},
        ]
    )
    assert (first.cell, first.label) == (KEY.short, "a b")
    assert (second.cell, len(second.label)) == (None, 40)
    assert (third.cell, third.label) == (None, "")
