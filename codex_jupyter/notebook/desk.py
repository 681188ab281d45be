"""Questions that wait for a person in this kernel; whoever answers first settles one."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio

__all__ = ["Desk", "Pending"]

Json = dict[str, Any]


@dataclass(slots=True)
class Pending:
    """One open question, as the page shows it, and its answer once there is one."""

    request: Json
    settled: anyio.Event = field(default_factory=anyio.Event)
    answer: Json | None = None
    withdrawn: bool = False


class Desk:
    """The open questions of this kernel.

    `settle` may be called from any thread: the control channel's, the main thread's, a comm's.

    Args:
        wake: Runs a callable on the core's loop soon.
    """

    def __init__(self, wake: Callable[[Callable[[], object]], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._open: dict[str, Pending] = {}

    def open(self, request: Json) -> Pending:
        """Put a question on the desk; call it on the core's loop."""
        pending = Pending(request)
        with self._lock:
            self._open[request["requestId"]] = pending
        return pending

    def open_ids(self, turn_id: str) -> list[str]:
        """Return which questions of a turn can be answered now."""
        with self._lock:
            return [
                request_id
                for request_id, pending in self._open.items()
                if pending.request["turnId"] == turn_id
            ]

    def settle(self, request_id: str, answer: Json, *, digest: str | None = None) -> bool:
        """Answer a question; ``False`` if it is no longer open, or was shown differently."""
        with self._lock:
            pending = self._open.get(request_id)
            if pending is None or digest != pending.request.get("digest"):
                return False
            del self._open[request_id]
            pending.answer = answer
        self._wake(pending.settled.set)
        return True

    def withdraw(self, request_id: str) -> None:
        """Take a question back; call it on the core's loop."""
        with self._lock:
            pending = self._open.pop(request_id, None)
        if pending is not None:
            pending.withdrawn = True
            pending.settled.set()
