"""Stopping turns in real kernels: the cell ends, the turn ends, nothing runs on, the core lives."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.fake_model import call, say
from tests.notebook.answering import Answerer
from tests.notebook.conftest import Model
from tests.notebook.kernel_driver import ROOT, TURN_MIME, WIDGET_MIME, Kernel, provider_config

pytestmark = pytest.mark.notebook

STOPPED = "TurnInterrupted: the turn was stopped; what it said so far is above"
ENDS_WITHIN = 5.0
"""Seconds; three are promised, the rest is for a slow machine."""

ALLOW = "allow run_python, command"
STUCK = """
import ctypes, pathlib, threading, time
libc = ctypes.CDLL(None)
mutex = ctypes.create_string_buffer(64)
locked = threading.Event()

def hold():
    libc.pthread_mutex_lock(mutex)
    locked.set()
    time.sleep(0.2)
    pathlib.Path("held").touch()
    while not pathlib.Path("release").exists():
        time.sleep(0.01)
    libc.pthread_mutex_unlock(mutex)

threading.Thread(target=hold, daemon=True).start()
locked.wait()
libc.pthread_mutex_lock(mutex)
"""
"""Compiled code that frees the lock of the interpreter and does not look for signals.

It ends when it is told."""


def works_after(kernel: Kernel, model: Model) -> None:
    """Check that the core, the magics and the kernel's thread are as good as new."""
    model.script.clear()
    model.will(say("Fine."))
    run = kernel.execute("%%codex\nAnd now?")
    assert run.traceback == []
    assert kernel.turn()["items"][-1]["text"] == "Fine."


def wait_for_item(kernel: Kernel, kind: str) -> None:
    kernel.wait_until(lambda: kernel.has_item(kind))


@pytest.mark.parametrize("allow_stdin", [True, False], ids=["page", "headless"])
def test_a_stop_ends_the_cell_and_the_cells_behind_it(
    kernel: Kernel, model: Model, allow_stdin: bool
) -> None:
    model.will(say("One two three four.", deltas=4).hang(after=4))
    run = kernel.submit("%%codex\nCount.", allow_stdin=allow_stdin)
    behind = kernel.submit("x = 1")
    kernel.wait_until(lambda: kernel.turns() and run.messages)
    model.fake.wait_for_hang()
    kernel.interrupt()
    kernel.wait(run, ENDS_WITHIN)
    assert (run.status, run.ename, run.traceback) == ("error", "TurnInterrupted", [STOPPED])
    assert kernel.wait(behind).status == "aborted"
    model.fake.wait_closed_early()
    turn = kernel.turn()
    assert turn["status"] == "interrupted"
    assert "One two three four.".startswith(turn["items"][-1]["text"])
    assert turn["items"][-1]["text"]
    assert WIDGET_MIME not in kernel.turns()[-1]
    assert "stopped" in kernel.turns()[-1]["text/plain"].lower()
    works_after(kernel, model)


def test_the_model_hears_of_the_stop_in_the_next_turn(kernel: Kernel, model: Model) -> None:
    model.will(say("One two.", deltas=2).hang(after=3))
    run = kernel.submit("%%codex\nCount.")
    model.fake.wait_for_hang()
    kernel.interrupt()
    kernel.wait(run, ENDS_WITHIN)
    works_after(kernel, model)
    assert "turn_aborted" in str(model.requests[-1]["input"])


