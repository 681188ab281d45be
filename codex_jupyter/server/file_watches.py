"""Paths that connections watch, looked at in turn by one task."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.server.subscriptions import Connection
from codex_jupyter.tools.workspace_watch import Look, changed_between, look_at

__all__ = ["FileWatches"]

MAX_WATCHES: Final = 64
"""Of one connection."""

PAUSE: Final = 0.5
"""Seconds between two looks. No library that is told by the system is worth its cost for a few
paths, and network drives would tell it nothing."""


@dataclass(eq=False, slots=True)
class _Watch:
    connection: Connection
    watch_id: str
    path: Path
    seen: Look


class FileWatches:
    """Tells each connection what changed since it began to watch."""

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause = pause
        self._watches: dict[Connection, dict[str, _Watch]] = {}
        self._some = anyio.Event()

    async def add(self, connection: Connection, watch_id: str, path: Path) -> None:
        """Watch a path from now on.

        Raises:
            InvalidRequestError: The connection has such a watch, or watches too much.
        """
        seen = await anyio.to_thread.run_sync(look_at, path)
        own = self._watches.get(connection, {})
        if watch_id in own:
            raise InvalidRequestError(f"watchId already exists: {watch_id}")
        if len(own) >= MAX_WATCHES:
            raise InvalidRequestError(f"a connection may watch {MAX_WATCHES} paths; end one first")
        if connection.peer.closed:
            return
        self._watches[connection] = {**own, watch_id: _Watch(connection, watch_id, path, seen)}
        self._some.set()

    def remove(self, connection: Connection, watch_id: str) -> None:
        """Watch a path no more."""
        own = self._watches.get(connection, {})
        own.pop(watch_id, None)
        if not own:
            self.forget(connection)

    def forget(self, connection: Connection) -> None:
        """Watch nothing for a connection any more."""
        self._watches.pop(connection, None)
        if not self._watches:
            self._some = anyio.Event()

    async def run(self) -> None:
        """Look, and tell, until cancelled; costs nothing while nobody watches."""
        while True:
            await self._some.wait()
            await anyio.sleep(self._pause)
            watches = [w for own in self._watches.values() for w in own.values()]
            paths = {watch.path for watch in watches}
            looks = await anyio.to_thread.run_sync(_look_at_all, paths)
            for watch in watches:
                # It may have been ended, or begun anew, meanwhile.
                if self._watches.get(watch.connection, {}).get(watch.watch_id) is watch:
                    self._compare(watch, looks[watch.path])

    def _compare(self, watch: _Watch, look: Look) -> None:
        changed = changed_between(watch.seen, look)
        watch.seen = look
        if changed:
            params = {"watchId": watch.watch_id, "changedPaths": changed}
            watch.connection.tell("fs/changed", params)


def _look_at_all(paths: set[Path]) -> Mapping[Path, Look]:
    return {path: look_at(path) for path in paths}
