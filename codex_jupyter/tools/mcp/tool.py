"""One tool of an MCP server, as the model calls it."""

import time
from collections.abc import Callable
from typing import Protocol

from pydantic_core import to_json

from codex_jupyter.ids import ItemId
from codex_jupyter.protocol.events import McpProgress
from codex_jupyter.tools.approval import Proposal, Rejected, approve, digest_of
from codex_jupyter.tools.mcp.connection import McpServerError
from codex_jupyter.tools.mcp.results import for_model
from codex_jupyter.tools.registry import Json, ToolCall, ToolContext, ToolOutput
from codex_jupyter.tools.visible import visible

__all__ = ["McpTool", "RunsCalls"]


class RunsCalls(Protocol):
    """Where calls go."""

    async def call(
        self,
        server: str,
        tool: str,
        arguments: Json,
        context: ToolContext,
        item_id: ItemId,
        progress: Callable[[str], None],
    ) -> Json:
        """Call a tool, starting its server again if it is gone."""
        ...


class McpTool:
    """Asked for like a command, whatever its server says of it: those are claims."""

    parallel = False

    def __init__(self, name: str, server: str, described: Json, servers: RunsCalls) -> None:
        self.name = name
        self._server = server
        self._described = described
        self._servers = servers

    def spec(self, *, freeform: bool) -> Json:  # noqa: ARG002 - every model takes functions
        """Describe the tool to the model."""
        return {
            "type": "function",
            "name": self.name,
            "description": str(self._described.get("description") or ""),
            "strict": False,
            "parameters": self._described.get("inputSchema") or {"type": "object"},
        }

    async def call(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Ask if need be, have the server run it, and return its result."""
        arguments = call.arguments()
        item: Json = {
            "type": "mcpToolCall",
            "id": call.item_id,
            "server": self._server,
            "tool": self._described["name"],
            "arguments": arguments,
            "status": "inProgress",
            "result": None,
            "error": None,
            "durationMs": None,
        }
        context.start_item(item)
        verdict = await approve(self._proposal(call, arguments, context), context)
        if isinstance(verdict, Rejected):
            error = {"message": verdict.reason}
            await context.complete_item({**item, "status": "failed", "error": error})
            return ToolOutput(f"{self.name} not run: {verdict.reason}", success=False)
        started = time.monotonic()
        result, problem = await self._run(call, arguments, context)
        good = problem is None and not (result or {}).get("isError")
        await context.complete_item(
            {
                **item,
                "status": "completed" if good else "failed",
                "result": result,
                "error": None if problem is None else {"message": problem},
                "durationMs": round((time.monotonic() - started) * 1000),
            }
        )
        if result is None:
            return ToolOutput(problem or "", success=False)
        return ToolOutput(for_model(result, context.output_tokens), success=good)

    async def _run(
        self, call: ToolCall, arguments: Json, context: ToolContext
    ) -> tuple[Json | None, str | None]:
        def progress(message: str) -> None:
            context.publish(McpProgress(call.item_id, message))

        with context.token.scope() as calling:
            try:
                result = await self._servers.call(
                    self._server,
                    str(self._described["name"]),
                    arguments,
                    context,
                    call.item_id,
                    progress,
                )
            except McpServerError as error:
                return None, str(error)
        return (None, "aborted by user") if calling.cancelled_caught else (result, None)

    def _proposal(self, call: ToolCall, arguments: Json, context: ToolContext) -> Proposal:
        shown = f"{self._described['name']}({to_json(arguments, indent=2).decode()})"
        return Proposal(
            what=f"this call of {self._described['name']}",
            method="item/commandExecution/requestApproval",
            params={
                "kind": "command",
                "command": visible(shown),
                "cwd": str(context.workspace),
                "reason": f"a tool of the MCP server `{self._server}`",
                "availableDecisions": ["accept", "acceptForSession", "decline", "cancel"],
            },
            item_id=call.item_id,
            digest=digest_of("mcp", self._server, self._described["name"], arguments),
            session_keys=(("mcp", self._server, str(self._described["name"])),),
            kind=None,
        )
