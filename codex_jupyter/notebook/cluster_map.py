"""One map on a Dask cluster: its tasks are submitted, heard, stopped, and each given one end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar, cast

import anyio
import anyio.abc
import anyio.to_thread
from distributed import Client, Event, Future

from codex_jupyter.notebook.cluster_items import (
    begun_item,
    ended_item,
    ended_turn,
    left_over,
    problem_text,
)
from codex_jupyter.notebook.remote_task import FETCH_LIMIT, STOP_LIMIT, RemoteTask
from codex_jupyter.notebook.remote_worker import run_task

__all__ = ["ClusterMap"]

Json = dict[str, Any]
T = TypeVar("T")
Notify = Callable[[str, Json], None]

RETRIES: Final = 2
"""Times a task is done again whose worker left; lost workers count by Dask's own limit."""

MARK_LIFE: Final = 30.0
"""Seconds the scheduler remembers a stop after the map's end: a task that was not heard of may be
on its way to a worker."""

_MAX_FETCHING: Final = 16
"""Threads that talk with the cluster for one map; more wait."""


@dataclass(slots=True)
class _Work:
    """One task as far as it has come."""

    task: Json
    item: Json
    stop: anyio.Event = field(default_factory=anyio.Event)
    turn_id: str | None = None
    """Of the turn that a worker has begun."""

    has_ended: bool = False
    """Whether the end of that turn was heard."""


