"""Kernels whose core is in a Jupyter server: what they may not do, and how they hold on to it."""

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.fake_model import call, say
from tests.notebook.answering import Answerer
from tests.notebook.conftest import SERVED, Model
from tests.notebook.kernel_driver import Kernel
from tests.notebook.server_driver import JupyterServer, Page, ServedKernel

pytestmark = [pytest.mark.notebook, SERVED]

NEWEST = pytest.mark.parametrize("kernel_name", ["ipykernel-newest"], indirect=True)
"""For tests that do not depend on the kernel."""

PREPARE = """
import codex_jupyter, time
from codex_jupyter.errors import PeerClosedError
from codex_jupyter.notebook.runtime import get_runtime
link, refusing = get_runtime().place._link, False
def read():
    if refusing:
        raise PeerClosedError("not now")
    return type(link).read(link)
link.read = read
get_runtime().restart()
async def drop(client):
    client._peer._streams._connection.protocol._abort()
thread = codex_jupyter.thread()
thread.open()
"""
"""A way to lose the connection, and one to keep it from coming back."""

STORY = "One two three four five six."


@pytest.fixture
def lossy(kernel: Kernel) -> Iterator[Kernel]:
    run = kernel.execute(PREPARE)
    assert run.traceback == []
    yield kernel
    kernel.execute("refusing = False\ndel link.read\nget_runtime().restart()")


def test_status_names_the_server(kernel: ServedKernel, model: Model) -> None:
    said = kernel.execute("%codex status").stdout
    assert f"Jupyter server at http://127.0.0.1:{kernel.server.port}/" in said
    assert "CodexExtension.headless" in said
    model.will(say("Done."))
    kernel.execute("%%codex\nGo.")
    said = kernel.execute("%codex status").stdout
    assert "fake-model of fake" in said
    assert kernel.turn()["threadId"] in said


def test_the_first_output_says_which_model_answers(kernel: Kernel, model: Model) -> None:
    model.will(say("Done."))
    kernel.execute("%%codex\nGo.")
    assert any("fake" in notice["text"].lower() for notice in kernel.turn()["notices"])


def test_no_delta_travels_through_the_kernel(kernel: Kernel, model: Model) -> None:
    model.will(say("word " * 500, deltas=500))
    run = kernel.execute("%%codex\nGo.", allow_stdin=True)
    kinds = [m["msg_type"] for m in run.messages]
    assert not [kind for kind in kinds if kind.startswith("comm")]
    assert kinds.count("update_display_data") <= 5
    assert kernel.turn()["items"][-1]["text"].count("word") == 500


def test_the_answer_of_a_kernel_is_refused(
    kernel: Kernel, model: Model, answerer: Answerer
) -> None:
    (kernel.folder / "made").unlink(missing_ok=True)
    model.will(call("shell_command", {"command": "touch made"}), say("Done."))
    kernel.execute("import codex_jupyter\nhandle = codex_jupyter.start('Go.')")
    request = answerer.question()
    shown = {"requestId": request["requestId"], "digest": request.get("digest")}
    run = kernel.execute(
        f"""
from codex_jupyter.notebook.runtime import get_runtime
answer = {{"decision": "accept", **{shown!r}}}
try:
    get_runtime().call(lambda client: client.call("serverRequest/answer", answer))
except codex_jupyter.CodexError as error:
    print(error.code, error)
async def answer_by_response(client):
    client._peer.send({{"id": answer["requestId"], "result": {{"decision": "accept"}}}})
    await client.call("thread/list", {{}})
get_runtime().call(answer_by_response)
"""
    )
    assert run.traceback == []
    assert run.stdout.startswith("-32600 this connection (kernel) may not answer")
    content = {"action": "decide", "requestId": request["requestId"], "decision": "accept"}
    assert kernel.ask({**content, "digest": request.get("digest")}) == {"status": "gone"}
    assert not (kernel.folder / "made").exists()
    assert answerer.decide(request, "accept") == {"status": "ok"}
    assert kernel.execute("handle.result().status").result == "'completed'"
    assert (kernel.folder / "made").exists()


@NEWEST
@pytest.mark.parametrize(
    ("cell", "named"),
    [
        (
            "import codex_jupyter\ncodex_jupyter.thread(on_approval=print).run('Go.')",
            "on_approval is never called",
        ),
    ],
)
def test_what_only_a_kernel_with_a_core_can_do_is_refused_and_says_where(
    kernel: Kernel, model: Model, cell: str, named: str
) -> None:
    run = kernel.execute(cell)
    (line,) = run.traceback
    assert named in line
    assert model.requests == []


@NEWEST
@pytest.mark.parametrize("line", ["%codex headless deny", "%codex headless"])
def test_a_headless_policy_of_the_notebook_is_not_used_and_stops_no_notebook(
    kernel: Kernel, line: str
) -> None:
    run = kernel.execute(line)
    assert run.status == "ok"
    assert run.stdout.startswith("Not used here")
    assert "CodexExtension.headless" in run.stdout
    assert kernel.execute("%codex headless nonsense").status == "error"


@NEWEST
def test_a_choice_is_kept_for_the_next_start_of_the_server(kernel: Kernel, model: Model) -> None:
    said = kernel.execute("%codex use offline").stdout
    try:
        assert "restarted" in said
        assert "offline" in (kernel.home / "use.json").read_text()
        model.will(say("As before."))
        kernel.execute("%%codex\nGo.")
        assert kernel.turn()["items"][-1]["text"] == "As before."
    finally:
        kernel.execute("%codex use auto")


