"""What a client may ask of the items of a thread, page by page or one by one."""

from typing import ClassVar, Literal

from codex_jupyter.protocol._wire import Count, WireModel
from codex_jupyter.protocol.items import ThreadItem

__all__ = [
    "ITEM_REQUESTS",
    "ItemsAnchor",
    "ItemsListParams",
    "ItemsReadParams",
    "OutputDeferral",
]


class ItemsAnchor(WireModel):
    """The item that a page begins after."""

    type: Literal["item"]
    item_id: str


class OutputDeferral(WireModel):
    """Which outputs to leave out; thread/items/read has them."""

    command_execution: bool = False
    mcp_tool_call: bool = False


class ItemsListParams(WireModel):
    """Page through the items of a thread, loaded or stored, or of one of its turns."""

    METHOD: ClassVar[str] = "thread/items/list"
    thread_id: str
    turn_id: str | None = None
    cursor: str | ItemsAnchor | None = None
    limit: Count | None = None
    """Items on a page, 1 to 100; default 25. A page also ends where its line would pass
    64 KiB."""

    sort_direction: Literal["asc", "desc"] | None = None
    """Oldest first by default."""

    defer_output: OutputDeferral | None = None


class ItemEntry(WireModel):
    """An item, and where and when it was."""

    turn_id: str
    item: ThreadItem
    started_at_ms: int | None = None
    completed_at_ms: int | None = None
    output_deferred: bool = False
    """Whether its output was left out."""


class ItemsListResult(WireModel):
    """The result of thread/items/list."""

    data: list[ItemEntry]
    next_cursor: str | None = None
    """Goes on in the same direction; absent on the last page."""

    backwards_cursor: str | None = None
    """Goes back, asked for with the other direction, from the first entry of this page on, which is
    told again as it is then; absent on an empty page."""


class ItemsReadParams(WireModel):
    """Read items of one turn by their ids, whole."""

    METHOD: ClassVar[str] = "thread/items/read"
    thread_id: str
    turn_id: str
    item_ids: list[str]
    """1 to 100. Those that the turn does not have are left out."""


class ItemsReadResult(WireModel):
    """The result of thread/items/read, in the order asked for."""

    data: list[ItemEntry]


ITEM_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "thread/items/list": (ItemsListParams, ItemsListResult),
    "thread/items/read": (ItemsReadParams, ItemsReadResult),
}
