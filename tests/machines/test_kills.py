"""The process is killed at random moments of a conversation: what was told is on disk.

Promises P1-P6 of the design: a finished item, an accepted turn, an answer and a turn's end are on
the medium before anybody hears of them. 100 kills, or as many as `CODEX_KILLS` says.
"""

import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from tests.behaviour.conftest import Lab, lab
from tests.behaviour.talk import Json, StdioServer, Talk, connect, text
from tests.fake_model import call, reason, say

__all__ = ["lab"]

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(0)]

KILLS = int(os.environ.get("CODEX_KILLS", "100"))
FREE: Json = {"approvalPolicy": "untrusted"}
THREAD = "0190a0b0-0000-7000-8000-00000000000a"


def script(lab: Lab) -> None:
    """Queue what the model says in the scripted conversation."""
    for n in range(3):
        lab.fake.add(
            reason("thinking") + call("shell_command", {"command": f"echo {n}"}, call_id=f"a{n}"),
            call("shell_command", {"command": f"touch made{n}"}, call_id=f"b{n}"),
            say(f"answer {n} " * 20, deltas=10),
        )


async def converse(talk: Talk, workspace: Path, reached: anyio.Event) -> None:
    """Hold the conversation: three turns with an approval each, a name, injected items."""
    await talk.start_thread(workspace, threadId=THREAD, **FREE)
    for n in range(3):
        turn_id = await talk.start_turn(THREAD, f"wish {n}")
        request = await talk.asked(n=n + 1)
        await talk.answer(request, {"decision": "accept"})
        await talk.turn_end(turn_id)
        await talk.ask("thread/name/set", {"threadId": THREAD, "name": f"named {n}"})
        content = [{"type": "input_text", "text": f"injected {n}"}]
        item = {"type": "message", "role": "user", "content": content}
        await talk.ask("thread/inject_items", {"threadId": THREAD, "items": [item]})
    reached.set()


async def kill_after(server: StdioServer, messages: int, reached: anyio.Event) -> None:
    """Kill the server when the client has heard that many messages, or at the end."""
    with anyio.move_on_after(20):
        await server.talk.until(lambda _: len(server.talk.heard) >= messages or reached.is_set())
    server.process.send_signal(signal.SIGKILL)


def finished_items(talk: Talk) -> dict[str, Json]:
    return {item["id"]: item for item in talk.items() if not item.get("abandoned")}


async def heard_until_killed(lab: Lab, messages: int) -> Talk:
    async with lab.stdio() as server:
        reached = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill_after, server, messages, reached)
            # Cut off, as intended.
            with suppress(
                AssertionError, anyio.BrokenResourceError, anyio.ClosedResourceError, OSError
            ):
                await converse(server.talk, lab.workspace, reached)
            await server.talk.finished()
        return server.talk


@pytest.mark.parametrize("number", range(KILLS))
async def test_what_was_told_is_on_disk(lab: Lab, number: int) -> None:
    script(lab)
    messages = random.Random(number).randint(1, 75)
    talk = await heard_until_killed(lab, messages)
    answered = {m["id"] for m in talk.heard if "method" not in m and "result" in m}
    told = finished_items(talk)
    ended = {p["turn"]["id"]: p["turn"]["status"] for p in talk.notices("turn/completed")}
    started = [p["turn"]["id"] for p in talk.notices("turn/started")]
    async with lab.serving() as again, connect(again) as later:
        if not started:
            if answered:
                await later.ask("thread/list", {})
            return
        resumed = await later.ask("thread/resume", {"threadId": THREAD})
        turns = {turn["id"]: turn for turn in resumed["thread"]["turns"]}
        kept = {item["id"]: item for turn in turns.values() for item in turn["items"]}
        for item_id, item in told.items():
            assert plain(kept[item_id]) == plain(item)
        for turn_id, state in ended.items():
            assert turns[turn_id]["status"] == state
        assert set(started) <= set(turns)
        if names := talk.notices("thread/name/updated"):
            assert resumed["thread"]["name"] >= names[-1]["threadName"]
        lab.fake.clear()
        lab.fake.add(say("alive"))
        turn = await later.ask("turn/start", {"threadId": THREAD, "input": [text("still there?")]})
        assert (await later.turn_end(turn["turn"]["id"]))["status"] == "completed"


def plain(item: Json) -> Json:
    return {k: v for k, v in item.items() if v is not None}
