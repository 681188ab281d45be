"""The methods around MCP servers."""

from collections.abc import Awaitable, Callable
from typing import Any

from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.ids import parse_thread_id
from codex_jupyter.protocol.mcp_requests import McpReloadParams, McpStatusListParams
from codex_jupyter.server.paging import page_of
from codex_jupyter.server.params import read_params
from codex_jupyter.server.subscriptions import Connection
from codex_jupyter.tools.mcp import McpServers

__all__ = ["McpHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]


class McpHandlers:
    """See them, and look for them anew."""

    def __init__(self, threads: ThreadManager) -> None:
        self._threads = threads
        self.methods: dict[str, Method] = {
            "mcpServerStatus/list": self._list,
            "config/mcpServer/reload": self._reload,
        }

    async def _list(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(McpStatusListParams, params)
        servers = self._status(asked.thread_id)
        if asked.server_name is not None:
            servers = [server for server in servers if server["name"] == asked.server_name]
        data, following = page_of(servers, asked.cursor, asked.limit, "MCP servers")
        return {"data": data, "nextCursor": following}

    def _status(self, thread_id: str | None) -> list[Json]:
        if thread_id is not None:
            return self._threads.get(parse_thread_id(thread_id)).mcp.status
        for loaded in self._threads.loaded:
            status = self._threads.get(loaded).mcp.status
            if any(server["tools"] for server in status):
                return status
        return McpServers(self._threads.settings.mcp_servers, {}).status

    async def _reload(self, _connection: Connection, params: Any) -> Json:
        read_params(McpReloadParams, params)
        for thread_id in self._threads.loaded:
            self._threads.get(thread_id).mcp.reload()
        return {}
