"""Maps on a real Dask cluster: order, limits, lost workers, stops, policies, the view."""

import os
import signal
from concurrent.futures import wait
from typing import Any

import pytest

distributed = pytest.importorskip("distributed", reason="needs the extra `dask`")

from codex_jupyter import delegate_map
from codex_jupyter.notebook.delegates import DelegateMap
from codex_jupyter.notebook.outcome import TurnInterrupted
from codex_jupyter.notebook.remote_task import RemoteTask
from codex_jupyter.notebook.remote_worker import run_task
from tests.dask.conftest import LIMIT, Model
from tests.fake_answers import call, say, status

Json = dict[str, Any]


def ended(mapped: DelegateMap) -> list[Any]:
    """Wait for all of a map, however they end, and return their results."""
    _, left = wait([d.ended for d in mapped.delegates], timeout=LIMIT)
    assert not left, mapped
    return [d.ended.result() for d in mapped.delegates]


def shown(mapped: DelegateMap) -> Json:
    """Return what the view of a map has come to show."""
    assert mapped._delegation is not None
    handle = mapped._delegation._handle
    handle.join(LIMIT)
    assert handle.done
    return handle.state.snapshot()


async def again(remote: RemoteTask, arrived: str) -> Json:
    await distributed.get_worker().scheduler.event_set(name=arrived)
    return await run_task(remote)


def begin_again(client: Any, mapped: DelegateMap, prompt: str) -> list[Any]:
    """Have both workers do a task that runs; return the futures once they are at it."""
    task = {"input": [{"type": "text", "text": prompt}], "name": "x"}
    thread_id = mapped.delegates[0].thread_id
    remote = RemoteTask(thread_id, thread_id, task, "deny", "nobody")
    names = [f"arrived-{thread_id}-{n}" for n in range(2)]
    futures = [
        client.submit(again, remote, name, key=f"{name}-task", pure=False, workers=[address])
        for name, address in zip(names, worker_pids(client), strict=True)
    ]
    for name in names:
        assert distributed.Event(name, client=client).wait(timeout=LIMIT)
    return futures


def processing(client: Any) -> dict[str, Any]:
    return client.processing()


def worker_pids(client: Any) -> dict[str, int]:
    return client.run(os.getpid)


def test_results_come_in_the_order_of_the_prompts(client: Any, model: Model) -> None:
    prompts = [f"task {n}" for n in range(6)]
    mapped = delegate_map(prompts, client=client)
    results = mapped.result()
    assert [r.text for r in results] == [f"Answer to {p}" for p in prompts]
    assert [r.thread_id for r in results] == [d.thread_id for d in mapped]
    assert sorted(model.asked) == prompts
    assert mapped.done == 6


def test_the_view_shows_what_happens_there(client: Any, model: Model) -> None:
    model.will("fail", status(400, "too hard"))
    mapped = delegate_map(["fine", "fail"], client=client)
    good, bad = mapped.result()
    assert (good.status, bad.status) == ("completed", "failed")
    assert "too hard" in (bad.error or {})["message"]
    view = shown(mapped)
    assert view["status"] == "completed"
    assert [row["status"] for row in view["delegates"]] == ["completed", "failed"]
    first, second = view["delegates"]
    assert (first["name"], first["task"], first["message"]) == ("#1", "fine", "Answer to fine")
    assert first["tokens"] == 15
    assert first["turnId"] == good.turn_id
    assert "too hard" in second["message"]
    assert [i["status"] for i in view["items"]] == ["completed", "failed"]
    assert [i["type"] for i in good.items] == ["userMessage", "agentMessage"]


def test_an_opened_delegate_shows_its_items(client: Any, model: Model) -> None:
    model.will("look", call("shell_command", {"command": "echo seen"}), say("Done."))
    mapped = delegate_map(["look"], client=client)
    (result,) = mapped.result()
    shown(mapped)
    assert mapped._delegation is not None
    opened = mapped._delegation._handle.delegates.snapshot(result.thread_id)
    assert opened is not None
    kinds = ["userMessage", "commandExecution", "agentMessage"]
    assert [item["type"] for item in opened["items"]] == kinds
    assert opened["status"] == "completed"


