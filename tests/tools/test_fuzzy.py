"""Which paths match, which is the better one, and which characters are shown."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.tools.file_search import Candidate, best_matches
from codex_jupyter.tools.fuzzy import Pattern


def order(query: str, *paths: str) -> list[str]:
    candidates = [Candidate("/", path, "file") for path in paths]
    found = best_matches(query, candidates, threading.Event())
    return [one.candidate.path for one in found]


@pytest.mark.parametrize(
    ("query", "better", "worse"),
    [
        ("read", "README.md", "src/thread_store.py"),
        ("app", "src/app.py", "application/other.txt"),
        ("ts", "thread_store.py", "tests/x.py"),
        ("handlers", "server/handlers.py", "server/handlers_of_threads/index.py"),
        ("sh", "server/handlers.py", "sxxxxxxxxxxxxxxxxxxxxh.py"),
        ("fooBar", "src/fooBar.ts", "src/f_o_o_Bar.ts"),
        ("ab", "ab", "a/long/way/to/b"),
    ],
)
def test_the_better_one_is_first(query: str, better: str, worse: str) -> None:
    assert order(query, worse, better)[0] == better


@pytest.mark.parametrize(
    ("query", "path", "matches"),
    [
        ("abc", "a/b/c", True),
        ("abc", "c/b/a", False),
        ("ABC", "abc", False),
        ("abc", "ABC", True),
        ("two words", "words/two", True),
        ("two words", "words", False),
        (".*", "abc", False),
        (".*", "a.b*", True),
        ("ß", "straße", True),
        ("i", "İstanbul", True),
    ],
)
def test_a_path_matches_or_not(query: str, path: str, matches: bool) -> None:
    assert (Pattern(query).match(path) is not None) == matches


def test_a_blank_query_finds_nothing() -> None:
    assert order("", "a") == []
    assert order("  ", "a") == []


def test_the_characters_that_match_are_told() -> None:
    match = Pattern("sto").match("core/thread_store.py")
    assert match is not None
    assert match.indices == (12, 13, 14)


@given(st.text(min_size=1, max_size=6), st.text(max_size=30))
def test_the_indices_lie_in_the_path_and_ascend(query: str, path: str) -> None:
    match = Pattern(query).match(path)
    if match is None:
        return
    assert list(match.indices) == sorted(set(match.indices))
    assert all(0 <= place < len(path) for place in match.indices)


def test_a_search_that_nobody_wants_any_more_ends() -> None:
    stop = threading.Event()
    stop.set()
    assert list(best_matches("a", [Candidate("/", "a", "file")], stop)) == []
