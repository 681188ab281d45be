"""MCP servers that an editor names, and the end of a session."""

import sys
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from codex_jupyter.acp.mcp_servers import mcp_config
from tests.acp.editor import START_LIMIT, editing, said, started
from tests.behaviour.conftest import Lab
from tests.fake_model import call, say

acp = pytest.importorskip("acp", reason="the extra `acp` is not installed")
pytest.importorskip("mcp.server.mcpserver", reason="the extra `mcp` (2.x) is not installed")

pytestmark = pytest.mark.anyio

ASKER = Path(__file__).parents[1] / "interop" / "mcp_asker.py"


def asker(name: str = "things") -> Any:
    command = {"name": name, "command": sys.executable, "args": [str(ASKER)], "env": []}
    return acp.schema.McpServerStdio.model_validate(command)


def children(pid: int) -> list[psutil.Process]:
    found = psutil.Process(pid).children(recursive=True)
    return [child for child in found if str(ASKER) in child.cmdline()]


async def test_a_server_that_the_editor_names_is_used_until_the_session_closes(lab: Lab) -> None:
    form = call("mcp__things__form", {}, call_id="c1")
    lab.fake.add(form, say("Done"), say("slow", deltas=3).hang(after=3), say("Back"))
    async with editing(lab.home) as editor:
        editor.limit = START_LIMIT  # the library takes seconds to load
        agent = editor.agent
        session = await agent.new_session(cwd=str(lab.workspace), mcp_servers=[asker()])
        known = session.session_id
        async with started(editor, known) as reasons:
            (await editor.asked(1)).choose("accept")
            colour = await editor.asked(2)
            assert [option["name"] for option in colour.options] == ["red", "blue", "No answer"]
            colour.choose("1")
        assert reasons == ["end_turn"]
        output = lab.fake.requests[1]["input"][-1]["output"]
        assert '"colour": "blue"' in output
        assert len(children(editor.process.pid)) == 1
        # Closing ends the prompt that is being answered, and the server.
        async with started(editor, known, "again") as reasons:
            await editor.until(lambda: said(editor.updates(known)) != "Done")
            with anyio.fail_after(START_LIMIT):
                await agent.close_session(session_id=known)
        assert reasons == ["cancelled"]
        assert children(editor.process.pid) == []
        gone = await editor.refused(agent.close_session(session_id=known))
        assert "there is no session" in str(gone)
        # It is stored, and loaded again without the server.
        lab.fake.resume()
        await agent.load_session(cwd=str(lab.workspace), session_id=known, mcp_servers=[])
        assert await editor.prompt(known) == "end_turn"
        names = [tool.get("name") for tool in lab.fake.requests[-1]["tools"]]
        assert "mcp__things__form" not in names


async def test_a_loaded_session_gets_the_servers_that_are_named_then(lab: Lab) -> None:
    lab.fake.add(say("One"), say("Two"), say("Three"))
    async with editing(lab.home) as editor:
        editor.limit = START_LIMIT  # the library takes seconds to load
        session = await editor.begin(lab.workspace)
        known = session.session_id
        await editor.prompt(known)
        load = {"cwd": str(lab.workspace), "session_id": known, "mcp_servers": [asker()]}
        await editor.agent.load_session(**load)
        await editor.prompt(known)
        assert "open already" in said(editor.updates(known), "agent_thought_chunk")
        await editor.agent.close_session(session_id=known)
        await editor.agent.load_session(**load)
        await editor.prompt(known)
        names = [tool.get("name") for tool in lab.fake.requests[-1]["tools"]]
        assert "mcp__things__form" in names


def test_servers_become_entries_of_the_config() -> None:
    servers = [
        {"name": "a", "command": "run", "args": ["-x"], "env": [{"name": "K", "value": "v"}]},
        {"name": "b", "type": "http", "url": "http://b", "headers": [{"name": "H", "value": "w"}]},
        {"name": "a", "command": "other", "args": [], "env": []},
        {"name": "c", "type": "sse", "url": "http://c", "headers": []},
    ]
    config, notices = mcp_config(servers, {"b"})
    assert config["mcp_servers"] == {
        "a": {"command": "run", "args": ["-x"], "env": {"K": "v"}},
        "b_2": {"url": "http://b", "http_headers": {"H": "w"}},
        "a_2": {"command": "other", "args": [], "env": {}},
    }
    (notice,) = notices
    assert "`c` is not used" in notice
    assert mcp_config([], {"b"}) == ({}, [])
