"""Looking at the variables of a kernel without running any code of the user's.

A class of theirs may answer anything with code: its text form, its length, even its name. So only
objects whose type is known, itself and not by its name, are asked; of all others the type is told.
"""

import sys
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from types import BuiltinFunctionType, FunctionType, ModuleType, NoneType
from typing import Any, Final

__all__ = ["inspect_variable", "list_variables"]

_MAX_VARIABLES: Final = 200
_PREVIEW_CHARS: Final = 200
_INSPECT_CHARS: Final = 4_000
_MAX_DEPTH: Final = 4
_MAX_ROWS: Final = 20
"""Rows of a table that are shown."""

_MAX_CELLS: Final = 1_000
"""Elements up to which an array is shown as a whole, as numpy does by itself."""

_MAX_BITS: Final = 4_096
"""Of an integer that is written out; past some thousand digits Python refuses."""

_NUMBERS: Final = (int, float, complex, bool, NoneType)
_TEXTS: Final = (str, bytes, bytearray)
_BRACKETS: Final[dict[type, str]] = {
    list: "[]",
    tuple: "()",
    set: "{}",
    frozenset: "{}",
    dict: "{}",
}
_SIZED: Final = (*_TEXTS, *_BRACKETS, range)
_LIBRARIES: Final = frozenset({"numpy", "pandas", "polars", "torch", "pyarrow"})
_PANDAS_SCALARS: Final = frozenset(
    {"Timestamp", "Timedelta", "Period", "Interval", "NaTType", "NAType"}
)
_PLAIN_MODULES: Final = frozenset({"datetime", "decimal", "fractions", "uuid"})
_NOT_THEIRS: Final = frozenset({"In", "Out", "exit", "quit", "get_ipython", "open"})

# The attributes as the interpreter keeps them: a metaclass can put its own before these.
_module_of: Final = type.__dict__["__module__"].__get__
_qualname_of: Final = type.__dict__["__qualname__"].__get__


def list_variables(namespace: Mapping[str, Any]) -> str:
    """Return a line for each variable: name, type, shape or length, and a short preview."""
    present = list(namespace.items())  # at once: other threads of the user's may add to it
    own = [
        (name, value)
        for name, value in sorted(present, key=lambda entry: entry[0])
        if not name.startswith("_")
        and name not in _NOT_THEIRS
        and not issubclass(type(value), ModuleType)
    ]
    if not own:
        return "The kernel has no variables yet."
    lines = [
        f"{name}: {_facts(value)} = {_preview(value, _PREVIEW_CHARS)}"
        for name, value in own[:_MAX_VARIABLES]
    ]
    hidden = len(own) - len(lines)
    return "\n".join([*lines, *([f"… and {hidden} more"] if hidden else [])])


def inspect_variable(name: str, value: Any) -> str:
    """Return what there is to say about one variable, in at most some thousand characters."""
    return f"{name}: {_facts(value)}\n{_preview(value, _INSPECT_CHARS)}"


def _facts(value: Any) -> str:
    """Name the type, and the shape and dtype, or the length and bytes."""
    kind = type(value)
    facts = [_name(kind)]
    if _is_library(kind):
        shape_and_type = (("shape", getattr(value, "shape", None)), ("dtype", _dtype(value)))
        facts += [f"{word}={fact}" for word, fact in shape_and_type if fact is not None]
    elif _is_one_of(kind, _SIZED):
        facts += [f"len={len(value)}", f"{sys.getsizeof(value)} bytes"]
    return " ".join(facts)


