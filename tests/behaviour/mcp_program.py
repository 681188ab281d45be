"""An MCP server for the tests, made with the library: `python mcp_program.py [http PORT]`."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.shared.message import ServerMessageMetadata
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult
from pydantic import BaseModel

server = MCPServer("things")


class Wish(BaseModel):
    colour: str
    count: int


@server.tool()
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return f"the sum is {a + b}"


@server.tool()
def environment() -> str:
    """Tell the names of the variables."""
    return " ".join(sorted(os.environ))


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("this tool always fails")


@server.tool()
def picture() -> Image:
    """Show a picture."""
    return Image(data=b"\x89PNG", format="png")


@server.tool()
async def slow(context: Context) -> str:
    """Take long."""
    await context.report_progress(1, 4, "a quarter")
    await anyio.sleep(60)
    return "never"


@server.tool()
async def choose(context: Context) -> str:
    """Ask the user."""
    answer = await context.elicit("What shall it be?", Wish)
    return str(getattr(answer, "data", answer.action))


@server.tool()
async def visit(context: Context) -> str:
    """Send the user to an address."""
    answer = await context.elicit_url("Log in there", "https://example.com/login", "e-1")
    return answer.action


both_are_here: list[anyio.Event] = []


@server.tool()
async def choose_for(who: str, echo: bool, context: Context) -> str:
    """Ask the user for one of two callers, when both have called."""
    both_are_here.append(anyio.Event())
    if len(both_are_here) == 2:
        for event in both_are_here:
            event.set()
    await both_are_here[0].wait()
    schema = {"type": "object", "properties": {"colour": {"type": "string"}}}
    meta: Any = context.request_context.meta if echo else None
    params = ElicitRequestFormParams(message=who, requested_schema=schema, _meta=meta)
    answer = await context.session.send_request(
        ElicitRequest(params=params),
        ElicitResult,
        metadata=ServerMessageMetadata(related_request_id=context.request_id),
    )
    return f"{who}: {answer.content}"


@server.tool()
def die() -> str:
    """End the server, leaving a child."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    Path("child").write_text(str(child.pid))
    os._exit(1)


@server.tool()
def leave_child() -> str:
    """Start a child in a session of its own."""
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True
    )
    Path("child").write_text(str(child.pid))
    return "left"


if __name__ == "__main__":
    if sys.argv[1:2] == ["http"]:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
    elif sys.argv[1:2] == ["broken"]:
        sys.exit("the key is missing")
    elif sys.argv[1:2] == ["mute"]:
        time.sleep(60)
    else:
        server.run()
