"""The wait of the main thread: it runs what is left for it, and it can be stopped."""

import _thread
import asyncio
import ctypes
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError, Future
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from codex_jupyter.notebook.waiting import Bench, Job, interrupts_held, stoppable

LIMIT = 30


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal() as portal:
        yield portal


def job(run: Callable[[], Any]) -> Job:
    return Job(run, "a job")


def later(act: Callable[[], object]) -> threading.Thread:
    """Do something on another thread, beginning now."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def test_a_wait_runs_the_work_on_its_own_thread_and_ends() -> None:
    bench = Bench(None)
    first, second = job(threading.current_thread), job(lambda: 1 / 0)

    def leave_work() -> None:
        bench.put(first)
        bench.put(second)
        bench.finish()

    later(leave_work)
    bench.wait()
    assert first.result.result(LIMIT) is threading.current_thread()
    assert isinstance(second.result.exception(LIMIT), ZeroDivisionError)
    assert bench.running is None


def test_work_that_was_left_before_the_end_is_still_done() -> None:
    bench = Bench(None)
    work = job(lambda: 42)
    bench.put(work)
    bench.finish()
    bench.wait()
    assert work.result.result(0) == 42
    bench.wait()  # a second wait finds nothing to wait for


def test_while_nobody_waits_the_idle_loop_is_asked() -> None:
    summoned: list[Callable[[], None]] = []
    bench = Bench(summoned.append)
    work = job(lambda: 42)
    bench.put(work)
    assert not work.result.done()
    summoned.pop()()
    assert work.result.result(0) == 42


def test_what_was_dropped_never_runs() -> None:
    summoned: list[Callable[[], None]] = []
    bench = Bench(summoned.append)
    ran: list[int] = []
    before, after = job(lambda: ran.append(1)), job(lambda: ran.append(2))
    bench.put(before)
    bench.drop()
    bench.put(after)
    for run in summoned:
        run()
    bench.finish()
    bench.wait()
    assert ran == []
    for work in (before, after):
        with pytest.raises(CancelledError):
            work.result.result(0)


def test_dropping_after_the_end_does_not_lose_the_end() -> None:
    bench = Bench(None)
    bench.finish()
    bench.drop()
    bench.wait()


@pytest.mark.anyio
async def test_a_wait_on_a_loop_leaves_the_loop_free() -> None:
    bench = Bench(None)
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    work = job(threading.current_thread)

    def leave_work() -> None:
        bench.put(work)
        work.result.result(LIMIT)
        bench.finish()

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(beat)
            await asyncio.sleep(0)
            later(leave_work)
            await bench.wait_async()
            tasks.cancel_scope.cancel()
    assert work.result.result(0) is threading.current_thread()
    assert beats > 0


@pytest.fixture
def python_handler() -> Generator[None]:
    """Have Python's own handler of SIGINT, whatever other tests of this process left."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def watch_on(portal: BlockingPortal) -> Callable[[Callable[[], Any]], "Future[Any]"]:
    return portal.start_task_soon


@pytest.mark.usefixtures("python_handler")
def test_a_signal_is_heard_on_the_loop_and_the_wait_goes_on(portal: BlockingPortal) -> None:
    bench = Bench(None)
    heard: list[str] = []

    def stop() -> None:
        heard.append(threading.current_thread().name)
        bench.finish()

    before = signal.getsignal(signal.SIGINT)
    with stoppable(bench, watch_on(portal), stop):
        later(lambda: os.kill(os.getpid(), signal.SIGINT))
        bench.wait()
    assert heard != [threading.current_thread().name]
    assert len(heard) == 1
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_signal_interrupts_the_work_that_runs(portal: BlockingPortal) -> None:
    bench = Bench(None)
    begun = threading.Event()

    def work_on() -> None:
        begun.set()
        # Short waits: one that begins just after the signal came does not notice it.
        while not threading.Event().wait(0.01):
            pass

    def interrupt() -> None:
        begun.wait(LIMIT)
        os.kill(os.getpid(), signal.SIGINT)

    endless = job(work_on)
    bench.put(endless)
    later(interrupt)
    with stoppable(bench, watch_on(portal), bench.finish):
        bench.wait()
    assert isinstance(endless.result.exception(0), KeyboardInterrupt)
    assert bench.running is None


