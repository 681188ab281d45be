"""What a turn leaves in its cell while the page hears of it from the Jupyter server itself."""

import time
import uuid
from typing import Any, Final

from codex_jupyter.view.turn_state import Op, TurnState

__all__ = ["ServedDisplay"]

Json = dict[str, Any]

_REFRESH_EVERY: Final = 1.0
"""Seconds between two updates, so that a crash or a page that reloads finds something."""


class ServedDisplay:
    """One display in the cell's output, which names the turn; no deltas and no widget.

    The page subscribes to the turn at the server. What the kernel writes here is for files,
    for pages without a server, and for the time after.
    """

    def __init__(self, thread_id: str, turn_id: str) -> None:
        self._ids = {"threadId": thread_id, "turnId": turn_id}
        self._display_id = f"codex-{uuid.uuid4().hex}"
        self._changed = False
        self._published = 0.0

    def open(self, state: TurnState) -> None:
        """Put the display into the output of the running cell."""
        self._publish(state, live=True, update=False)

    def push(self, ops: list[Op]) -> None:
        """Note that something changed."""
        self._changed = self._changed or bool(ops)

    def tick(self, state: TurnState) -> None:
        """Write what changed, at most once a second."""
        if self._changed and time.monotonic() - self._published >= _REFRESH_EVERY:
            self._publish(state, live=True, update=True)

    def finish(self, state: TurnState) -> None:
        """Leave the final form."""
        self._publish(state, live=False, update=True)

    def _publish(self, state: TurnState, *, live: bool, update: bool) -> None:
        from IPython.display import display  # noqa: PLC0415 - first use only

        from codex_jupyter.view.output import TURN_MIME, bundle  # noqa: PLC0415 - first use only

        self._changed = False
        self._published = time.monotonic()
        data = bundle(state.snapshot())
        if live:
            # Tells a page that draws this to ask its server, and that there is no widget.
            data[TURN_MIME]["live"] = "server"
        metadata = {"codex": self._ids}
        display(data, raw=True, metadata=metadata, display_id=self._display_id, update=update)
