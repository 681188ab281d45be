"""A client that does not read: nothing that counts is lost, and others are not held up."""

from typing import Any

import anyio
import pytest

from codex_jupyter.rpc import Peer
from codex_jupyter.transports.streams import memory_pair
from tests.behaviour.conftest import Lab, lab
from tests.behaviour.talk import connect, text
from tests.fake_model import call, say

__all__ = ["lab"]

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

WORDS = "".join(f"word {n}, " for n in range(60_000))


async def test_over_pipes_requests_and_ends_arrive_late_but_arrive(lab: Lab) -> None:
    ask = call("shell_command", {"command": "touch made"}, call_id="c1")
    lab.fake.add(say(WORDS, deltas=20_000) + ask, say("end"))
    async with lab.stdio() as server:
        talk = server.talk
        thread_id = await talk.start_thread(lab.workspace)
        params = {"threadId": thread_id, "input": [text("hi")]}
        talk.stop_reading()
        request_id = await talk.request("turn/start", params)
        with anyio.fail_after(30):
            await lab.fake.wait_for_requests(1)
            stored = ""
            while '"function_call"' not in stored:  # the whole answer has come
                stored = "".join(p.read_text() for p in lab.home.rglob("rollout-*.jsonl"))
                await anyio.sleep(0.01)
        assert talk.items("agentMessage") == []
        talk.read_on()
        turn_id = (await talk.response(request_id))["turn"]["id"]
        await talk.answer(await talk.asked(), {"decision": "accept"})
        assert (await talk.turn_end(turn_id))["status"] == "completed"
    item = talk.items("agentMessage")[0]
    assert talk.deltas(item["id"]) == item["text"] == WORDS


async def test_one_deaf_connection_does_not_hold_up_another(lab: Lab) -> None:
    lab.fake.add(say(WORDS, deltas=20_000))
    async with lab.serving() as server, connect(server) as talk, connect(server) as deaf:
        thread_id = await talk.start_thread(lab.workspace)
        await deaf.ask("thread/resume", {"threadId": thread_id})
        deaf.stop_reading()
        turn = await talk.turn(thread_id)
        assert turn["status"] == "completed"
        assert deaf.notices("turn/completed") == []
        deaf.read_on()
        assert await deaf.turn_end(turn["id"]) == turn
        (item,) = deaf.items("agentMessage")
        assert deaf.deltas(item["id"]) == item["text"] == WORDS


async def test_a_reader_that_lags_too_far_gets_what_was_queued_then_the_end() -> None:
    async def no_request(method: str, params: Any, request_id: str | int) -> Any:
        raise AssertionError

    ours, theirs = memory_pair()
    peer = Peer(ours, on_request=no_request, on_notification=lambda method, params: None)
    got: list[Any] = []
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(peer.run)
            for n in range(40):
                peer.notify("m", {"n": n, "text": "x" * 1_000_000})
            with pytest.raises(anyio.EndOfStream):
                while True:
                    batch = await theirs.receive()
                    got += [m["params"]["n"] for m in batch if isinstance(m, dict)]
            await theirs.aclose()
    assert got == list(range(len(got)))
    assert 15 <= len(got) < 40
    assert peer.closed
