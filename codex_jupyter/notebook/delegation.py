"""The delegates that one run of a cell starts: one turn of delegates, shown in one view."""

import asyncio
from collections.abc import Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from codex_jupyter.errors import CodexError
from codex_jupyter.ids import new_thread_id, new_turn_id
from codex_jupyter.notebook.in_tasks import problem_of, seen_by_task
from codex_jupyter.notebook.outcome import (
    TurnFailedError,
    TurnInterrupted,
    TurnResult,
    tell_in_one_line,
)

if TYPE_CHECKING:
    from codex_jupyter.client.aio import CodexClient
    from codex_jupyter.embedding import CoreThread
    from codex_jupyter.notebook.runtime import KernelRuntime
    from codex_jupyter.notebook.turn_handle import TurnHandle

__all__ = ["Delegate", "Delegates", "Delegation"]

Json = dict[str, Any]

_AT_END_OF_CELL = 2.0
"""Seconds a cell waits at its end for a view whose delegates have all ended."""


class Delegates(Protocol):
    """What a turn of delegates is started for: a thread, or what stands for one on a cluster."""

    @property
    def id(self) -> str:
        """Of the thread."""
        ...

    @property
    def runtime(self) -> "KernelRuntime":
        """Of this kernel."""
        ...

    @property
    def core(self) -> "CoreThread":
        """What has the turn."""
        ...

    def prepare(
        self, params: Json, *, method: str, host_id: str, turn_id: str, quiet: bool
    ) -> "TurnHandle":
        """Make the turn ready; see `Thread.prepare`."""
        ...

    def begin(self, handle: "TurnHandle") -> None:
        """Let it run."""
        ...


class Delegate:
    """One task that is done beside the conversation. Wait for it with ``await`` or `result`.

    It works on whether anybody waits or not; cancelling an ``await`` stops it.
    """

    def __init__(self, delegation: "Delegation", task: Json) -> None:
        self.prompt: str = task["input"][0]["text"]
        self.thread_id: str = task["threadId"]
        """Of its own conversation; ``codex_jupyter.thread(resume=…)`` goes on with it."""

        self.turn_id: str = task["turnId"]
        self.ended: Future[TurnResult] = Future()
        """Its result however it ended, or why it could not begin."""

        self._delegation = delegation

    def __repr__(self) -> str:
        return f"<Delegate {self.prompt[:40]!r}: {self.status}>"

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.ended.done()

    @property
    def status(self) -> str:
        """``waiting``, ``running``, ``completed``, ``interrupted``, ``failed`` or ``closed``."""
        if self.ended.done():
            return "failed" if self.ended.exception() else self.ended.result().status
        return self._delegation.status_of(self.thread_id)

    def result(self) -> TurnResult:
        """Wait until it ends, running the kernel code of delegates meanwhile.

        Raises:
            TurnInterrupted: It was stopped.
            TurnFailedError: It failed.
            CodexError: It could not be started, or nobody could be asked.
        """
        with self._delegation.stops():
            self._delegation.wait_for(self.ended)
            if not self.ended.done():  # the wait was given up
                raise TurnInterrupted(self._delegation.result_of(self.thread_id, "interrupted", {}))
            return _concluded(self.ended)

    def __await__(self) -> Generator[Any, None, TurnResult]:
        return self._wait().__await__()

    def stop(self) -> None:
        """Stop it; the others go on."""
        self._delegation.stop_one(self.thread_id, self.turn_id)

    async def _wait(self) -> TurnResult:
        self._delegation.serve()
        try:
            await asyncio.wait([asyncio.wrap_future(self.ended)])
        except asyncio.CancelledError:
            self.stop()
            raise
        try:
            return _concluded(self.ended)
        except (TurnInterrupted, CodexError) as problem:
            raise self._delegation.for_task(problem) from None