def test_a_kernel_imports_no_engine_and_leaves_its_children_no_link(
    jupyter_server: JupyterServer, kernel_name: str, core: str, model: Model
) -> None:
    model.will(say("Done."))
    with jupyter_server.start_kernel(kernel_name, uuid.uuid4().hex) as fresh:
        assert fresh.execute("import os; 'CODEX_JUPYTER_LINK' in os.environ").result == "True"
        fresh.execute("%load_ext codex_jupyter")
        assert fresh.execute("%%codex\nGo.").traceback == []
        left = "[n for n in os.environ if n in ('CODEX_JUPYTER_LINK', 'CODEX_JUPYTER_KERNEL_ID')]"
        assert fresh.execute(left).result == "[]"
        run = fresh.execute("import json, sys; print(json.dumps(sorted(sys.modules)))")
    loaded = set(json.loads(run.stdout))
    ours = ("server", "core", "model", "tools", "rollout", "extension")
    heavy = {"jsonschema", "nbformat", "anywidget", "aiohttp", "jupyter_server", "mcp"}
    assert not {name for name in loaded if name.split(".")[0] in heavy}
    assert not {n for n in loaded if n.startswith(tuple(f"codex_jupyter.{o}" for o in ours))}


def test_a_turn_goes_on_when_the_connection_drops(lossy: Kernel, model: Model) -> None:
    model.will(say(STORY, deltas=6).hang(after=4))
    lossy.execute("handle = thread.start('Tell.')")
    model.fake.wait_for_hang()
    assert lossy.execute("get_runtime().call(drop)").status == "ok"
    assert lossy.execute("get_runtime().call(lambda c: c.call('thread/list', {}))['data'] != []")
    model.fake.resume()
    run = lossy.execute("result = handle.result()\nresult.status, result.text")
    assert run.traceback == []
    assert run.result == repr(("completed", STORY))
    assert lossy.turn()["items"][-1]["text"] == STORY


def test_a_turn_that_ended_meanwhile_is_concluded_from_what_the_server_has(
    lossy: Kernel, model: Model, page: Page
) -> None:
    model.will(say(STORY, deltas=6).hang(after=4), say("Fine."))
    lossy.execute("handle = thread.start('Tell.')")
    model.fake.wait_for_hang()
    lossy.execute("refusing = True\nget_runtime().call(drop)")
    model.fake.resume()
    idle = {"type": "idle"}
    lossy.wait_until(lambda: any(m["params"].get("status") == idle for m in page.heard))
    run = lossy.execute("refusing = False\nresult = handle.result()\nresult.status, result.text")
    assert run.traceback == []
    assert run.result == repr(("completed", STORY))
    assert lossy.execute("thread.run('And now?').text").result == "'Fine.'"


@NEWEST
def test_a_connection_that_does_not_come_back_fails_the_cell_in_one_line(
    lossy: Kernel, model: Model
) -> None:
    model.will(say(STORY, deltas=6).hang(after=4))
    lossy.execute("handle = thread.start('Tell.')")
    model.fake.wait_for_hang()
    run = lossy.execute("refusing = True\nget_runtime().call(drop)\nhandle.result()")
    (line,) = run.traceback
    assert line.startswith("PeerClosedError: the connection to the server was lost")
    model.script.clear()
    model.will(say("Back."))
    # The turn that was given up is stopped, so that the thread is free.
    run = lossy.execute("refusing = False\nthread.run('And now?').text")
    assert run.traceback == []
    assert run.result == "'Back.'"


def test_a_kernel_tool_runs_once_though_its_answer_was_lost(
    lossy: Kernel, model: Model, answerer: Answerer
) -> None:
    answerer.state("allow run_python")
    code = "count += 1\nbegun = True\nwhile not proceed:\n    time.sleep(0.01)\nprint('ran')"
    model.will(call("run_python", {"code": code}), say("Done."))
    cell = """
import threading
count, begun, proceed = 0, False, False
def lose():
    global proceed
    while not begun:
        time.sleep(0.01)
    get_runtime().core.post(drop).result()
    get_runtime().core.post(lambda c: c.call("thread/list", {})).result()
    proceed = True
threading.Thread(target=lose).start()
thread.run("Count.").status
"""
    run = lossy.execute(cell)
    assert run.traceback == []
    assert run.result == "'completed'"
    assert lossy.execute("count").result == "1"
    assert "ran" in json.dumps(model.requests[-1]["input"])


@pytest.mark.parametrize("cell", ["%unload_ext codex_jupyter", "%reload_ext codex_jupyter"])
def test_leaving_the_server_stops_what_the_kernel_has_running(
    kernel: Kernel, model: Model, cell: str
) -> None:
    model.will(say(STORY, deltas=6).hang(after=4))
    run = kernel.execute("import codex_jupyter\nhandle = codex_jupyter.start('Tell.')")
    assert run.traceback == [], "\n".join(run.traceback)
    model.fake.wait_for_hang()
    try:
        assert kernel.execute(cell).status == "ok"
        model.fake.wait_closed_early()
        assert kernel.execute("handle.result()").ename == "TurnInterrupted"
    finally:
        kernel.execute("%load_ext codex_jupyter")


@NEWEST
def test_a_restarted_kernel_gets_a_link_of_its_own(
    jupyter_server: JupyterServer, core: str, model: Model, kernel_name: str
) -> None:
    model.will(say("One."), say("Two."))
    with jupyter_server.start_kernel(kernel_name, uuid.uuid4().hex) as kernel:
        kernel.execute("%load_ext codex_jupyter")
        assert kernel.execute("%%codex\nGo.").traceback == []
        jupyter_server.request("POST", f"api/kernels/{kernel.id}/restart", {})
        again = ServedKernel(jupyter_server, kernel.id, kernel.folder)
        with again:
            again.execute("%load_ext codex_jupyter")
            assert again.execute("%%codex\nGo.").traceback == []
            assert "Jupyter server at" in again.execute("%codex status").stdout
