"""What a client may ask of the MCP servers."""

from typing import Any, ClassVar, Literal

from codex_jupyter.protocol._wire import Count, WireModel

__all__ = ["MCP_REQUESTS", "McpReloadParams", "McpStatusListParams"]


class McpStatusListParams(WireModel):
    """List the configured servers, and what is known of them in a loaded thread."""

    METHOD: ClassVar[str] = "mcpServerStatus/list"
    cursor: str | None = None
    limit: Count | None = None
    thread_id: str | None = None
    """Ours: the thread whose servers are meant; default: any loaded one that has started them."""

    server_name: str | None = None
    """Tell only of this one."""

    detail: Literal["full", "toolsAndAuthOnly"] | None = None
    """Both tell the same here: resources are not looked at."""


class McpServerStatus(WireModel):
    """One server."""

    name: str
    auth_status: str
    tools: dict[str, Any]
    resources: list[Any]
    resource_templates: list[Any]
    tools_error: str | None = None


class McpStatusListResult(WireModel):
    """The result of mcpServerStatus/list."""

    data: list[McpServerStatus]
    next_cursor: str | None = None


class McpReloadParams(WireModel):
    """Look for tools anew, at the next turn of each thread; servers that died start again."""

    METHOD: ClassVar[str] = "config/mcpServer/reload"


class McpReloadResult(WireModel):
    """The result of config/mcpServer/reload."""


MCP_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "mcpServerStatus/list": (McpStatusListParams, McpStatusListResult),
    "config/mcpServer/reload": (McpReloadParams, McpReloadResult),
}