class Delegation:
    """A turn of delegates of this kernel, which runs from `begin` on.

    Args:
        thread: What they work for.
        limit: How many work at a time.
        quiet: Whether nothing is shown.
    """

    def __init__(self, thread: Delegates, *, limit: int, quiet: bool = False) -> None:
        self._runtime = thread.runtime
        self._core = thread.core
        self._delegates: dict[str, Delegate] = {}
        self._waiting: list[Json] = []
        self._being_told: set[str] = set()
        self._stopped_early: list[Delegate] = []
        self.has_begun = False
        """Whether it runs, or has run."""

        self._is_taken = False
        """Whether the server has its turn."""

        self._is_telling = False
        self._is_closing = False
        self._has_all = False
        """Whether `_waiting` got the last task; on the core's loop, unlike `_is_closing`."""

        self._serving: asyncio.Task[BaseException | None] | None = None
        host_id = new_thread_id()
        self._handle: TurnHandle = thread.prepare(
            {"threadId": thread.id, "hostThreadId": host_id, "limit": limit, "keepOpen": True}
            | {"tasks": []},
            method="delegate/start",
            host_id=host_id,
            turn_id=new_turn_id(),
            quiet=quiet,
        )
        self._handle.on_event = self._heard
        self._handle.on_begin = self._began
        self._works_for = thread

    @property
    def runtime(self) -> "KernelRuntime":
        """Of this kernel."""
        return self._runtime

    def begin(self) -> None:
        """Let it run; in a block of `stops`."""
        self.has_begun = True
        self._works_for.begin(self._handle)
        self._handle.when_done(self._ended)

    @contextmanager
    def stops(self) -> Generator[None]:
        """Let interrupts of the kernel stop all of them while the block runs.

        Raises:
            TurnInterrupted: There was one, and nothing else told of it.
        """
        with self._handle.stops() as stops:
            yield
        if stops.seen:
            raise self.for_task(TurnInterrupted(TurnResult.of(self._handle.state.snapshot())))

    @property
    def is_open(self) -> bool:
        """Whether it takes more tasks."""
        return not self._is_closing and not self._handle.done

    @property
    def all_done(self) -> bool:
        """Whether every delegate has ended."""
        return all(delegate.done for delegate in self._delegates.values())

    def add(self, task: Json) -> Delegate:
        """Have one more delegate work; on the kernel's main thread."""
        task = {"threadId": new_thread_id(), "turnId": new_turn_id(), **task}
        delegate = self._delegates[task["threadId"]] = Delegate(self, task)
        self._core.call_soon(lambda: self._put(task))
        if self._handle.done:
            self._settle_all()  # it may have ended without this one
        return delegate

    def close(self) -> None:
        """Take no more tasks: the turn ends with the last of them; from any thread."""
        if not self._is_closing:
            self._is_closing = True
            self._core.call_soon(self._put_last)

    def end_with_cell(self) -> None:
        """Close, and leave the final view in the cell if nothing runs on; on the main thread."""
        self.close()
        if self.all_done:
            self._handle.join(_AT_END_OF_CELL)
            if self._handle.done:
                with suppress(TurnInterrupted, CodexError):
                    self._handle.wait()

    def stop(self) -> None:
        """Stop all of them."""
        self._handle.interrupt()

    def stop_unless_told(self, interrupt: BaseException) -> None:
        """Stop all of them for an interrupt that came as a block of `stops` ended."""
        if not isinstance(interrupt, TurnInterrupted):
            self.stop()

    def stop_one(self, thread_id: str, turn_id: str) -> None:
        """Stop one of them, begun or not; from any thread."""
        self._core.call_soon(lambda: self._stop_one(thread_id, turn_id))

    def status_of(self, thread_id: str) -> str:
        """Return what a delegate does now."""
        row = self._handle.state.delegate(thread_id)
        return row["status"] if row is not None else "waiting"

    def wait_for(self, future: "Future[Any]") -> None:
        """Run the delegates' kernel code on this thread until ``future`` is done."""
        with self._handle.stops():
            self._handle.bench.wait_for(future)

    @property
    def stopped(self) -> TurnInterrupted | None:
        """What a wait for all of them raises if they were stopped."""
        if not self._handle.was_stopped:
            return None
        return TurnInterrupted(TurnResult.of(self._handle.state.snapshot()))

    def serve(self) -> None:
        """Run the delegates' kernel code on the running loop, until all have ended."""
        if self._serving is None or self._serving.done():
            self._serving = asyncio.get_running_loop().create_task(problem_of(self._handle))

    def for_task(self, problem: BaseException) -> BaseException:
        """Choose what a task of the user's shall see of ``problem``."""
        return seen_by_task(problem, in_kernel=self._runtime.shell is not None)

    # On the core's loop.

    def _began(self, _client: "CodexClient") -> None:
        self._is_taken = True
        self._stir()

    def _put(self, task: Json) -> None:
        self._waiting.append(task)
        self._stir()

    def _stop_one(self, thread_id: str, turn_id: str) -> None:
        kept = [task for task in self._waiting if task["threadId"] != thread_id]
        if len(kept) < len(self._waiting):
            # The server has not heard of it, and never will.
            self._waiting = kept
            self._settle(thread_id, self.result_of(thread_id, "interrupted", {}))
        elif thread_id in self._being_told:
            # A stop waits behind nothing, so it could arrive before the task.
            self._stopped_early.append(self._delegates[thread_id])
        else:
            self._handle.interrupt_delegate(thread_id, turn_id)

    def _put_last(self) -> None:
        self._has_all = True
        self._stir()

    def _stir(self) -> None:
        """Tell the server what is new, one thing after the other."""
        if self._is_taken and not self._is_telling:
            self._is_telling = True
            self._core.post(self._tell)

    async def _tell(self, client: "CodexClient") -> None:
        try:
            while self._waiting:
                tasks, self._waiting = self._waiting, []
                await self._tell_of(client, tasks)
            if self._has_all:
                with suppress(CodexError):  # it has ended by itself
                    await client.call("delegate/close", self._place)
        finally:
            self._is_telling = False

    async def _tell_of(self, client: "CodexClient", tasks: list[Json]) -> None:
        self._being_told = {task["threadId"] for task in tasks}
        try:
            await client.call("delegate/add", {**self._place, "tasks": tasks})
        except CodexError as problem:
            is_stopped = self._handle.was_stopped  # then there is no turn to add to
            for task in tasks:
                thread_id = task["threadId"]
                ended = self.result_of(thread_id, "interrupted", {})
                self._settle(thread_id, ended if is_stopped else problem)
        finally:
            self._being_told = set()
        stopped, self._stopped_early = self._stopped_early, []
        for delegate in stopped:
            self._handle.interrupt_delegate(delegate.thread_id, delegate.turn_id)

    @property
    def _place(self) -> Json:
        return {"threadId": self._handle.thread_id, "turnId": self._handle.turn_id}

    def _heard(self, method: str, params: Json) -> None:
        item: Json = params.get("item") or {}
        if method == "item/completed" and item.get("type") == "collabAgentToolCall":
            for thread_id, state in (item.get("agentsStates") or {}).items():
                self._settle(thread_id, self.result_of(thread_id, item["status"], state))

    def result_of(self, thread_id: str, status: str, state: Json) -> TurnResult:
        """Return what there is of a delegate that ended with ``status``, as its item tells."""
        known = self._handle.delegates.snapshot(thread_id, whole=True) or {}
        message = state.get("message")
        return TurnResult(
            thread_id=thread_id,
            turn_id=self._delegates[thread_id].turn_id,
            status=status,
            text=(message or "") if status == "completed" else "",
            items=tuple(known.get("items") or ()),
            usage=known.get("usage"),
            error=known.get("error") or ({"message": message} if status == "failed" else None),
        )

    def _settle(self, thread_id: str, outcome: TurnResult | CodexError) -> None:
        delegate = self._delegates.get(thread_id)
        if delegate is None or delegate.ended.done():
            return
        with suppress(InvalidStateError):  # another thread was quicker
            if isinstance(outcome, CodexError):
                delegate.ended.set_exception(tell_in_one_line(outcome))
            else:
                delegate.ended.set_result(outcome)

    def _ended(self) -> None:
        """Settle what the turn left open, and leave its thread."""
        self._settle_all()
        self._core.post(self._leave)

    def _settle_all(self) -> None:
        """Settle what has no end: the turn was stopped, failed, or its core is gone."""
        problem = self._handle.problem
        for thread_id in list(self._delegates):
            if isinstance(problem, CodexError):
                self._settle(thread_id, problem)
            else:
                self._settle(thread_id, self.result_of(thread_id, "interrupted", {}))

    async def _leave(self, client: "CodexClient") -> None:
        """Hear no more of the thread, so that the server may unload it."""
        with suppress(CodexError):
            await client.call("thread/unsubscribe", {"threadId": self._handle.thread_id})


def _concluded(ended: "Future[TurnResult]") -> TurnResult:
    result = ended.result()
    if result.status == "interrupted":
        raise TurnInterrupted(result)
    if result.status == "failed":
        raise TurnFailedError(result)
    return result
