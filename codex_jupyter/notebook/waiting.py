"""How the kernel's main thread waits for a turn: it runs the turn's kernel code, and it can stop.

A stop reaches the turn even while that thread is inside compiled code: the signal's number arrives
on a pipe that the core's loop reads, whether or not Python gets to run a handler.
"""

import asyncio
import os
import queue
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any, Final

import anyio

__all__ = [
    "Bench",
    "Job",
    "Stops",
    "interrupt_kernel_code",
    "interrupts_held",
    "stoppable",
]


_BETWEEN: Final = contextmanager.__code__.co_filename
"""Where a thread is between a ``with`` statement and the block it opens or ends."""


@dataclass(slots=True)
class Job:
    """Something to run on the main thread."""

    run: Callable[[], Any]
    label: str
    """What to call it where the kernel hangs in it, e.g. the code."""

    result: "Future[Any]" = field(default_factory=Future[Any])


class Bench:
    """Where a turn leaves work for the thread that waits for it.

    Args:
        summon: Asks the kernel's idle main loop to call a function soon; used while nobody waits.
    """

    def __init__(self, summon: Callable[[Callable[[], None]], None] | None) -> None:
        self._summon = summon
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiters = 0
        self._wake_loop: Callable[[], None] | None = None
        self._finished = False
        self._stopped = False
        self.running: Job | None = None
        """What holds the main thread now."""

    def put(self, job: Job) -> None:
        """Leave work; from any thread. After `drop` it is cancelled instead."""
        if self._stopped:
            job.result.cancel()
            return
        self._jobs.put(job)
        if self._wake_loop is not None:
            self._wake_loop()
        elif self._waiters == 0 and self._summon is not None:
            self._summon(self._run_waiting)

    @property
    def is_waited_for(self) -> bool:
        """Whether a thread waits here now."""
        return self._waiters > 0

    def drop(self) -> None:
        """Cancel the work that has not begun, and all that comes; from any thread."""
        self._stopped = True
        with suppress(queue.Empty):
            while True:
                if (job := self._jobs.get_nowait()) is not None:
                    job.result.cancel()
        self._jobs.put(None)  # the end of the work may have been among what was taken

    def finish(self) -> None:
        """Let whoever waits go home once the work is done; from any thread."""
        self._finished = True
        self._jobs.put(None)  # the end of the work
        if self._wake_loop is not None:
            self._wake_loop()

    def wait(self) -> None:
        """Run work on this thread until `finish`; other waits may follow."""
        self._waiters += 1
        try:
            while not (self._finished and self._jobs.empty()):
                if (job := self._jobs.get()) is not None:
                    self._run(job)
        finally:
            self._waiters -= 1

    def wait_for(self, future: "Future[Any]") -> None:
        """Run work on this thread until ``future`` is done, or until `finish`."""
        future.add_done_callback(lambda _: self._jobs.put(None))
        self._waiters += 1
        try:
            while not future.done() and not (self._finished and self._jobs.empty()):
                if (job := self._jobs.get()) is not None:
                    self._run(job)
        finally:
            self._waiters -= 1

    async def wait_async(self) -> None:
        """Do the same as `wait` on a running asyncio loop, between its other work."""
        loop = asyncio.get_running_loop()
        left = asyncio.Event()
        self._waiters += 1
        self._wake_loop = lambda: _wake(loop, left)
        try:
            while not (self._finished and self._jobs.empty()):
                self._run_waiting()
                if not self._finished:
                    await left.wait()
                    left.clear()
        finally:
            self._wake_loop = None
            self._waiters -= 1

    def _run_waiting(self) -> None:
        with suppress(queue.Empty):
            while True:
                if (job := self._jobs.get_nowait()) is not None:
                    self._run(job)

    def _run(self, job: Job) -> None:
        if not job.result.set_running_or_notify_cancel():
            return
        result: Any = None
        problem: BaseException | None = None
        try:
            # Twice, because the interrupt may come between the end of the work and its note.
            try:
                self.running = job
                result = job.run()
            finally:
                self.running = None
        except BaseException as error:  # noqa: BLE001 - whoever asked for it hears of it
            self.running = None
            problem = error
        if problem is not None:
            job.result.set_exception(problem)
        else:
            job.result.set_result(result)


