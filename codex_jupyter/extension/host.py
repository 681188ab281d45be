"""Where the core lives in a Jupyter server: one task owns it, from its first use to the end."""

import asyncio
import logging
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Final

import anyio
import anyio.abc
import anyio.to_thread

from codex_jupyter.errors import CodexError, PeerClosedError
from codex_jupyter.server.rights import PAGE, Rights

if TYPE_CHECKING:
    from codex_jupyter.notebook.headless import HeadlessPolicy
    from codex_jupyter.server.app import AppServer
    from codex_jupyter.settings import Settings
    from codex_jupyter.transports.ws_socket import SocketStreams

__all__ = ["CoreHost"]

_log = logging.getLogger(__name__)

_STOP_SECONDS: Final = 5.0
"""How long the end may take: turns are stopped and rollouts closed in it."""

_WAIT_FOR_FIRST_PAGE: Final = 2.0
_WAIT_FOR_PAGE: Final = 15.0
"""Seconds a request waits for a page before the policy answers: where none was ever seen there is
probably none; one that was seen may just be reloading."""


class CoreHost:
    """Starts the core when it is first used, and serves connections; on the server's loop only.

    Nothing heavy is imported before the first connection, and then in a worker thread. If the
    settings cannot be read, that connection is told why, and the next one tries again.

    Args:
        policy: What is answered where no page is.
        headless_wait: Seconds to wait for a page first; ``None`` leaves it to what was seen.
    """

    def __init__(self, policy: "HeadlessPolicy", headless_wait: float | None = None) -> None:
        self.app: AppServer | None = None
        """The core, while it runs."""

        self._policy = policy
        self._headless_wait = headless_wait
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[AppServer] | None = None
        self._stop: asyncio.Event | None = None
        self._stopping = False
        self._tasks: anyio.abc.TaskGroup | None = None
        self._open: dict[SocketStreams, Rights] = {}
        self._page_was_seen = False

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def has_page(self) -> bool:
        """Tell whether a page is connected now."""
        return any(rights == PAGE for rights in self._open.values())

    def page_patience(self) -> float:
        """Return how many seconds a request waits for a page before the policy answers."""
        if self._headless_wait is not None:
            return self._headless_wait
        return _WAIT_FOR_PAGE if self._page_was_seen else _WAIT_FOR_FIRST_PAGE

    async def start(self) -> "AppServer":
        """Return the core, starting it if it does not run.

        Raises:
            CodexError: The settings have a mistake, or the server stops.
        """
        if self._stopping:
            raise PeerClosedError("the Jupyter server is stopping")
        if self._task is None or self._task.done() or self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
            self._stop = asyncio.Event()
            self._task = asyncio.create_task(
                self._live(self._ready, self._stop), name="codex-jupyter-core"
            )
        return await asyncio.shield(self._ready)

    def serve(self, streams: "SocketStreams", rights: Rights, ended: Callable[[], None]) -> None:
        """Serve a connection until it ends; ``ended`` is called then, or at once if it cannot be.

        The core must run: call this right after `start`, with no wait between.
        """
        if self._tasks is None:
            ended()
            return
        self._open[streams] = rights
        self._page_was_seen = self._page_was_seen or rights == PAGE
        self._tasks.start_soon(self._serve, streams, rights, ended)

    async def stop(self) -> None:
        """End every turn and connection; takes 5 s at most."""
        self._stopping = True
        if self._task is None or self._stop is None:
            return
        for streams in self._open:
            streams.stopping("the Jupyter server is stopping")
        self._stop.set()
        done, _ = await asyncio.wait([self._task], timeout=_STOP_SECONDS)
        if not done:
            _log.warning("the core did not end within %s s", _STOP_SECONDS)
            self._task.cancel()

    async def _live(self, ready: "asyncio.Future[AppServer]", stop: asyncio.Event) -> None:
        try:
            await self._run(ready, stop)
        except CodexError as problem:
            _log.error("codex_jupyter cannot start: %s", problem)
            _fail(ready, problem)
        except Exception as error:  # noqa: BLE001 - whatever it is, the server goes on
            _log.exception("the core of codex_jupyter has failed; the next use starts it again")
            _fail(ready, PeerClosedError(f"the core has failed: {error!r}"[:500]))
        finally:
            self.app = self._tasks = None
            _fail(ready, PeerClosedError("the Jupyter server is stopping"))

    async def _run(self, ready: "asyncio.Future[AppServer]", stop: asyncio.Event) -> None:
        settings, server = await anyio.to_thread.run_sync(_load)
        from codex_jupyter.extension.policy import PolicyDesk  # noqa: PLC0415 - heavy, loaded now

        async with (
            server.open(settings, watchable=True) as app,
            anyio.create_task_group() as tasks,
        ):
            desk = PolicyDesk(app, self._policy, self.has_page, self.page_patience)
            await tasks.start(desk.run)
            self.app, self._tasks = app, tasks
            if not ready.done():
                ready.set_result(app)
            await stop.wait()
            tasks.cancel_scope.cancel()

    async def _serve(
        self, streams: "SocketStreams", rights: Rights, ended: Callable[[], None]
    ) -> None:
        """Serve one connection. Whatever happens to it happens to no other."""
        try:
            if self.app is not None:
                await self.app.serve(streams, rights)
        except Exception:  # noqa: BLE001 - whatever it is, the others go on
            _log.exception("a connection (%s) has failed", rights.label)
        finally:
            del self._open[streams]
            ended()


def _load() -> "tuple[Settings, type[AppServer]]":
    """Import what is heavy and read the settings; runs in a worker thread."""
    from codex_jupyter.settings import Settings  # noqa: PLC0415

    for module in ("extension.policy", "transports.ws_socket", "server.app"):
        import_module(f"codex_jupyter.{module}")
    from codex_jupyter.server.app import AppServer  # noqa: PLC0415

    return Settings.load(), AppServer


def _fail(ready: "asyncio.Future[AppServer]", problem: Exception) -> None:
    """Tell whoever waits, if anybody still does, that the core does not run."""
    if not ready.done():
        ready.set_exception(problem)
        ready.exception()  # somebody who gave up waiting has seen it too
