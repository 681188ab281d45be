"""Tools of MCP servers. The library that speaks the protocol is loaded when one is configured."""

from codex_jupyter.tools.mcp.servers import McpServers

__all__ = ["McpServers"]
