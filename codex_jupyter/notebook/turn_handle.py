"""One turn as the kernel that asked for it sees it: driven, shown, stopped, concluded."""

import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, wait
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import anyio

from codex_jupyter.errors import CodexError, PeerClosedError, RemoteError
from codex_jupyter.notebook.delegate_turns import DelegateTurns, items_of_delegates
from codex_jupyter.notebook.known_turns import (
    Rerun,
    active_turn,
    duplicate_status,
    require_same_words,
    require_shown,
    run_recorded,
)
from codex_jupyter.notebook.outcome import (
    TurnFailedError,
    TurnInterrupted,
    TurnResult,
    first_problem,
    tell_in_one_line,
    unless_stopped,
)
from codex_jupyter.notebook.stopping import Stopping, interrupt_turn
from codex_jupyter.notebook.turn_display import QuietDisplay
from codex_jupyter.notebook.waiting import Bench, Job, Stops, interrupt_kernel_code, stoppable
from codex_jupyter.view.turn_state import PendingRequest, TurnState

if TYPE_CHECKING:
    from codex_jupyter.client.aio import CodexClient
    from codex_jupyter.embedding import CoreThread
    from codex_jupyter.notebook.turn_display import TurnDisplay

__all__ = ["TurnHandle"]

Json = dict[str, Any]
OnEvent = Callable[[str, Json], None]
T = TypeVar("T")

_TICK: Final = 0.03
"""Seconds between two looks at what the display has due; about thirty frames a second."""

_GIVE_UP: Final = 2.8
"""Seconds after a stop at which the cell ends, whatever the turn does (architecture: 3 s)."""

_HOLD_AFTER: Final = 1.0
"""Seconds after a stop at which kernel code that still runs is named in the view."""


_WHOLE: Final = 64 * 1024 * 1024


