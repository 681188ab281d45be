"""Cells run again: in the same kernel, in a new one, by two kernels, by nbclient."""

import json
import sys
import uuid
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.fake_model import call, say, status
from tests.notebook.conftest import Model
from tests.notebook.kernel_driver import TURN_MIME, Kernel, OwnKernel, Run, provider_config
from tests.notebook.server_driver import JupyterServer

pytestmark = pytest.mark.notebook

NAME = "%codex notebook analysis"
PICTURE = """
import base64, os
from IPython.display import display
display({"image/png": base64.b64encode(os.urandom(4_400_000)).decode()}, raw=True)
"""
FREE = {"approval_policy": "never", "sandbox_mode": "danger-full-access"}
Start = Callable[[], Kernel]


@pytest.fixture
def home(tmp_path: Path, model: Model) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(provider_config(model.fake.base_url, **FREE))
    return home


@pytest.fixture
def start(tmp_path: Path, home: Path) -> Generator[Start]:
    """Start a kernel of the notebook, ending the one before, as a restart does."""
    running: list[ExitStack] = []

    def begin() -> Kernel:
        while running:
            running.pop().close()
        stack = ExitStack()
        running.append(stack)
        folder = tmp_path / f"kernel-{uuid.uuid4().hex[:6]}"
        folder.mkdir()
        env = {"CODEX_JUPYTER_HOME": str(home), "FAKE_KEY": "k"}
        kernel = stack.enter_context(OwnKernel(Path(sys.executable), folder, env))
        for line in ("%load_ext codex_jupyter", NAME):
            assert kernel.execute(line).status == "ok"
        kernel.forget()
        return kernel

    yield begin
    while running:
        running.pop().close()


def ran(kernel: Kernel, code: str) -> Run:
    run = kernel.execute(code)
    assert run.status == "ok", run.traceback
    return run


def submit_cell(kernel: Kernel, code: str, cell_id: str) -> Run:
    return kernel.submit(code, metadata={"cellId": cell_id})


def run_cell(kernel: Kernel, code: str, cell_id: str) -> Run:
    """Run a cell as JupyterLab does, which tells its id."""
    run = kernel.wait(submit_cell(kernel, code, cell_id))
    assert run.status == "ok", run.traceback
    return run


def last_text(kernel: Kernel) -> str:
    return [i for i in kernel.turn()["items"] if i["type"] == "agentMessage"][-1]["text"]


def notices(kernel: Kernel) -> list[str]:
    return [notice["text"] for notice in kernel.turn()["notices"]]


def python(code: str, call_id: str = "c1") -> Any:
    return call("run_python", {"code": code}, call_id=call_id)


def test_cells_run_again_in_a_new_kernel_show_the_same_and_ask_no_model(
    start: Start, model: Model
) -> None:
    model.will(say("forty-two"), say("because"))
    shown: list[Any] = []
    for _ in range(2):
        kernel = start()
        for cell, answer in (("What?", "forty-two"), ("Why?", "because")):
            ran(kernel, f"%%codex\n{cell}")
            assert last_text(kernel) == answer
        shown.append([turn[TURN_MIME] for turn in kernel.turns()])
    assert shown[0] == shown[1]
    assert len(model.requests) == 2


def test_a_finished_answer_brings_its_variables_into_a_new_kernel(
    start: Start, model: Model
) -> None:
    model.will(python("x = 6 * 7; print('made', x)"), say("x is made"))
    kernel = start()
    run_cell(kernel, "%%codex\nMake x.", "a")
    again = run_cell(kernel, "%%codex\nMake x. ", "a")
    assert again.stdout == "", "its code must not run twice in a kernel"
    kernel = start()
    for expected in ("made 42\n", ""):
        assert run_cell(kernel, "%%codex\nMake x.", "a").stdout == expected
    assert ran(kernel, "x").result == "42"
    assert len(model.requests) == 2


@pytest.mark.slow
@pytest.mark.parametrize("how", ["%%codex --no-replay\nMake x.", "%codex replay off"])
def test_without_replay_the_answer_is_only_shown(start: Start, model: Model, how: str) -> None:
    model.will(python("x = 42"), say("x is made"))
    ran(start(), "%%codex\nMake x.")
    kernel = start()
    ran(kernel, how)
    if not how.startswith("%%"):
        ran(kernel, "%%codex\nMake x.")
    assert last_text(kernel) == "x is made"
    assert kernel.execute("x").ename == "NameError"
    assert len(model.requests) == 2


def test_code_that_fails_when_it_runs_again_is_shown_and_stops(start: Start, model: Model) -> None:
    first = "open('there').read(); y = 1"
    model.will(python(first), python("z = y", "c2"), say("read"))
    kernel = start()
    (kernel.folder / "there").write_text("x")
    ran(kernel, "%%codex\nRead it.")
    kernel = start()
    run = kernel.execute("%%codex\nRead it.")
    assert run.ename == "ReplayError"
    assert "FileNotFoundError" in run.evalue
    assert "--again" in run.evalue
    assert kernel.execute("z").ename == "NameError"
    assert len(model.requests) == 3


