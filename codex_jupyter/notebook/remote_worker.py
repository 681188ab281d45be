"""What a worker of a Dask cluster runs: one embedded core per process, and tasks in it.

Knows neither IPython nor the kernel that asked. `run_task` is found by its name, so a worker needs
this package, in the version of the kernel.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

from distributed import Worker, WorkerPlugin, get_worker

from codex_jupyter.client.aio import CodexClient
from codex_jupyter.embedding import CoreThread, open_in_process
from codex_jupyter.errors import CodexError, PeerClosedError, RemoteError
from codex_jupyter.notebook.remote_task import IDLE_LIMIT, RemoteTask, thread_params
from codex_jupyter.notebook.remote_turn import RemoteTurn
from codex_jupyter.protocol.jsonrpc import METHOD_NOT_FOUND
from codex_jupyter.settings import Settings

__all__ = ["run_task"]

Json = dict[str, Any]

STOP_GAP: Final = 0.5
"""Seconds between two questions to the scheduler whether a task shall stop; a wait there would
outlive its worker."""


async def run_task(remote: RemoteTask) -> Json:
    """Do a task in this worker, or find it done, and return the snapshot of its turn.

    Runs on the worker's loop; the core has a thread of its own. If Dask cancels this, the turn is
    stopped.

    Raises:
        PeerClosedError: The core of this process ended, as when the worker leaves; Dask may try
            another one.
    """
    worker = get_worker()
    try:
        core = await asyncio.to_thread(_core_of_process)
        if _PLUGIN not in worker.plugins:
            await worker.plugin_add(plugin=_EndsCore(), name=_PLUGIN)
        at_work = await asyncio.to_thread(core.prepare, remote, partial(_tell, worker, remote))
    except PeerClosedError:
        raise
    except CodexError as problem:
        return _failed(remote, problem)
    watching = asyncio.create_task(_watch(worker, remote, partial(core.stop, at_work)))
    # Shielded, because the core completes the future, whoever waits for it.
    running = asyncio.shield(asyncio.wrap_future(core.start(at_work)))
    try:
        return await running
    except asyncio.CancelledError:
        core.stop(at_work)
        raise
    finally:
        watching.cancel()


def _failed(remote: RemoteTask, problem: CodexError) -> Json:
    """Return a result that says why a task could not begin in this process."""
    error = {"message": str(problem), "details": None, "advice": None}
    return {"threadId": remote.thread_id, "status": "failed", "error": error}


def _tell(worker: Worker, remote: RemoteTask, batch: list[Any]) -> None:
    worker.log_event(
        remote.topic, {"host": remote.host_id, "thread": remote.thread_id, "told": batch}
    )


async def _watch(worker: Worker, remote: RemoteTask, stop: Callable[[], object]) -> None:
    """Call ``stop`` when the kernel wants the task stopped, also if it did so before."""
    while True:
        with suppress(OSError):  # the scheduler is away, and Dask reconnects or ends this worker
            if await worker.scheduler.event_is_set(name=remote.stop_name):
                stop()
                return
        await asyncio.sleep(STOP_GAP)


class _EndsCore(WorkerPlugin):
    """Ends the core with the last worker of this process."""

    def setup(self, worker: Worker) -> None:
        """Note that one more worker has tasks in the core."""
        _workers.add(worker.id)

    async def teardown(self, worker: Worker) -> None:
        """End the core if nobody else uses it: turns that run are closed as interrupted."""
        _workers.discard(worker.id)
        if not _workers:
            await asyncio.to_thread(_close_core)


class _WorkerCore:
    """The core of this process, and the tasks that are at work in it."""

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self._turns: list[RemoteTurn] = []
        self._core = CoreThread(self._connect)

    @property
    def failed(self) -> bool:
        """Whether it could not be started, or has ended."""
        return self._core.failed

    def close(self) -> None:
        """End every turn and the core; waits."""
        self._core.close()

    def prepare(self, remote: RemoteTask, tell: Callable[[list[Any]], object]) -> RemoteTurn:
        """Make a task ready under the settings of this process; blocks until the core is there.

        Raises:
            ConfigError: The settings have a mistake.
            UsageError: They do not have what the task names.
        """
        self._core.post(_nothing).result()
        assert self._settings is not None  # noqa: S101 - connecting loads them
        return RemoteTurn(remote, thread_params(remote, self._settings), tell)

    def start(self, turn: RemoteTurn) -> "Future[Json]":
        """Let a task be done; returns the future of its snapshot."""
        return self._core.post(partial(self._run, turn))

    def stop(self, turn: RemoteTurn) -> None:
        """Stop a task."""
        self._core.call_soon(turn.stop)

    async def _run(self, turn: RemoteTurn, client: CodexClient) -> Json:
        self._turns.append(turn)
        try:
            return await turn.run(client)
        finally:
            self._turns.remove(turn)
            if not any(other.thread_id == turn.thread_id for other in self._turns):
                with suppress(CodexError):  # the core is gone, and the thread with it
                    await client.call("thread/unsubscribe", {"threadId": turn.thread_id})

    @asynccontextmanager
    async def _connect(self) -> AsyncGenerator[CodexClient]:
        limit = f"thread_idle_limit={IDLE_LIMIT}"
        self._settings = settings = await asyncio.to_thread(Settings.load, overrides=[limit])
        async with open_in_process(settings, answer=self._answer) as client:
            yield client

    async def _answer(self, method: str, params: Json, request_id: str | int) -> Json:
        asking: Json = params.get("delegate") or {}
        asked_by = {params.get("threadId"), asking.get("threadId")}
        for turn in self._turns:
            if method != "item/tool/call" and any(turn.has_thread(str(t)) for t in asked_by):
                return await turn.answer(method, params, request_id)
        raise RemoteError(METHOD_NOT_FOUND, "no task of this worker asks that")


async def _nothing(_client: CodexClient) -> None:
    """Ask nothing; that it could be asked is the answer."""


_PLUGIN: Final = "codex-jupyter"

_core: _WorkerCore | None = None
_workers: set[str] = set()
"""Ids of the workers of this process that have had a task: mostly one."""

_making = threading.Lock()


def _core_of_process() -> _WorkerCore:
    """Return the core of this process; one that failed is replaced."""
    global _core  # noqa: PLW0603 - one per process, whatever number of workers it has
    with _making:
        if _core is not None and _core.failed:
            _core.close()
            _core = None
        if _core is None:
            _core = _WorkerCore()
        return _core


def _close_core() -> None:
    global _core
    with _making:
        core, _core = _core, None
    if core is not None:
        core.close()
