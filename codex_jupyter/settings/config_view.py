"""What is configured, as a client may see it: merged, layer by layer, and without credentials."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit, urlunsplit

from pydantic_core import to_json, to_jsonable_python

from codex_jupyter.settings.approval import policy_shape
from codex_jupyter.settings.checking import KeyPath, dotted
from codex_jupyter.settings.config_edit import version_of
from codex_jupyter.settings.known_keys import SECRET_KEYS
from codex_jupyter.settings.load import Settings
from codex_jupyter.settings.overrides import merge_tables
from codex_jupyter.settings.selection import Layer, layers_of

__all__ = ["HIDDEN", "effective_config", "layer_shapes", "origins", "overriding", "shown_address"]

Json = dict[str, Any]

HIDDEN: Final = "<hidden>"
"""In place of what may be a credential."""

_SECRET: Final = SECRET_KEYS | {"env", "env_http_headers"}
_ADDRESSES: Final = frozenset({"base_url", "openai_base_url", "url", "chatgpt_base_url"})


def effective_config(settings: Settings) -> Json:
    """Return everything that is configured, with the provider and the model that follow."""
    merged = merge_tables(layer.table for layer in _layers(settings))
    chosen = {"model": settings.model, "model_provider": settings.model_provider}
    if "approval_policy" in merged:
        merged["approval_policy"] = policy_shape(settings.approval_policy)
    return {**chosen, **_shown(merged)}


def layer_shapes(settings: Settings) -> list[Json]:
    """Return the layers as they travel, highest rank first."""
    return [{**_metadata(x), "config": _shown(x.table)} for x in reversed(_layers(settings))]


def origins(settings: Settings) -> Json:
    """Return for each value, by its dotted key, which layer it comes from."""
    found: Json = {}
    for layer in _layers(settings):
        metadata = _metadata(layer)
        for path in _leaves(layer.table):
            found[dotted(path)] = metadata
    return found


def overriding(settings: Settings, path: KeyPath) -> tuple[Json, Any] | None:
    """Return what outranks the file at ``path``: the layer, and its value; ``None`` if nothing."""
    for layer in reversed(_layers(settings)[1:]):
        node: Any = layer.table
        for part in path:
            node = cast("Json", node).get(part) if isinstance(node, Mapping) else None
        if node is not None:
            # A single header is named by whoever sends it; what holds it tells that it is secret.
            name = next((part for part in path if part in _SECRET), path[-1])
            return _metadata(layer), _shown_value(name, node)
    return None


def shown_address(address: str | None) -> str | None:
    """Return an address without user, password and query, any of which may be a credential."""
    if not address:
        return address
    try:
        parts = urlsplit(address)
    except ValueError:
        return HIDDEN
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def _layers(settings: Settings) -> list[Layer]:
    """Return where the configuration comes from, lowest rank first."""
    return layers_of(settings.sources.file, settings.sources.overrides)


def _metadata(layer: Layer) -> Json:
    if isinstance(layer.source, Path):
        profile = layer.prefix[-1] if layer.prefix else None
        name: Json = {"type": "user", "file": str(layer.source), "profile": profile}
        return {"name": name, "version": version_of(layer.text)}
    version = version_of(to_json(layer.table).decode())
    return {"name": {"type": "sessionFlags"}, "version": version}


def _leaves(table: Mapping[str, Any], path: KeyPath = ()) -> Iterator[KeyPath]:
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(cast("Mapping[str, Any]", value), (*path, name))
        else:
            yield (*path, name)


def _shown(table: Mapping[str, Any]) -> Json:
    return {name: _shown_value(name, value) for name, value in table.items()}


def _shown_value(name: str, value: Any) -> Any:
    if name in _SECRET:
        if isinstance(value, Mapping):
            return dict.fromkeys(cast("Mapping[str, Any]", value), HIDDEN)
        return HIDDEN
    if isinstance(value, Mapping):
        return _shown(cast("Mapping[str, Any]", value))
    if name in _ADDRESSES and isinstance(value, str):
        return shown_address(value)
    return to_jsonable_python(value)
