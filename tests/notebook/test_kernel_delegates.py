"""Delegates in real kernels: waited for in every way, shown in one view, asking, stopped."""

import json
from typing import Any

import pytest

from tests.fake_model import call, say, status
from tests.notebook.answering import Answerer
from tests.notebook.conftest import EMBEDDED, Model
from tests.notebook.kernel_driver import TURN_MIME, Kernel, Run

pytestmark = pytest.mark.notebook

Json = dict[str, Any]

PREPARE = "import asyncio, codex_jupyter\nfrom codex_jupyter import delegate, delegate_map"


@pytest.fixture(autouse=True)
def prepared(kernel: Kernel) -> None:
    (kernel.folder / "made").unlink(missing_ok=True)
    assert kernel.execute(PREPARE).status == "ok"
    kernel.forget()


def ran(kernel: Kernel, code: str) -> Run:
    run = kernel.execute(code)
    assert run.status == "ok", run.traceback
    return run


def rows(kernel: Kernel) -> list[Json]:
    return kernel.turn()["delegates"]


def prompts(model: Model) -> list[str]:
    return [body["input"][-1]["content"][-1]["text"] for body in model.requests]


def test_a_delegated_cell_is_answered_beside_the_conversation(kernel: Kernel, model: Model) -> None:
    model.will(say("Hello."), say("Forty-two."), say("Nothing."))
    ran(kernel, "%%codex\nHello")
    ran(kernel, "%%codex --delegate\nWhat is the answer?")
    (row,) = rows(kernel)
    assert (row["status"], row["message"], row["tokens"]) == ("completed", "Forty-two.", 15)
    assert row["task"] == "What is the answer?"
    assert "Forty-two." in kernel.turns()[-1]["text/plain"]
    ran(kernel, "%%codex\nWhat did I ask?")
    assert "Hello" not in json.dumps(model.requests[1]["input"])
    assert "Forty-two." not in json.dumps(model.requests[2]["input"])


def test_results_are_waited_for_in_plain_cells_and_share_one_view(
    kernel: Kernel, model: Model
) -> None:
    model.will(say("one"), say("two"))
    run = ran(kernel, "a = delegate('First').result()\nb = delegate('Second').result()\na.text, b")
    assert run.result.startswith("('one', TurnResult(status='completed', text='two'")
    assert len(kernel.turns()) == 1
    assert [row["message"] for row in rows(kernel)] == ["one", "two"]
    assert kernel.turn()["status"] == "completed"
    assert set(kernel.turns()[-1]) >= {TURN_MIME, "text/html"}


def test_several_are_awaited_side_by_side(kernel: Kernel, model: Model) -> None:
    model.will(*[say("same")] * 3)
    run = ran(
        kernel,
        "r = await asyncio.gather(delegate('A'), delegate('B', name='Bea'), delegate('C'))\n"
        "[x.text for x in r]",
    )
    assert run.result == "['same', 'same', 'same']"
    assert sorted(prompts(model)) == ["A", "B", "C"]
    assert [row["name"] for row in rows(kernel)] == ["#1", "Bea", "#3"]


def test_a_map_has_partial_results(kernel: Kernel, model: Model) -> None:
    model.will(say("fine"), status(400, "too hard"), say("fine"))
    run = ran(
        kernel,
        "m = delegate_map(['x', 'y', 'z'], limit=1)\nr = await m\n"
        "[(x.status, x.text or x.error['message'][:8]) for x in r], m.done",
    )
    assert run.result.replace("\n", "") == (
        "([('completed', 'fine'), ('failed', 'too hard'), ('completed', 'fine')], 3)"
    )
    assert kernel.turn()["status"] == "completed"
    assert [row["status"] for row in rows(kernel)] == ["completed", "failed", "completed"]


def test_a_map_tells_results_as_they_come(kernel: Kernel, model: Model) -> None:
    model.will(*[say("ok")] * 4)
    run = ran(
        kernel,
        "seen = [(n, r.text) async for n, r in delegate_map(list('abcd'), limit=2)]\nsorted(seen)",
    )
    assert run.result == "[(0, 'ok'), (1, 'ok'), (2, 'ok'), (3, 'ok')]"


