"""What every transport gives: two streams of messages."""

from collections.abc import Sequence
from typing import Protocol

from codex_jupyter.protocol.jsonrpc import Garbage, Message

__all__ = ["MessageStreams"]


class MessageStreams(Protocol):
    """Two streams of messages, one in each direction."""

    async def receive(self) -> Sequence[Message | Garbage]:
        """Return what arrived, at least one message.

        Raises:
            anyio.EndOfStream: The other side has closed.
        """
        ...

    async def send(self, messages: Sequence[Message]) -> None:
        """Hand over ``messages``, in order.

        A cancelled send may have handed over any part of them: whole messages only.

        Raises:
            anyio.BrokenResourceError: The other side has gone.
        """
        ...

    async def aclose(self) -> None:
        """Close both directions; a pending `receive` on the other side ends."""
        ...
