"""Turns in real kernels: streaming, threads that go on, the Python API, ids."""

import json
import uuid

import pytest

from tests.fake_model import say
from tests.notebook.conftest import Model
from tests.notebook.kernel_driver import TURN_MIME, WIDGET_MIME, Kernel

pytestmark = pytest.mark.notebook

STATIC = {TURN_MIME, "text/markdown", "text/html", "text/plain"}


def test_a_cell_streams_its_answer_and_ends(kernel: Kernel, model: Model) -> None:
    model.will(say("The answer is 42.", deltas=5))
    run = kernel.execute("%%codex\nWhat is the answer?", allow_stdin=True)
    assert (run.status, run.traceback) == ("ok", [])
    assert kernel.turn()["status"] == "completed"
    assert [item["type"] for item in kernel.turn()["items"]] == ["userMessage", "agentMessage"]
    assert kernel.turns()[-1]["text/plain"].count("The answer is 42.") == 1
    appended = "".join(op["delta"] for op in kernel.ops("append"))
    assert appended == "The answer is 42."


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
    assert (WIDGET_MIME in first) == allow_stdin
    (last,) = kernel.turns()
    assert set(last) == STATIC
    opened = [m["content"]["comm_id"] for m in kernel.heard if m["msg_type"] == "comm_open"]
    closed = [m["content"]["comm_id"] for m in kernel.heard if m["msg_type"] == "comm_close"]
    assert set(opened) == set(closed)
    assert bool(opened) == allow_stdin
