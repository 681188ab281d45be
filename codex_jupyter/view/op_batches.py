"""When view operations travel: the first at once, then few and merged; the caller has the clock."""

from typing import Any, Final

from codex_jupyter.view.turn_state import Op

__all__ = ["MAX_PENDING_BYTES", "MIN_GAP", "OpBatches"]

MIN_GAP: Final = 0.033
"""Seconds between two batches of deltas: one per displayed frame at 30 Hz."""

MAX_PENDING_BYTES: Final = 4096
"""UTF-8 bytes of waiting text that travel without waiting for `MIN_GAP`."""


class OpBatches:
    """Collects ops into batches: an append may wait, anything else takes all that waits with it."""

    def __init__(self) -> None:
        self._waiting: list[Op] = []
        self._bytes = 0
        self._last = float("-inf")

    def add(self, ops: list[Op], now: float) -> list[Op]:
        """Take ``ops``; return the batch that must travel now, empty if all may wait.

        Args:
            ops: In order; appends are copied before they are merged.
            now: Seconds of a monotonic clock.
        """
        urgent = False
        for op in ops:
            if op["op"] == "append":
                self._merge(op)
            else:
                self._waiting.append(op)
                urgent = True
        gap_is_over = bool(self._waiting) and now - self._last >= MIN_GAP
        return self.take(now) if urgent or gap_is_over or self._is_full() else []

    def due_in(self, now: float) -> float | None:
        """Return the seconds until `take` should be called, ``None`` if nothing waits."""
        return max(0.0, self._last + MIN_GAP - now) if self._waiting else None

    def take(self, now: float) -> list[Op]:
        """Return what waits, in order, and start a new gap if that is anything."""
        batch, self._waiting = self._waiting, []
        self._bytes = 0
        if batch:
            self._last = now
        return batch

    def _is_full(self) -> bool:
        return self._bytes >= MAX_PENDING_BYTES

    def _merge(self, op: Op) -> None:
        self._bytes += len(op["delta"].encode("utf-8", "replace"))
        before = self._waiting[-1] if self._waiting else None
        if before is not None and _place(before) == _place(op):
            before["delta"] += op["delta"]
        else:
            self._waiting.append(dict(op))


def _place(op: Op) -> tuple[Any, ...]:
    """Say where an op writes; only appends to one place may merge."""
    return tuple(op.get(name) for name in ("op", "id", "field", "index"))