def test_the_number_reaches_the_loop_while_compiled_code_holds_the_thread(
    portal: BlockingPortal,
) -> None:
    bench = Bench(None)
    libc = ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    begun = threading.Event()

    def hold_on() -> None:
        begun.set()
        libc.pthread_mutex_lock(mutex)  # looks for no signals, and no handler runs before its end

    def interrupt() -> None:
        begun.wait(LIMIT)
        os.kill(os.getpid(), signal.SIGINT)

    def stop() -> None:
        libc.pthread_mutex_unlock(mutex)
        bench.finish()

    bench.put(job(hold_on))
    later(interrupt)
    with stoppable(bench, watch_on(portal), stop):
        bench.wait()
    assert bench.running is None


def test_waits_that_end_in_any_order_leave_the_signal_as_it_was(portal: BlockingPortal) -> None:
    before, before_fd = signal.getsignal(signal.SIGINT), signal.set_wakeup_fd(-1)
    heard: list[str] = []
    first = stoppable(Bench(None), watch_on(portal), lambda: heard.append("first"))
    second = stoppable(Bench(None), watch_on(portal), lambda: heard.append("second"))
    both = threading.Event()
    third = stoppable(Bench(None), watch_on(portal), both.set)
    first.__enter__()
    second.__enter__()
    third.__enter__()
    first.__exit__(None, None, None)
    signal.raise_signal(signal.SIGINT)
    assert both.wait(LIMIT)
    second.__exit__(None, None, None)
    third.__exit__(None, None, None)
    assert heard == ["second"]
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.set_wakeup_fd(before_fd) == -1


@pytest.mark.usefixtures("python_handler")
def test_a_second_signal_gets_out_of_what_hangs_on_the_way_to_the_wait(
    portal: BlockingPortal,
) -> None:
    before = signal.getsignal(signal.SIGINT)
    told: list[int] = []

    def begin() -> None:
        with stoppable(Bench(None), watch_on(portal), lambda: told.append(1)):
            signal.raise_signal(signal.SIGINT)  # waits, for the turn hears of it
            signal.raise_signal(signal.SIGINT)
            told.append(-1)

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert told == [1, 1]
    assert signal.getsignal(signal.SIGINT) is before


class Press(int):
    """A signal, sent by a look at ``now``: in no call, so it is met in the next one."""

    now = property(_thread.interrupt_main)


@pytest.mark.usefixtures("python_handler")
def test_a_second_signal_between_a_block_and_its_end_leaves_no_block_open(
    portal: BlockingPortal,
) -> None:
    """It did: the handler stayed ours as long as somebody kept the error, as IPython does."""
    before = signal.getsignal(signal.SIGINT)
    press, told = Press(signal.SIGINT), list[int]()
    with stoppable(Bench(None), watch_on(portal), lambda: told.append(1)) as stops:
        signal.raise_signal(signal.SIGINT)
        _ = press.now
    assert (stops.seen, told) == (2, [1, 1])
    assert signal.getsignal(signal.SIGINT) is before


def test_a_block_with_a_loop_in_it_raises_nothing(portal: BlockingPortal) -> None:
    told: list[int] = []
    with stoppable(Bench(None), watch_on(portal), lambda: told.append(1)) as stops:
        stops.stay()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert told == [1, 1]


def test_a_block_inside_of_one_of_the_same_turn_is_part_of_it(portal: BlockingPortal) -> None:
    bench, told = Bench(None), list[int]()
    with stoppable(bench, watch_on(portal), lambda: told.append(1)) as outer:
        with stoppable(bench, watch_on(portal), lambda: told.append(2)) as inner:
            signal.raise_signal(signal.SIGINT)
        assert inner is outer
    assert (told, outer.seen) == ([1], 1)


def test_code_that_waits_for_a_turn_of_its_own_is_not_torn_out_of_the_wait(
    portal: BlockingPortal,
) -> None:
    outer, inner, told = Bench(None), Bench(None), list[str]()

    def wait_for_another() -> None:
        with stoppable(inner, watch_on(portal), lambda: told.append("inner")):
            signal.raise_signal(signal.SIGINT)
            told.append("went on")

    work = job(wait_for_another)
    outer.put(work)
    outer.finish()
    with stoppable(outer, watch_on(portal), lambda: told.append("outer")):
        outer.wait()
    assert work.result.exception(0) is None
    assert sorted(told) == ["inner", "outer", "went on"]


@pytest.mark.usefixtures("python_handler")
def test_what_is_held_is_raised_at_the_end() -> None:
    done: list[int] = []

    def work() -> None:
        with interrupts_held():
            signal.raise_signal(signal.SIGINT)
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_on_another_thread_signals_are_let_be(portal: BlockingPortal) -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def wait() -> None:
        with stoppable(Bench(None), watch_on(portal), lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    later(wait).join(LIMIT)
    assert seen == [before]
