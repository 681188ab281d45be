"""Comparing values with the known keys, beyond what `config.toml` itself shows."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.settings.checking import check_table, dotted
from codex_jupyter.settings.known_keys import CONFIG, PROFILE

LEAVES = st.sampled_from([None, True, -1, 10**30, 0.5, float("nan"), "", "a\n\x1b", ["x"], [None]])
NAMES = st.sampled_from([*CONFIG.keys, "tui", "other", "x", "name", "base_url"])
TABLES = st.dictionaries(NAMES, LEAVES, max_size=3)
NESTED = st.dictionaries(NAMES, LEAVES | TABLES | st.dictionaries(NAMES, TABLES, max_size=2))


@given(NESTED)
def test_any_json_object_can_be_checked(table: dict[str, Any]) -> None:
    for finding in check_table(table, CONFIG):
        assert finding.path[0] in table
        assert finding.problem.isprintable()


def test_null_is_no_value_of_any_key() -> None:
    for name in CONFIG.keys:
        [finding] = check_table({name: None}, CONFIG)
        assert finding.fatal
        assert "it is null" in finding.problem


def test_no_key_is_both_read_and_let_through() -> None:
    assert not CONFIG.let_through & CONFIG.keys.keys()
    assert not PROFILE.let_through & PROFILE.keys.keys()


@pytest.mark.parametrize(
    ("path", "text"),
    [(("a", "b-c"), "a.b-c"), (("a", "b.c"), 'a."b.c"'), (("", "a"), '"".a')],
)
def test_a_path_is_written_as_toml_would(path: tuple[str, ...], text: str) -> None:
    assert dotted(path) == text


def test_a_long_path_is_cut() -> None:
    assert len(dotted(["a"] * 500)) < 130