@pytest.mark.parametrize("limit", [1, 2])
def test_no_more_work_at_once_than_the_limit(client: Any, model: Model, limit: int) -> None:
    assert model.fake is not None
    prompts = [f"slow {n}" for n in range(4)]
    for prompt in prompts:
        model.will(prompt, say("done", deltas=4).hang(after=3))
    mapped = delegate_map(prompts, client=client, limit=limit)
    for so_far in range(limit, 5, limit):
        model.fake.wait_for_hang(limit, timeout=LIMIT)
        assert len(model.asked) == so_far
        model.fake.resume()
    assert [r.text for r in ended(mapped)] == ["done"] * 4


def test_a_task_whose_worker_dies_is_done_by_another_one(client: Any, model: Model) -> None:
    assert model.fake is not None
    model.will("doomed", say("never", deltas=9).hang(after=4), say("saved"))
    first = delegate_map(["safe"], client=client)
    assert first.result()[0].text == "Answer to safe"
    mapped = delegate_map(["safe too", "doomed"], client=client)
    model.fake.wait_for_hang(1, timeout=LIMIT)
    assert mapped.delegates[0].ended.result(LIMIT).text == "Answer to safe too"
    (at_work,) = [worker for worker, tasks in processing(client).items() if tasks]
    os.kill(worker_pids(client)[at_work], signal.SIGKILL)
    results = ended(mapped)
    assert [r.text for r in results] == ["Answer to safe too", "saved"]
    assert results[1].thread_id == mapped.delegates[1].thread_id
    assert sorted(model.asked) == ["doomed", "doomed", "safe", "safe too"]
    assert [row["status"] for row in shown(mapped)["delegates"]] == ["completed", "completed"]
    client.wait_for_workers(2, timeout=LIMIT)


def test_a_task_that_was_done_is_not_done_again(client: Any, model: Model) -> None:
    first = delegate_map(["a", "b"], client=client)
    told = [r.text for r in first.result()]
    ids = [d.thread_id for d in first]
    again = delegate_map(["a", "b"], client=client, ids=ids)
    results = again.result()
    assert [r.text for r in results] == told
    assert [r.turn_id for r in results] == [r.turn_id for r in first.result()]
    assert sorted(model.asked) == ["a", "b"]
    assert [row["message"] for row in shown(again)["delegates"]] == told


def test_a_task_that_runs_is_attached_to(client: Any, cluster: Any, model: Model) -> None:
    assert model.fake is not None
    model.will("once", say("only once", deltas=9).hang(after=4))
    first = delegate_map(["once"], client=client)
    model.fake.wait_for_hang(1, timeout=LIMIT)
    with distributed.Client(cluster, set_as_default=False) as other:
        futures = begin_again(other, first, "once")
        model.fake.resume()
        told = [future.result(LIMIT) for future in futures]
    assert [t["items"][-1]["text"] for t in told] == ["only once", "only once"]
    assert ended(first)[0].text == "only once"
    assert model.asked == ["once"]


def test_whoever_waits_for_a_turn_that_others_stop_does_the_task(
    client: Any, cluster: Any, model: Model
) -> None:
    assert model.fake is not None
    model.will("shared", say("never", deltas=9).hang(after=4), say("mine"))
    theirs = delegate_map(["shared"], client=client)
    model.fake.wait_for_hang(1, timeout=LIMIT)
    with distributed.Client(cluster, set_as_default=False) as other:
        futures = begin_again(other, theirs, "shared")
        theirs.stop()
        assert ended(theirs)[0].status == "interrupted"
        told = [future.result(LIMIT) for future in futures]
    assert [t["items"][-1].get("text") for t in told] == ["mine", "mine"]
    assert told[0]["turnId"] == told[1]["turnId"] != ended(theirs)[0].turn_id
    assert model.asked == ["shared", "shared"]


