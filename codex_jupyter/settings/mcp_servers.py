"""MCP servers: programs and addresses whose tools the model may call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from codex_jupyter.errors import ConfigError

__all__ = ["McpServer", "mcp_servers_from"]


@dataclass(frozen=True, slots=True)
class McpServer:
    """One entry of ``[mcp_servers]``. Its text form shows no credential."""

    name: str
    command: str | None = None
    """A program that speaks MCP on its standard input and output; or else `url`."""

    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False, hash=False)
    env_vars: tuple[str, ...] = ()
    """Variables of ours that the program also gets; it gets few by itself and no keys."""

    cwd: str | None = None
    url: str | None = field(default=None, repr=False)
    """An address of the streamable HTTP transport."""

    bearer_token_env_var: str | None = None
    http_headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False, hash=False)
    env_http_headers: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    enabled: bool = True
    required: bool = False
    """Whether a turn fails when the server cannot be started; else it is left out."""

    startup_timeout: float = 10.0
    """Seconds."""

    tool_timeout: float = 120.0
    """Seconds of one call."""

    enabled_tools: tuple[str, ...] | None = None
    disabled_tools: tuple[str, ...] = ()


def mcp_servers_from(tables: Mapping[str, Any], source: str) -> dict[str, McpServer]:
    """Return the servers of a checked ``[mcp_servers]`` table that are enabled, by name.

    Raises:
        ConfigError: One has neither a command nor an address, or both.
    """
    servers = {name: _server(name, table) for name, table in tables.items()}
    for name, server in servers.items():
        if (server.command is None) == (server.url is None):
            raise ConfigError(
                source, "needs either `command` or `url`, not both", key=f"mcp_servers.{name}"
            )
    return {name: server for name, server in servers.items() if server.enabled}


def _server(name: str, table: Mapping[str, Any]) -> McpServer:
    same = (
        "command",
        "env",
        "cwd",
        "url",
        "bearer_token_env_var",
        "http_headers",
        "env_http_headers",
        "enabled",
        "required",
    )
    members: dict[str, Any] = {key: table[key] for key in same if key in table}
    for key in ("args", "env_vars", "enabled_tools", "disabled_tools"):
        if key in table:
            members[key] = tuple(table[key])
    for key, name_here in (
        ("startup_timeout_sec", "startup_timeout"),
        ("tool_timeout_sec", "tool_timeout"),
    ):
        if key in table:
            members[name_here] = float(table[key])
    return McpServer(name, **members)
