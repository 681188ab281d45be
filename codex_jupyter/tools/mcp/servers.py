"""The MCP servers of one session: started at its first turn, ended with it."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import anyio
import anyio.abc

from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.flow.requests import Answered, Outcome, Withdrawn
from codex_jupyter.ids import ItemId
from codex_jupyter.protocol.server_requests import McpServerElicitationAnswer
from codex_jupyter.settings.mcp_servers import McpServer
from codex_jupyter.tools.mcp.connection import McpConnection, McpServerError
from codex_jupyter.tools.mcp.results import form_schema, tool_name
from codex_jupyter.tools.mcp.tool import McpTool
from codex_jupyter.tools.registry import Json, Tool, ToolContext
from codex_jupyter.view.forms import ELICITATION

__all__ = ["McpServers"]

_MAX_RESTARTS: Final = 5
"""Times a server is started again in one session; one that dies more often is broken."""


@dataclass(eq=False, frozen=True, slots=True)
class _Running:
    """A call that a server works on."""

    server: str
    context: ToolContext
    item_id: ItemId
    mark: str = field(default_factory=lambda: secrets.token_hex(8))
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
            return await connection.call(tool, arguments, progress, mine.mark)
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

    async def _elicit(self, server: str, asked: Json, mark: str | None) -> Json:
        """Put a server's question to the user, in the turn whose call is running; else decline.

        Under a policy that shows no forms it is declined at once.

        Without a mark nothing tells to which of several calls it belongs. The newest asks, and
        the next one if that ends without an answer.
        """
        outcome: Outcome = Withdrawn("no call is running")
        while (mine := self._asking(server, mark)) is not None:
            if not mine.context.policy.shows_forms:
                return {"action": "decline"}
            outcome = Withdrawn("the call is over")
            # A form does not outlive the call, which may have a limit of its own.
            with mine.over.scope():
                outcome = await mine.context.ask(
                    ELICITATION, {"serverName": server, **_shaped(asked)}, mine.item_id, "form"
                )
            is_over = isinstance(outcome, Withdrawn) and mine.over.reason is not None
            if mark is not None or not is_over:
                break
        return _answer_of(outcome)

    def _asking(self, server: str, mark: str | None) -> _Running | None:
        """Return the call that asks: the one with the mark, without one the newest."""
        of_server = [call for call in self._running if call.server == server]
        marked = [call for call in of_server if call.mark == mark]
        return next(iter(marked if mark is not None else reversed(of_server)), None)


def _shaped(asked: Json) -> Json:
    """Return a question as clients get it: in one of the shapes that the original has for them."""
    told: Json = {"message": str(asked.get("message") or "")}
    if asked.get("_meta"):
        told["_meta"] = asked["_meta"]
    if asked.get("url"):
        named = asked.get("elicitationId") or secrets.token_hex(8)
        return {"mode": "url", "url": asked["url"], "elicitationId": named, **told}
    schema = form_schema(asked.get("requestedSchema") or {})
    return {"mode": "form", "requestedSchema": schema, **told}


def _answer_of(outcome: Outcome) -> Json:
    match outcome:
        case Answered(result):
            try:
                answer = McpServerElicitationAnswer.model_validate(result)
            except ValueError:
                return {"action": "decline"}
            content = answer.content if answer.action == "accept" else None
            return {"action": answer.action, "content": content}
        case Withdrawn():
            return {"action": "cancel"}
        case _:
            return {"action": "decline"}