def test_all_are_stopped_while_they_stream_and_before_they_begin(client: Any, model: Model) -> None:
    assert model.fake is not None
    for prompt in ("one", "two"):
        model.will(prompt, say("partly said", deltas=9).hang(after=4), say(f"free {prompt}"))
    prompts = ["one", "two", "three"]
    mapped = delegate_map(prompts, client=client, limit=2)
    model.fake.wait_for_hang(2, timeout=LIMIT)
    mapped.stop()
    assert [r.status for r in ended(mapped)] == ["interrupted"] * 3
    assert sorted(model.asked) == ["one", "two"]
    view = shown(mapped)
    assert view["status"] == "interrupted"
    assert [row["status"] for row in view["delegates"]] == ["interrupted"] * 3
    with pytest.raises(TurnInterrupted):
        mapped.result()
    # Turns that still ran would be attached to, and hang.
    again = delegate_map(prompts, client=client, ids=[d.thread_id for d in mapped])
    results = ended(again)
    assert [r.status for r in results] == ["completed"] * 3, [r.error for r in results]
    assert [r.text for r in results] == ["free one", "free two", "Answer to three"]


def test_a_map_that_is_stopped_at_once_asks_nobody_after(client: Any, model: Model) -> None:
    mapped = delegate_map(["early"], client=client)
    mapped.stop()
    (result,) = ended(mapped)
    assert result.status in ("interrupted", "completed")
    assert shown(mapped)["status"] == "interrupted"
    other = delegate_map(["later"], client=client)
    assert other.result()[0].text == "Answer to later"


@pytest.mark.parametrize("place", [0, 1], ids=["that streams", "that waits"])
def test_one_is_stopped_and_the_others_go_on(client: Any, model: Model, place: int) -> None:
    assert model.fake is not None
    model.will("p0", say("zero", deltas=9).hang(after=4))
    mapped = delegate_map(["p0", "p1", "p2"], client=client, limit=1)
    model.fake.wait_for_hang(1, timeout=LIMIT)
    mapped.delegates[place].stop()
    assert mapped.delegates[place].ended.result(LIMIT).status == "interrupted"
    model.fake.resume()
    results = ended(mapped)
    assert [r.status for r in results] == [
        "interrupted" if n == place else "completed" for n in range(3)
    ]
    assert ("p1" in model.asked) == (place != 1)
    assert shown(mapped)["status"] == "completed"


def test_a_question_is_declined_by_the_stated_policy(
    client: Any, model: Model, tmp_path: Any
) -> None:
    for name in ("denied", "allowed"):
        command = {"command": f"touch {tmp_path / name}"}
        model.will(name, call("shell_command", command), say("Done."))
    denied = delegate_map(["denied"], client=client).result()[0]
    (item,) = [i for i in denied.items if i["type"] == "commandExecution"]
    assert (item["status"], denied.status) == ("declined", "completed")
    delegate_map(["allowed"], client=client, headless="allow command").result()
    assert [path.name for path in tmp_path.iterdir()] == ["allowed"]


def test_a_policy_of_none_fails_the_delegate(client: Any, model: Model, tmp_path: Any) -> None:
    model.will("ask", call("shell_command", {"command": f"touch {tmp_path / 'x'}"}))
    (result,) = delegate_map(["ask"], client=client, headless="fail").result()
    assert result.status == "failed"
    assert "headless='deny'" in (result.error or {})["message"]
    assert list(tmp_path.iterdir()) == []


def test_settings_of_a_task_travel(client: Any, model: Model, tmp_path: Any) -> None:
    assert model.fake is not None
    before = len(model.fake.requests)
    model.will("where", call("shell_command", {"command": "pwd"}), say("There."))
    mapped = delegate_map(
        ["where"], client=client, model="other-model", cwd=tmp_path, role="explorer"
    )
    (result,) = mapped.result()
    (item,) = [i for i in result.items if i["type"] == "commandExecution"]
    assert item["aggregatedOutput"].strip() == str(tmp_path)
    asked = model.fake.requests[before]
    assert asked["model"] == "other-model"
    assert "Find out what you are asked" in str(asked["input"])
    unknown = delegate_map(["x"], client=client, role="nobody").result()[0]
    assert "the worker knows no role 'nobody'" in (unknown.error or {})["message"]


def test_no_key_is_in_what_travels(client: Any, model: Model) -> None:
    assert model.fake is not None
    mapped = delegate_map(["who"], client=client)
    mapped.result()
    topic = f"codex-jupyter-{client.id}"
    assert "secret" not in str(client.get_events(topic))
    assert "authorization" in model.fake.headers[-1]
