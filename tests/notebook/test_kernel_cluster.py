"""Maps on a cluster from real kernels: one view, a stop button that stops the workers."""

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_model import say
from tests.notebook.conftest import EMBEDDED, Model
from tests.notebook.kernel_driver import TURN_MIME, Kernel, Run

distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")

pytestmark = [pytest.mark.notebook, pytest.mark.slow]

CONNECT = """\
import distributed
from codex_jupyter import delegate_map
c = distributed.Client({address!r}, set_as_default=False)
"""


@pytest.fixture(scope="module")
def scheduler(fake_for_kernels: Model, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of a cluster whose workers ask the model of the kernels."""
    from tests.notebook.kernel_driver import provider_config

    home = tmp_path_factory.mktemp("workers")
    (home / "config.toml").write_text(provider_config(fake_for_kernels.fake.base_url))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CODEX_JUPYTER_HOME", str(home))
        patch.delenv("CODEX_JUPYTER_MODEL_PROVIDER", raising=False)
        patch.setenv("FAKE_KEY", "secret")
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        start: Any = distributed.LocalCluster
        with start(
            n_workers=1, threads_per_worker=4, processes=True, dashboard_address=":0"
        ) as made:
            yield made.scheduler_address


@pytest.fixture
def connected(kernel: Kernel, kernel_python: Path, scheduler: str) -> Generator[Kernel]:
    if kernel_python != Path(sys.executable):
        pytest.skip("one kernel is enough, and its Dask must be the cluster's")
    ran(kernel, CONNECT.format(address=scheduler))
    kernel.forget()
    yield kernel
    ran(kernel, "c.close()")


def ran(kernel: Kernel, code: str) -> Run:
    run = kernel.execute(code, limit=60)
    assert run.status == "ok", run.traceback
    return run


@pytest.mark.parametrize("wait", ["m.result()", "await m"])
def test_a_map_is_shown_in_one_view(connected: Kernel, model: Model, wait: str) -> None:
    model.will(say("one"), say("two"))
    run = ran(
        connected, f"m = delegate_map(['a', 'b'], client=c, limit=1)\n[r.text for r in {wait}]"
    )
    assert run.result == "['one', 'two']"
    turn = connected.turn()
    assert (turn["status"], turn.get("live")) == ("completed", None)
    assert [row["message"] for row in turn["delegates"]] == ["one", "two"]
    assert "two" in connected.turns()[-1]["text/plain"]


@pytest.mark.parametrize("wait", ["m.result()", "await m"])
def test_the_stop_button_stops_the_workers(connected: Kernel, model: Model, wait: str) -> None:
    model.will(*[say("never", deltas=9).hang(after=4)] * 2)
    code = f"m = delegate_map(['a', 'b', 'c'], client=c, limit=2)\n{wait}"
    run = connected.submit(code, allow_stdin=True)
    model.fake.wait_for_hang(2, timeout=60)
    connected.interrupt()
    assert connected.wait(run).status == "error"
    assert run.ename in ("TurnInterrupted", "CancelledError")
    connected.wait_until(lambda: connected.turns() and TURN_MIME in connected.turns()[-1])
    connected.wait_until(lambda: connected.turn()["status"] == "interrupted")
    assert {row["status"] for row in connected.turn()["delegates"]} == {"interrupted"}
    assert ran(connected, "[r.status for r in m.results]").result == str(["interrupted"] * 3)


@EMBEDDED
def test_a_page_opens_and_stops_a_delegate_on_a_worker(connected: Kernel, model: Model) -> None:
    model.will(say("partly said", deltas=9).hang(after=6), say("fine"))
    code = "r = delegate_map(['a', 'b'], client=c, limit=1).result()"
    run = connected.submit(code, allow_stdin=True)
    connected.wait_until(lambda: any(op["delegate"]["turnId"] for op in connected.ops("delegate")))
    row = next(op["delegate"] for op in connected.ops("delegate") if op["delegate"]["turnId"])
    ids = {"threadId": row["threadId"], "turnId": row["turnId"]}
    # Stopped before it asked, it would leave the answer that hangs to the other one.
    model.fake.wait_for_hang(1, timeout=60)
    opened = connected.ask({"action": "delegate", **ids})
    assert (opened["status"], opened["snapshot"]["turnId"]) == ("ok", row["turnId"])
    assert connected.ask({"action": "interrupt", **ids}) == {"status": "ok"}
    assert connected.wait(run, 60).status == "ok"
    assert ran(connected, "[x.status for x in r]").result == "['interrupted', 'completed']"
