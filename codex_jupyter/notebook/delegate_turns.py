"""What the delegates of a turn say, kept for whoever opens one of them in the view."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from codex_jupyter.errors import CodexError
from codex_jupyter.view.turn_state import TurnState

if TYPE_CHECKING:
    from codex_jupyter.client.aio import CodexClient

__all__ = ["DelegateTurns", "items_of_delegates"]

Json = dict[str, Any]

_WHOLE: Final = 64 * 1024 * 1024


class DelegateTurns:
    """The newest turn of each delegate of one turn; on the core's loop.

    Args:
        parent: The turn's own state, which knows its delegates.
    """

    def __init__(self, parent: TurnState) -> None:
        self._parent = parent
        self._turns: dict[str, tuple[str, TurnState]] = {}

    def hear(self, method: str, params: Json) -> None:
        """Take a notification of any thread."""
        thread_id = str(params.get("threadId"))
        if method == "turn/started" and self._parent.knows_delegate(thread_id):
            turn_id = str(params["turn"]["id"])
            self._turns[thread_id] = (turn_id, TurnState(thread_id, turn_id))
        if (known := self._turns.get(thread_id)) is not None:
            known[1].apply(method, params)

    def snapshot(self, thread_id: str, *, whole: bool = False) -> Json | None:
        """Return what is known of a delegate's newest turn."""
        known = self._turns.get(thread_id)
        if known is None:
            return None
        return known[1].snapshot(max_bytes=_WHOLE) if whole else known[1].snapshot()

    def turn_of(self, thread_id: str) -> str | None:
        """Return the id of a delegate's newest turn."""
        known = self._turns.get(thread_id)
        return known[0] if known is not None else None

    def item(self, thread_id: str, item_id: str) -> Json | None:
        """Return one item of a delegate's newest turn."""
        items: list[Json] = (self.snapshot(thread_id, whole=True) or {}).get("items", [])
        return next((item for item in items if item["id"] == item_id), None)


async def items_of_delegates(client: "CodexClient", items: Sequence[Json]) -> list[Json]:
    """Ask the server for the items of the delegates that ``items`` show, in their order."""
    found: list[Json] = []
    for item in items:
        if item["type"] != "collabAgentToolCall" or item.get("tool") != "spawnAgent":
            continue
        for agent in item.get("agents") or ():
            asked = {
                "threadId": agent["threadId"],
                "turnId": agent.get("turnId"),
                "itemsView": "full",
            }
            try:
                page = await client.call("thread/turns/list", asked)
            except CodexError:
                continue  # its thread was deleted, or never stored
            found += [entry for turn in page["data"] for entry in turn["items"]]
    return found
