"""Names, the archive, the end of a thread, and how long it stays loaded."""

from pathlib import Path

import anyio
import pytest

from codex_jupyter.core.created import CreatedThreads
from codex_jupyter.ids import new_thread_id
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Talk, connect, text
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

ONE = "0190a0b0-0000-7000-8000-00000000000a"


async def begun(lab: Lab, talk: Talk, thread_id: str | None = ONE) -> str:
    lab.fake.add(say("ok"))
    started = await talk.start_thread(lab.workspace, threadId=thread_id)
    await talk.turn(started, "hello")
    return started


def stored_names(home: Path) -> list[str]:
    return sorted(path.name for path in home.rglob("rollout-*"))


async def test_a_name_is_told_listed_and_kept(lab: Lab) -> None:
    async with lab.serving() as server, connect(server) as talk:
        await talk.start_thread(lab.workspace, threadId=ONE)
        await talk.ask("thread/name/set", {"threadId": ONE, "name": "  before a turn "})
        told = await talk.told("thread/name/updated")
        assert told == {"threadId": ONE, "threadName": "before a turn"}
        lab.fake.add(say("ok"))
        await talk.turn(ONE)
    async with lab.serving() as server, connect(server) as talk:
        (listed,) = (await talk.ask("thread/list", {}))["data"]
        assert listed["name"] == "before a turn"
        await talk.ask("thread/name/set", {"threadId": ONE, "name": "while stored"})
        assert (await talk.ask("thread/resume", {"threadId": ONE}))["thread"]["name"] == (
            "while stored"
        )
        refusal = await talk.refused("thread/name/set", {"threadId": ONE, "name": " \n"})
        assert refusal.message == "thread name must not be empty"
        short = await talk.start_thread(lab.workspace, ephemeral=True)
        refusal = await talk.refused("thread/name/set", {"threadId": short, "name": "x"})
        assert refusal.message == f"ephemeral thread does not support metadata updates: {short}"


async def test_answers_come_before_what_everybody_is_told(lab: Lab) -> None:
    """As the original does it; what is told is on disk before either."""
    told = {
        "thread/name/set": "thread/name/updated",
        "thread/archive": "thread/archived",
        "thread/unarchive": "thread/unarchived",
        "thread/delete": "thread/deleted",
    }
    async with lab.serving() as server, connect(server) as talk, connect(server) as other:
        await other.ask("thread/loaded/list", {})
        await begun(lab, talk)
        for method, notice in told.items():
            more = {"name": "N"} if method == "thread/name/set" else {}
            await talk.ask(method, {"threadId": ONE, **more})
            await talk.told(notice, threadId=ONE)
            methods = talk.methods()
            assert methods.index(f"={method}") < methods.index(notice)
            if method != "thread/name/set":  # that is told to who hears the thread
                await other.told(notice, threadId=ONE)


async def test_an_archived_thread_is_put_away_and_comes_back(lab: Lab, talk: Talk) -> None:
    """Case 7 of the ids."""
    await begun(lab, talk)
    await talk.ask("thread/archive", {"threadId": ONE})
    await talk.told("thread/archived", threadId=ONE)
    await talk.told("thread/closed", threadId=ONE)
    assert (await talk.ask("thread/list", {}))["data"] == []
    (listed,) = (await talk.ask("thread/list", {"archived": True}))["data"]
    assert listed["id"] == ONE
    assert "archived_sessions" in listed["path"]
    for method in ("thread/resume", "thread/fork"):
        refusal = await talk.refused(method, {"threadId": ONE})
        assert refusal.message.startswith(f"session {ONE} is archived. Run ")
    refusal = await talk.refused("thread/start", {"threadId": ONE})
    assert refusal.data == {"duplicate": "thread", "id": ONE, "status": "archived"}
    again = await talk.refused("thread/archive", {"threadId": ONE})
    assert again.message == f"no rollout found for thread id {ONE}"
    back = (await talk.ask("thread/unarchive", {"threadId": ONE}))["thread"]
    await talk.told("thread/unarchived", threadId=ONE)
    assert (back["id"], back["status"]) == (ONE, {"type": "notLoaded"})
    lab.fake.add(say("again"))
    await talk.ask("thread/resume", {"threadId": ONE})
    assert (await talk.turn(ONE))["status"] == "completed"
    refusal = await talk.refused("thread/unarchive", {"threadId": ONE})
    assert refusal.message == f"no archived rollout found for thread id {ONE}"


