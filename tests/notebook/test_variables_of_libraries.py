"""Looking at what pandas and numpy hold asks no object of the user's, wherever it hides."""

from collections.abc import Callable
from typing import Any

import pytest

np: Any = pytest.importorskip("numpy")
pd: Any = pytest.importorskip("pandas")

from codex_jupyter.notebook.variables import inspect_variable, list_variables


class Spy:
    """Notes that somebody asked it for its text."""

    asked = 0

    def __repr__(self) -> str:
        Spy.asked += 1
        return "spied"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)


def _cell(value: Any) -> Any:
    array = np.empty(1, dtype=object)
    array[0] = value
    return array


HIDING_PLACES: dict[str, Callable[[], Any]] = {
    "name of an index": lambda: pd.DataFrame({"a": [1]}, index=pd.Index([1], name=Spy())),
    "name of columns": lambda: pd.DataFrame([[1]], columns=pd.Index(["a"], name=Spy())),
    "name of a series": lambda: pd.Series([1], name=Spy()),
    "index": lambda: pd.Index([Spy()], dtype=object),
    "named index": lambda: pd.Index([1], name=Spy()),
    "levels": lambda: pd.MultiIndex.from_arrays([pd.Index([Spy()], dtype=object)]),
    "categories": lambda: pd.Series(
        pd.Categorical.from_codes([0], pd.Index([1, Spy()], dtype=object))
    ),
    "unused categories": lambda: pd.Categorical.from_codes([0], pd.Index([1, Spy()], dtype=object)),
    "index in a cell": lambda: pd.Series(_cell(pd.Index([Spy()], dtype=object))),
    "array in a cell": lambda: pd.DataFrame({"a": _cell(_cell(Spy()))}),
    "array in an array": lambda: _cell(_cell(Spy())),
    "records": lambda: np.array([(Spy(),)], dtype=[("a", object)]),
    "record": lambda: np.array([(Spy(),)], dtype=[("a", object)])[0],
    "polynomial": lambda: np.poly1d(_cell(Spy())),
    "named tuple of pandas": lambda: pd.NamedAgg(Spy(), "sum"),
}


@pytest.mark.parametrize("place", HIDING_PLACES)
def test_an_object_of_the_users_is_not_asked_wherever_it_is(place: str) -> None:
    value = HIDING_PLACES[place]()
    Spy.asked = 0
    assert inspect_variable("x", value).startswith("x: ")
    assert list_variables({"x": value}).startswith("x: ")
    assert Spy.asked == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (pd.Index([1, 2], name="n"), "Index([1, 2]"),
        (pd.Timestamp("2026-01-02"), "2026-01-02 00:00:00"),
        (pd.Series([pd.Timestamp("2026-01-02"), None]), "NaT"),
        (pd.Series(["a", "b"], dtype="category"), "Categories (2"),
        (pd.Categorical(["a", "b"]), "['a', 'b']"),
        (pd.Interval(0, 1), "(0, 1]"),
        (_cell(np.float64(2.5)), "2.5"),
        (np.float64(2.5), "2.5"),
    ],
)
def test_what_pandas_and_numpy_hold_themselves_is_shown(value: Any, shown: str) -> None:
    assert shown in inspect_variable("x", value)
