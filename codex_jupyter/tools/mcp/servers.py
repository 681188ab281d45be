"""The MCP servers of one session: started at its first turn, ended with it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import anyio
import anyio.abc

from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.flow.requests import Answered
from codex_jupyter.ids import ItemId
from codex_jupyter.settings.mcp_servers import McpServer
from codex_jupyter.tools.mcp.connection import McpConnection, McpServerError
from codex_jupyter.tools.mcp.results import answers_of, questions_of, tool_name
from codex_jupyter.tools.mcp.tool import McpTool
from codex_jupyter.tools.registry import Json, Tool, ToolContext

__all__ = ["McpServers"]

_MAX_RESTARTS: Final = 5
"""Times a server is started again in one session; one that dies more often is broken."""


@dataclass(eq=False, frozen=True, slots=True)
class _Running:
    """A call that a server works on."""

    server: str
    context: ToolContext
    item_id: ItemId
    over: CancelToken = field(default_factory=CancelToken)


class McpServers:
    """Starts servers, finds their tools, and starts one again that has died.

    Args:
        servers: What is configured and enabled.
        environ: Where programs get the few variables they inherit, and tokens are found.
    """

    def __init__(self, servers: Mapping[str, McpServer], environ: Mapping[str, str]) -> None:
        self._connections = {
            name: McpConnection(server, environ, partial(self._elicit, name))
            for name, server in servers.items()
        }
        self._running: list[_Running] = []
        self._starting = anyio.Lock()
        self._restarts: dict[str, int] = {}
        self._tasks: anyio.abc.TaskGroup | None = None
        self._tools: list[Tool] | None = None

    @property
    def status(self) -> list[Json]:
        """What is known of each server, as `mcpServerStatus/list` tells it."""
        return [
            {
                "name": name,
                "authStatus": "bearerToken" if known.server.bearer_token_env_var else "unsupported",
                "tools": {str(tool["name"]): tool for tool in known.tools},
                "resources": [],
                "resourceTemplates": [],
                "toolsError": known.problem,
            }
            for name, known in self._connections.items()
        ]

    async def tools(
        self, tasks: anyio.abc.TaskGroup, warn: Callable[[str], None]
    ) -> Sequence[Tool]:
        """Return the tools of all servers, starting the servers at the first call, side by side.

        Args:
            tasks: Owns the connections.
            warn: Told of each server that is left out because it does not start.

        Raises:
            McpServerError: A required server does not start.
        """
        if not self._connections:
            return ()
        async with self._starting:
            if self._tools is None:
                self._tasks = tasks
                problems = await self._start_all(tasks)
                for name, problem in problems.items():
                    if self._connections[name].server.required:
                        raise problem
                    warn(f"{problem}. Its tools are left out")
                self._tools = self._found()
        return self._tools

    def reload(self) -> None:
        """Look for tools anew at the next turn; servers that do not run are started again."""
        self._tools = None
        self._restarts.clear()

    async def call(
        self,
        server: str,
        tool: str,
        arguments: Json,
        context: ToolContext,
        item_id: ItemId,
        progress: Callable[[str], None],
    ) -> Json:
        """Call a tool; a server that has died is started again first.

        Raises:
            McpServerError: It cannot be called.
        """
        connection = self._connections[server]
        await self._revive(connection)
        mine = _Running(server, context, item_id)
        self._running.append(mine)
        try:
            return await connection.call(tool, arguments, progress)
        finally:
            self._running.remove(mine)
            mine.over.cancel("the call is over")

    async def aclose(self) -> None:
        """End every server."""
        self._tasks = None
        async with anyio.create_task_group() as closing:
            for connection in self._connections.values():
                closing.start_soon(connection.aclose)

    async def _start_all(self, tasks: anyio.abc.TaskGroup) -> dict[str, McpServerError]:
        problems: dict[str, McpServerError] = {}

        async def start(name: str, connection: McpConnection) -> None:
            try:
                await connection.start(tasks)
            except McpServerError as problem:
                problems[name] = problem

        async with anyio.create_task_group() as starting:
            for name, connection in self._connections.items():
                if not connection.is_ready:
                    starting.start_soon(start, name, connection)
        return problems

    async def _revive(self, connection: McpConnection) -> None:
        async with self._starting:
            if connection.is_ready:
                return
            name = connection.server.name
            tried = self._restarts[name] = self._restarts.get(name, 0) + 1
            if self._tasks is None or tried > _MAX_RESTARTS:
                raise McpServerError(
                    f"MCP server `{name}` has ended {tried} times; look at its configuration"
                )
            await connection.start(self._tasks)

    def _found(self) -> list[Tool]:
        tools: dict[str, Tool] = {}
        for name, connection in self._connections.items():
            server = connection.server
            for described in connection.tools:
                tool = str(described.get("name"))
                chosen = server.enabled_tools
                if tool in server.disabled_tools or (chosen is not None and tool not in chosen):
                    continue
                called = tool_name(name, tool, tools.keys())
                tools[called] = McpTool(called, name, described, self)
        return list(tools.values())

    async def _elicit(self, server: str, message: str, schema: Json) -> Json | None:
        """Put a server's form to the user, in the turn whose call is running; else decline.

        A server does not say to which of several calls a form belongs; the newest asks.
        """
        mine = next((call for call in reversed(self._running) if call.server == server), None)
        if mine is None:
            return None
        asked: Json = {"questions": questions_of(message, schema), "isBlocking": True}
        outcome: Any = None
        # A form does not outlive the call, which may have a limit of its own.
        with mine.over.scope():
            outcome = await mine.context.ask(
                "item/tool/requestUserInput", asked, mine.item_id, "userInput"
            )
        if not isinstance(outcome, Answered):
            return None
        result: Any = outcome.result
        answers: Any = result.get("answers") if isinstance(result, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return answers_of(schema, answers) if isinstance(answers, dict) else None  # pyright: ignore[reportUnknownArgumentType]
