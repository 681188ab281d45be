"""What a map says when the cluster gives up, goes away, or cannot be used from the start."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")

from codex_jupyter import delegate_map, thread
from codex_jupyter.errors import UsageError
from codex_jupyter.notebook.runtime import get_runtime
from tests.dask.conftest import LIMIT, Model, start_cluster
from tests.dask.test_cluster_map import ended, shown, worker_pids
from tests.docs.documents import blocks, read
from tests.fake_answers import say

dask = pytest.importorskip("dask")


def test_dask_gives_up_and_the_result_says_so(for_workers: None, model: Model) -> None:
    assert model.fake is not None
    model.will("deadly", say("never", deltas=9).hang(after=4))
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        start_cluster(1) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        heard = threading.Event()

        def listen(method: str, params: dict[str, Any]) -> None:
            if method == "item/started" and params["item"]["type"] == "agentMessage":
                heard.set()

        get_runtime().cluster.thread.listen_all(listen)
        mapped = delegate_map(["deadly"], client=client)
        assert heard.wait(LIMIT)
        (pid,) = worker_pids(client).values()
        os.kill(pid, signal.SIGKILL)
        (result,) = ended(mapped)
        assert result.status == "failed"
        message = (result.error or {})["message"]
        assert "1 workers were lost" in message
        assert "allowed-failures" in message
        assert [item["type"] for item in result.items] == ["userMessage", "agentMessage"]
        view = shown(mapped)
        assert (view["status"], view["delegates"][0]["status"]) == ("failed", "failed")
        assert message in view["error"]["message"]


def test_a_scheduler_that_goes_away_ends_the_map(for_workers: None, model: Model) -> None:
    assert model.fake is not None
    model.will("long", say("never", deltas=9).hang(after=4))
    with start_cluster(1) as cluster:
        client: Any = distributed.Client(cluster.scheduler_address, set_as_default=False)
        with client:
            mapped = delegate_map(["long", "next"], client=client, limit=1)
            model.fake.wait_for_hang(1, timeout=LIMIT)
            cluster.close()
            results = ended(mapped)
    assert [r.status for r in results] == ["failed", "failed"]
    assert "connection with the Dask scheduler was lost" in (results[0].error or {})["message"]
    shown(mapped)


def test_workers_in_the_process_of_the_kernel_share_one_core(
    for_workers: None, model: Model
) -> None:
    start: Any = distributed.LocalCluster
    with (
        start(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as inside,
        distributed.Client(inside, set_as_default=False) as client,
    ):
        prompts = ["here", "there", "everywhere"]
        results = delegate_map(prompts, client=client).result()
        assert [r.text for r in results] == [f"Answer to {p}" for p in prompts]
        cores = [t for t in threading.enumerate() if t.name == "codex-jupyter-core"]
        assert len(cores) == 2, "the workers' and the one that has the map"


def test_what_cannot_be_used_is_refused(client: Any, cluster: Any) -> None:
    with pytest.raises(UsageError, match="must be a dask.distributed.Client, not str"):
        delegate_map(["x"], client="tcp://nowhere:1")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="headless policy 'perhaps'"):
        delegate_map(["x"], client=client, headless="perhaps")
    with pytest.raises(UsageError, match="one for each prompt"):
        delegate_map(["x", "y"], client=client, ids=["01a221f5-071d-7f2b-98e6-dd6b1b84a59e"])
    with pytest.raises(UsageError, match="is not the id of a thread"):
        delegate_map(["x"], client=client, ids=["one"])
    with pytest.raises(UsageError, match="`thread` or `client`"):
        delegate_map(["x"], client=client, thread=thread())
    closed: Any = distributed.Client(cluster, set_as_default=False)
    closed.close()
    with pytest.raises(UsageError, match="client is closed"):
        delegate_map(["x"], client=closed)
    assert delegate_map([], client=client).result() == []


def test_a_cluster_s_settings_need_a_cluster() -> None:
    with pytest.raises(UsageError, match="give a `client` as well"):
        delegate_map(["x"], headless="allow command")


def test_without_dask_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['distributed'] = None\n"
        "from codex_jupyter import delegate_map\n"
        "try: delegate_map(['x'], client=object())\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == (
        "UsageError delegate_map(client=...) needs Dask: pip install 'codex-jupyter[dask]'"
    ), run.stderr


def test_a_worker_needs_no_ipython() -> None:
    code = (
        "import sys; import codex_jupyter.notebook.remote_worker\n"
        "print([m for m in ('IPython', 'ipywidgets', 'ipykernel') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == "[]", run.stderr


def test_a_kernel_that_exits_stops_its_maps(
    client: Any, cluster: Any, for_workers: None, model: Model
) -> None:
    assert model.fake is not None
    model.will("left", say("never", deltas=9).hang(after=4), say("free"))
    code = (
        "import sys, distributed; from codex_jupyter import delegate_map\n"
        "if __name__ == '__main__':\n"
        "    client = distributed.Client(sys.argv[1])\n"
        "    m = delegate_map(['left'], client=client)\n"
        "    print(m.delegates[0].thread_id, flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    arguments = [sys.executable, "-c", code, cluster.scheduler_address]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as script:
        model.fake.wait_for_hang(1, timeout=LIMIT)
        told, _ = script.communicate(b"\n", timeout=LIMIT)
        assert script.returncode == 0
    # A turn that still ran would be attached to, and hang.
    again = delegate_map(["left"], client=client, ids=[told.decode().strip()])
    assert ended(again)[0].text == "free"


def test_the_code_of_the_guide_runs(tmp_path: Path) -> None:
    (block,) = blocks(read(Path("docs/guide.md")), "py")
    lines = [*block.text.splitlines(), "client.close()", "cluster.close()"]
    script = tmp_path / "guide.py"
    script.write_text("\n    ".join(["if __name__ == '__main__':", *lines]))
    environment = os.environ | {
        "CODEX_JUPYTER_HOME": str(tmp_path),
        "CODEX_JUPYTER_MODEL_PROVIDER": "offline",
        "CODEX_JUPYTER_OFFLINE_PACE": "0",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    run = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, timeout=90
    )
    assert run.stdout.count("completed") == 2, run.stdout + run.stderr


def test_a_client_that_is_closed_before_its_map_begins_ends_that_map_only(
    client: Any, cluster: Any, model: Model
) -> None:
    """It ended what has all maps of the kernel, for good."""
    go_on = threading.Event()
    get_runtime().cluster.thread.call_soon(lambda: go_on.wait(LIMIT))
    theirs: Any = distributed.Client(cluster, set_as_default=False)
    mapped = delegate_map(["never asked"], client=theirs)
    theirs.close()
    go_on.set()
    (result,) = ended(mapped)
    assert result.status == "failed"
    assert "connection with the Dask scheduler" in (result.error or {})["message"]
    other = delegate_map(["still here"], client=client)
    assert ended(other)[0].text == "Answer to still here"