async def test_a_running_turn_ends_before_its_thread_is_archived(lab: Lab, talk: Talk) -> None:
    """W-81: what is archived is closed, and nothing writes it any more."""
    await begun(lab, talk)
    lab.fake.add(say("long", deltas=2).hang(after=3))
    turn_id = await talk.start_turn(ONE)
    await talk.item_started("agentMessage", after=len(talk.heard) - 1)
    await talk.ask("thread/archive", {"threadId": ONE})
    assert (await talk.turn_end(turn_id))["status"] == "interrupted"
    order = [m for m in talk.methods() if m in ("turn/completed", "thread/archived")]
    assert order[-2:] == ["turn/completed", "thread/archived"]
    read = await talk.ask("thread/read", {"threadId": ONE, "includeTurns": True})
    assert [turn["status"] for turn in read["thread"]["turns"]] == ["completed", "interrupted"]


async def test_a_deleted_thread_is_gone_and_its_id_free(lab: Lab, talk: Talk) -> None:
    await begun(lab, talk)
    await talk.ask("thread/delete", {"threadId": ONE})
    await talk.told("thread/deleted", threadId=ONE)
    assert stored_names(lab.home) == []
    refusal = await talk.refused("thread/delete", {"threadId": ONE})
    assert refusal.message == f"no rollout found for thread id {ONE}"
    await begun(lab, talk)
    await talk.ask("thread/archive", {"threadId": ONE})
    await talk.ask("thread/delete", {"threadId": ONE})
    assert stored_names(lab.home) == []
    unused = await talk.start_thread(lab.workspace)
    await talk.ask("thread/delete", {"threadId": unused})
    assert unused not in (await talk.ask("thread/loaded/list", {}))["data"]


async def test_who_leaves_a_thread_last_may_have_it_unloaded(lab: Lab) -> None:
    leave = {"threadId": ONE, "unload": True}
    async with lab.serving() as server, connect(server) as talk, connect(server) as other:
        await begun(lab, talk)
        await other.ask("thread/resume", {"threadId": ONE})
        assert (await talk.ask("thread/unsubscribe", leave))["status"] == "unsubscribed"
        assert (await other.ask("thread/loaded/list", {}))["data"] == [ONE]
        lab.fake.add(say("long", deltas=2).hang(after=3))
        turn_id = await other.start_turn(ONE)
        await lab.fake.wait_for_hang()
        assert (await other.ask("thread/unsubscribe", leave))["status"] == "unsubscribed"
        assert (await other.ask("thread/loaded/list", {}))["data"] == []
        turns = await other.ask("thread/turns/list", {"threadId": ONE})
        assert (turns["data"][0]["id"], turns["data"][0]["status"]) == (turn_id, "interrupted")


async def test_a_thread_of_another_server_is_not_moved(lab: Lab) -> None:
    async with (
        lab.serving() as first,
        lab.serving() as second,
        connect(first) as one,
        connect(second) as two,
    ):
        await begun(lab, one)
        for method in ("thread/archive", "thread/delete", "thread/resume"):
            refusal = await two.refused(method, {"threadId": ONE})
            assert "in use by another process" in refusal.message
        assert len(stored_names(lab.home)) == 1
        lab.fake.add(say("still here"))
        assert (await one.turn(ONE))["status"] == "completed"


async def test_of_archive_and_resume_at_once_each_order_is_whole(lab: Lab, talk: Talk) -> None:
    """Both orders of the race: the thread is either archived and closed, or the resume came first
    and was closed by the archive."""
    await begun(lab, talk)
    for methods in (("thread/archive", "thread/resume"), ("thread/resume", "thread/archive")):
        messages = [talk.make(method, {"threadId": ONE}) for method in methods]
        await talk.send(*messages)
        for method, message in zip(methods, messages, strict=True):
            answer = await talk.until(
                lambda m, number=message["id"]: m.get("id") == number and "method" not in m
            )
            assert "result" in answer or method == "thread/resume"
        assert ONE not in (await talk.ask("thread/loaded/list", {}))["data"]
        await talk.ask("thread/unarchive", {"threadId": ONE})
        assert (await talk.ask("thread/resume", {"threadId": ONE}))["thread"]["id"] == ONE