@pytest.mark.slow
def test_what_was_only_shown_is_replayed_when_it_is_asked_for(start: Start, model: Model) -> None:
    """Showing an answer without its code must not count as having run it."""
    model.will(python("x = 42"), say("x is made"))
    run_cell(start(), "%%codex\nMake x.", "a")
    kernel = start()
    run_cell(kernel, "%%codex --no-replay\nMake x.", "a")
    assert kernel.execute("x").ename == "NameError"
    run_cell(kernel, "%%codex\nMake x.", "a")
    assert ran(kernel, "x").result == "42"
    assert len(model.requests) == 2


@pytest.mark.slow
def test_code_that_failed_when_it_ran_again_is_not_taken_for_run(
    start: Start, model: Model
) -> None:
    """A cell that failed for want of a file must not pass the next time, still without its data."""
    model.will(python("y = open('there').read()"), say("read"))
    kernel = start()
    (kernel.folder / "there").write_text("then")
    run_cell(kernel, "%%codex\nRead it.", "a")
    kernel = start()
    for _ in range(2):
        assert kernel.wait(submit_cell(kernel, "%%codex\nRead it.", "a")).ename == "ReplayError"
    (kernel.folder / "there").write_text("now")
    run_cell(kernel, "%%codex\nRead it.", "a")
    assert ran(kernel, "y").result == "'now'"
    assert len(model.requests) == 2


@pytest.mark.slow
def test_a_notebook_with_more_pictures_than_one_message_holds_runs_again(
    start: Start, model: Model
) -> None:
    """All turns at once would be 23 MB, and a message has 16 MiB; one turn has far less."""
    cells = ("A", "B", "C", "D")
    for _ in cells:
        model.will(python(PICTURE), say("drawn"))
    for options in ("", "--no-replay "):
        kernel = start()
        for cell in cells:
            run_cell(kernel, f"%%codex {options}\nDraw {cell}.", cell)
            assert last_text(kernel) == "drawn"
    assert len(model.requests) == 2 * len(cells)


@pytest.mark.slow
def test_a_cell_that_asks_the_same_in_a_loop_is_answered_each_time(
    start: Start, model: Model
) -> None:
    model.will(say("one"), say("two"))
    loop = "for _ in range(2):\n    get_ipython().run_cell_magic('codex', '', 'Say.')"
    for _ in range(2):
        kernel = start()
        run_cell(kernel, loop, "a")
        answers = [turn[TURN_MIME]["items"][-1]["text"] for turn in kernel.turns()]
        assert answers == ["one", "two"]
    assert len(model.requests) == 2


def test_a_turn_of_the_same_thread_in_the_background_is_let_finish_first(
    start: Start, model: Model
) -> None:
    """Its code needs the thread on which the cell would wait for it."""
    behind = (say("wait", deltas=2) + python("q = 1")).hang(after=3)
    model.will(say("begun"), behind, say("q is made"), say("and now this"))
    kernel = start()
    run_cell(kernel, "%%codex\nBegin.", "a")
    thread_id = kernel.turn()["threadId"]
    ran(
        kernel,
        f"import codex_jupyter\nh = codex_jupyter.thread(resume='{thread_id}').start('Make q.')",
    )
    model.wait_for_requests(2)
    run = submit_cell(kernel, "%%codex\nNext.", "b")
    model.fake.resume()
    assert kernel.wait(run).status == "ok", run.traceback
    assert last_text(kernel) == "and now this"
    assert ran(kernel, "q, h.result().text").result == "(1, 'q is made')"
    assert len(model.requests) == 4


@pytest.mark.slow
def test_an_answer_is_stale_after_a_changed_cell_without_an_id(start: Start, model: Model) -> None:
    """Where cells have no ids, what ran before it now and was answered after it tells."""
    model.will(say("loaded"), say("plotted"), say("loaded more"))
    for cells, stale in ((("Load.", "Plot."), ()), (("Load more.", "Plot."), ("Load more.",))):
        kernel = start()
        for cell in cells:
            ran(kernel, f"%%codex\n{cell}")
        said = [notice for notice in notices(kernel) if "answered before" in notice]
        assert said == [f"answered before cell “{c}” changed; --again to refresh" for c in stale]
    assert len(model.requests) == 3