def _wake(loop: asyncio.AbstractEventLoop, left: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop has closed
        loop.call_soon_threadsafe(left.set)


@dataclass(eq=False, slots=True)
class Stops:
    """The interrupts that came while a turn was this thread's; see `stoppable`."""

    bench: Bench
    on_signal: Callable[[], None]
    within: "Stops | None"
    """The one whose kernel code opened this one, and waits for it."""

    seen: int = 0
    """How many there were, those that stopped the turn included."""

    told: int = 0
    """How many of them `on_signal` was told; on the core's loop."""

    in_body: bool = False
    has_raised: bool = False

    @property
    def wants_out(self) -> bool:
        """Whether somebody who pressed twice hangs in our code, on the way to the wait or back."""
        return (
            self.in_body and self.seen > 1 and not self.has_raised and not self.bench.is_waited_for
        )

    def stay(self) -> None:
        """Raise nothing in the rest of the block: a loop runs in it, and would not survive that."""
        self.in_body = False


class _Signals:
    """SIGINT as long as turns are waited for: it goes to all of them, by a pipe.

    Waits may end in any order, as tasks do; what was installed before them comes back with the
    end of the last one. Our handler is the first thing that comes and the last that goes, so that
    nothing in between can be left half done by an interrupt.
    """

    def __init__(self, watch: Callable[[Callable[[], Any]], "Future[Any]"], first: Stops) -> None:
        self.waits = [first]
        self._on_loop = watch
        self._has_pipe = False
        self._old_handler = signal.signal(signal.SIGINT, self._interrupt_code)
        try:
            self._listen()
        except BaseException:
            signal.signal(signal.SIGINT, self._old_handler or signal.default_int_handler)
            raise

    def _listen(self) -> None:
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        self._old_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._has_pipe = True
        self._watcher = self._on_loop(self._watch)

    def leave(self, wait: Stops) -> None:
        """End one wait; a signal that comes meanwhile still stops its turn."""
        if self.waits == [wait]:
            self._close()
        self.waits.remove(wait)
        if wait.told < wait.seen:  # the pipe is read when it is no longer among the waits
            with suppress(BaseException):
                self._on_loop(partial(_catch_up, wait)).result(timeout=5)

    def _close(self) -> None:
        """Put back what was there before."""
        global _signals  # noqa: PLW0603 - signals belong to the process
        self._has_pipe = False
        signal.set_wakeup_fd(self._old_fd)
        os.close(self._write_fd)
        with suppress(BaseException):
            self._watcher.result(timeout=5)
        os.close(self._read_fd)
        _signals = None
        signal.signal(signal.SIGINT, self._old_handler or signal.default_int_handler)

    def _interrupt_code(self, _number: int, frame: FrameType | None) -> None:
        for wait in self.waits:
            wait.seen += 1
        if not self._has_pipe:
            self._on_loop(partial(_tell, list(self.waits)))
        # Raised between a statement and its block, it would leave the block open.
        is_between = frame is not None and frame.f_code.co_filename == _BETWEEN
        for wait in self.waits:
            if wait.wants_out and not is_between:
                wait.has_raised = True
                raise KeyboardInterrupt
        # Code that waits for a turn of its own goes on when that turn has ended.
        waiting = [wait.within for wait in self.waits]
        if any(w.bench.running is not None and w not in waiting for w in self.waits):
            raise KeyboardInterrupt

    async def _watch(self) -> None:
        """Read signal numbers until the other end of the pipe closes."""
        while True:
            await anyio.wait_readable(self._read_fd)
            numbers = os.read(self._read_fd, 64)
            if not numbers:
                return
            if self._old_fd >= 0:
                with suppress(OSError):
                    os.write(self._old_fd, numbers)
            for _ in range(numbers.count(signal.SIGINT)):
                await _tell(list(self.waits))


async def _tell(waits: Iterable[Stops]) -> None:
    for wait in waits:
        wait.told += 1
        wait.on_signal()


async def _catch_up(wait: Stops) -> None:
    while wait.told < wait.seen:
        await _tell([wait])


_signals: _Signals | None = None


def interrupt_kernel_code(bench: Bench) -> bool:
    """Interrupt the turn's code on the main thread as the kernel's own stop would; any thread.

    Returns whether a signal was sent: only where `stoppable` listens, and only while such code
    runs. The signal then also arrives at ``on_signal``.
    """
    signals = _signals
    if signals is None or bench.running is None:
        return False
    if not any(wait.bench is bench for wait in signals.waits):
        return False
    main = threading.main_thread().ident
    if main is None:
        return False
    signal.pthread_kill(main, signal.SIGINT)
    return True


@contextmanager
def stoppable(
    bench: Bench,
    watch: Callable[[Callable[[], Any]], "Future[Any]"],
    on_signal: Callable[[], None],
) -> Generator[Stops]:
    """Make SIGINT stop the turn instead of the thread that begins it or waits for it.

    While the block runs on the main thread, each SIGINT calls ``on_signal`` on the core's loop,
    and interrupts the turn's kernel code if that is what the thread runs. Nothing else in the
    block is interrupted, except that a second SIGINT raises KeyboardInterrupt once where the
    thread does not wait at the bench. Elsewhere this does nothing: only the main thread gets
    signals. Several blocks may be open, one a task; one inside of another of the same bench is
    part of it.

    What is yielded says after the block whether there was one: it may have come when the turn had
    ended, and then whoever opened the block must raise it.

    Args:
        bench: Tells whether kernel code runs.
        watch: Starts an async function on the core's loop and returns its future.
        on_signal: What a stop does; on the core's loop.
    """
    global _signals  # noqa: PLW0603 - signals belong to the process
    if threading.current_thread() is not threading.main_thread():
        yield Stops(bench, on_signal, None)
        return
    known = _signals.waits if _signals is not None else []
    outer = next((wait for wait in known if wait.bench is bench), None)
    if outer is not None:
        yield outer
        return
    within = next((wait for wait in reversed(known) if wait.bench.running is not None), None)
    stops = Stops(bench, on_signal, within)
    if _signals is None:
        _signals = _Signals(watch, stops)
    else:
        _signals.waits.append(stops)
    signals = _signals
    try:
        # Twice, because the second interrupt may come between the body and its end.
        try:
            stops.in_body = True
            yield stops
        finally:
            stops.in_body = False
    finally:
        stops.in_body = False
        signals.leave(stops)


@contextmanager
def interrupts_held() -> Generator[None]:
    """Let an interrupt of the main thread wait until the block has ended; it must be short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[FrameType | None] = []
    before = signal.signal(signal.SIGINT, lambda _number, frame: held.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
        if held and callable(before):
            before(signal.SIGINT, held[0])
        elif held and before is signal.SIG_DFL:
            signal.raise_signal(signal.SIGINT)
