"""What a test of a tree of threads needs."""

import importlib
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tests.core.tree import Tree, growing
from tests.ports import free_port

MCP_PROGRAM = Path(__file__).parents[1] / "behaviour" / "mcp_program.py"


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncGenerator[Tree]:
    """A tree with the default settings."""
    async with growing(tmp_path) as tree:
        yield tree


@pytest.fixture(scope="module")
def mcp_address() -> Generator[str]:
    """Where an MCP server listens; one for all cells, because each takes a second to start."""
    pytest.importorskip("mcp.server.mcpserver", reason="the extra `mcp` (2.x) is not installed")
    port = free_port()
    command = [sys.executable, str(MCP_PROGRAM), "http", str(port)]
    program = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert program.stderr is not None
        # The library takes seconds to load, which no wait in a cell shall last.
        importlib.import_module("mcp.client.streamable_http")
        while "running on" not in (line := program.stderr.readline()):
            assert line, "the MCP server did not start"
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        program.kill()
        program.communicate()
