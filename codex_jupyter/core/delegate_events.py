"""What a delegate's owner hears of it: bounded, merged where it lags, never losing an end."""

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

from codex_jupyter.flow.bell import Bell
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.ids import ThreadId
from codex_jupyter.protocol.events import (
    Event,
    RequestOpened,
    RequestResolved,
    SettingsChanged,
    StatusChanged,
    TextDelta,
    ThreadClosed,
    ThreadNamed,
    ThreadStarted,
    TokenUsageUpdated,
)

__all__ = ["MAX_WAITING", "DelegateEvents", "Envelope"]

MAX_WAITING: Final = 512
"""Events that wait for the owner (the original's number) before the delegate itself waits."""

_SWALLOWED: Final = (
    # They would look like the parent's own: its settings, name, state and tokens.
    SettingsChanged,
    StatusChanged,
    ThreadNamed,
    ThreadStarted,
    TokenUsageUpdated,
    # Asked at the root, whoever reads here.
    RequestOpened,
    RequestResolved,
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """One event of a delegate."""

    thread_id: ThreadId
    """The delegate's thread."""

    event: Event


class DelegateEvents:
    """Events on their way to the delegate's owner.

    `put` never blocks: deltas of one item that follow each other become one while the reader
    lags. When `MAX_WAITING` events wait, `room` makes the delegate wait before its next item is
    final; what one step of its turn says beyond that, and its end, is kept nevertheless.
    """

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self._limit = limit
        self._waiting: deque[Envelope] = deque()
        self._closed = False
        self._news = Bell()
        self._taken = Bell()

    def put(self, event: Event) -> None:
        """Queue an event, if it is one that the owner hears; `ThreadClosed` is the last."""
        if self._closed or isinstance(event.msg, _SWALLOWED):
            return
        self._closed = isinstance(event.msg, ThreadClosed)
        if self._waiting and (merged := _merged(self._waiting[-1].event, event)) is not None:
            self._waiting[-1] = Envelope(event.thread_id, merged)
        else:
            self._waiting.append(Envelope(event.thread_id, event))
        self._stir()

    def close(self) -> None:
        """Take no more; what waits can still be read."""
        self._closed = True
        self._stir()

    async def room(self, token: CancelToken) -> None:
        """Wait until the reader has room, the stream is closed, or ``token`` is cancelled."""
        with token.scope():
            while len(self._waiting) >= self._limit and not self._closed:
                await self._taken.wait()

    async def caught_up(self, token: CancelToken) -> None:
        """Wait until all has been taken, the stream is closed, or ``token`` is cancelled."""
        with token.scope():
            while self._waiting and not self._closed:
                await self._taken.wait()

    async def next(self) -> Envelope | None:
        """Wait for the next event; ``None`` after the last. A cancelled wait loses none."""
        while not self._waiting:
            if self._closed:
                return None
            await self._news.wait()
        envelope = self._waiting.popleft()
        self._taken.ring()
        return envelope

    def _stir(self) -> None:
        self._news.ring()
        if self._closed:
            self._taken.ring()


def _merged(before: Event, event: Event) -> Event | None:
    """Join two neighbouring deltas of one part of one item."""
    one, other = before.msg, event.msg
    if not (isinstance(one, TextDelta) and isinstance(other, TextDelta)):
        return None
    if (one.kind, one.item_id, one.index) != (other.kind, other.item_id, other.index):
        return None
    return replace(event, msg=replace(one, delta=one.delta + other.delta))
