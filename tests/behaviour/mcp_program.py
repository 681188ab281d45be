"""An MCP server for the tests, made with the library: `python mcp_program.py [http PORT]`."""

import os
import subprocess
import sys
import time
from pathlib import Path

from mcp.server.mcpserver import Context, Image, MCPServer
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
    import anyio

    await anyio.sleep(60)
    return "never"


@server.tool()
async def choose(context: Context) -> str:
    """Ask the user."""
    answer = await context.elicit("What shall it be?", Wish)
    return str(getattr(answer, "data", answer.action))


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
