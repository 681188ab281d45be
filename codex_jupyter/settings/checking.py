"""Comparing configured values with the known keys, and wording what is wrong with them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from codex_jupyter.settings.known_keys import SECRET_KEYS, Key, Table

__all__ = ["Finding", "KeyPath", "check_table", "dotted"]

KeyPath = tuple[str, ...]

_SHOWN_CHARS = 60
_LARGEST = 2**63 - 1
"""TOML's integers have 64 bits; Python's parser reads longer ones."""

_VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
_HEADLESS = r"deny|fail|allow\s+\S.*"
_BARE_KEY = r"[A-Za-z0-9_-]+"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one key."""

    path: KeyPath
    problem: str
    fatal: bool
    """``False`` for what is only worth a warning."""


def check_table(table: Mapping[str, Any], known: Table, path: KeyPath = ()) -> Iterator[Finding]:
    """Compare ``table`` with what may stand in it, in the order of its keys."""
    for name, value in table.items():
        here = (*path, name)
        key = known.keys.get(name)
        if key is not None:
            yield from _check_value(value, key, here)
        elif name in known.unsupported:
            yield Finding(here, f"is ignored: {known.unsupported[name]}", fatal=False)
        elif name not in known.let_through:
            yield Finding(here, _unknown(name, known), fatal=False)


def _check_value(value: Any, key: Key, path: KeyPath) -> Iterator[Finding]:
    if not _fits(value, key):
        yield Finding(path, _refusal(value, key, path), fatal=True)
    elif key.members is not None and key.kind == "tables":
        for name, inner in cast("Mapping[str, Any]", value).items():
            if isinstance(inner, Mapping):
                inner_table = cast("Mapping[str, Any]", inner)
                yield from check_table(inner_table, key.members, (*path, name))
            else:
                problem = f"must be a table; it is {_shown(inner)}"
                yield Finding((*path, name), problem, fatal=True)
    elif key.members is not None and isinstance(value, Mapping):
        yield from check_table(cast("Mapping[str, Any]", value), key.members, path)
    elif key.usual and value not in key.usual:
        usual = ", ".join(key.usual)
        yield Finding(path, f"{_shown(value)} is unusual ({usual}); sent as it is", fatal=False)


def _fits(value: Any, key: Key) -> bool:
    match key.kind:
        case "string":
            return isinstance(value, str) and _string_fits(value, key)
        case "string or table":
            return isinstance(value, Mapping) or (
                isinstance(value, str) and _string_fits(value, key)
            )
        case "boolean":
            return isinstance(value, bool)
        case "integer" | "number":
            return _number_fits(value, key)
        case "strings":
            return isinstance(value, list) and _all_strings(cast("list[Any]", value))
        case "string table":
            return isinstance(value, Mapping) and _all_strings(
                list(cast("Mapping[str, Any]", value).values())
            )
        case "table" | "tables":
            return isinstance(value, Mapping)


def _string_fits(value: str, key: Key) -> bool:
    if key.allowed:
        return value in key.allowed
    if key.form == "address":
        scheme, _, rest = value.partition("://")
        return scheme in ("http", "https") and bool(rest) and rest.isprintable() and " " not in rest
    if key.form == "variable":
        return re.fullmatch(_VARIABLE, value) is not None
    if key.form == "headless":
        return re.fullmatch(_HEADLESS, value.strip()) is not None
    return len(value) >= (key.minimum or 0)


def _number_fits(value: Any, key: Key) -> bool:
    kinds = int if key.kind == "integer" else (int, float)
    # bool is a subclass of int.
    if isinstance(value, bool) or not isinstance(value, kinds):
        return False
    # Written so that nan is refused.
    return (key.minimum is None or value >= key.minimum) and abs(value) <= _LARGEST


def _all_strings(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _refusal(value: Any, key: Key, path: KeyPath) -> str:
    # Keys are pasted where their variable's name belongs, and passwords stand in addresses.
    secret = key.form in ("variable", "address") or not SECRET_KEYS.isdisjoint(path)
    is_what = f"it is {_type_name(value)}" if secret else f"it is {_shown(value)}"
    advice = key.advice.get(value) if isinstance(value, str) else None
    return f"must be {_expected(key)}; {is_what}" + (f": {advice}" if advice else "")


def _expected(key: Key) -> str:
    if key.allowed:
        names = " or ".join(f'"{value}"' for value in key.allowed)
        words = names if len(key.allowed) == 1 else f"one of {names.replace(' or ', ', ')}"
        tables = key.members.keys if key.kind == "string or table" and key.members else ()
        return words + "".join(f", or a table `{name}`" for name in tables)
    if key.form == "address":
        return "an address that starts with http:// or https://"
    if key.form == "variable":
        return "the name of an environment variable, not the key itself"
    if key.form == "headless":
        return '"deny", "allow RULES" or "fail"'
    words = {
        "string": "a string" + (" that is not empty" if key.minimum else ""),
        "string or table": "a string or a table",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "strings": "an array of strings",
        "string table": "a table of strings",
        "table": "a table",
        "tables": "a table of tables",
    }[key.kind]
    floor = key.minimum if key.kind in ("integer", "number") else None
    return words if floor is None else f"{words}, at least {floor:g}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{_cut(value, _SHOWN_CHARS)}"'
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**18):
        return str(value)
    return _type_name(value)


def _type_name(value: Any) -> str:
    for kind, name in (
        (str, "a string"),
        (bool, "a boolean"),
        (int, "a whole number"),
        (float, "a number"),
        (list, "an array"),
        (Mapping, "a table"),
        (type(None), "null"),
    ):
        if isinstance(value, kind):
            return name
    return "a date or time"


def _unknown(name: str, known: Table) -> str:
    # Imported late: only a file with a slip needs it.
    from difflib import get_close_matches  # noqa: PLC0415

    near = get_close_matches(name[:100], [*known.keys, *sorted(known.let_through)], n=1)
    return "unknown key, ignored" + (f"; did you mean `{near[0]}`?" if near else "")


def dotted(path: Sequence[str]) -> str:
    """Write a key path as TOML would, cut to a length that fits a message."""
    parts = (part if re.fullmatch(_BARE_KEY, part) else f'"{part}"' for part in path)
    return _cut(".".join(parts), 2 * _SHOWN_CHARS)


def _cut(text: str, chars: int) -> str:
    shown = text if len(text) <= chars else text[:chars] + "…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in shown)
