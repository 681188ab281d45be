"""The outbox of a connection: bounded, never lossy, merging what a slow reader misses."""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, cast

import anyio

__all__ = ["Outbox", "OutboxOverflowError", "rough_size"]

Message = dict[str, Any]

MAX_BYTES: Final = 16 * 1024 * 1024
"""What one reader may lag behind, roughly, in bytes of text."""

MAX_MESSAGES: Final = 65_536
"""What one reader may lag behind, in messages; merged deltas count once."""


class OutboxOverflowError(Exception):
    """The reader is too far behind. Nothing was dropped silently: the outbox is closed."""


class Outbox:
    """Messages on their way to one reader.

    `put` never blocks. Adjacent messages for which ``merge`` returns a message become that one
    message, so a fast model cannot lengthen the queue; nothing else is ever merged or dropped.
    Past `MAX_BYTES` or `MAX_MESSAGES` the outbox closes: its reader gets what was queued, then
    the end, and may come back for the rest.

    Args:
        merge: Joins two neighbours, or returns ``None`` if they must stay apart.
    """

    def __init__(
        self,
        merge: Callable[[Message, Message], Message | None],
        *,
        max_bytes: int = MAX_BYTES,
        max_messages: int = MAX_MESSAGES,
    ) -> None:
        self._merge = merge
        self._max_bytes = max_bytes
        self._max_messages = max_messages
        self._queue: deque[Message] = deque()
        self._bytes = 0
        self._closed = False
        self._filled = anyio.Event()
        self._taken = anyio.Event()

    async def room(self) -> None:
        """Wait until the reader lags by less than a quarter of the limit, or is gone.

        For whoever can wait with what it has to say, so that a slow reader is not lost for it.
        """
        while self._bytes > self._max_bytes // 4 and not self._closed:
            await self._taken.wait()

    def put(self, message: Message) -> None:
        """Queue ``message``.

        Raises:
            OutboxOverflowError: The reader was too slow; the outbox is closed now.
        """
        if self._closed:
            return
        if self._queue and (merged := self._merge(self._queue[-1], message)) is not None:
            self._queue[-1] = merged
        else:
            self._queue.append(message)
        self._bytes += rough_size(message)
        self._filled.set()
        if self._bytes > self._max_bytes or len(self._queue) > self._max_messages:
            self.close()
            raise OutboxOverflowError(
                f"a reader is {len(self._queue)} messages and about {self._bytes} bytes behind"
            )

    async def take(self) -> list[Message]:
        """Wait for messages and return all of them, in order; an empty list is the end."""
        await self._filled.wait()
        messages = list(self._queue)
        self._queue.clear()
        self._bytes = 0
        if not self._closed:
            self._filled = anyio.Event()
        self._taken.set()
        self._taken = anyio.Event()
        return messages

    def close(self) -> None:
        """Take no more; what is queued can still be taken."""
        self._closed = True
        self._filled.set()
        self._taken.set()


def rough_size(value: Any) -> int:
    """Estimate the encoded size of a JSON value, in bytes, without encoding it."""
    if isinstance(value, str):
        return len(value) + 2
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return 2 + sum(len(key) + 4 + rough_size(member) for key, member in members.items())
    if isinstance(value, list | tuple):
        elements = cast("list[Any]", value)
        return 2 + sum(rough_size(element) + 1 for element in elements)
    return 8