async def test_loaded_threads_are_listed_in_pages(lab: Lab, talk: Talk) -> None:
    ids = sorted([await talk.start_thread(lab.workspace) for _ in range(3)])
    assert (await talk.ask("thread/loaded/list", {}))["data"] == ids
    first = await talk.ask("thread/loaded/list", {"limit": 2})
    assert (first["data"], first["nextCursor"]) == (ids[:2], ids[1])
    rest = await talk.ask("thread/loaded/list", {"limit": 2, "cursor": ids[1]})
    assert (rest["data"], rest["nextCursor"]) == (ids[2:], None)
    assert (await talk.ask("thread/loaded/list", {"limit": 0}))["data"] == ids[:1]
    refusal = await talk.refused("thread/loaded/list", {"cursor": "x"})
    assert refusal.message == "invalid cursor: x"


async def test_who_unsubscribes_hears_no_more_and_the_turn_runs_on(lab: Lab) -> None:
    async with lab.serving() as server, connect(server) as one, connect(server) as two:
        await begun(lab, one)
        await two.ask("thread/resume", {"threadId": ONE})
        lab.fake.add(say("long", deltas=2).hang(after=3))
        turn_id = await one.start_turn(ONE)
        await two.item_started("agentMessage")
        assert await two.ask("thread/unsubscribe", {"threadId": ONE}) == {"status": "unsubscribed"}
        assert await two.ask("thread/unsubscribe", {"threadId": ONE}) == {"status": "notSubscribed"}
        lab.fake.resume()
        assert (await one.turn_end(turn_id))["status"] == "completed"
        await two.told("thread/status/changed", status={"type": "idle"})
        assert two.notices("turn/completed") == []
        other = {"threadId": new_thread_id()}
        assert await two.ask("thread/unsubscribe", other) == {"status": "notLoaded"}


async def test_an_idle_thread_nobody_hears_is_unloaded(lab: Lab) -> None:
    async with lab.serving("thread_idle_limit=0") as server, connect(server) as talk:
        await begun(lab, talk)
        await talk.ask("thread/loaded/list", {})
        assert (await talk.ask("thread/unsubscribe", {"threadId": ONE}))["status"] == (
            "unsubscribed"
        )
        await talk.told("thread/closed", threadId=ONE)
        await talk.told("thread/status/changed", threadId=ONE, status={"type": "notLoaded"})
        lab.fake.add(say("again"))
        await talk.ask("thread/resume", {"threadId": ONE})
        assert (await talk.turn(ONE))["status"] == "completed"


async def test_a_thread_that_waits_for_an_answer_is_not_unloaded(lab: Lab) -> None:
    lab.configure("thread_idle_limit = 0")
    async with lab.serving() as server:
        async with connect(server) as talk:
            await talk.start_thread(lab.workspace, threadId=ONE)
            lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c"), say("ok"))
            turn_id = await talk.start_turn(ONE)
            await talk.asked()
        async with connect(server) as other:
            # Another thread comes and goes meanwhile, which proves that the unloader ran.
            idle = await other.start_thread(lab.workspace)
            await other.ask("thread/unsubscribe", {"threadId": idle})
            await other.told("thread/closed", threadId=idle)
            await other.ask("thread/resume", {"threadId": ONE})
            await other.answer(await other.asked(), {"decision": "accept"})
            assert (await other.turn_end(turn_id))["status"] == "completed"


async def test_no_created_thread_is_lost_however_late_its_reader() -> None:
    """W-32: a broadcast of bounded size skips threads for one that lags."""
    created = CreatedThreads()
    created.add(new_thread_id())
    ids = [new_thread_id() for _ in range(3000)]
    with created.subscribe() as slow, created.subscribe() as quick:
        for thread_id in ids:
            created.add(thread_id)
        with anyio.fail_after(30):
            assert [await quick.next() for _ in ids] == ids
            with anyio.move_on_after(0):
                await quick.next()
            assert [await slow.next() for _ in ids] == ids
            late = new_thread_id()
            created.add(late)
            assert await quick.next() == await slow.next() == late


async def test_the_same_thread_resumed_by_two_is_one(lab: Lab) -> None:
    """W-30."""
    async with lab.serving() as server, connect(server) as talk:
        await begun(lab, talk)
    async with lab.serving() as server, connect(server) as one, connect(server) as two:
        requests = [
            (talk, await talk.request("thread/resume", {"threadId": ONE})) for talk in (one, two)
        ]
        for talk, request_id in requests:
            assert (await talk.response(request_id))["thread"]["id"] == ONE
        lab.fake.add(say("heard by both"))
        turn = {"threadId": ONE, "input": [text("hi")]}
        turn_id = (await one.ask("turn/start", turn))["turn"]["id"]
        assert (await two.turn_end(turn_id))["status"] == "completed"
        assert (await one.ask("thread/loaded/list", {}))["data"] == [ONE]
