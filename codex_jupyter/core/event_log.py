"""The last events of a thread, so that a client that lost its connection goes on where it was."""

import secrets
from collections import deque
from typing import Final

from codex_jupyter.protocol.events import Event, ItemCompleted, ItemStarted, TextDelta

__all__ = ["EventLog"]

RUNNING_BYTES: Final = 1024 * 1024
"""Kept while a turn runs: a few thousand deltas, minutes of a model's answer."""

RESTING_BYTES: Final = 16 * 1024
"""Kept between turns, so that a thousand idle threads cost little."""

_EVENT_BYTES: Final = 200


class EventLog:
    """Numbered events, newest kept, bounded in bytes; overflow drops the oldest.

    Whoever asks for what was dropped is told so, and takes a snapshot instead.
    """

    def __init__(self) -> None:
        self.epoch = secrets.token_hex(8)
        """Names this life of the thread: numbers start anew when it is loaded anew."""

        self._events: deque[tuple[Event, int]] = deque()
        self._bytes = 0
        self._last = 0

    @property
    def last(self) -> int:
        """The number of the newest event; 0 before the first."""
        return self._last

    def append(self, event: Event) -> None:
        """Keep an event; costs one append, and drops what no longer fits."""
        size = _size(event)
        self._events.append((event, size))
        self._last = event.seq
        self._bytes += size
        if self._bytes > RUNNING_BYTES:
            self._trim(RUNNING_BYTES)

    def rest(self) -> None:
        """Keep less, because no turn runs."""
        self._trim(RESTING_BYTES)

    def since(self, seq: int) -> list[Event] | None:
        """Return the events after number ``seq``, or ``None`` if not all of them are kept."""
        if not 0 <= seq <= self._last:
            return None
        if self._last - seq > len(self._events):
            return None
        return [event for event, _ in self._events if event.seq > seq]

    def _trim(self, limit: int) -> None:
        while self._bytes > limit:
            _, size = self._events.popleft()
            self._bytes -= size


def _size(event: Event) -> int:
    """Estimate what keeping an event costs; items are shared with the transcript, but may go."""
    match event.msg:
        case TextDelta(delta=delta):
            return _EVENT_BYTES + len(delta)
        case ItemStarted(item) | ItemCompleted(item):
            texts = sum(len(value) for value in item.values() if isinstance(value, str))
            return 2 * _EVENT_BYTES + texts
        case _:
            return 2 * _EVENT_BYTES
