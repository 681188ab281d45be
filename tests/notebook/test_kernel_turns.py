"""Turns in real kernels: streaming, threads that go on, the Python API, ids."""

import json
import uuid

import pytest

from tests.fake_model import say
from tests.notebook.conftest import Model
from tests.notebook.kernel_driver import TURN_MIME, WIDGET_MIME, Kernel

pytestmark = pytest.mark.notebook

KNOWN_TURNS = """
from codex_jupyter.notebook.runtime import get_runtime
len(get_runtime()._turns)
"""
STATIC = {TURN_MIME, "text/markdown", "text/html", "text/plain"}


def test_a_cell_streams_its_answer_and_ends(kernel: Kernel, model: Model) -> None:
    model.will(say("The answer is 42.", deltas=5))
    run = kernel.execute("%%codex\nWhat is the answer?", allow_stdin=True)
    assert (run.status, run.traceback) == ("ok", [])
    assert kernel.turn()["status"] == "completed"
    assert [item["type"] for item in kernel.turn()["items"]] == ["userMessage", "agentMessage"]
    assert kernel.turns()[-1]["text/plain"].count("The answer is 42.") == 1
    appended = "".join(op["delta"] for op in kernel.ops("append"))
    assert appended == ("" if kernel.core == "server" else "The answer is 42.")


def test_a_second_cell_goes_on_in_the_same_thread(kernel: Kernel, model: Model) -> None:
    model.will(say("Forty-two."), say("Because."))
    kernel.execute("%%codex\nWhat is the answer?")
    kernel.execute("%%codex\nWhy?")
    said = json.dumps(model.requests[1]["input"])
    assert "What is the answer?" in said
    assert "Forty-two." in said
    first, second = kernel.turns()
    assert first[TURN_MIME]["threadId"] == second[TURN_MIME]["threadId"]


@pytest.mark.parametrize("allow_stdin", [True, False], ids=["page", "headless"])
def test_a_finished_turn_is_static_and_its_comm_is_closed(
    kernel: Kernel, model: Model, allow_stdin: bool
) -> None:
    model.will(say("Done."))
    run = kernel.execute("%%codex\nGo.", allow_stdin=allow_stdin)
    (first,) = run.displayed
    has_widget = allow_stdin and kernel.core == "embedded"
    assert (WIDGET_MIME in first) == has_widget
    # The renderer of our own type would hide the widget; else it tells the page where to ask.
    assert (TURN_MIME in first) == (not has_widget)
    if TURN_MIME in first:
        assert first[TURN_MIME].get("live") == ("server" if kernel.core == "server" else None)
    (last,) = kernel.turns()
    assert set(last) == STATIC
    assert "live" not in last[TURN_MIME]
    opened = [m["content"]["comm_id"] for m in kernel.heard if m["msg_type"] == "comm_open"]
    closed = [m["content"]["comm_id"] for m in kernel.heard if m["msg_type"] == "comm_close"]
    assert set(opened) == set(closed)
    assert bool(opened) == has_widget


def test_run_returns_what_the_turn_came_to(kernel: Kernel, model: Model) -> None:
    model.will(say("Done.").with_usage(100, 20, cached=40))
    run = kernel.execute(
        """
import codex_jupyter
thread = codex_jupyter.thread()
result = thread.run("Go.")
print(result.status, result.text, [item["type"] for item in result.items])
print(result.usage["inputTokens"], result.usage["cachedInputTokens"], result.usage["outputTokens"])
print(result.thread_id == thread.id)
result
"""
    )
    assert run.traceback == []
    assert run.stdout.splitlines() == [
        "completed Done. ['userMessage', 'agentMessage']",
        "100 40 20",
        "True",
    ]
    assert run.result == "TurnResult(status='completed', text='Done.', items=2)"


def test_a_quiet_turn_shows_nothing(kernel: Kernel, model: Model) -> None:
    model.will(say("Done."), say("Done."))
    run = kernel.execute("%%codex --quiet\nGo.", allow_stdin=True)
    assert run.status == "ok"
    run = kernel.execute('import codex_jupyter\ncodex_jupyter.thread().run("Go.", quiet=True).text')
    assert run.result == "'Done.'"
    assert kernel.turns() == []


def test_stream_gives_the_notifications_of_the_turn_in_order(kernel: Kernel, model: Model) -> None:
    model.will(say("One two three.", deltas=3), say("Fine."))
    run = kernel.execute(
        """
import codex_jupyter
thread = codex_jupyter.thread()
events = [event async for event in thread.stream("Count.")]
turn = [event for event in events if event.method.startswith("turn/")]
print(turn[0].method, turn[-1].method, turn[-1].params["turn"]["status"])
print("".join(e.params["delta"] for e in events if e.method == "item/agentMessage/delta"))
print((await thread.arun("And now?")).text)
"""
    )
    kernel.wait_until(lambda: kernel.execute(KNOWN_TURNS).result == "0")
    assert run.traceback == []
    assert run.stdout == "turn/started turn/completed completed\nOne two three.\nFine.\n"