def test_a_stop_kills_the_whole_process_group_of_a_command(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    model.will(call("shell_command", {"command": "sleep 71 & sleep 72; true"}))
    answerer.state(ALLOW)
    run = kernel.submit("%%codex\nSleep.")

    def sleepers() -> list[psutil.Process]:
        mine = psutil.Process(kernel.core_pid).children(recursive=True)
        return [child for child in mine if child.name() == "sleep"]

    kernel.wait_until(lambda: len(sleepers()) == 2)
    processes = sleepers()
    kernel.interrupt()
    kernel.wait(run, ENDS_WITHIN)
    assert run.traceback == [STOPPED]
    kernel.wait_until(lambda: not any(process.is_running() for process in processes))
    works_after(kernel, model)


@pytest.mark.parametrize("code", ["while True: pass", "import time; time.sleep(30)"])
def test_a_stop_interrupts_python_of_the_agents(
    kernel: Kernel, model: Model, answerer: Answerer, code: str
) -> None:
    lines = ["begun = True", "open('begun', 'w').close()", code, "done = True"]
    model.will(call("run_python", {"code": "\n".join(lines)}))
    answerer.state(ALLOW)
    run = kernel.submit("%%codex\nWork.", allow_stdin=False)
    kernel.wait_until((kernel.folder / "begun").exists)
    (kernel.folder / "begun").unlink()
    kernel.interrupt()
    kernel.wait(run, ENDS_WITHIN)
    assert run.traceback == [STOPPED]
    assert kernel.turn()["status"] == "interrupted"
    assert kernel.execute("begun, 'done' in globals()").result == "(True, False)"
    works_after(kernel, model)


def test_code_that_cannot_be_stopped_is_named_and_the_turn_ends_without_it(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    model.will(call("run_python", {"code": STUCK}))
    run = kernel.submit("%%codex\nQuery.", allow_stdin=True)
    assert answerer.decide(answerer.question(), "accept") == {"status": "ok"}
    kernel.wait_until((kernel.folder / "held").exists)
    kernel.interrupt()
    if kernel.core == "server":
        kernel.wait_until(lambda: kernel.turn()["hold"] == STUCK, ENDS_WITHIN)
        assert kernel.turn()["status"] == "interrupted"
    else:
        kernel.wait_until(lambda: "interrupted" in str(kernel.ops("status")), ENDS_WITHIN)
        kernel.wait_until(lambda: kernel.ops("hold"), ENDS_WITHIN)
        assert kernel.ops("hold")[0]["code"] == STUCK
    assert not run.done
    (kernel.folder / "release").touch()
    kernel.wait(run, ENDS_WITHIN)
    assert run.traceback == [STOPPED]
    assert kernel.turn()["hold"] is None
    assert WIDGET_MIME not in kernel.turns()[-1]
    works_after(kernel, model)


def test_a_stop_while_a_question_is_open_closes_the_question(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    model.will(call("shell_command", {"command": "touch wrong"}))
    run = kernel.submit("%%codex\nTouch.", allow_stdin=True)
    request = answerer.question()
    kernel.interrupt()
    kernel.wait(run, ENDS_WITHIN)
    assert run.traceback == [STOPPED]
    assert answerer.decide(request, "accept") == {"status": "gone"}
    assert not (kernel.folder / "wrong").exists()
    works_after(kernel, model)
    assert not (kernel.folder / "wrong").exists()


def test_the_stop_button_of_the_view_stops_the_turn(kernel: Kernel, model: Model) -> None:
    model.will(say("One two three four.", deltas=4).hang(after=4))
    run = kernel.submit("%%codex\nCount.", allow_stdin=True)
    wait_for_item(kernel, "agentMessage")
    turn_id = kernel.turn_id()
    assert kernel.ask({"action": "interrupt", "turnId": turn_id}) == {"status": "ok"}
    kernel.wait(run, ENDS_WITHIN)
    assert run.traceback == [STOPPED]
    assert kernel.ask({"action": "interrupt", "turnId": turn_id}) == {"status": "gone"}
    works_after(kernel, model)


def test_a_second_stop_does_not_wait(kernel: Kernel, model: Model, answerer: Answerer) -> None:
    # A process that ignores the polite signal is what a first stop waits for.
    script = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint(1, flush=True)\n"
    (kernel.folder / "stubborn.py").write_text(f"{script}time.sleep(60)")
    model.will(call("shell_command", {"command": f"exec {sys.executable} stubborn.py"}))
    answerer.state(ALLOW)
    run = kernel.submit("%%codex\nGo.")
    children: list[psutil.Process] = []

    def is_running() -> bool:
        found = psutil.Process(kernel.core_pid).children(recursive=True)
        children[:] = [child for child in found if "stubborn.py" in " ".join(child.cmdline())]
        return bool(children)

    kernel.wait_until(is_running)
    kernel.interrupt()
    kernel.interrupt()
    kernel.wait(run, ENDS_WITHIN)
    assert run.traceback == [STOPPED]
    kernel.wait_until(lambda: not any(child.is_running() for child in children))
    works_after(kernel, model)


AWAITING = {
    "arun": "await thread.arun('Count.')",
    "stream": "async for event in thread.stream('Count.'): pass",
    "task": "import asyncio\nawait asyncio.create_task(thread.arun('Count.'))",
    "stream in a task": """
import asyncio
async def count():
    async for event in thread.stream('Count.'): pass
await asyncio.create_task(count())""",
}


@pytest.mark.parametrize("code", AWAITING.values(), ids=AWAITING.keys())
def test_a_stop_ends_a_cell_that_awaits(kernel: Kernel, model: Model, code: str) -> None:
    model.will(say("One two three four.", deltas=4).hang(after=4))
    kernel.execute("import codex_jupyter\nthread = codex_jupyter.thread()")
    run = kernel.submit(code)
    behind = kernel.submit("x = 1")
    model.fake.wait_for_hang()
    kernel.interrupt()
    kernel.wait(run, ENDS_WITHIN)
    assert run.ename == ("CancelledError" if "task" in code else "TurnInterrupted")
    assert kernel.wait(behind).status == "aborted"
    model.fake.wait_closed_early()
    model.will(say("Again."))
    assert kernel.execute("(await thread.arun('And now?')).text").result == "'Again.'"
    works_after(kernel, model)


def test_a_stop_reaches_every_turn_that_a_cell_awaits(kernel: Kernel, model: Model) -> None:
    model.will(*[say("One two three four.", deltas=4).hang(after=4) for _ in range(2)])
    run = kernel.submit(
        """
import asyncio, codex_jupyter
turns = [asyncio.ensure_future(codex_jupyter.thread().arun("Count.")) for _ in range(2)]
try:
    await asyncio.wait(turns)
finally:
    print([turn.cancelled() for turn in turns])
"""
    )
    model.fake.wait_for_hang(2)
    kernel.interrupt()
    kernel.wait(run, ENDS_WITHIN)
    assert run.stdout == "[True, True]\n"
    assert [shown[TURN_MIME]["status"] for shown in kernel.turns()] == ["interrupted"] * 2
    test_the_users_own_code_is_interrupted_as_ever(kernel, model)


def test_a_wait_that_is_cancelled_stops_the_turn_and_frees_the_thread(
    kernel: Kernel, model: Model
) -> None:
    model.will(say("One two three four.", deltas=4).hang(after=4), say("Fine."))
    run = kernel.execute(
        """
import asyncio, codex_jupyter
thread = codex_jupyter.thread()
try:
    await asyncio.wait_for(thread.arun("Count."), 0.5)
except TimeoutError:
    print("late")
print((await thread.arun("And now?")).text)
"""
    )
    assert (run.stdout, run.traceback) == ("late\nFine.\n", [])
    assert [shown[TURN_MIME]["status"] for shown in kernel.turns()] == ["interrupted", "completed"]


PRESSED_MEANWHILE = """
import asyncio, codex_jupyter, signal
loop = asyncio.get_running_loop()
task = loop.create_task(codex_jupyter.thread().arun("Count."))
runtime = codex_jupyter.notebook.runtime.get_runtime()
while not any(handle.state.snapshot()["items"] for handle in runtime.running_turns):
    await asyncio.sleep(0.01)
task.cancel()
for _ in range(2):
    loop.call_soon(signal.raise_signal, signal.SIGINT)
await asyncio.wait([task])
task.cancelled()
"""
"""The task asks for the turn's end before the signals come, and hears of it after them."""


def test_stops_while_a_cancelled_wait_ends_do_not_end_the_kernel(
    kernel: Kernel, model: Model
) -> None:
    model.will(say("One two three four.", deltas=4).hang(after=4))
    run = kernel.execute(PRESSED_MEANWHILE)
    assert run.traceback == []
    assert run.result == "True"
    works_after(kernel, model)


ENDS_INTERRUPTED = """
from codex_jupyter.notebook.runtime import get_runtime

def interrupted():
    raise KeyboardInterrupt

ended = []
for act in (interrupted, lambda: ended.append(1)):
    get_runtime().at_end_of_cell(act)
"""


def test_an_interrupt_as_a_cell_ends_leaves_nothing_of_the_end_out(kernel: Kernel) -> None:
    kernel.execute(ENDS_INTERRUPTED)
    assert kernel.execute("ended").result == "[1]"


def test_a_turn_that_is_stopped_at_once_ends(kernel: Kernel, model: Model) -> None:
    model.will(*[say("One two.", deltas=2).hang(after=3) for _ in range(5)])
    run = kernel.execute(
        """
import codex_jupyter
thread = codex_jupyter.thread()
for _ in range(5):
    handle = thread.start("Count.")
    handle.interrupt()
    try:
        handle.result()
    except codex_jupyter.TurnInterrupted as stopped:
        print(stopped.result.status)
"""
    )
    assert run.stdout == "interrupted\n" * 5
    works_after(kernel, model)


def test_work_of_a_stopped_turn_does_not_run_later(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    model.will(call("run_python", {"code": "late = True"}))
    answerer.state(ALLOW)
    run = kernel.execute(
        """
import codex_jupyter, time
handle = codex_jupyter.start("Work.")
while not any(item["type"] == "dynamicToolCall" for item in handle.state.snapshot()["items"]):
    time.sleep(0.01)
handle.interrupt()
while not handle.done:
    time.sleep(0.01)
"""
    )
    assert run.traceback == []
    assert kernel.execute("'late' in globals()").result == "False"
    assert kernel.execute("handle.result()").ename == "TurnInterrupted"
    assert kernel.execute("'late' in globals()").result == "False"


def test_the_users_own_code_is_interrupted_as_ever(kernel: Kernel, model: Model) -> None:
    works_after(kernel, model)
    run = kernel.submit("import time\nprint('begun')\ntime.sleep(30)")
    kernel.wait_until(lambda: run.stdout)
    kernel.interrupt()
    kernel.wait(run, ENDS_WITHIN)
    assert run.ename == "KeyboardInterrupt"


def test_ctrl_c_in_a_script_stops_the_turn(model: Model, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(provider_config(model.fake.base_url))
    model.will(say("One two three four.", deltas=4).hang(after=4), say("Fine."))
    script = """
import codex_jupyter
thread = codex_jupyter.thread()
try:
    thread.run("Count.")
except KeyboardInterrupt as stopped:
    print(type(stopped).__name__, stopped.result.status, flush=True)
print(thread.run("And now?").text)
"""
    env = {**os.environ, "CODEX_JUPYTER_HOME": str(tmp_path), "FAKE_KEY": "key"}
    env |= {"PYTHONPATH": str(ROOT)}
    env.pop("CODEX_JUPYTER_MODEL_PROVIDER", None)
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            model.fake.wait_for_hang(timeout=15)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=15)
        finally:
            process.kill()
    assert (out, err, process.returncode) == ("TurnInterrupted interrupted\nFine.\n", "", 0)
