"""Jupyter AI's own ACP client drives our agent: a real chat document, a real process.

The persona is theirs too, and needs a whole JupyterLab; what their client asks of one is here.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import LIMIT, environment
from tests.fake_model import call, say

jupyter_ai = pytest.importorskip(
    "jupyter_ai_acp_client.default_acp_client",
    reason="jupyter-ai-acp-client is not installed (extra `acp-test`)",
    exc_type=ImportError,
)

pytestmark = [
    pytest.mark.anyio,
    # Their packages warn of each other's deprecations.
    pytest.mark.filterwarnings("default"),
]


class Persona:
    """What their client asks of a persona."""

    def __init__(self, folder: Path) -> None:
        self.id = "codex"
        self.log = logging.getLogger("persona")
        self.chat: Any = import_module("jupyterlab_chat.ychat").YChat()
        self.parent = SimpleNamespace(root_dir=str(folder))
        self.folder = folder
        self.context: Any = None

    def get_chat_dir(self) -> str:
        return str(self.folder)

    def get_mcp_settings(self) -> None:
        return None

    def set_status(self) -> None: ...

    def clear_status(self) -> None: ...

    def update_acp_context_usage(self, usage: Any) -> None:
        self.context = usage

    def _sync_awareness_usage(self) -> None: ...

    @property
    def said(self) -> str:
        return "\n".join(message.body for message in self.chat.get_messages())


@asynccontextmanager
async def chatting(lab: Lab) -> AsyncGenerator[tuple[Any, Persona]]:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "codex_jupyter.cli", "acp"],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=50 * 1024 * 1024,
        env=environment(lab.home),
    )
    client: Any = jupyter_ai.JaiAcpClient(
        agent_subprocess=process, event_loop=asyncio.get_running_loop()
    )
    try:
        with anyio.fail_after(30):
            await client.get_connection()
        yield client, Persona(lab.workspace)
        await (await client.get_connection()).close()
    finally:
        process.kill()
        await process.wait()


async def until(is_true: Any) -> None:
    with anyio.fail_after(LIMIT):
        while not is_true():
            await anyio.sleep(0.01)


async def test_a_chat_is_answered_and_told_how_full_the_context_is(lab: Lab) -> None:
    lab.configure("model_context_window = 1000")
    lab.fake.add(say("The answer is 42.", deltas=5).with_usage(100, 20))
    async with chatting(lab) as (client, persona):
        session = await client.create_session(persona)
        assert session.modes.current_mode_id == "on-request"
        answer = await client.prompt_and_reply(session.session_id, "What is it?")
        assert answer.stop_reason == "end_turn"
        await until(lambda: "The answer is 42." in persona.said)
        # Its library takes what it is told in tasks of their own: the answer may be the first.
        await until(lambda: persona.context is not None)
        assert (persona.context.used, persona.context.size) == (120, 1000)


async def test_a_button_in_the_chat_lets_a_command_run(lab: Lab) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"), say("Ok"))
    async with chatting(lab) as (client, persona):
        session = await client.create_session(persona)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.prompt_and_reply, session.session_id, "Go")
            await until(lambda: client.resolve_permission(session.session_id, "c1", "accept"))
        await until(lambda: "Ok" in persona.said)
    assert (lab.workspace / "made").exists()


async def test_the_stop_button_ends_the_turn(lab: Lab) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"))
    async with chatting(lab) as (client, persona):
        session = await client.create_session(persona)
        ends: list[str] = []

        async def prompt() -> None:
            answer = await client.prompt_and_reply(session.session_id, "Go")
            ends.append(answer.stop_reason)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(prompt)
            await until(lambda: client._tool_call_manager.get_tool_call(session.session_id, "c1"))
            await client.stop_streaming(session.session_id)
        assert ends == ["cancelled"]
    assert not (lab.workspace / "made").exists()