class ClusterMap:
    """A map; everything on the loop of the `ClusterCore`.

    Args:
        client: Of the cluster.
        headless: How questions are answered there.
        host_id: The thread that the view takes the map for.
        turn_id: Its turn.
        limit: How many tasks are with the cluster at a time.
    """

    def __init__(
        self, client: Client, *, headless: str, host_id: str, turn_id: str, limit: int
    ) -> None:
        self._client = client
        self._headless = headless
        self._ids = {"threadId": host_id, "turnId": turn_id}
        self._places = anyio.Semaphore(limit)
        self._threads = anyio.CapacityLimiter(_MAX_FETCHING)
        self._works: dict[str, _Work] = {}
        self._closing = anyio.Event()
        self._is_stopped = False
        self._notify: Notify = _say_nothing
        self._working: anyio.abc.TaskGroup | None = None
        self.ended = anyio.Event()
        self._marks: list[Event] = []
        self.results: dict[str, Json] = {}
        """The last snapshot of each turn that has ended, by its thread; also read elsewhere."""

    @property
    def topic(self) -> str:
        """Where the workers tell of turns: one topic for a client, as Dask never forgets one."""
        return f"codex-jupyter-{self._client.id}"

    def listen(
        self, call_soon: Callable[[Callable[[], object]], object], hear: Callable[[Json], object]
    ) -> None:
        """Hear what the workers tell this client, whichever map it belongs to.

        Args:
            call_soon: Runs something on the loop of `run`; workers are heard on Dask's.
            hear: Takes one batch there.
        """

        def take(event: tuple[float, Json]) -> None:
            call_soon(lambda: hear(event[1]))

        with suppress(Exception):  # the client is closed, as the end of every task will say
            self._client.subscribe_topic(self.topic, take)

    def unlisten(self) -> None:
        """Hear no more of the workers."""
        with suppress(Exception):  # the client is closed, and hears nothing any more
            self._client.unsubscribe_topic(self.topic)

    async def run(self, notify: Notify) -> None:
        """Do the tasks to their ends, those that are added meanwhile included.

        Args:
            notify: Tells of the map, as a server tells of a turn of delegates.
        """
        self._notify = notify
        notify("turn/started", {**self._host, "turn": self._turn("inProgress")})
        async with anyio.create_task_group() as self._working:
            for work in self._works.values():
                self._working.start_soon(self._work, work)
            await self._closing.wait()
        notify("turn/completed", {**self._host, "turn": self._turn(self._outcome())})

    async def forget(self) -> None:
        """Take back the marks of tasks that were stopped, once none can be on its way any more."""
        if self._marks:
            await anyio.sleep(MARK_LIFE)
        with suppress(Exception):  # the cluster is gone, and the marks with it
            for mark in self._marks:
                await self._call(mark.clear)

    def add(self, tasks: Iterable[Json]) -> None:
        """Take more tasks: of delegate/add, with their ids and names."""
        for task in tasks:
            work = _Work(task, begun_item(self._ids["threadId"], task))
            self._works[task["threadId"]] = work
            if self._is_stopped:
                work.stop.set()
            if self._working is not None:
                self._working.start_soon(self._work, work)

    def close(self) -> None:
        """Take no more tasks; the map ends with the last one."""
        self._closing.set()

    def stop(self, thread_id: str) -> None:
        """Stop one task, or all if ``thread_id`` is the map's own."""
        if thread_id == self._ids["threadId"]:
            self._is_stopped = True
            self.close()
        for known, work in self._works.items():
            if thread_id in (known, self._ids["threadId"]):
                work.stop.set()

    def has(self, thread_id: str) -> bool:
        """Whether a thread is the map's own or one of its tasks'."""
        return thread_id == self._ids["threadId"] or thread_id in self._works

    def hear(self, thread_id: str, told: Iterable[tuple[str, Json]]) -> None:
        """Take what a worker tells of a task and the threads below it."""
        work = self._works.get(thread_id)
        if work is None or thread_id in self.results:
            return  # late: of a worker that was given up
        for method, params in told:
            if params.get("threadId") == thread_id and method.startswith("turn/"):
                work.turn_id = (params.get("turn") or {}).get("id") or work.turn_id
                work.has_ended = method == "turn/completed"
            self._notify(method, params)

    async def _work(self, work: _Work) -> None:
        self._notify("item/started", {**self._ids, "item": work.item})
        result = await self._result(work)
        thread_id = work.task["threadId"]
        result = {"items": [], "usage": None, **result}
        result["turnId"] = result.get("turnId") or work.turn_id or work.task["turnId"]
        if not work.has_ended:  # it was lost on the way, or nobody was there to tell
            told = {"threadId": thread_id, "turn": ended_turn(result)}
            self._notify("turn/completed", told)
        self.results[thread_id] = result
        item = ended_item(work.item, work.task, result)
        self._notify("item/completed", {**self._ids, "item": item})

    async def _result(self, work: _Work) -> Json:
        if not await _unless(work.stop, self._places.acquire):
            return left_over(work.task, "interrupted", None)
        try:
            if work.stop.is_set():  # a stop frees places as well
                return left_over(work.task, "interrupted", None)
            return await self._on_cluster(work)
        except Exception as error:  # noqa: BLE001 - of Dask and of the worker; told as the result
            running = self._client.status == "running"
            return left_over(work.task, "failed", problem_text(error, running=running))
        finally:
            self._places.release()

    async def _on_cluster(self, work: _Work) -> Json:
        remote = RemoteTask(
            self._ids["threadId"], work.task["threadId"], work.task, self._headless, self.topic
        )
        run = cast("Callable[[RemoteTask], Json]", run_task)  # Dask awaits what it returns
        submit = partial(self._client.submit, run, remote)
        future = await self._call(partial(submit, key=remote.key, pure=False, retries=RETRIES))
        try:
            found: list[Json] = []

            async def fetch() -> None:
                found.append(await self._fetch(future))

            if not await _unless(work.stop, fetch):
                await self._stop_there(work, remote, fetch)
            return found[0] if found else left_over(work.task, "interrupted", None)
        finally:
            future.release()

    async def _stop_there(
        self, work: _Work, remote: RemoteTask, fetch: Callable[[], Awaitable[None]]
    ) -> None:
        """Stop a task that is with the cluster, and wait for its end if it has begun."""
        stop = Event(remote.stop_name, client=self._client)
        self._marks.append(stop)
        with anyio.move_on_after(STOP_LIMIT):
            await self._call(stop.set)
            if work.turn_id is not None:
                with suppress(Exception):
                    await fetch()

    async def _fetch(self, future: "Future[Json]") -> Json:
        while True:
            await _done(future)
            fetch = partial(_fetched, future)
            with suppress(TimeoutError):
                return await self._call(fetch)

    async def _call(self, ask: Callable[[], T]) -> T:
        """Talk with the cluster, which may block, in a thread; the wait can be given up."""
        return await anyio.to_thread.run_sync(ask, abandon_on_cancel=True, limiter=self._threads)

    @property
    def _host(self) -> Json:
        return {"threadId": self._ids["threadId"]}

    def _turn(self, status: str) -> Json:
        problems = [r["error"] for r in self.results.values() if r.get("error")]
        error = problems[0] if status == "failed" and problems else None
        return {"id": self._ids["turnId"], "status": status, "items": [], "error": error}

    def _outcome(self) -> str:
        """Return how the map ended: it failed only if every task did."""
        if self._is_stopped:
            return "interrupted"
        statuses = {str(result["status"]) for result in self.results.values()}
        return "failed" if statuses and "completed" not in statuses else "completed"


async def _unless(stop: anyio.Event, work: Callable[[], Awaitable[object]]) -> bool:
    """Do ``work``; ``False`` if ``stop`` came before its end, and it was cancelled."""
    done = False

    async def watch() -> None:
        await stop.wait()
        tasks.cancel_scope.cancel()

    problem: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            await work()
            done = True
        except Exception as error:  # noqa: BLE001 - raised below, outside of the group
            problem = error
        tasks.cancel_scope.cancel()
    if problem is not None:
        raise problem
    return done


async def _done(future: "Future[Json]") -> None:
    """Wait until a future of Dask's has an end of any kind."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def tell(_future: object) -> None:
        with suppress(RuntimeError):  # the loop has closed
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(tell)
    await done.wait()


def _fetched(future: "Future[Json]") -> Json:
    """Return what a future of Dask's has; blocks.

    Raises:
        TimeoutError: It was lost with its worker, and is made anew.
        Exception: What the task raised, or that it was cancelled.
    """
    try:
        return future.result(FETCH_LIMIT)
    except TimeoutError:
        if future.status == "error":  # else every wait for it would end at once
            raise RuntimeError("the task raised TimeoutError") from None
        raise


def _say_nothing(_method: str, _params: Json) -> None:
    """Say nothing: nobody listens yet."""
