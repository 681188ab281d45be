"""A turn that is being stopped: how far that has got, and how the server is asked for it."""

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from codex_jupyter.errors import PeerClosedError, RemoteError

if TYPE_CHECKING:
    from codex_jupyter.client.aio import CodexClient

__all__ = ["Stopping", "interrupt_turn"]


@dataclass(slots=True)
class Stopping:
    """How far stopping has got."""

    presses: int = 0
    own_signals: int = 0
    """Interrupts that we sent to the main thread, and that are on their way back to us."""

    gave_up: bool = False
    failure: BaseException | None = None


async def interrupt_turn(client: "CodexClient", thread_id: str, turn_id: str) -> None:
    """Ask the server to stop a turn, if it runs there."""
    # Else it has ended by itself, or never began; either way nothing is left to stop.
    with suppress(RemoteError, PeerClosedError):
        await client.call("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