def _preview(value: Any, limit: int) -> str:
    kind = type(value)
    if _is_one_of(kind, (*_NUMBERS, *_SIZED)):
        text = _plain(value, limit, _MAX_DEPTH)
    elif _is_library(kind):
        text = _library_text(value) or f"<{_name(kind)} object>"
    elif _is_one_of(kind, (FunctionType, BuiltinFunctionType)):
        text = f"<function {value.__name__}>"
    elif issubclass(kind, type):
        text = f"<class {_name(value)}>"
    else:
        text = f"<{_name(kind)} object>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _plain(value: Any, limit: int, depth: int) -> str:
    """Write out a value of a built-in type, as far as it fits; elements of others by their type."""
    kind = type(value)
    if kind is int and value.bit_length() > _MAX_BITS:
        return f"<int of {value.bit_length()} bits>"
    if _is_one_of(kind, (*_NUMBERS, range)):
        return repr(value)
    if _is_one_of(kind, _TEXTS):
        return repr(value[:limit]) + ("…" if len(value) > limit else "")
    if not _is_one_of(kind, _BRACKETS):
        return f"<{_name(kind)} object>"
    opening, closing = _BRACKETS[kind]
    if depth == 0 and value:
        return f"{opening}…{closing}"
    inside, used = list[str](), 0
    for element in _some(value, limit // 2):
        inside.append(_element(value, element, limit - used, depth - 1))
        used += len(inside[-1]) + 2
        if used >= limit:
            break
    more = ["…"] if len(inside) < len(value) else []
    return f"{opening}{', '.join([*inside, *more])}{closing}"


def _element(container: Any, element: Any, limit: int, depth: int) -> str:
    if type(container) is not dict:
        return _plain(element, limit, depth)
    key, value = element
    return f"{_plain(key, limit, depth)}: {_plain(value, limit, depth)}"


def _some(container: Collection[Any], count: int) -> list[Any]:
    entries: Iterable[Any] = container.items() if type(container) is dict else container
    try:
        return list(islice(entries, count))
    except RuntimeError:  # another thread changes it just now
        return []


def _library_text(value: Any) -> str | None:
    """Return the beginning of a table or an array; ``None`` if it holds objects of the user's."""
    kind = type(value)
    root = _module_of(kind).partition(".")[0]
    if root == "pandas":
        return str(value) if _is_scalar(kind) else _table_text(value)
    if root != "numpy":
        return str(value)
    if not hasattr(value, "flat"):
        return None
    is_short = value.size <= _MAX_CELLS
    part = value.flat[: _MAX_CELLS if is_short else _MAX_ROWS]
    if part.dtype.hasobject and not _holds_only_plain(part):
        return None
    return str(value) if is_short else f"{part} …"


def _table_text(value: Any) -> str | None:
    """Return the beginning of what pandas keeps in rows; its names and categories are shown too."""
    has_head = hasattr(value, "head")
    if not has_head and not hasattr(value, "to_numpy"):
        return None
    part = value.head(_MAX_ROWS) if has_head else value[:_MAX_ROWS]
    axes = list(getattr(part, "axes", [] if has_head else [part]))
    names = [name for axis in axes for name in getattr(axis, "names", ())]
    names.append(getattr(part, "name", None) if getattr(part, "ndim", 1) == 1 else None)
    categories = getattr(_dtype(part), "categories", None)
    held = [*axes, part, *([] if categories is None else [categories])]
    if not all(map(_is_plain, map(type, names))):
        return None
    if not all(_holds_only_plain(each.to_numpy(dtype=object)) for each in held):
        return None
    return str(part) + ("\n…" if len(value) > len(part) else "")


def _holds_only_plain(array: Any) -> bool:
    kinds = {id(kind): kind for kind in map(type, array.flat)}.values()
    return all(map(_is_plain, kinds))


def _is_plain(kind: type) -> bool:
    """Whether an object of a class is written out by code that is not the user's, whole."""
    return (
        _is_one_of(kind, (*_NUMBERS, *_TEXTS))
        or (_is_library(kind) and _is_scalar(kind))
        or (_module_of(kind) in _PLAIN_MODULES and _is_itself(kind))
    )


def _is_scalar(kind: type) -> bool:
    """Whether objects of a library's class hold no other objects; a record may."""
    numpy: Any = sys.modules.get("numpy")
    if _module_of(kind).partition(".")[0] == "pandas":
        return _qualname_of(kind) in _PANDAS_SCALARS
    return (
        numpy is not None and issubclass(kind, numpy.generic) and not issubclass(kind, numpy.void)
    )


def _dtype(value: Any) -> Any:
    return getattr(value, "dtype", None)


def _is_one_of(kind: type, kinds: Iterable[type]) -> bool:
    # Not `in`: that compares, and a metaclass can define what is equal.
    return any(kind is known for known in kinds)


def _is_library(kind: type) -> bool:
    module = _module_of(kind)
    known = type(module) is str and module.partition(".")[0] in _LIBRARIES
    return known and _is_itself(kind)


def _is_itself(kind: type) -> bool:
    """Whether the class is the one its module has by that name, not one that says so."""
    found: Any = sys.modules.get(_module_of(kind))
    for name in _qualname_of(kind).split("."):
        found = getattr(found, name, None)
    return found is kind


def _name(kind: type) -> str:
    module, qualname = _module_of(kind), _qualname_of(kind)
    return qualname if type(module) is not str or module == "builtins" else f"{module}.{qualname}"
