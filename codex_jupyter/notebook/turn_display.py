"""What a turn leaves in the output of its cell: a live view while it runs, a static one after."""

import time
import uuid
from collections.abc import Callable
from typing import Any, Final, Protocol

from codex_jupyter.notebook.turn_state import Op, TurnState

__all__ = ["CellDisplay", "QuietDisplay", "TurnDisplay"]

Json = dict[str, Any]

_SETTLE_EVERY: Final = 2.0
"""Seconds between two foldings of the live view into its state, for pages that come late."""

_REFRESH_EVERY: Final = 1.0
"""Seconds between two updates of the static output where no page shows the live one."""


class TurnDisplay(Protocol):
    """Where a turn is shown."""

    def open(self, state: TurnState) -> None:
        """Show that the turn begins; on the main thread."""
        ...

    def push(self, ops: list[Op]) -> None:
        """Show what changed; on the core's loop."""
        ...

    def tick(self, state: TurnState) -> None:
        """Send what is due; on the core's loop, some thirty times a second."""
        ...

    def finish(self, state: TurnState) -> None:
        """Leave the static output; after the last `push`, on the main thread if it waits."""
        ...


class QuietDisplay:
    """Shows nothing."""

    def open(self, state: TurnState) -> None:
        """Do nothing."""

    def push(self, ops: list[Op]) -> None:
        """Do nothing."""

    def tick(self, state: TurnState) -> None:
        """Do nothing."""

    def finish(self, state: TurnState) -> None:
        """Do nothing."""


class CellDisplay:
    """One display in the cell's output.

    With a page that can draw widgets the output holds a live view until the end; while it does,
    the static forms are not refreshed, because a front end answers every update by drawing the
    view anew, under the user's pointer. Without one the static forms are refreshed at most once a
    second, so that a crash leaves something to read.

    Args:
        live: Whether a page may be there to draw widgets.
        answer: Answers what a page asks by comm.
    """

    def __init__(
        self,
        thread_id: str,
        turn_id: str,
        *,
        live: bool,
        answer: Callable[[Json], Json | None],
    ) -> None:
        self._ids = {"threadId": thread_id, "turnId": turn_id}
        self._live = live
        self._answer = answer
        self._display_id = f"codex-{uuid.uuid4().hex}"
        self._view: Any = None
        self._settled = 0.0
        self._refreshed = 0.0

    def open(self, state: TurnState) -> None:
        """Put the display into the output of the running cell."""
        from codex_jupyter.notebook.output import bundle  # noqa: PLC0415 - first use only

        data = bundle(state.snapshot())
        if self._live:
            from codex_jupyter.notebook.turn_view import TurnView  # noqa: PLC0415 - first use only

            self._view = TurnView(state.snapshot())
            self._view.on_message(self._asked)
            data["application/vnd.jupyter.widget-view+json"] = {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self._view.model_id,
            }
        self._publish(data, update=False)

    def push(self, ops: list[Op]) -> None:
        """Send changes to the pages that show the view."""
        if self._view is not None:
            self._view.push(ops, time.monotonic())

    def tick(self, state: TurnState) -> None:
        """Flush, settle or refresh, whatever is due."""
        now = time.monotonic()
        if self._view is None:
            if now - self._refreshed >= _REFRESH_EVERY:
                self._refreshed = now
                self._publish_static(state)
            return
        due = self._view.due_in(now)
        if due is not None and due <= 0:
            self._view.flush(now)
        if now - self._settled >= _SETTLE_EVERY:
            self._settled = now
            self._view.settle(state.snapshot(), now)

    def finish(self, state: TurnState) -> None:
        """Replace the live view by the static output."""
        if self._view is not None:
            self._view.settle(state.snapshot(), time.monotonic())
        self._publish_static(state)
        if self._view is not None:
            self._view.close()
            self._view.layout.close()  # a widget of its own, which nothing else closes
            self._view = None

    def _publish_static(self, state: TurnState) -> None:
        from codex_jupyter.notebook.output import bundle  # noqa: PLC0415 - first use only

        self._publish(bundle(state.snapshot()), update=True)

    def _publish(self, data: Json, *, update: bool) -> None:
        from IPython.display import display  # noqa: PLC0415 - first use only

        metadata = {"codex": self._ids}
        display(data, raw=True, metadata=metadata, display_id=self._display_id, update=update)

    def _asked(self, content: Json) -> Json | None:
        if content.get("action") == "resync":
            self._settled = 0.0
            return None
        return self._answer(content)
