"""Settings stated outside of `config.toml`: `-c key=value`, variables, and a request's `config`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from codex_jupyter.errors import ConfigError
from codex_jupyter.settings.checking import check_table, dotted
from codex_jupyter.settings.config_file import parse_value
from codex_jupyter.settings.known_keys import CONFIG, SECRET_KEYS

__all__ = [
    "VARIABLES",
    "Override",
    "merge_tables",
    "overrides_from_environment",
    "overrides_from_request",
    "parse_option",
]

VARIABLES: Mapping[str, str] = {
    "CODEX_JUPYTER_MODEL_PROVIDER": "model_provider",
    "CODEX_JUPYTER_MODEL": "model",
    "CODEX_JUPYTER_HEADLESS": "headless",
    "CODEX_JUPYTER_OFFLINE_PACE": "offline_pace",
}
"""Environment variables that state a key; they rank above the file and below `-c`."""

_MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Override:
    """One checked value that ranks above the file."""

    source: str
    """The option as it was typed, or what stands for it; never with a credential in it."""

    table: Mapping[str, Any] = field(repr=False)
    """The value under its nested key, as a file would hold it."""

    warnings: tuple[str, ...] = ()


def parse_option(option: str) -> Override:
    """Read one ``-c key=value``; a value that is not TOML is taken as a string.

    Raises:
        ConfigError: There is no ``=`` or no key, or the key is known and refuses the value.
    """
    key, equals, written = option.partition("=")
    # A key pasted where its variable's name belongs is one too.
    secret = any(name in option for name in (*SECRET_KEYS, "env_key"))
    source = f"-c {key.strip()}=…" if secret else f"-c {option}"
    if not equals:
        raise ConfigError(source, "must be written key=value")
    try:
        value = parse_value(written.strip())
    except ValueError:
        value = written.strip().strip("\"'")
    return _override(source, key.strip(), value)


def overrides_from_environment(environ: Mapping[str, str]) -> tuple[Override, ...]:
    """Read the variables of `VARIABLES` that are set and not blank.

    Raises:
        ConfigError: The key refuses the value; the source is the variable.
    """
    found: list[Override] = []
    for variable, key in VARIABLES.items():
        written = environ.get(variable, "").strip()
        if not written:
            continue
        value: Any = written
        if CONFIG.keys[key].kind == "number":
            try:
                value = parse_value(written)
            except ValueError:
                value = written
        found.append(_override(variable, key, value))
    return tuple(found)


def overrides_from_request(config: Mapping[str, Any]) -> tuple[Override, ...]:
    """Read the ``config`` of a request: dotted keys, nested tables, or both.

    A ``null`` states nothing.

    Raises:
        ConfigError: A key cannot be a key, or is known and refuses its value.
    """
    stated = ((key, _without_nulls(value)) for key, value in config.items() if value is not None)
    return tuple(_override("the request's config", key, value) for key, value in stated)


def merge_tables(tables: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge from lowest to highest rank: tables merge key by key, all else is replaced.

    The arguments stay as they are.
    """
    merged: dict[str, Any] = {}
    for table in tables:
        # A work list, because TOML's dotted keys nest deeper than Python's stack reaches.
        pending: list[tuple[dict[str, Any], Mapping[str, Any]]] = [(merged, table)]
        while pending:
            target, source = pending.pop()
            for key, value in source.items():
                old = target.get(key)
                if isinstance(old, Mapping) and isinstance(value, Mapping):
                    copy = dict(cast("Mapping[str, Any]", old))
                    target[key] = copy
                    pending.append((copy, cast("Mapping[str, Any]", value)))
                else:
                    target[key] = value
    return merged


def _override(source: str, key: str, value: Any) -> Override:
    path = key.split(".")
    if not all(part and part == part.strip() for part in path) or len(path) > _MAX_DEPTH:
        raise ConfigError(
            source, f'"{key[:60]}" is not a key; write it with dots, like `model_providers.x.name`'
        )
    table: dict[str, Any] = {path[-1]: value}
    for part in reversed(path[:-1]):
        table = {part: table}
    warnings: list[str] = []
    for finding in check_table(table, CONFIG):
        error = ConfigError(source, finding.problem, key=dotted(finding.path))
        if finding.fatal:
            raise error
        warnings.append(str(error))
    return Override(source, table, tuple(warnings))


def _without_nulls(value: Any, depth: int = 0) -> Any:
    if not isinstance(value, Mapping) or depth == _MAX_DEPTH:
        return cast("Any", value)
    table = cast("Mapping[str, Any]", value)
    return {k: _without_nulls(v, depth + 1) for k, v in table.items() if v is not None}
