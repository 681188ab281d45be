"""Presses stop at every moment of our code, in a kernel: what a test of interrupts runs there.

The signal is a real one, raised by a tracer in the middle of whatever the main thread does. It
comes at the n-th place in a chosen set of files where the interpreter looks for signals, for each
n until there is no such place any more. The turn hangs, so as soon as the thread waits for it a
first signal is sent from outside: past that point the n-th place gets a second signal, on the way
out.
"""

import _thread
import dis
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import CodeType, FrameType
from typing import Any

__all__ = ["sweep"]

Json = dict[str, Any]

OURS = ("/codex_jupyter/notebook/", "/codex_jupyter/embedding.py", "/contextlib.py")
"""Where signals come in a sweep of our own code."""

EVERYWHERE = ("/",)
"""Where they come in one that also takes the display, of ipykernel and ipywidgets."""

ENDS_WITHIN = 10.0
"""Seconds; a turn that runs on would do so for ever."""


_UNSAFE = "/threading.py"
"""An interrupt inside of a wait of its conditions raises other errors, which is Python's own."""

_LOOKS = (
    *("CALL", "CALL_FUNCTION_EX", "CALL_KW", "JUMP_BACKWARD"),
    *("BEFORE_WITH", "WITH_EXCEPT_START", "FOR_ITER"),
)
"""Instructions in which the interpreter looks for signals: at the start of what they call, or after
what has no such start."""


class _Press(int):
    """A signal, sent by a look at ``now``: in no call, after which the tracer would get it."""

    now = property(_thread.interrupt_main)


_PRESS = _Press(signal.SIGINT)


@cache
def _instructions(code: CodeType) -> dict[int, str]:
    return {found.offset: found.opname for found in dis.get_instructions(code)}


def _throws(frame: FrameType) -> bool:
    """Whether a block of a generator's is told of an error: not a place, but a tracer makes it one.

    A generator that is thrown into looks for signals only in what it calls then. Traced, it calls
    the tracer before it can catch anything.
    """
    code = frame.f_code
    is_end = code.co_name == "__exit__" and code.co_filename.endswith("/contextlib.py")
    return is_end and frame.f_locals.get("typ") is not None


@dataclass
class _Tracer:
    """Raises the signal at the n-th place where the interpreter looks for one."""

    n: int
    folders: tuple[str, ...]
    places: int = 0
    place: str = ""

    def __call__(self, frame: FrameType, _event: str, _arg: object) -> Any:
        name = frame.f_code.co_filename
        if _UNSAFE in name or not any(folder in name for folder in self.folders):
            return None
        names = _instructions(frame.f_code)
        frame.f_trace_opcodes, frame.f_trace_lines = True, False

        def local(frame: FrameType, event: str, _arg: object) -> Any:
            looks = event == "opcode" and names.get(frame.f_lasti) in _LOOKS
            if looks and not _throws(frame):
                self.places += 1
                if self.places == self.n:
                    self.place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                    _ = _PRESS.now
            return local

        return local


class _Rescue:
    """Sends one signal when the main thread waits for a turn."""

    def __init__(self, tracer: _Tracer) -> None:
        self._tracer = tracer
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        before = -1
        while not self._over.wait(0.005):
            if self._tracer.place:
                return
            top = sys._current_frames()[main].f_code
            waits = "/notebook/waiting.py" in top.co_filename and top.co_name.startswith("wait")
            if waits and before == self._tracer.places:
                signal.pthread_kill(main, signal.SIGINT)
                return
            before = self._tracer.places


def sweep(
    act: Callable[[], object],
    *,
    folders: tuple[str, ...] = OURS,
    first: int = 1,
    step: int = 1,
    fresh: Callable[[], object] = lambda: None,
    begun: Sequence[Any] = (),
) -> None:
    """Call ``act`` again and again, with a signal at a later place each time; print what came.

    Args:
        act: Begins a turn and waits for it.
        folders: Parts of the paths of the files whose places count.
        first: The first place.
        step: How many places to go on each time.
        begun: What ``act`` has begun and got hold of; it may run on, and is stopped.
        fresh: Called before every 20th time, e.g. to begin a new thread.
    """
    outcomes: dict[str, int] = {}
    bad: list[str] = []
    handler, n, count = signal.getsignal(signal.SIGINT), first, 0
    while True:
        if count % 20 == 0:
            fresh()
        tracer = _Tracer(n, folders)
        problem = _pressed(act, tracer)
        outcome = _name_of(problem)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        for one in begun:
            (getattr(one, "stop", None) or one.interrupt)()
        problems = [*_left_over(handler)]
        if outcome not in ("KeyboardInterrupt", "TurnInterrupted"):
            problems.append(f"it ended with {outcome}")
        bad += [f"place {n}, {tracer.place}: {problem}" for problem in problems]
        if not tracer.place or len(bad) > 5:
            break
        n, count = n + step, count + 1
    print(json.dumps({"places": tracer.places, "outcomes": outcomes, "bad": bad}))  # noqa: T201 - for the test


def _pressed(act: Callable[[], object], tracer: _Tracer) -> BaseException | None:
    """Return what came; IPython keeps that as well, and with it every frame that it left."""
    try:
        with _Rescue(tracer):
            sys.settrace(tracer)
            try:
                act()
            finally:
                sys.settrace(None)
    except BaseException as problem:  # noqa: BLE001 - told to the test
        return problem
    return None


def _name_of(problem: BaseException | None) -> str:
    if isinstance(problem, KeyboardInterrupt):
        return type(problem).__name__
    return "nothing" if problem is None else repr(problem)


def _left_over(handler: object) -> Iterator[str]:
    """Say what a cell left behind that ended with an interrupt."""
    from codex_jupyter.notebook import waiting
    from codex_jupyter.notebook.runtime import get_runtime

    runtime = get_runtime()
    until = time.monotonic() + ENDS_WITHIN
    for handle in runtime.running_turns:
        handle.join(max(0.0, until - time.monotonic()))
    if runtime.running_turns:
        yield f"the turn runs on: {[(h.state.status, h._stop) for h in runtime.running_turns]}"
        for handle in runtime.running_turns:
            handle.interrupt()
            handle.join(ENDS_WITHIN)
            runtime.remove_turn(handle.turn_id)
    if waiting._signals is not None:
        yield "the handler of signals is still ours"
    if signal.getsignal(signal.SIGINT) is not handler:
        yield f"SIGINT is handled by {signal.getsignal(signal.SIGINT)}"
        signal.signal(signal.SIGINT, handler)  # type: ignore[arg-type]
    if (fd := signal.set_wakeup_fd(-1)) != -1:
        signal.set_wakeup_fd(fd)
