"""A client of a server that may not be ours: ids, and what is noted of each thread's policy."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from codex_jupyter.client.foreign import CodePolicy, ForeignClient
from codex_jupyter.errors import RemoteError
from codex_jupyter.protocol.jsonrpc import METHOD_NOT_FOUND
from codex_jupyter.transports.streams import memory_pair
from tests.behaviour.conftest import Lab, lab
from tests.behaviour.talk import background
from tests.fake_model import say

__all__ = ["lab"]

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
CHOSEN = "0192f0f0-0000-7000-8000-000000000000"


async def _answer(method: str, params: Json, request_id: str | int) -> Json:
    raise RemoteError(METHOD_NOT_FOUND, method)


@asynccontextmanager
async def client_of(lab: Lab) -> AsyncGenerator[ForeignClient]:
    ours, theirs = memory_pair()
    async with lab.serving() as server, background() as tasks:
        tasks.start_soon(server.serve, theirs)
        async with ForeignClient.open(ours, answer=_answer) as client:
            assert isinstance(client, ForeignClient)
            yield client


async def talk(client: ForeignClient, thread_id: str, **changes: Any) -> str:
    params = {"turnId": CHOSEN, "input": [{"type": "text", "text": "Hi"}], **changes}
    async with client.turn(thread_id, params) as stream:
        heard = [method async for method, _ in stream]
    assert heard[-1] == "turn/completed"
    return stream.turn_id


async def test_the_server_gives_the_ids(lab: Lab) -> None:
    lab.fake.add(say("One"), say("Two"))
    async with client_of(lab) as client:
        asked = {"cwd": str(lab.workspace), "threadId": CHOSEN}
        thread_id = (await client.call("thread/start", asked))["thread"]["id"]
        assert thread_id != CHOSEN
        turns = [await talk(client, thread_id) for _ in range(2)]
        page = await client.call("thread/turns/list", {"threadId": thread_id})
        assert [turn["id"] for turn in page["data"]] == turns[::-1]
        assert CHOSEN not in turns


async def test_a_threads_policy_is_followed_through_its_turns(lab: Lab) -> None:
    lab.fake.add(say("One"), say("Two"), say("Three"))
    async with client_of(lab) as client:
        asked = {"cwd": str(lab.workspace), "approvalPolicy": "never", "sandbox": "read-only"}
        opened = await client.call("thread/start", asked)
        thread_id = opened["thread"]["id"]
        assert client.policy_of(thread_id).verdict == "refuse"
        await talk(client, thread_id, sandboxPolicy={"type": "dangerFullAccess"})
        assert client.policy_of(thread_id).verdict == "allow"
        await talk(client, thread_id)
        assert client.policy_of(thread_id).verdict == "allow"
        await talk(client, thread_id, approvalPolicy="untrusted")
        assert client.policy_of(thread_id) == CodePolicy("untrusted", full_access=True)
        resumed = await client.call("thread/resume", {"threadId": thread_id})
        assert resumed["approvalPolicy"] == "untrusted"
        assert client.policy_of(thread_id).verdict == "ask"


async def test_a_refused_turn_changes_no_policy(lab: Lab) -> None:
    async with client_of(lab) as client:
        asked = {"cwd": str(lab.workspace), "approvalPolicy": "on-request"}
        thread_id = (await client.call("thread/start", asked))["thread"]["id"]
        free: Json = {"approvalPolicy": "never", "sandboxPolicy": {"type": "dangerFullAccess"}}
        with pytest.raises(RemoteError):
            await client.call("turn/start", {"threadId": thread_id, "input": [], **free})
        assert client.policy_of(thread_id).verdict == "ask"


def test_a_thread_nobody_told_of_asks() -> None:
    assert CodePolicy("on-request", full_access=True).verdict == "ask"


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        ({"sandbox_approval": True, "rules": True, "mcp_elicitations": False}, "ask"),
        ({"sandbox_approval": False, "rules": True, "mcp_elicitations": True}, "refuse"),
    ],
)
async def test_flags_decide_about_code_too(lab: Lab, policy: Json, verdict: str) -> None:
    async with client_of(lab) as client:
        asked = {"cwd": str(lab.workspace), "approvalPolicy": {"granular": policy}}
        thread_id = (await client.call("thread/start", asked))["thread"]["id"]
        assert client.policy_of(thread_id).verdict == verdict
