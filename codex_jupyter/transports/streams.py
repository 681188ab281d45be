"""The transport that needs no bytes: two ends in one process."""

from collections.abc import Sequence
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from codex_jupyter.protocol.jsonrpc import Garbage, Message

__all__ = ["MemoryStreams", "memory_pair"]

_PAIR_BUFFER: Final = 64
"""Batches that wait between the two ends of a pair; a full one makes the sender wait."""


class MemoryStreams:
    """One end of an in-memory pair. Messages stay objects: neither side may change them."""

    def __init__(
        self,
        incoming: MemoryObjectReceiveStream[Sequence[Message]],
        outgoing: MemoryObjectSendStream[Sequence[Message]],
    ) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def receive(self) -> Sequence[Message | Garbage]:
        """Return the next batch, as the other side sent it."""
        try:
            return await self._incoming.receive()
        except anyio.ClosedResourceError:
            raise anyio.EndOfStream from None

    async def send(self, messages: Sequence[Message]) -> None:
        """Hand over a batch; waits while `_PAIR_BUFFER` batches are unread."""
        try:
            await self._outgoing.send(messages)
        except anyio.ClosedResourceError:
            raise anyio.BrokenResourceError from None

    async def aclose(self) -> None:
        """Close this end; the other end reads what was sent, then the end."""
        self._incoming.close()
        self._outgoing.close()


def memory_pair() -> tuple[MemoryStreams, MemoryStreams]:
    """Return two connected ends."""
    left_out, right_in = anyio.create_memory_object_stream[Sequence[Message]](_PAIR_BUFFER)
    right_out, left_in = anyio.create_memory_object_stream[Sequence[Message]](_PAIR_BUFFER)
    return MemoryStreams(left_in, left_out), MemoryStreams(right_in, right_out)
