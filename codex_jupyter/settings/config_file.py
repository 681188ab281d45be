"""Reading `config.toml`: parse it, check it against the known keys, and say where a mistake is."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from codex_jupyter.errors import ConfigError
from codex_jupyter.settings.known_keys import CONFIG, SECRET_KEYS, Key, Table

__all__ = [
    "ConfigFile",
    "Finding",
    "check_table",
    "dotted",
    "find_key_line",
    "parse_config",
    "parse_value",
    "read_config_file",
]

KeyPath = tuple[str, ...]

_MAX_BYTES = 1024 * 1024
_SHOWN_CHARS = 60
_LARGEST = 2**63 - 1
"""TOML's integers have 64 bits; Python's parser reads longer ones."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADLESS = re.compile(r"deny|replay|fail|allow\s+\S.*", re.DOTALL)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)|\(at end of document\)")

# A key as TOML writes it, for finding it again: bare, "basic" or 'literal' parts with dots between.
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_PATH = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_STATEMENT = re.compile(
    rf"[ \t]*(?:\[\[?[ \t]*(?P<header>{_PATH})[ \t]*\]|(?P<key>{_PATH})[ \t]*=)"
)
_TOKEN = re.compile(
    r"""
    \"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5}     # multi-line strings
    | "(?:\\.|[^"\\\n])*" | '[^'\n]*' | \#[^\n]*    # strings, comments
    | [\[\]{}\n]
    """,
    re.DOTALL | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A `config.toml` that was read and has no mistakes."""

    path: Path
    table: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    text: str = field(default="", repr=False)
    warnings: tuple[str, ...] = ()

    def error(self, problem: str, path: KeyPath) -> ConfigError:
        """Return the error for a key whose value turned out to be wrong later."""
        line = find_key_line(self.text, path)
        return ConfigError(self.path, problem, line=line, key=dotted(path))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with one key."""

    path: KeyPath
    problem: str
    fatal: bool
    """``False`` for what is only worth a warning."""


def read_config_file(path: Path) -> ConfigFile:
    """Read and check the file at ``path``; a file that is not there is an empty one.

    Raises:
        ConfigError: The file cannot be read (no UTF-8, over 1 MiB, …), is not TOML, or holds a
            value that a known key cannot have.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return ConfigFile(path)
    except OSError as error:
        raise ConfigError(path, f"cannot be read: {error.strerror or error}") from error
    if len(raw) > _MAX_BYTES:
        raise ConfigError(path, f"is {len(raw)} bytes long; {_MAX_BYTES} are possible")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, "is not UTF-8; save it as UTF-8", line=line) from None
    return parse_config(text, path)


def parse_config(text: str, path: Path) -> ConfigFile:
    """Parse and check the text of a `config.toml`.

    Raises:
        ConfigError: As in `read_config_file`; with the line, and the key if there is one.
    """
    table = _parse_toml(text, path)
    warnings: list[str] = []
    for finding in check_table(table, CONFIG):
        error = ConfigError(
            path,
            finding.problem,
            line=find_key_line(text, finding.path),
            key=dotted(finding.path),
        )
        if finding.fatal:
            raise error
        warnings.append(str(error))
    return ConfigFile(path, table, text, tuple(warnings))


def parse_value(text: str) -> Any:
    """Return ``text`` as a TOML value.

    Raises:
        ValueError: It is none.
    """
    import tomllib  # noqa: PLC0415 - see _parse_toml

    try:
        table = tomllib.loads(f"value = {text}")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if len(table) != 1:
        raise ValueError("more than one value")
    return table["value"]


def _parse_toml(text: str, path: Path) -> dict[str, Any]:
    # Imported late: most users have no file, and every kernel would pay for the parser.
    import tomllib  # noqa: PLC0415

    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError(path, "is nested too deeply") from None
    except ValueError as error:
        words = str(error)
        place = _AT_LINE.search(words)
        last = text.rstrip().count("\n") + 1
        line = None if place is None else int(place.group(1) or last)
        problem = _AT_LINE.sub("", words).strip() or "cannot be parsed"
        raise ConfigError(path, f"is not valid TOML: {problem}", line=line) from None


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
    elif key.members is not None:
        yield from check_table(cast("Mapping[str, Any]", value), key.members, path)
    elif key.usual and value not in key.usual:
        usual = ", ".join(key.usual)
        yield Finding(path, f"{_shown(value)} is unusual ({usual}); sent as it is", fatal=False)


def _fits(value: Any, key: Key) -> bool:
    match key.kind:
        case "string":
            return isinstance(value, str) and _string_fits(value, key)
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
        return _VARIABLE.fullmatch(value) is not None
    if key.form == "headless":
        return _HEADLESS.fullmatch(value.strip()) is not None
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
        return names if len(key.allowed) == 1 else f"one of {names.replace(' or ', ', ')}"
    if key.form == "address":
        return "an address that starts with http:// or https://"
    if key.form == "variable":
        return "the name of an environment variable, not the key itself"
    if key.form == "headless":
        return '"deny", "allow RULES", "replay" or "fail"'
    words = {
        "string": "a string" + (" that is not empty" if key.minimum else ""),
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
    parts = (part if _BARE.fullmatch(part) else f'"{part}"' for part in path)
    return _cut(".".join(parts), 2 * _SHOWN_CHARS)


def _cut(text: str, chars: int) -> str:
    shown = text if len(text) <= chars else text[:chars] + "…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in shown)


def find_key_line(text: str, path: Sequence[str]) -> int | None:
    """Return the 1-based line of the key ``path`` in ``text``, which must be valid TOML.

    Finds keys under ``[table]`` headers, dotted and quoted ones. For a key inside an inline table
    it is the line where that table starts; for a table, the first line that belongs to it.
    """
    target = tuple(path)
    best: tuple[int, int] | None = None
    for line, found in _statements(text):
        if found[: len(target)] == target:
            return line
        if target[: len(found)] == found and (best is None or len(found) > best[0]):
            best = (len(found), line)
    return best[1] if best else None


def _statements(text: str) -> Iterator[tuple[int, KeyPath]]:
    header: KeyPath = ()
    position, line = 0, 1
    while position < len(text):
        statement = _STATEMENT.match(text, position)
        start, key_end = line, position
        if statement is not None and statement["key"] is not None:
            key_end = statement.end("key")
        position, line = _skip_statement(text, key_end, line)
        if statement is None:
            continue
        if statement["header"] is not None:
            header = _split_key(statement["header"])
            yield start, header
        else:
            yield start, (*header, *_split_key(statement["key"]))


def _skip_statement(text: str, position: int, line: int) -> tuple[int, int]:
    """Return where the statement after the one at ``position`` starts, and on which line."""
    depth = 0
    for token in _TOKEN.finditer(text, position):
        mark = token.group()
        line += mark.count("\n")
        if mark == "\n" and depth == 0:
            return token.end(), line
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark, 0)
    return len(text), line


def _split_key(written: str) -> KeyPath:
    table = _parse_toml(f"{written} = 0", Path())
    parts: list[str] = []
    node: Any = table
    while isinstance(node, dict):
        [(part, node)] = cast("dict[str, Any]", node).items()
        parts.append(part)
    return tuple(parts)
