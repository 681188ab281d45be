"""What a client may ask of the past of a thread, page by page."""

from typing import ClassVar, Literal

from codex_jupyter.protocol._wire import WireModel
from codex_jupyter.protocol.shapes import Turn

__all__ = ["HISTORY_REQUESTS", "TurnsListParams", "TurnsListResult"]


class TurnsListParams(WireModel):
    """Page through the turns of a thread, loaded or stored."""

    METHOD: ClassVar[str] = "thread/turns/list"
    thread_id: str
    cursor: str | None = None
    limit: int | None = None
    """Turns on a page, 1 to 100; default 25."""

    sort_direction: Literal["asc", "desc"] | None = None
    """Newest first by default."""

    items_view: Literal["notLoaded", "summary", "full"] | None = None
    """``summary``, the default, has what the user said and the last answer."""


class TurnsListResult(WireModel):
    """The result of thread/turns/list."""

    data: list[Turn]
    next_cursor: str | None = None
    """Goes on in the same direction; absent on the last page."""

    backwards_cursor: str | None = None
    """Goes back, asked for with the other direction; absent on an empty page."""


HISTORY_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "thread/turns/list": (TurnsListParams, TurnsListResult),
}