def test_leaving_a_stream_early_stops_the_turn(kernel: Kernel, model: Model) -> None:
    model.will(say("One two three four.", deltas=4).hang(after=4), say("Fine."))
    run = kernel.execute(
        """
import codex_jupyter
from contextlib import aclosing
thread = codex_jupyter.thread()
async with aclosing(thread.stream("Count.")) as events:
    async for event in events:
        if event.method == "item/agentMessage/delta":
            break
print((await thread.arun("And now?")).text)
"""
    )
    assert run.traceback == []
    assert run.stdout == "Fine.\n"
    model.fake.wait_closed_early()


def test_a_turn_in_the_background_leaves_the_cell_free(kernel: Kernel, model: Model) -> None:
    model.will(say("A long story.", deltas=4).hang(after=3))
    run = kernel.execute(
        'import codex_jupyter\nhandle = codex_jupyter.start("Tell.")\nhandle.done', allow_stdin=True
    )
    assert run.result == "False"
    model.fake.wait_for_hang()
    assert kernel.execute("1 + 1").result == "2"
    model.fake.resume()
    assert kernel.execute("handle.result().text").result == "'A long story.'"
    assert kernel.execute("handle.done, handle.result().text").result == "(True, 'A long story.')"
    assert set(kernel.turns()[-1]) == STATIC


@pytest.mark.parametrize("who", ["handle.interrupt()", "thread.interrupt()", "%codex interrupt"])
def test_a_turn_in_the_background_can_be_stopped(kernel: Kernel, model: Model, who: str) -> None:
    model.will(say("A long story.", deltas=4).hang(after=4), say("Fine."))
    kernel.execute(
        'import codex_jupyter\nthread = codex_jupyter.thread()\nhandle = thread.start("Tell.")'
    )
    model.fake.wait_for_hang()
    assert kernel.execute(who).status == "ok"
    run = kernel.execute("handle.result()")
    assert (run.status, run.ename) == ("error", "TurnInterrupted")
    assert run.traceback == ["TurnInterrupted: the turn was stopped; what it said so far is above"]
    model.fake.wait_closed_early()
    run = kernel.execute('print(thread.interrupt())\nthread.run("And now?").text')
    assert (run.stdout, run.result) == ("False\n", "'Fine.'")


def test_a_background_turn_nobody_waits_for_ends_as_a_static_output(
    kernel: Kernel, model: Model
) -> None:
    model.will(say("Done."))
    kernel.execute('import codex_jupyter\nhandle = codex_jupyter.start("Go.")', allow_stdin=True)
    kernel.wait_until(lambda: kernel.turns()[-1].get(TURN_MIME, {}).get("status") == "completed")
    assert set(kernel.turns()[-1]) == STATIC
    kernel.wait_until(lambda: kernel.execute("handle.done").result == "True")
    kernel.wait_until(lambda: kernel.execute(KNOWN_TURNS).result == "0")


def test_stopping_a_turn_that_has_ended_changes_nothing(kernel: Kernel, model: Model) -> None:
    model.will(say("Done."))
    kernel.execute('import codex_jupyter\nhandle = codex_jupyter.start("Go.")')
    kernel.wait_until(lambda: kernel.execute("handle.done").result == "True")
    kernel.execute("handle.interrupt()")
    assert kernel.execute("handle.result().status").result == "'completed'"


def test_a_turn_gets_the_id_that_was_chosen_for_it_once(kernel: Kernel, model: Model) -> None:
    chosen = str(uuid.uuid4())
    model.will(say("Done."))
    kernel.execute(f"%%codex --turn-id {chosen}\nGo.")
    assert kernel.turn()["turnId"] == chosen
    run = kernel.execute(f"%%codex --turn-id {chosen}\nAgain.")
    assert run.status == "error"
    assert len(run.traceback) == 1
    assert chosen in run.traceback[0]
    assert "was asked something else" in run.traceback[0]
    assert kernel.execute(f"%%codex --turn-id {chosen}\nGo.").status == "ok"
    assert len(model.requests) == 1


def test_a_turn_id_that_is_no_uuid_is_refused_in_one_line(kernel: Kernel, model: Model) -> None:
    run = kernel.execute("%%codex --turn-id first\nGo.")
    assert run.status == "error"
    (line,) = run.traceback
    assert "first" in line
    assert kernel.turns() == []
    assert model.requests == []