def test_a_question_names_the_delegate_that_asks(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    model.will(call("shell_command", {"command": "touch made"}), say("Done."))
    run = kernel.submit("r = delegate('Touch it', name='Tom').result()\nr.text", allow_stdin=True)
    request = answerer.question()
    assert request["delegate"]["name"] == "Tom"
    assert "touch made" in request["command"]
    assert answerer.decide(request, "accept") == {"status": "ok"}
    assert kernel.wait(run).result == "'Done.'"
    assert (kernel.folder / "made").exists()


@EMBEDDED
def test_a_row_says_that_its_delegate_waits_for_a_person(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    model.will(call("shell_command", {"command": "touch made"}), say("Done."))
    run = kernel.submit("delegate('Touch it').result().text", allow_stdin=True)
    request = answerer.question()

    def waits() -> list[str | None]:
        return [op["delegate"]["waitsOn"] for op in kernel.ops("delegate")]

    kernel.wait_until(lambda: waits()[-1:] == ["approval"])
    answerer.decide(request, "decline")
    assert kernel.wait(run).result == "'Done.'"
    assert waits()[-1] is None


@pytest.mark.parametrize("wait", ["delegate('Go').result()", "await delegate('Go')"])
def test_a_delegate_works_in_the_kernel_of_the_user(
    kernel: Kernel, model: Model, answerer: Answerer, wait: str
) -> None:
    answerer.state("allow run_python")
    model.will(call("run_python", {"code": "y = x + 1"}), say("Done."))
    ran(kernel, "x = 20")
    ran(kernel, wait)
    assert kernel.turn()["status"] == "completed", "code run as a cell does not end the user's"
    assert ran(kernel, "y").result == "21"


def test_files_and_policies_travel(kernel: Kernel, model: Model) -> None:
    model.will(call("shell_command", {"command": "touch made"}), say("I may not."))
    (kernel.folder / "notes.txt").write_text("x")
    run = ran(kernel, "delegate('Read', files='notes.txt', policy='read-only').result().text")
    assert run.result == "'I may not.'"
    assert not (kernel.folder / "made").exists()
    said = json.dumps(model.requests[0]["input"])
    assert f"[notes.txt]({kernel.folder / 'notes.txt'})" in said
    refused = kernel.execute("delegate('Read', files='nowhere.txt')")
    assert refused.traceback == [
        "UsageError: there is no file 'nowhere.txt' to give to a delegate (looked for "
        f"{kernel.folder / 'nowhere.txt'})"
    ]


@pytest.mark.parametrize(
    "wait",
    [
        "m = delegate_map(['a', 'b', 'c'])\nm.result()",
        "m = delegate_map(['a', 'b', 'c'])\nawait m",
    ],
    ids=["sync", "async"],
)
def test_the_stop_button_stops_them_all(kernel: Kernel, model: Model, wait: str) -> None:
    model.will(say("done"), *[say("never", deltas=9).hang(after=4)] * 2)
    run = kernel.submit(wait, allow_stdin=True)
    model.wait_for_requests(3)
    kernel.wait_until(lambda: _row_ended(kernel))
    kernel.interrupt()
    assert kernel.wait(run).status == "error"
    assert run.ename in ("TurnInterrupted", "CancelledError")
    kernel.wait_until(lambda: kernel.turns() and TURN_MIME in kernel.turns()[-1])
    kernel.wait_until(lambda: kernel.turn()["status"] == "interrupted")
    assert sorted(row["status"] for row in rows(kernel)) == [
        "completed",
        "interrupted",
        "interrupted",
    ]
    assert ran(kernel, "sorted(str(r and r.status) for r in m.results)").result == (
        "['completed', 'interrupted', 'interrupted']"
    )


def _row_ended(kernel: Kernel) -> bool:
    shown = [op["delegate"] for op in kernel.ops("delegate")]
    shown += [
        row for turn in kernel.turns() for row in turn.get(TURN_MIME, {}).get("delegates", [])
    ]
    return any(row["status"] == "completed" for row in shown)


def _begun(kernel: Kernel) -> list[dict[str, Any]]:
    """The rows that have a turn: one that waits for its place has none yet."""
    shown = [op["delegate"] for op in kernel.ops("delegate")]
    return [row for row in shown if row["turnId"]]


def test_one_that_waits_for_its_place_is_stopped_alone(kernel: Kernel, model: Model) -> None:
    model.will(say("long", deltas=4).hang(after=3))
    ran(kernel, "m = delegate_map(['one', 'two', 'three'], limit=1)")
    model.fake.wait_for_hang()
    ran(kernel, "m.delegates[1].stop()")
    kernel.wait_until(lambda: ran(kernel, "m.delegates[1].status").result == "'interrupted'")
    model.will(say("third"))
    model.fake.resume()
    run = ran(kernel, "[(r.status, r.text) for r in m.result()]")
    assert run.result == "[('completed', 'long'), ('interrupted', ''), ('completed', 'third')]"
    assert [asked.split()[-1] for asked in prompts(model)] == ["one", "three"]


def test_one_that_is_stopped_at_once_is_stopped(kernel: Kernel, model: Model) -> None:
    # Mostly it is stopped before the server has heard of it; if not, it does not get far.
    model.will(say("long", deltas=4).hang(after=3))
    ran(kernel, "d = delegate('Go')\nd.stop()")
    run = kernel.execute("d.result()")
    assert run.ename == "TurnInterrupted"
    assert ran(kernel, "d.status").result == "'interrupted'"


@EMBEDDED
def test_a_page_opens_and_stops_one_of_them(kernel: Kernel, model: Model) -> None:
    model.will(say("partly said", deltas=9).hang(after=6), say("fine"))
    run = kernel.submit("r = delegate_map(['a', 'b'], limit=1).result()", allow_stdin=True)
    model.fake.wait_for_hang(1, timeout=10)
    kernel.wait_until(lambda: bool(_begun(kernel)))
    row = _begun(kernel)[0]
    ids = {"threadId": row["threadId"], "turnId": row["turnId"]}

    def said() -> list[str]:
        opened = kernel.ask({"action": "delegate", **ids})
        assert opened["status"] == "ok"
        return [i["text"] for i in opened["snapshot"]["items"] if i["type"] == "agentMessage"]

    # What the model has sent is only on its way to the kernel.
    kernel.wait_until(said)
    assert "partly said".startswith(said()[0])
    assert kernel.ask({"action": "interrupt", **ids}) == {"status": "ok"}
    assert kernel.wait(run).status == "ok"
    assert ran(kernel, "[x.status for x in r]").result == "['interrupted', 'completed']"
    assert kernel.ask({"action": "delegate", **ids})["status"] == "ok"
    gone = {"action": "delegate", "threadId": "nobody", "turnId": "none"}
    assert kernel.ask(gone) == {"status": "gone"}


def test_a_review_of_the_workspace_tells_its_findings(kernel: Kernel, model: Model) -> None:
    finding = {
        "title": "Print is wrong",
        "body": "It prints the wrong thing.",
        "priority": 1,
        "confidence_score": 0.8,
        "code_location": {
            "absolute_file_path": "/ws/main.py",
            "line_range": {"start": 3, "end": 4},
        },
    }
    answer = {
        "findings": [finding],
        "overall_correctness": "patch is incorrect",
        "overall_explanation": "One problem.",
        "overall_confidence_score": 0.9,
    }
    model.will(say(json.dumps(answer)), say(json.dumps(answer)))
    ran(kernel, "%codex review the new code")
    assert "Print is wrong" in kernel.turns()[-1]["text/html"]
    run = ran(
        kernel,
        "f = codex_jupyter.review(base='main', quiet=True).findings[0]\n"
        "f.title, f.path, f.start, f.priority, f.confidence",
    )
    assert run.result == "('Print is wrong', '/ws/main.py', 3, 1, 0.8)"
    assert "the new code" in json.dumps(model.requests[0]["input"])


def test_a_cell_that_does_not_wait_leaves_them_at_work(kernel: Kernel, model: Model) -> None:
    model.will(say("late", deltas=9).hang(after=4))
    ran(kernel, "d = delegate('Slow')")
    model.fake.wait_for_hang(1, timeout=10)
    kernel.wait_until(lambda: ran(kernel, "d.status").result == "'running'")
    model.fake.resume()
    assert ran(kernel, "d.result().text").result == "'late'"
    kernel.wait_until(lambda: TURN_MIME in kernel.turns()[0])
    kernel.wait_until(lambda: kernel.turns()[0][TURN_MIME]["status"] == "completed")


ROUNDS = 24
STALLED = """
import threading
from codex_jupyter.notebook.conversation import conversation
from codex_jupyter.notebook.delegate_tasks import delegate_task
from codex_jupyter.notebook.delegation import Delegation

def stall(core, rounds):
    reached, go_on = threading.Event(), threading.Event()
    def step(left):
        if left:
            core.call_soon(lambda: step(left - 1))
        else:
            reached.set()
            go_on.wait(10)
    core.call_soon(lambda: step(rounds))
    assert reached.wait(10)
    return go_on

ends = []
for rounds in range({rounds}):
    delegation = Delegation(conversation(), limit=4, quiet=True)
    delegation.begin()
    begun = [delegation.add(delegate_task("first"))]
    begun[0].result()
    begun.append(delegation.add(delegate_task("second")))
    go_on = stall(delegation._core, rounds)
    begun.append(delegation.add(delegate_task("third")))
    delegation.close()
    go_on.set()
    ends.append([d.ended.result(20).status for d in begun])
set(map(tuple, ends))
"""
"""Adds a task and closes while the core's loop stands still, at each of its first rounds."""


@EMBEDDED
def test_the_last_task_is_not_lost_whatever_the_core_is_at(kernel: Kernel, model: Model) -> None:
    """It was: the core read in between that no more tasks would come, and took none."""
    model.will(*[say("Done.")] * 3 * ROUNDS)
    run = kernel.execute(STALLED.format(rounds=ROUNDS), limit=60)
    assert run.traceback == []
    assert run.result == "{('completed', 'completed', 'completed')}"


GIVEN_UP = """
m = delegate_map(["first", "second"], limit=1)
async for _ in m:
    break

async def all_of_them():
    return await m

waiting = asyncio.create_task(all_of_them())
await asyncio.sleep(0)
waiting.cancel()
await asyncio.wait([waiting])
waiting.cancelled(), m.delegates[0].status, m.results[0].text
"""


def test_a_map_whose_wait_is_cancelled_keeps_its_results(kernel: Kernel, model: Model) -> None:
    """They were lost: cancelling cancelled what every delegate's end is kept in."""
    model.will(say("fine"), say("never", deltas=9).hang(after=4))
    assert ran(kernel, GIVEN_UP).result == "(True, 'completed', 'fine')"
    # Its row says so a moment before its result is there.
    ended = "m.results[1] is not None and m.results[1].status"
    kernel.wait_until(lambda: ran(kernel, ended).result == "'interrupted'")
    assert ran(kernel, "m.delegates[1].status").result == "'interrupted'"


LATE = """
from codex_jupyter.notebook.conversation import conversation
from codex_jupyter.notebook.delegate_tasks import delegate_task
from codex_jupyter.notebook.delegation import Delegation

delegation = Delegation(conversation(), limit=1_000, quiet=True)
delegation.begin()
delegation._handle.join(10)
late = delegation.add(delegate_task("Too late"))
late.ended.exception(10)
"""
"""More at a time than the server takes; it says so before the first task is there."""


def test_a_task_for_delegates_that_could_not_begin_ends_at_once(
    kernel: Kernel, model: Model
) -> None:
    """Nobody told it: whoever waited for it waited for ever."""
    run = kernel.execute(LATE)
    assert run.traceback == []
    assert "limit" in run.result, run.result