class TurnHandle:
    """A turn that was started from this kernel.

    `drive` runs on the core's loop; `wait` and `wait_async` on the thread of the cell; the other
    methods may be called from any thread.
    """

    def __init__(  # noqa: PLR0913 - what a turn is made of
        self,
        core: "CoreThread",
        state: TurnState,
        display: "TurnDisplay",
        *,
        thread_id: str,
        turn_id: str,
        params: Json,
        method: str = "turn/start",
        summon: Callable[[Callable[[], None]], None] | None,
        rerun: Rerun | None = None,
    ) -> None:
        self.thread_id = thread_id
        self.turn_id = turn_id
        self.state = state
        self.bench = Bench(summon)
        self.on_event: OnEvent | None = None
        """Also hears every notification of the turn, on the core's loop."""

        self.before_turn: Callable[[TurnHandle], Coroutine[Any, Any, None]] | None = None
        """Runs beside the beginning of the turn, on the core's loop."""

        self.note_ran: Callable[[], object] = _nothing
        """Called once the kernel code of the turn runs here, or has run again to its end."""

        self.on_begin: Callable[[CodexClient], object] = _nothing_begins
        """Called when the server has taken the turn, on the core's loop."""

        self.delegates = DelegateTurns(state)

        self.server_turn_id = turn_id
        """The server's id of the turn, where the server did not take ours."""

        self._rerun = rerun or Rerun()
        self._core = core
        self._display = display
        self._params = params
        self._method = method
        self._stop = Stopping()
        self._in_line: anyio.CancelScope | None = None
        """Of the wait for a turn that has the thread."""

        self._driven: Future[None] | None = None
        self._leaving = threading.Lock()

    @property
    def done(self) -> bool:
        """Whether the turn has ended."""
        return self._driven is not None and self._driven.done()

    def runs_on(self, core: "CoreThread") -> bool:
        """Whether this is the core that has the turn."""
        return self._core is core

    @property
    def was_lost(self) -> bool:
        """Whether the core went away before the turn had ended; it may run on there."""
        return isinstance(self._stop.failure, PeerClosedError)

    @property
    def was_stopped(self) -> bool:
        """Whether somebody stopped it."""
        return self._stop.presses > 0 or self.state.status == "interrupted"

    @property
    def problem(self) -> BaseException | None:
        """What this side could not go on with, if anything."""
        return self._stop.failure

    def when_done(self, note: Callable[[], object]) -> None:
        """Call ``note`` when the turn has ended, on any thread; after `start`."""
        if self._driven is not None:
            self._driven.add_done_callback(lambda _: note())

    def stops(self) -> AbstractContextManager[Stops]:
        """Let interrupts of the kernel stop this turn while a block runs; see `stoppable`.

        Whoever lets the turn begin does it in such a block, and ends the block when the turn has
        ended or somebody else has the handle: so no interrupt leaves a turn behind.
        """
        return stoppable(self.bench, self.post, self.signalled)

    def start(self, on_end: Callable[[], object] | None = None) -> None:
        """Show the turn and let it begin; on the thread of the cell, in a block of `stops`.

        Args:
            on_end: Called when the turn has ended, on any thread; also if it cannot begin.
        """
        try:
            self._display.open(self.state)
            self._driven = self._core.post(self.drive)
            self._driven.add_done_callback(self._has_ended)
            if on_end is not None:
                self._driven.add_done_callback(lambda _: on_end())
        except BaseException:
            if on_end is not None:
                on_end()
            raise

    def _has_ended(self, driven: "Future[None]") -> None:
        """Let the cell go also if the core was gone before it took the turn."""
        problem = None if driven.cancelled() else driven.exception()
        if problem is not None and self._stop.failure is None:
            self._stop.failure = problem
        self.bench.finish()

    async def drive(self, client: "CodexClient") -> None:
        """Start the turn on the server and take what it says, to its end."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tick)
                if self.before_turn is not None:
                    tasks.start_soon(self.before_turn, self)
                if not self._rerun.is_known:
                    await self._begin(client)
                else:
                    await self._follow(client)
                await self._run_recorded_code(client)
                tasks.cancel_scope.cancel()
        except* CodexError as problems:
            self._fail(first_problem(problems))
        finally:
            self._show_end()
            self.bench.finish()

    async def _begin(self, client: "CodexClient") -> None:
        """Start the turn, or follow the one that has its id already, unless it is stopped."""
        while not self._stop.presses:
            if (other := await self._start(client)) is None:
                return
            await self._let_finish(client, other)
        # The server has no such turn, and nobody else will say its end.
        ended = {"id": self.turn_id, "status": "interrupted", "items": [], "error": None}
        self._take("turn/completed", {"threadId": self.thread_id, "turn": ended})

    async def _start(self, client: "CodexClient") -> str | None:
        """Do the turn to its end; returns the id of another one that has the thread just now."""
        params = {**self._params, "turnId": self.turn_id}
        try:
            async with client.turn(self.thread_id, params, self._method) as stream:
                self.note_ran()
                self._follow_id(stream.turn_id)
                if self._stop.presses:  # one that came before the turn found nothing to stop
                    self._core.post(self.interrupt_server)
                self.on_begin(client)
                async for method, told in stream:
                    self._take(method, told)
        except RemoteError as refusal:
            if (status := duplicate_status(refusal)) is not None:
                require_shown(self.turn_id, status)
                await self._follow(client)
            elif (other := active_turn(refusal)) is not None and self._rerun.is_cell:
                return other
            else:
                raise
        return None

    async def _let_finish(self, client: "CodexClient", other: str) -> None:
        """Wait for the end of another front end's turn, until this one is stopped."""
        if self._stop.presses:
            return
        with anyio.CancelScope() as self._in_line, suppress(RemoteError):
            async with client.follow(self.thread_id, other) as stream:
                async for _ in stream:
                    pass

    def _follow_id(self, turn_id: str) -> None:
        """Go by the id that the server gave the turn, if it is another one than ours."""
        if turn_id != self.server_turn_id:
            self.server_turn_id = turn_id
            self.state.follow(turn_id)

    async def _follow(self, client: "CodexClient") -> None:
        """Take what a turn says that was started before, here or elsewhere."""
        async with client.follow(self.thread_id, self.turn_id) as stream:
            async for method, told in stream:
                self._take(method, told)
        asked = self._params.get("input")
        if not self._rerun.is_cell and asked is not None:
            require_same_words(self.turn_id, asked, self.state.snapshot()["items"])
        self._rerun.is_known = True

    async def _run_recorded_code(self, client: "CodexClient") -> None:
        """Run the kernel code of a finished turn again, in order, in a kernel that has not."""
        run, status = self._rerun.run_item, self.state.status
        if run is None or not self._rerun.is_known or status != "completed":
            return
        items = self.state.snapshot(max_bytes=_WHOLE)["items"]
        items = [*items, *await items_of_delegates(client, items)]
        if await run_recorded(items, run, self.run_on_main):
            self.note_ran()

    def wait(self, begin: Callable[[], object] | None = None) -> TurnResult:
        """Run the turn's kernel code on this thread until the turn ends.

        Args:
            begin: What lets the turn begin, if it has not: an interrupt stops it from there on.

        Raises:
            TurnInterrupted: The turn was stopped, or the interrupt came as it ended.
            TurnFailedError: The turn failed.
            CodexError: It could not be started, or nobody could be asked.
        """
        with self.stops() as stops:
            if begin is not None:
                begin()
            self.bench.wait()
            result = self._conclude()
        return unless_stopped(result, is_stopped=stops.seen > 0)

    async def wait_async(self, begin: Callable[[], object] | None = None) -> TurnResult:
        """Do the same on a running asyncio loop; cancelling the wait stops the turn."""
        with self.stops() as stops:
            if begin is not None:
                begin()
            try:
                await self.bench.wait_async()
            except BaseException:
                stops.stay()
                self.interrupt()
                await self._wait_for_end()
                raise
            result = self._conclude()
        return unless_stopped(result, is_stopped=stops.seen > 0)

    def result(self) -> TurnResult:
        """Wait for the turn like a cell does, and return what came of it."""
        return self.wait()

    def interrupt(self) -> None:
        """Stop the turn; a second call does not wait for its tools any more."""
        self._core.call_soon(self._pressed)

    def interrupt_delegate(self, thread_id: str, turn_id: str) -> None:
        """Stop one of the turn's delegates, from any thread."""
        self._core.post(lambda client: interrupt_turn(client, thread_id, turn_id))

    def join(self, seconds: float) -> None:
        """Wait until the turn has ended, for so long at most; not on the core's loop."""
        if self._driven is not None:
            wait([self._driven], timeout=seconds)

    def post(self, work: Callable[[], Coroutine[Any, Any, T]]) -> "Future[T]":
        """Run ``work`` on the core's loop, in a task of its own."""
        return self._core.post(lambda _client: work())

    async def run_on_main(self, run: Callable[[], Any], label: str) -> Any:
        """Run something on the kernel's main thread and return its result; on the core's loop.

        Returns ``None`` if the turn was stopped before or while it ran: an interrupt that is
        raised in a task would end the core's loop.
        """
        job = Job(run, label)
        ready = anyio.Event()
        job.result.add_done_callback(lambda _: self._core.call_soon(ready.set))
        self.bench.put(job)
        await ready.wait()
        try:
            return job.result.result()
        except Exception as error:
            if isinstance(error, CancelledError):
                return None
            raise
        except BaseException:  # noqa: BLE001 - an interrupt
            return None

    def item(self, item_id: str, thread_id: str | None = None) -> Json | None:
        """Return an item of the turn, or of one of its delegates; on the core's loop."""
        if thread_id is not None and thread_id != self.thread_id:
            return self.delegates.item(thread_id, item_id)
        items = self.state.snapshot()["items"]
        return next((item for item in items if item["id"] == item_id), None)

    def hear(self, method: str, params: Json) -> None:
        """Take what a thread below the turn's says; on the core's loop."""
        if not self.done and (params.get("threadId") != self.thread_id):
            self._display.push(self.state.apply(method, params))
            self.delegates.hear(method, params)

    def ask(self, request: Json) -> None:
        """Show a question; on the core's loop."""
        shown = cast("PendingRequest", request)
        self._display.push(self.state.ask(shown))

    def settle(self, request_id: str, outcome: str) -> None:
        """Show that a question is settled; on the core's loop."""
        self._display.push(self.state.settle(request_id, outcome))

    def notice(self, text: str) -> None:
        """Show a remark in the turn; on the core's loop."""
        self._display.push(self.state.notice(text))

    def fail(self, problem: CodexError) -> None:
        """Stop the turn because of something only this side knows; the wait raises it."""
        self._fail(problem)
        self._pressed()

    def _take(self, method: str, params: Json) -> None:
        self._display.push(self.state.apply(method, params))
        if method == "turn/started" and self._stop.presses:
            # A server that gives the id itself knew of no such turn; the original takes no
            # interrupt before this either.
            self._core.post(self.interrupt_server)
        if method == "turn/completed" and self.bench.running is not None and not self._stop.presses:
            self._pressed()  # a page or the server stopped it, and its code still runs here
        if self.on_event is not None:
            self.on_event(method, params)

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(_TICK)
            self._display.tick(self.state)

    def signalled(self) -> None:
        """Take an interrupt of the kernel's, unless it is one of ours; on the core's loop."""
        if self._stop.own_signals:
            self._stop.own_signals -= 1
            return
        self._press()

    def _pressed(self) -> None:
        """Take a stop that came from elsewhere, such as a page; on the core's loop."""
        if self.bench.running is not None and interrupt_kernel_code(self.bench):
            self._stop.own_signals += 1
        self._press()

    def _press(self) -> None:
        if self.done and self.bench.running is None:
            return
        self._stop.presses += 1
        if self._in_line is not None:
            self._in_line.cancel()
        self.bench.drop()
        if self._stop.presses == 1:
            self._core.post(self._wind_down)
        else:
            self._stop.gave_up = True
            self._core.post(self.interrupt_server)
            self.bench.finish()

    async def _wind_down(self, client: "CodexClient") -> None:
        del client
        # Beside the waiting: a server that cannot be reached now must not hold up the cell.
        self._core.post(self.interrupt_server)
        started = time.monotonic()
        # Kernel code may run on after the turn has ended: the server does not wait for it.
        while (held := self.bench.running) is not None or not self.done:
            waited = time.monotonic() - started
            if held is not None and waited > _HOLD_AFTER:
                self._display.push(self.state.hold(held.label))
                await self._wait_for_release()
            elif held is None and waited > _GIVE_UP:
                self._stop.gave_up = True
                break
            await anyio.sleep(_TICK)
        self._show_end()
        self.bench.finish()

    async def _wait_for_release(self) -> None:
        while self.bench.running is not None:
            await anyio.sleep(_TICK)
            self._display.tick(self.state)
        self._display.push(self.state.hold(None))

    async def interrupt_server(self, client: "CodexClient") -> None:
        """Ask the server to stop the turn; on the core's loop."""
        await interrupt_turn(client, self.thread_id, self.server_turn_id)

    def _fail(self, problem: BaseException) -> None:
        if self._stop.failure is None:
            self._stop.failure = problem
            ops = self.state.notice(str(problem), "error")
            self._display.push(ops)

    async def _wait_for_end(self) -> None:
        """Let a turn that was stopped end before its thread is used again."""
        import asyncio  # noqa: PLC0415 - only where a loop runs

        if self._driven is not None:
            driven = asyncio.wrap_future(self._driven)
            await asyncio.wait([driven], timeout=_GIVE_UP)
        self._leave()

    def _show_end(self) -> None:
        """Replace the live view if no cell waits that will do it; on the core's loop."""
        if not self.bench.is_waited_for and self.bench.running is None:
            with self._leaving:
                self._display.finish(self.state)

    def _leave(self) -> None:
        """Leave the static output, for good."""
        with self._leaving:
            # From here on the core's loop shows nothing: a turn that was given up may still talk.
            display, self._display = self._display, QuietDisplay()
            self.state.hold(None)
            display.finish(self.state)

    def _conclude(self) -> TurnResult:
        """Leave the static output, then return or raise."""
        self._leave()
        result = TurnResult.of(self.state.snapshot(max_bytes=_WHOLE))
        if self._stop.failure is not None:
            raise tell_in_one_line(self._stop.failure)
        if self._stop.presses or result.status == "interrupted":
            raise TurnInterrupted(result)
        if result.status == "failed":
            raise TurnFailedError(result)
        return result


def _nothing() -> None:
    """Note nothing: nobody asks."""


def _nothing_begins(_client: object) -> None:
    """Do nothing: nobody waits for it."""
