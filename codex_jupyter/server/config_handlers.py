"""The methods that show and change `config.toml`."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.errors import ConfigError, ConfigWriteError
from codex_jupyter.protocol.config_requests import (
    ConfigBatchWriteParams,
    ConfigEdit,
    ConfigReadParams,
    ConfigRequirementsParams,
    ConfigValueWriteParams,
)
from codex_jupyter.server.params import read_params
from codex_jupyter.server.rights import require_owner
from codex_jupyter.server.subscriptions import Connection
from codex_jupyter.settings import Settings
from codex_jupyter.settings.config_edit import Edit, edited, replace_file, version_of
from codex_jupyter.settings.config_file import ConfigFile, read_config_file, split_key_path
from codex_jupyter.settings.config_view import (
    effective_config,
    layer_shapes,
    origins,
    overriding,
)

__all__ = ["ConfigHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]


class ConfigHandlers:
    """Reads the file each time: people edit it meanwhile."""

    def __init__(self, threads: ThreadManager) -> None:
        self._threads = threads
        self._writing = anyio.Lock()
        self.methods: dict[str, Method] = {
            "config/read": self._read,
            "config/value/write": self._write_value,
            "config/batchWrite": self._write_batch,
            "configRequirements/read": self._requirements,
        }

    async def _read(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(ConfigReadParams, params)
        settings = await anyio.to_thread.run_sync(_as_on_disk, self._threads.settings)
        return {
            "config": effective_config(settings),
            "origins": origins(settings),
            "layers": layer_shapes(settings) if asked.include_layers else None,
        }

    async def _write_value(self, connection: Connection, params: Any) -> Json:
        asked = read_params(ConfigValueWriteParams, params)
        return await self._write(connection, [asked], asked.file_path, asked.expected_version)

    async def _write_batch(self, connection: Connection, params: Any) -> Json:
        asked = read_params(ConfigBatchWriteParams, params)
        return await self._write(connection, asked.edits, asked.file_path, asked.expected_version)

    async def _write(
        self,
        connection: Connection,
        edits: Sequence[ConfigEdit],
        file_path: str | None,
        expected: str | None,
    ) -> Json:
        # A kernel could allow its agent everything by this.
        require_owner(connection.rights, "change the configuration")
        path = self._threads.settings.home / "config.toml"
        if file_path is not None and Path(file_path) != path:
            raise ConfigWriteError("configLayerReadonly", f"only {path} can be written")
        wanted = [Edit(edit.key_path, edit.value, edit.merge_strategy) for edit in edits]
        write = partial(_write_file, self._threads.settings, path, wanted, expected)
        settings = await self._apply(write)
        overridden = next(
            (found for edit in wanted if (found := _overridden(settings, edit)) is not None), None
        )
        return {
            "status": "ok" if overridden is None else "okOverridden",
            "version": version_of(settings.sources.file.text),
            "filePath": str(path),
            "overriddenMetadata": overridden,
        }

    async def _apply(self, write: Callable[[], Settings]) -> Settings:
        async with self._writing:
            # Once begun it ends: what is on disk and what is in force must be the same.
            with anyio.CancelScope(shield=True):
                self._threads.use(await anyio.to_thread.run_sync(write))
            return self._threads.settings

    async def _requirements(self, _connection: Connection, params: Any) -> Json:
        read_params(ConfigRequirementsParams, params)
        return {"requirements": None}


def _as_on_disk(settings: Settings) -> Settings:
    return settings.with_file(read_config_file(settings.home / "config.toml"))


def _write_file(
    settings: Settings, path: Path, edits: Sequence[Edit], expected: str | None
) -> Settings:
    file: ConfigFile
    try:
        file = read_config_file(path)
    except ConfigError as error:
        raise ConfigWriteError("configValidationError", str(error)) from None
    if expected is not None and expected != version_of(file.text):
        raise ConfigWriteError(
            "configVersionConflict",
            f"{path} was changed since version {expected[:80]!r} was read; read it again",
        )
    changed = edited(file, edits)
    try:
        new_settings = settings.with_file(changed)
    except ConfigError as error:
        raise ConfigWriteError("configValidationError", str(error)) from None
    if changed.text != file.text:
        replace_file(path, changed.text)
    return new_settings


def _overridden(settings: Settings, edit: Edit) -> Json | None:
    if edit.value is None:
        return None
    path = split_key_path(edit.key_path)
    found = overriding(settings, path)
    if found is None:
        return None
    metadata, value = found
    return {
        "message": f"`{edit.key_path}` is also stated by what outranks the file",
        "overridingLayer": metadata,
        "effectiveValue": value,
    }
