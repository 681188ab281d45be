"""Reading `config.toml`: parse it, have it checked, and say on which line a mistake is."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from codex_jupyter.errors import ConfigError
from codex_jupyter.settings.checking import KeyPath, check_table, dotted
from codex_jupyter.settings.known_keys import CONFIG

__all__ = [
    "ConfigFile",
    "find_key_line",
    "parse_config",
    "parse_value",
    "read_config_file",
    "split_key_path",
]

_MAX_BYTES = 1024 * 1024
_AT_LINE = r"\(at line (\d+), column \d+\)|\(at end of document\)"

# Patterns are compiled when a mistake was made, not in every kernel.
# A key as TOML writes it, for finding it again: bare, "basic" or 'literal' parts with dots between.
_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_PATH = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_STATEMENT = rf"[ \t]*(?:\[\[?[ \t]*(?P<header>{_PATH})[ \t]*\]|(?P<key>{_PATH})[ \t]*=)"
_LEXEME = r"""(?sx)
    \"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5}     # multi-line strings
    | "(?:\\.|[^"\\\n])*" | '[^'\n]*' | \#[^\n]*    # strings, comments
    | [\[\]{}\n]
    """


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A `config.toml` that was read and has no mistakes."""

    path: Path
    table: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    text: str = field(default="", repr=False)
    warnings: tuple[str, ...] = ()


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
        place = re.search(_AT_LINE, words)
        last = text.rstrip().count("\n") + 1
        line = None if place is None else int(place.group(1) or last)
        problem = re.sub(_AT_LINE, "", words).strip() or "cannot be parsed"
        raise ConfigError(path, f"is not valid TOML: {problem}", line=line) from None


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


def split_key_path(written: str) -> KeyPath:
    """Return the parts of a dotted key, which may be quoted as in TOML.

    Raises:
        ValueError: It is no key.
    """
    if re.fullmatch(_PATH, written) is None:
        raise ValueError("write it with dots, like `model_providers.x.name`")
    try:
        return _split_key(written)
    except ConfigError:  # an escape that TOML does not have
        raise ValueError("it is not written as TOML writes keys") from None


def _statements(text: str) -> Iterator[tuple[int, KeyPath]]:
    pattern = re.compile(_STATEMENT)
    header: KeyPath = ()
    position, line = 0, 1
    while position < len(text):
        statement = pattern.match(text, position)
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
    for lexeme in re.compile(_LEXEME).finditer(text, position):
        mark = lexeme.group()
        line += mark.count("\n")
        if mark == "\n" and depth == 0:
            return lexeme.end(), line
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
