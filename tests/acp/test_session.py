"""A session and a client that is slow, or never answers: what it is told and asked, and when."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from codex_jupyter.acp.session import Front, Session
from codex_jupyter.client.aio import CodexClient
from codex_jupyter.embedding import open_in_process
from codex_jupyter.settings import Settings
from codex_jupyter.transports.streams import memory_pair
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import LIMIT, environment
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

Json = dict[str, Any]


@dataclass
class Client:
    """Takes updates while its gate is open; answers questions when it is told to."""

    told: list[Json] = field(default_factory=list[Json])
    asked: anyio.Event = field(default_factory=anyio.Event)
    gate: anyio.Event = field(default_factory=anyio.Event)
    answer: anyio.Event = field(default_factory=anyio.Event)
    stopped_asking: anyio.Event = field(default_factory=anyio.Event)
    waits: anyio.Event = field(default_factory=anyio.Event)

    async def tell(self, session_id: str, update: Json) -> None:
        if update["sessionUpdate"] == "tool_call":
            self.waits.set()
            await self.gate.wait()
        self.told.append(update)

    async def ask(self, session_id: str, tool_call: Json, options: list[Json]) -> Json:
        self.asked.set()
        try:
            await self.answer.wait()
        finally:
            self.stopped_asking.set()
        return {"outcome": "selected", "optionId": "accept"}


@asynccontextmanager
async def session_of(lab: Lab, client: Client) -> AsyncGenerator[Session]:
    sessions: list[Session] = []

    async def answer(method: str, params: Json, request_id: str | int) -> Json:
        return await sessions[0].answer(method, params, str(request_id))

    def heard(method: str, params: Json) -> None:
        if method == "serverRequest/resolved":
            sessions[0].withdraw(str(params["requestId"]))

    settings = Settings.load(environ=environment(lab.home))
    async with open_in_process(settings, answer=answer) as core:
        core.listen(None, heard)
        opened = await core.call("thread/start", {"cwd": str(lab.workspace)})
        sessions.append(Session(core, opened, Front(client.tell, client.ask)))
        yield sessions[0]


HELLO = [{"type": "text", "text": "Go."}]


async def test_a_question_waits_until_the_client_knows_what_it_is_about(lab: Lab) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"), say("Ok"))
    client, ends = Client(), list[str]()

    async def prompt(session: Session) -> None:
        ends.append(await session.prompt(HELLO))

    with anyio.fail_after(LIMIT):
        async with session_of(lab, client) as session, anyio.create_task_group() as tasks:
            tasks.start_soon(prompt, session)
            await client.waits.wait()
            await anyio.wait_all_tasks_blocked()
            assert not client.asked.is_set()
            client.gate.set()
            await client.asked.wait()
            assert [u["toolCallId"] for u in client.told if "toolCallId" in u] == ["c1"]
            client.answer.set()
    assert ends == ["end_turn"]


async def test_a_client_that_never_answers_is_not_waited_for_after_a_cancel(lab: Lab) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"))
    client, ends = Client(), list[str]()
    client.gate.set()

    async def prompt(session: Session) -> None:
        ends.append(await session.prompt(HELLO))

    with anyio.fail_after(LIMIT):
        async with session_of(lab, client) as session, anyio.create_task_group() as tasks:
            tasks.start_soon(prompt, session)
            await client.asked.wait()
            await session.cancel()
            await client.stopped_asking.wait()
    assert (ends, client.answer.is_set()) == (["cancelled"], False)
    assert not (lab.workspace / "made").exists()


async def test_a_cancel_between_the_prompt_and_the_servers_answer_counts(lab: Lab) -> None:
    lab.fake.add(say("never").hang(after=0))
    client, ends = Client(), list[str]()

    async def prompt(session: Session) -> None:
        ends.append(await session.prompt(HELLO))

    with anyio.fail_after(LIMIT):
        async with session_of(lab, client) as session, anyio.create_task_group() as tasks:
            tasks.start_soon(prompt, session)
            while session._prompt is None:
                await anyio.lowlevel.checkpoint()
            assert session._prompt.stream is None
            await session.cancel()
    assert ends == ["cancelled"]


class Server:
    """The server's end, spoken by hand: two messages of it arrive at once."""

    def __init__(self) -> None:
        self.ours, self._theirs = memory_pair()
        self._turn_id = ""

    async def serve(self) -> None:
        try:
            with suppress(anyio.EndOfStream):
                while True:
                    for message in await self._theirs.receive():
                        assert isinstance(message, dict)
                        await self._take(message)
        finally:
            await self._theirs.aclose()

    async def _take(self, message: Json) -> None:
        match message.get("method"):
            case "turn/start":
                self._turn_id = message["params"]["turnId"]
                await self._theirs.send([{"id": message["id"], "result": self._turn()}])
                whose = {"threadId": "t", "turnId": self._turn_id}
                params = {**whose, "itemId": "c1", "command": "touch made", "digest": None}
                method = "item/commandExecution/requestApproval"
                resolved = {**whose, "requestId": "r1"}
                await self._theirs.send(
                    [
                        {"id": "r1", "method": method, "params": params},
                        {"method": "serverRequest/resolved", "params": resolved},
                    ]
                )
            case None if message.get("id") == "r1":  # an answer, which comes too late
                told = {"threadId": "t", **self._turn("completed")}
                await self._theirs.send([{"method": "turn/completed", "params": told}])
            case None | "initialized":
                return
            case _:
                await self._theirs.send([{"id": message["id"], "result": {}}])

    def _turn(self, status: str = "inProgress") -> Json:
        return {"turn": {"id": self._turn_id, "status": status, "items": []}}


async def test_a_question_that_is_settled_as_it_comes_is_not_put() -> None:
    server, client, sessions = Server(), Client(), list[Session]()
    client.answer.set()

    async def answer(method: str, params: Json, request_id: str | int) -> Json:
        return await sessions[0].answer(method, params, str(request_id))

    def heard(method: str, params: Json) -> None:
        if method == "serverRequest/resolved":
            sessions[0].withdraw(str(params["requestId"]))

    opened = {"thread": {"id": "t"}, "cwd": "/", "sandbox": {}, "model": "m"}
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve)
            async with CodexClient.open(server.ours, answer=answer) as core:
                core.listen(None, heard)
                sessions.append(Session(core, opened, Front(client.tell, client.ask)))
                assert await sessions[0].prompt(HELLO) == "end_turn"
            tasks.cancel_scope.cancel()
    assert not client.asked.is_set()
