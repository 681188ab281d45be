"""A reload of the MCP servers that comes while they are being started."""

import os
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from codex_jupyter.settings.mcp_servers import McpServer
from codex_jupyter.tools.mcp import McpServers

pytest.importorskip("mcp.client.stdio", reason="the extra `mcp` is not installed")
pytestmark = pytest.mark.anyio


async def test_what_is_started_before_a_reload_is_looked_at_again_after_it(tmp_path: Path) -> None:
    gate, warnings = tmp_path / "gate", list[str]()
    os.mkfifo(gate)
    # It reads until the test lets it end, so its start fails then.
    server = McpServer("slow", command="/bin/sh", args=("-c", f'read line < "{gate}"; exit 1'))
    servers = McpServers({"slow": server}, os.environ)

    async def reload_then_let_it_end() -> None:
        # Opening it for writing waits for the reader, so the server runs by then.
        writer = await anyio.to_thread.run_sync(os.open, gate, os.O_WRONLY)
        servers.reload()
        os.close(writer)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            async with anyio.create_task_group() as turn:
                turn.start_soon(servers.tools, tasks, warnings.append)
                turn.start_soon(reload_then_let_it_end)
            gate.unlink()
            await servers.tools(tasks, warnings.append)
            # Once more without a reload: nothing is started.
            await servers.tools(tasks, warnings.append)
            await servers.aclose()
    assert len(warnings) == 2
