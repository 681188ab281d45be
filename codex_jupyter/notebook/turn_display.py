"""What a turn leaves in the output of its cell: a live view while it runs, a static one after."""

import time
import uuid
from collections.abc import Callable
from typing import Any, Final, Protocol

from codex_jupyter.notebook.live_view import LiveView, ViewKind, make_view
from codex_jupyter.view.turn_state import Op, TurnState

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
    view anew, under the user's pointer. Our own mime type is left out so long: its renderer ranks
    before widgets. Without a view the static forms are refreshed at most once a second, so that a
    crash leaves something to read.

    Args:
        kind: What a page there can draw.
        answer: Answers what a page asks by comm.
    """

    def __init__(
        self,
        thread_id: str,
        turn_id: str,
        *,
        kind: ViewKind,
        answer: Callable[[Json], Json | None],
    ) -> None:
        self._ids = {"threadId": thread_id, "turnId": turn_id}
        self._kind: ViewKind = kind
        self._answer = answer
        self._display_id = f"codex-{uuid.uuid4().hex}"
        self._view: LiveView | None = None
        self._settled = 0.0
        self._refreshed = 0.0
        self._changed = False

    def open(self, state: TurnState) -> None:
        """Put the display into the output of the running cell."""
        from codex_jupyter.view.output import TURN_MIME, bundle  # noqa: PLC0415 - first use only

        data = bundle(state.snapshot())
        self._view = make_view(self._kind, state.snapshot())
        if self._view is not None:
            self._view.on_message(self._asked)
            del data[TURN_MIME]
            data["application/vnd.jupyter.widget-view+json"] = {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self._view.model_id,
            }
        self._publish(data, update=False)

    def push(self, ops: list[Op]) -> None:
        """Send changes to the pages that show the view."""
        self._changed = self._changed or bool(ops)
        if self._view is not None:
            self._view.push(ops, time.monotonic())

    def tick(self, state: TurnState) -> None:
        """Flush, settle or refresh, whatever is due."""
        now = time.monotonic()
        if self._view is None:
            if self._changed and now - self._refreshed >= _REFRESH_EVERY:
                self._refreshed, self._changed = now, False
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
            self._view.retire()
            self._view = None

    def _publish_static(self, state: TurnState) -> None:
        from codex_jupyter.view.output import bundle  # noqa: PLC0415 - first use only

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
