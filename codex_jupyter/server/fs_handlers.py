"""The methods that read and change files beneath the workspaces."""

import base64
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.protocol.fs_requests import (
    FsCopyParams,
    FsCreateDirectoryParams,
    FsGetMetadataParams,
    FsReadDirectoryParams,
    FsReadFileParams,
    FsRemoveParams,
    FsUnwatchParams,
    FsWatchParams,
    FsWriteFileParams,
)
from codex_jupyter.server.file_watches import FileWatches
from codex_jupyter.server.params import decoded, read_params
from codex_jupyter.server.rights import require_owner
from codex_jupyter.server.subscriptions import Connection
from codex_jupyter.tools import workspace_files as files

__all__ = ["FsHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]
T = TypeVar("T")

_MAX_WATCH_ID = 200


class FsHandlers:
    """Each works in a thread of its own; what has begun to change files goes on to its end."""

    def __init__(self, threads: ThreadManager, watches: FileWatches) -> None:
        self._threads = threads
        self._watches = watches
        self.methods: dict[str, Method] = {
            "fs/readFile": self._read_file,
            "fs/writeFile": self._write_file,
            "fs/createDirectory": self._create_directory,
            "fs/getMetadata": self._get_metadata,
            "fs/readDirectory": self._read_directory,
            "fs/remove": self._remove,
            "fs/copy": self._copy,
            "fs/watch": self._watch,
            "fs/unwatch": self._unwatch,
        }

    async def _read_file(self, _connection: Connection, params: Any) -> Json:
        asked, roots = read_params(FsReadFileParams, params), self._roots()
        data = await _in_thread(lambda: files.read_file(files.locate(roots, asked.path)))
        return {"dataBase64": base64.b64encode(data).decode("ascii")}

    async def _write_file(self, connection: Connection, params: Any) -> Json:
        asked, roots = read_params(FsWriteFileParams, params), self._roots()
        require_owner(connection.rights, "write files")
        data = decoded(asked.data_base64, "fs/writeFile requires valid base64 dataBase64")
        await _in_thread(lambda: files.write_file(files.locate(roots, asked.path), data))
        return {}

    async def _create_directory(self, connection: Connection, params: Any) -> Json:
        asked, roots = read_params(FsCreateDirectoryParams, params), self._roots()
        require_owner(connection.rights, "create folders")
        recursive = asked.recursive is not False
        await _in_thread(
            lambda: files.make_directory(files.locate(roots, asked.path), recursive=recursive)
        )
        return {}

    async def _get_metadata(self, _connection: Connection, params: Any) -> Json:
        asked, roots = read_params(FsGetMetadataParams, params), self._roots()
        return await _in_thread(
            lambda: files.metadata_of(files.locate(roots, asked.path, follow=False), roots)
        )

    async def _read_directory(self, _connection: Connection, params: Any) -> Json:
        asked, roots = read_params(FsReadDirectoryParams, params), self._roots()
        return {
            "entries": await _in_thread(
                lambda: files.read_directory(files.locate(roots, asked.path), roots)
            )
        }

    async def _remove(self, connection: Connection, params: Any) -> Json:
        asked, roots = read_params(FsRemoveParams, params), self._roots()
        require_owner(connection.rights, "remove files")
        recursive, force = asked.recursive is not False, asked.force is not False
        await _in_thread(
            lambda: files.remove_path(
                files.locate(roots, asked.path, follow=False),
                roots,
                recursive=recursive,
                force=force,
            )
        )
        return {}

    async def _copy(self, connection: Connection, params: Any) -> Json:
        asked, roots = read_params(FsCopyParams, params), self._roots()
        require_owner(connection.rights, "copy files")
        stop = threading.Event()

        def copy() -> None:
            source = files.locate(roots, asked.source_path)
            target = files.locate(roots, asked.destination_path)
            files.copy_path(source, target, recursive=asked.recursive, stop=stop)

        try:
            # It may take long: it is told to stop, and left to notice.
            await anyio.to_thread.run_sync(copy, abandon_on_cancel=True)
        finally:
            stop.set()
        return {}

    async def _watch(self, connection: Connection, params: Any) -> Json:
        asked, roots = read_params(FsWatchParams, params), self._roots()
        if not 0 < len(asked.watch_id) <= _MAX_WATCH_ID:
            raise InvalidRequestError(f"watchId must have 1 to {_MAX_WATCH_ID} characters")
        place = await _in_thread(lambda: files.locate(roots, asked.path))
        await self._watches.add(connection, asked.watch_id, place.path)
        return {"path": str(place.path)}

    async def _unwatch(self, connection: Connection, params: Any) -> Json:
        self._watches.remove(connection, read_params(FsUnwatchParams, params).watch_id)
        return {}

    def _roots(self) -> Sequence[Path]:
        """Return the workspaces: where loaded threads work, and where the server was started."""
        loaded = (self._threads.get(thread_id) for thread_id in self._threads.loaded)
        return list(dict.fromkeys([*(session.config.cwd for session in loaded), Path.cwd()]))


async def _in_thread(work: Callable[[], T]) -> T:
    return await anyio.to_thread.run_sync(work)
