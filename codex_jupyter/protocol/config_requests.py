"""What a client may ask of the configuration."""

from typing import Any, ClassVar, Literal

from codex_jupyter.protocol._wire import WireModel

__all__ = [
    "CONFIG_REQUESTS",
    "ConfigBatchWriteParams",
    "ConfigEdit",
    "ConfigReadParams",
    "ConfigRequirementsParams",
    "ConfigValueWriteParams",
]


class ConfigReadParams(WireModel):
    """See what is configured now, merged from all places; credentials are hidden."""

    METHOD: ClassVar[str] = "config/read"
    include_layers: bool = False
    cwd: str | None = None
    """Ignored: folders have no configuration of their own here."""


class ConfigLayerMetadata(WireModel):
    """A place that states settings, and which state of it."""

    name: dict[str, Any]
    """``type`` is ``user`` for the file, with its ``file`` and ``profile``, or ``sessionFlags`` for
    options and variables of this process."""

    version: str


class ConfigLayer(ConfigLayerMetadata):
    """A place, and what it states."""

    config: dict[str, Any]


class ConfigReadResult(WireModel):
    """The result of config/read. Keys are those of `config.toml`."""

    config: dict[str, Any]
    origins: dict[str, ConfigLayerMetadata]
    """For each value, by its dotted key, the place that decided."""

    layers: list[ConfigLayer] | None = None
    """Highest rank first."""


class ConfigEdit(WireModel):
    """One change."""

    key_path: str
    """Dotted, such as ``model_providers.mine.name``; parts are quoted as in TOML."""

    value: Any
    """``null`` removes the key."""

    merge_strategy: Literal["replace", "upsert"]
    """``upsert`` keeps the members of a table that ``value`` does not state."""


class ConfigBatchWriteParams(WireModel):
    """Change `config.toml`: all of the edits, in order, or none; comments stay.

    New threads, and loaded ones from their next opening on, follow it. Refused on connections that
    may not answer.
    """

    METHOD: ClassVar[str] = "config/batchWrite"
    edits: list[ConfigEdit]
    file_path: str | None = None
    """If stated, it must be the user's `config.toml`."""

    expected_version: str | None = None
    """The version that was read; another one in the file is refused."""

    reload_user_config: bool = False
    """Ignored: it is always read again."""


class ConfigValueWriteParams(ConfigEdit):
    """Change one key of `config.toml`; see config/batchWrite."""

    METHOD: ClassVar[str] = "config/value/write"
    file_path: str | None = None
    expected_version: str | None = None


class OverriddenMetadata(WireModel):
    """What counts instead of what was written."""

    message: str
    overriding_layer: ConfigLayerMetadata
    effective_value: Any = None


class ConfigWriteResult(WireModel):
    """The result of config/value/write and config/batchWrite."""

    status: Literal["ok", "okOverridden"]
    version: str
    file_path: str
    overridden_metadata: OverriddenMetadata | None = None


class ConfigRequirementsParams(WireModel):
    """See what an administrator demands. ``params`` may be left out."""

    METHOD: ClassVar[str] = "configRequirements/read"


class ConfigRequirementsResult(WireModel):
    """The result of configRequirements/read: there are none here."""

    requirements: dict[str, Any] | None = None


CONFIG_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "config/read": (ConfigReadParams, ConfigReadResult),
    "config/value/write": (ConfigValueWriteParams, ConfigWriteResult),
    "config/batchWrite": (ConfigBatchWriteParams, ConfigWriteResult),
    "configRequirements/read": (ConfigRequirementsParams, ConfigRequirementsResult),
}
