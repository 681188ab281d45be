"""The MCP servers that a client names, as the `config` of a thread: pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

__all__ = ["mcp_config"]

Json = dict[str, Any]


def mcp_config(
    servers: Sequence[Mapping[str, Any]], taken: Collection[str]
) -> tuple[Json, list[str]]:
    """Return the `config` that adds servers to those of config.toml, and what must be told.

    Args:
        servers: As the client names them, in wire shape.
        taken: Names in config.toml; a server with one of these gets another, because entries of
            one name are merged.
    """
    entries: dict[str, Json] = {}
    notices: list[str] = []
    for server in servers:
        given = str(server["name"])
        entry = _entry(server)
        if entry is None:
            kind = server.get("type")
            notices.append(
                f"The MCP server `{given}` is not used: servers are reached by a command or by "
                f"streamable HTTP here, not by {kind}."
            )
            continue
        entries[_free_name(given, {*taken, *entries})] = entry
    return ({"mcp_servers": entries} if entries else {}), notices


def _entry(server: Mapping[str, Any]) -> Json | None:
    match server:
        case {"type": "http", "url": str(url)}:
            headers = {entry["name"]: entry["value"] for entry in server.get("headers") or ()}
            return {"url": url, "http_headers": headers}
        case {"command": str(command)}:
            env = {entry["name"]: entry["value"] for entry in server.get("env") or ()}
            return {"command": command, "args": list(server.get("args") or ()), "env": env}
        case _:
            return None


def _free_name(given: str, taken: Collection[str]) -> str:
    number, name = 2, given
    while name in taken:
        number, name = number + 1, f"{given}_{number}"
    return name
