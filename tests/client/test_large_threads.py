"""A client that comes back to a thread which is larger than a message can be."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from codex_jupyter.client.aio import CodexClient
from codex_jupyter.protocol.streams import MessageStreams
from codex_jupyter.transports.ws_client import open_ws
from codex_jupyter.transports.ws_server import Door, listening
from codex_jupyter.transports.ws_socket import SocketStreams
from tests.behaviour.conftest import Lab, lab
from tests.behaviour.talk import text
from tests.fake_model import say

__all__ = ["lab"]

pytestmark = pytest.mark.anyio

MEGABYTE = "head -c 1000000 /dev/zero | tr '\\0' x"


@asynccontextmanager
async def listened(lab: Lab) -> AsyncGenerator[tuple[str, list[SocketStreams]]]:
    """Serve connections on a real socket; yield the address and what has connected."""
    guests: list[SocketStreams] = []
    door = Door(hashlib.sha256(b"token").digest())
    async with (
        lab.serving() as server,
        listening(door, "127.0.0.1", 0) as port,
        anyio.create_task_group() as tasks,
    ):

        def accept(streams: SocketStreams) -> None:
            guests.append(streams)
            tasks.start_soon(server.serve, streams)

        door.accept = accept
        yield f"ws://127.0.0.1:{port}/", guests
        tasks.cancel_scope.cancel()


async def test_a_client_comes_back_to_a_thread_larger_than_a_message(lab: Lab) -> None:
    lab.fake.add(say("one two three", deltas=3).hang(after=4))
    async with listened(lab) as (url, guests):

        async def connect() -> MessageStreams:
            return await open_ws(url, {"Authorization": "Bearer token"})

        with anyio.fail_after(60):
            async with CodexClient.open(await connect(), again=connect) as client:
                opened = await client.call("thread/start", {"cwd": str(lab.workspace)})
                thread_id: str = opened["thread"]["id"]
                ended: list[anyio.Event] = []
                client.listen(
                    thread_id, lambda m, _p: ended.pop().set() if m == "turn/completed" else None
                )
                for _ in range(17):
                    ended.append(done := anyio.Event())
                    asked = {"threadId": thread_id, "command": MEGABYTE}
                    await client.call("thread/shellCommand", asked)
                    await done.wait()
                ended.append(anyio.Event())
                async with client.turn(thread_id, {"input": [text("go")]}) as stream:
                    told = aiter(stream)
                    while (await anext(told))[0] != "item/agentMessage/delta":
                        pass
                    await guests[-1].aclose()
                    await client.call("thread/loaded/list", {})
                    lab.fake.resume()
                    heard = [entry async for entry in told]
                assert heard[-1][0] == "turn/completed"
                assert heard[-1][1]["turn"]["status"] == "completed"
                texts = [p["item"]["text"] for m, p in heard if m == "item/completed"]
                assert texts == ["one two three"]
                assert len(guests) == 2
