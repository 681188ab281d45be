"""The threads above and below one session: who stops, waits for, and pays for whom."""

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import anyio

from codex_jupyter.core.lineage import Lineage
from codex_jupyter.errors import RolloutError
from codex_jupyter.ids import ThreadId

if TYPE_CHECKING:
    from codex_jupyter.core.session import Session
    from codex_jupyter.core.turn import Turn
    from codex_jupyter.core.turn_parts import Closes

__all__ = ["Kin"]

Json = dict[str, Any]
_log = logging.getLogger(__name__)

JOIN_LIMIT = 60.0
"""Seconds a turn waits for the ends of what it started: their own limits, and some."""


class Kin:
    """One session's place in its tree.

    Args:
        lineage: The link to its parent; ``None`` for a root.
    """

    def __init__(self, lineage: Lineage | None) -> None:
        self.lineage = lineage
        self.children: dict[ThreadId, Session] = {}
        """Loaded threads whose parent it is."""

    def descendants(self) -> "Iterator[Session]":
        """Iterate over all loaded threads below, parents first."""
        for child in tuple(self.children.values()):
            yield child
            yield from child.kin.descendants()

    def _stopped_with(self) -> "Iterator[Session]":
        """Iterate over the loaded threads below that a stop of a turn here is for."""
        for child in tuple(self.children.values()):
            if child.lineage is not None and not child.lineage.apart:
                yield child
                yield from child.kin._stopped_with()  # noqa: SLF001 - of its own kind

    def _stopping(self) -> "Iterator[Session]":
        """Iterate over the threads above whose turns stop what runs here, nearest first."""
        lineage = self.lineage
        while lineage is not None and not lineage.apart:
            yield lineage.parent
            lineage = lineage.parent.lineage

    def link(self, turn: "Turn") -> None:
        """Let a stop reach everything below: ``turn``, which starts, and what runs beneath it."""
        for child in self._stopped_with():
            if child.active is not None:
                turn.token.adopt(child.active.token)
        for above in self._stopping():
            # A child that is started on purpose after a stop is not stopped by it.
            if above.active is not None and not above.active.is_leaving:
                above.active.token.adopt(turn.token)

    async def join(self, turn: "Turn") -> None:
        """End the delegates of ``turn`` and, if it was stopped, wait until all below has ended.

        Those whose work is over only have to close: `part` waits for that.
        """
        with anyio.move_on_after(JOIN_LIMIT) as waiting:
            # One may still come while others end.
            while working := {each for each in turn.delegates if not each.is_over}:
                turn.delegates -= working
                await _close_all(working)
            if turn.token.reason is not None:
                async with anyio.create_task_group() as ending:
                    for child in tuple(self._stopped_with()):
                        ending.start_soon(_come_to_rest, child)
        if waiting.cancelled_caught:
            _log.error("turn %s ends, but something it started does not", turn.turn_id)

    async def part(self, turn: "Turn") -> None:
        """Wait until the delegates of ``turn`` whose work was over have closed."""
        with anyio.move_on_after(JOIN_LIMIT) as waiting:
            await _close_all(turn.delegates)
        if waiting.cancelled_caught:
            _log.error("turn %s ends, but a delegate of its does not close", turn.turn_id)

    async def charge(self, turn: "Turn") -> None:
        """Add what ``turn`` used to the totals of every thread above."""
        if self.lineage is None or not turn.tokens:
            return
        for above in self.lineage.ancestors():
            turn_ids = above.state.transcript.turn_ids
            charged = above.active_turn_id or (turn_ids[-1] if turn_ids else None)
            above.state.count_delegated(charged, turn.tokens, above.config)
            if above.active is not None and _will_tell(above.active, self.lineage):
                continue
            try:
                await above.state.record()
            except RolloutError:
                _log.exception("the tokens of turn %s could not be stored", turn.turn_id)


def _will_tell(above: "Turn", lineage: Lineage) -> bool:
    """Whether a turn above stores, soon and for sure, what is staged for it now.

    One that shows the delegate does so with what it found; one that was stopped, at its end.
    """
    is_stopped = above.token.reason is not None and not above.closed
    return is_stopped or above is lineage.shown_in


async def _close_all(delegates: "Iterable[Closes]") -> None:
    async with anyio.create_task_group() as closing:
        for delegate in delegates:
            closing.start_soon(delegate.aclose)


async def _come_to_rest(child: "Session") -> None:
    """Wait for the end of what a thread below does when a stop reaches it."""
    active = child.active
    if active is None:
        # What an earlier turn left running is stopped, too.
        await child.terminals.end_all()
    elif active.is_leaving:
        # One that somebody started after the stop is not stopped, so not waited for.
        await active.ended.wait()
