"""Changing `config.toml`: some keys, nothing else; comments and order stay."""

import copy
import hashlib
import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from codex_jupyter.errors import ConfigError, ConfigWriteError
from codex_jupyter.settings.checking import KeyPath, check_table, dotted
from codex_jupyter.settings.choice import ensure_home
from codex_jupyter.settings.config_file import ConfigFile, parse_config, split_key_path
from codex_jupyter.settings.known_keys import CONFIG

__all__ = ["MAX_FILE_BYTES", "Edit", "edited", "replace_file", "version_of"]

MAX_FILE_BYTES: Final = 1024 * 1024
"""What `read_config_file` takes; no larger file is written."""

_MAX_DEPTH: Final = 32
_MODE: Final = 0o600
"""Of a new file: it may hold keys. An old one keeps its own."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One key's new value."""

    key_path: str
    """Dotted, quoted where TOML would."""

    value: Any
    """JSON; ``None`` removes the key."""

    merge: Literal["replace", "upsert"] = "replace"
    """``upsert`` keeps the members of a table that the new one does not state."""


def version_of(text: str) -> str:
    """Return what names a text: another one has another version."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def edited(file: ConfigFile, edits: Sequence[Edit]) -> ConfigFile:
    """Return the file with ``edits`` applied, in order and all of them.

    The text is checked twice: as every configuration is, and for holding exactly what the edits
    say and what was there before.

    Raises:
        ConfigWriteError: A path leads through something that is no table, names a key that nobody
            knows, or the result would not be a configuration.
    """
    # Imported late: few processes write, and every kernel would pay for it.
    tomlkit: Any = importlib.import_module("tomlkit")
    document: Any = tomlkit.parse(file.text)
    expected: dict[str, Any] = copy.deepcopy(dict(file.table))
    for edit in edits:
        path = _path(edit.key_path)
        value = _storable(edit.value, edit.key_path)
        if value is None:
            _remove(expected, path)
            _remove(document, path)
            continue
        _put(expected, path, value, edit.merge, dict)
        _refuse_unknown(path, value)
        _put(document, path, value, edit.merge, tomlkit.table)
    text: str = tomlkit.dumps(document)
    if len(text.encode()) > MAX_FILE_BYTES:
        raise _invalid(f"{file.path} would be longer than {MAX_FILE_BYTES} bytes")
    try:
        result = parse_config(text, file.path)
    except ConfigError as error:
        raise _invalid(str(error)) from None
    if result.table != expected:
        raise _invalid(
            f"{file.path} is written in a way that this change cannot be put into; edit it by hand"
        )
    return result


def replace_file(path: Path, text: str) -> None:
    """Put ``text`` in place of a file, whole, and on the medium; a link keeps leading to it.

    Raises:
        ConfigWriteError: The folder cannot be made, or the file not written.
    """
    target = path.resolve()
    draft = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        ensure_home(target.parent)
        mode = target.stat().st_mode & 0o777 if target.exists() else _MODE
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                os.fchmod(descriptor, mode)
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        reason = "configLayerReadonly" if target.exists() else "userLayerNotFound"
        problem = f"{path} cannot be written: {error.strerror or error}"
        raise ConfigWriteError(reason, problem) from None


def _path(written: str) -> KeyPath:
    try:
        path = split_key_path(written)
    except ValueError as error:
        raise _invalid(f"`keyPath` {written[:100]!r} is not a key: {error}") from None
    if len(path) > _MAX_DEPTH:
        raise _invalid(f"`keyPath` has {len(path)} parts; {_MAX_DEPTH} are possible")
    return path


def _put(table: Any, path: KeyPath, value: Any, merge: str, new_table: Callable[[], Any]) -> None:
    for depth, part in enumerate(path[:-1], 1):
        if part not in table:
            table[part] = new_table()
        table = table[part]
        if not _is_table(table):
            raise ConfigWriteError(
                "configPathNotFound",
                f"`{dotted(path)}` cannot be set: `{dotted(path[:depth])}` is not a table",
            )
    key = path[-1]
    if merge == "upsert" and _is_table(value) and _is_table(table.get(key)):
        for name, member in value.items():
            _put(table[key], (name,), member, merge, new_table)
    else:
        table[key] = value


def _remove(table: Any, path: KeyPath) -> None:
    """Take a key away; one that is not there is gone already."""
    for part in path[:-1]:
        table = table.get(part)
        if not _is_table(table):
            return
    if path[-1] in table:
        del table[path[-1]]


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _refuse_unknown(path: KeyPath, value: Any) -> None:
    table: Any = value
    for part in reversed(path):
        table = {part: table}
    for finding in check_table(table, CONFIG):
        problem = f"`{dotted(finding.path)}`: {finding.problem}"
        if finding.fatal:
            raise _invalid(problem)
        if finding.problem.startswith("unknown key"):
            raise ConfigWriteError("configSchemaUnknownKey", problem)


def _storable(value: Any, key: str, depth: int = 0) -> Any:
    """Return a JSON value as TOML can have it: members that are ``null`` are left out."""
    if depth > _MAX_DEPTH:
        raise _invalid(f"the value of `{key[:100]}` is nested more than {_MAX_DEPTH} deep")
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value).items()
        return {n: _storable(m, key, depth + 1) for n, m in members if m is not None}
    if isinstance(value, list):
        elements = cast("list[Any]", value)
        if any(element is None for element in elements):
            raise _invalid(f"the value of `{key[:100]}` has a null in an array; TOML has none")
        return [_storable(element, key, depth + 1) for element in elements]
    return value


def _invalid(problem: str) -> ConfigWriteError:
    return ConfigWriteError("configValidationError", problem)
