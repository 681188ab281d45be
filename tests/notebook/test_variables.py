"""What is said about variables: facts and bounded previews, for any value."""

import datetime as dt
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_jupyter.notebook.variables import inspect_variable, list_variables

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (3, "x: int = 3"),
        (None, "x: NoneType = None"),
        (2.5, "x: float = 2.5"),
        ([], "x: list len=0 {size} bytes = []"),
        ([1, "a", None], "x: list len=3 {size} bytes = [1, 'a', None]"),
        ((1,), "x: tuple len=1 {size} bytes = (1)"),
        ({"a": [1, 2]}, "x: dict len=1 {size} bytes = {{'a': [1, 2]}}"),
        ({7}, "x: set len=1 {size} bytes = {{7}}"),
        (range(5), "x: range len=5 {size} bytes = range(0, 5)"),
        ([[[[[[]]]]]], "x: list len=1 {size} bytes = [[[[[…]]]]]"),
        (len, "x: builtin_function_or_method = <function len>"),
        (dict, "x: type = <class dict>"),
        (dt.date, "x: type = <class datetime.date>"),
        (dt.date(2026, 1, 2), "x: datetime.date = <datetime.date object>"),
        (object(), "x: object = <object object>"),
    ],
)
def test_a_value_has_its_line(value: Any, line: str) -> None:
    assert list_variables({"x": value}) == line.format(size=sys.getsizeof(value))


def test_modules_private_names_and_ipythons_own_are_left_out() -> None:
    namespace = {"sys": sys, "_x": 1, "In": [], "Out": {}, "exit": 1, "b": 2, "a": 1}
    assert list_variables(namespace).splitlines() == ["a: int = 1", "b: int = 2"]
    assert list_variables({}) == "The kernel has no variables yet."


def test_two_hundred_are_listed_and_the_rest_is_counted() -> None:
    lines = list_variables({f"v{i:03}": i for i in range(205)}).splitlines()
    assert lines[199:] == ["v199: int = 199", "… and 5 more"]


@settings(max_examples=50)
@given(values)
def test_every_value_of_built_in_types_is_shown_within_bounds(value: Any) -> None:
    (line,) = list_variables({"x": value}).splitlines()
    preview = line.partition(" = ")[2]
    assert 0 < len(preview) <= 200
    assert len(inspect_variable("x", value).partition("\n")[2]) <= 4000


@settings(max_examples=50)
@given(values)
def test_what_fits_is_shown_whole(value: Any) -> None:
    shown = inspect_variable("x", value).partition("\n")[2]
    if "…" not in shown and isinstance(value, str | list | dict | int | None):
        assert eval(shown, {"nan": float("nan"), "inf": float("inf")}) is not Ellipsis


def test_long_and_deep_values_cost_little() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert "[[[[…]]]]" in list_variables({"x": deep})
    assert len(list_variables({"x": [["y" * 10_000] * 10_000] * 10_000})) < 400
    assert "<int of 40001 bits>" in list_variables({"x": 2**40_000})
    while deep:
        deep = deep.pop()


def test_objects_in_containers_are_told_by_their_type() -> None:
    assert "[<object object>]" in list_variables({"x": [object()]})


def test_tables_and_arrays_are_shown_by_their_beginning() -> None:
    np = pytest.importorskip("numpy")
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"n": range(1000), "t": ["text"] * 1000, "d": pd.Timestamp(0)})
    shown = inspect_variable("x", frame)
    assert "shape=(1000, 3)" in shown
    assert "text" in shown
    assert shown.endswith("\n…")
    with pd.option_context("display.max_rows", None):
        assert len(inspect_variable("x", frame).splitlines()) < 30
    assert "[1 2 3]" in inspect_variable("x", np.array([1, 2, 3]))
    assert "shape=(1000, 1000) dtype=float64" in inspect_variable("x", np.ones((1000, 1000)))
    assert "['a' 1]" in inspect_variable("x", np.array(["a", 1], dtype=object))
    assert "2.5" in inspect_variable("x", np.float64(2.5))
    assert "<numpy.ndarray object>" in inspect_variable("x", np.array([object()]))