def test_again_answers_anew_and_that_is_what_later_runs_show(start: Start, model: Model) -> None:
    model.will(say("first"), say("second"))
    kernel = start()
    run_cell(kernel, "%%codex\nSay.", "a")
    run_cell(kernel, "%%codex --again\nSay.", "a")
    assert last_text(kernel) == "second"
    kernel = start()
    run_cell(kernel, "%%codex\nSay.", "a")
    assert last_text(kernel) == "second"
    assert len(model.requests) == 2


@pytest.mark.slow
def test_again_counts_for_cells_without_ids_too(start: Start, model: Model) -> None:
    model.will(say("first"), say("second"))
    for code, answer in (("", "first"), (" --again", "second"), ("", "second")):
        kernel = start()
        ran(kernel, f"%%codex{code}\nSay.")
        assert last_text(kernel) == answer
    assert len(model.requests) == 2


def test_a_failed_or_stopped_answer_is_tried_again(start: Start, model: Model) -> None:
    model.will(status(400, "no"), say("long", deltas=2).hang(after=3), say("at last"))
    kernel = start()
    assert kernel.execute("%%codex\nSay.").ename == "TurnFailedError"
    run = kernel.submit("%%codex\nSay.")
    model.wait_for_requests(2)
    kernel.wait_until(lambda: kernel.has_item("agentMessage"))
    kernel.interrupt()
    assert kernel.wait(run).status == "error"
    kernel = start()
    ran(kernel, "%%codex\nSay.")
    assert last_text(kernel) == "at last"
    assert len(model.requests) == 3


def test_a_cell_with_an_id_run_twice_at_once_is_answered_once(start: Start, model: Model) -> None:
    model.will(say("once", deltas=2).hang(after=3))
    kernel = start()
    runs = [submit_cell(kernel, "%%codex\nSay.", "cell-1") for _ in range(3)]
    model.wait_for_requests(1)
    model.fake.resume()
    for run in runs:
        assert kernel.wait(run).status == "ok"
    assert len({turn[TURN_MIME]["turnId"] for turn in kernel.turns()}) == 1
    assert len(model.requests) == 1


@pytest.mark.slow
def test_a_changed_cell_is_answered_anew_and_makes_later_answers_stale(
    start: Start, model: Model
) -> None:
    model.will(say("loaded"), say("plotted"), say("loaded more"), say("plotted more"))
    kernel = start()
    for code, cell in (("Load.", "a"), ("Plot.", "b"), ("Load more.", "a")):
        kernel.wait(submit_cell(kernel, f"%%codex\n{code}", cell))
    kernel = start()
    kernel.wait(submit_cell(kernel, "%%codex\nPlot.", "b"))
    assert last_text(kernel) == "plotted"
    assert any("answered before cell “Load more.” changed; --again" in n for n in notices(kernel))
    kernel.wait(submit_cell(kernel, "%%codex --again\nPlot.", "b"))
    kernel.wait(submit_cell(kernel, "%%codex\nPlot.", "b"))
    assert last_text(kernel) == "plotted more"
    assert not any("answered before" in n for n in notices(kernel))
    assert len(model.requests) == 4


@pytest.mark.slow
def test_status_says_whether_and_why(start: Start, model: Model) -> None:
    kernel = start()
    assert "yes, as 'analysis'" in ran(kernel, "%codex status").stdout
    ran(kernel, "%codex new")
    assert "re-runs  no: `%codex new`" in ran(kernel, "%codex status").stdout
    run = kernel.execute("%%codex --again\nSay.")
    assert run.ename == "UsageError"
    assert "not re-runnable" in run.evalue
    model.will(say("a"), say("b"))
    for _ in range(2):
        ran(kernel, "%%codex\nSay.")
    assert len(model.requests) == 2


@pytest.mark.slow
def test_python_callers_get_the_result_of_a_turn_that_exists(start: Start, model: Model) -> None:
    model.will(say("forty-two"), status(400, "no"))
    one, two = uuid.uuid4(), uuid.uuid4()
    thread_id = uuid.uuid4()
    head = f"import codex_jupyter\nt = codex_jupyter.thread({{}}='{thread_id}')\n"
    kernel = start()
    ran(kernel, head.format("id") + f"t.run('What?', turn_id='{one}').text")
    assert kernel.execute(f"t.run('Fail?', turn_id='{two}')").ename == "TurnFailedError"
    kernel = start()
    run = ran(kernel, head.format("resume") + f"t.run('What?', turn_id='{str(one).upper()}').text")
    assert run.result == "'forty-two'"
    run = kernel.execute(f"t.run('Other?', turn_id='{one}')")
    assert run.ename == "UsageError"
    assert "was asked something else" in run.evalue
    run = kernel.execute(f"t.run('Fail?', turn_id='{two}')")
    assert "was run before and failed; choose another id" in run.evalue
    assert len(model.requests) == 2


