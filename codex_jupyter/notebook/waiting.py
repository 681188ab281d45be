"""How the kernel's main thread waits for a turn: it runs the turn's kernel code, and it can stop.

A stop reaches the turn even while that thread is inside compiled code: the signal's number arrives
on a pipe that the core's loop reads, whether or not Python gets to run a handler.
"""

import asyncio
import os
import queue
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import anyio

__all__ = ["Bench", "Job", "interrupt_kernel_code", "stoppable"]


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
class _Wait:
    """A turn that a cell of this process waits for."""

    bench: Bench
    on_signal: Callable[[], None]


class _Signals:
    """SIGINT as long as turns are waited for: it goes to all of them, by a pipe.

    Waits may end in any order, as tasks do; what was installed before them comes back with the
    end of the last one.
    """

    def __init__(self, watch: Callable[[Callable[[], Any]], "Future[Any]"]) -> None:
        self.waits: list[_Wait] = []
        self._read_fd, self._write_fd = os.pipe()
        os.set_blocking(self._write_fd, False)
        self._old_fd = signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        self._old_handler = signal.signal(signal.SIGINT, self._interrupt_code)
        self._watcher = watch(self._watch)

    def close(self) -> None:
        """Put back what was there before."""
        signal.signal(signal.SIGINT, self._old_handler or signal.default_int_handler)
        signal.set_wakeup_fd(self._old_fd)
        os.close(self._write_fd)
        with suppress(BaseException):
            self._watcher.result(timeout=5)
        os.close(self._read_fd)

    def _interrupt_code(self, _number: int, _frame: FrameType | None) -> None:
        if any(wait.bench.running is not None for wait in self.waits):
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
                for wait in list(self.waits):
                    wait.on_signal()


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
) -> Generator[None, None, None]:
    """Make SIGINT stop the turn instead of the thread that waits for it.

    While the block runs on the main thread, each SIGINT calls ``on_signal`` on the core's loop,
    and interrupts the turn's kernel code if that is what the thread runs. Elsewhere this does
    nothing: only the main thread gets signals. Several blocks may be open, one a task.

    Args:
        bench: Tells whether kernel code runs.
        watch: Starts an async function on the core's loop and returns its future.
        on_signal: What a stop does; on the core's loop.
    """
    global _signals  # noqa: PLW0603 - signals belong to the process
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    if _signals is None:
        _signals = _Signals(watch)
    signals, wait = _signals, _Wait(bench, on_signal)
    signals.waits.append(wait)
    try:
        yield
    finally:
        signals.waits.remove(wait)
        if not signals.waits:
            _signals = None
            signals.close()