@contextmanager
def two_kernels(server: JupyterServer, name: str) -> Generator[list[Kernel]]:
    """Two kernels at once that have one notebook, and so one thread."""
    book = uuid.uuid4().hex
    with ExitStack() as stack:
        kernels: list[Kernel] = [
            stack.enter_context(server.start_kernel(name, f"{book[:6]}-{n}")) for n in range(2)
        ]
        for kernel in kernels:
            for line in ("%load_ext codex_jupyter", f"%codex notebook {book}"):
                ran(kernel, line)
            kernel.forget()
        yield kernels


@pytest.mark.parametrize("first", [0, 1])
def test_two_kernels_of_one_notebook_at_once_cost_one_turn(
    jupyter_server: JupyterServer, kernel_name: str, model: Model, first: int
) -> None:
    """Both orders: either kernel begins, the other attaches."""
    model.will(say("once for both", deltas=2).hang(after=3))
    with two_kernels(jupyter_server, kernel_name) as kernels:
        order = [kernels[first], kernels[1 - first]]
        runs = [(order[0], submit_cell(order[0], "%%codex\nSay.", "c"))]
        model.wait_for_requests(1)
        runs.append((order[1], submit_cell(order[1], "%%codex\nSay.", "c")))
        order[1].wait_until(order[1].turns)
        model.fake.resume()
        for kernel, run in runs:
            assert kernel.wait(run).status == "ok", run.traceback
            assert last_text(kernel) == "once for both"
    assert len(model.requests) == 1


def test_a_cell_that_waits_for_a_turn_of_another_kernel_is_stopped_at_once(
    jupyter_server: JupyterServer, kernel_name: str, model: Model
) -> None:
    """The server knows nothing of its turn yet, so nobody else says that it ended."""
    model.will(say("to the end", deltas=2).hang(after=3), say("after all"))
    with two_kernels(jupyter_server, kernel_name) as (one, other):
        behind = submit_cell(one, "%%codex\nSay.", "a")
        model.wait_for_requests(1)
        run = submit_cell(other, "%%codex\nNext.", "b")
        stop = {"action": "interrupt", "turnId": other.turn_id()}
        assert other.ask(stop) == {"status": "ok"}
        assert other.wait(run).ename == "TurnInterrupted"
        assert other.turn()["status"] == "interrupted"
        assert not behind.done
        model.fake.resume()
        assert one.wait(behind).status == "ok"
        assert last_text(one) == "to the end"
        run_cell(other, "%%codex\nNext.", "b")
        assert last_text(other) == "after all"
    assert len(model.requests) == 2


CELLS = [
    "%load_ext codex_jupyter",
    "%codex notebook in-ci",
    "%%codex\nMake x.",
    "%%codex\nMake x.",
    "print(x)",
    "%%codex\nWhat is x?",
]


def test_a_notebook_run_twice_by_nbclient_is_the_same_and_has_one_set_of_turns(
    home: Path, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.will(
        python("x = 1; print('x is', x)"), say("made"), python("x += 1"), say("made anew"), say("2")
    )
    monkeypatch.setenv("CODEX_JUPYTER_HOME", str(home))
    monkeypatch.delenv("CODEX_JUPYTER_MODEL_PROVIDER", raising=False)
    monkeypatch.setenv("FAKE_KEY", "k")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    ran_books: list[Any] = []
    for _ in range(2):
        book = nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(CELLS)
            ]
        )
        NotebookClient(
            book, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
        for cell in book.cells:
            cell.metadata.pop("execution", None)
        ran_books.append(json.loads(nbformat.writes(book)))
    first, second = ran_books
    assert first["cells"] == second["cells"]
    assert len(model.requests) == 5
    rollouts = list((home / "sessions").rglob("*.jsonl"))
    assert len(rollouts) == 1
    assert rollouts[0].read_text().count('"task_started"') == 3


def test_a_delegated_cell_run_again_asks_nobody_and_brings_its_variables(
    start: Start, model: Model
) -> None:
    model.will(python("x = 6 * 7"), say("It is in x."))
    shown: list[Any] = []
    for _ in range(2):
        kernel = start()
        ran(kernel, "%%codex --delegate\nMake x.")
        assert last_text(kernel) == "It is in x."
        assert ran(kernel, "x").result == "42"
        shown.append(kernel.turn())
    assert shown[0]["turnId"] == shown[1]["turnId"]
    assert shown[1]["delegates"][0]["status"] == "completed"
    assert shown[0]["delegates"][0]["message"] == shown[1]["delegates"][0]["message"]
    assert len(model.requests) == 2


@pytest.mark.slow
def test_a_delegated_cell_can_be_asked_again(start: Start, model: Model) -> None:
    model.will(say("first"), say("second"))
    kernel = start()
    ran(kernel, "%%codex --delegate\nSay.")
    ran(kernel, "%%codex --delegate --again\nSay.")
    assert last_text(kernel) == "second"
    assert len(model.requests) == 2
