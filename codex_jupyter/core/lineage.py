"""Where a thread that belongs to another one comes from, and what it shares with its tree."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.ids import ThreadId
from codex_jupyter.protocol.events import Event
from codex_jupyter.tools.policy import Policy

if TYPE_CHECKING:
    from codex_jupyter.core.session import Session
    from codex_jupyter.core.turn import Turn

__all__ = ["Lineage"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lineage:
    """The link from a thread to its parent.

    The questions of the whole tree are put by the root's broker, what was accepted "for this
    session" counts in all of it, and nobody in it may do what its parent may not.
    """

    parent: "Session"
    source: Json
    """Says what kind of thread it is, as the rollout has it: ``{"subagent": …}``."""

    nickname: str | None = None
    role: str | None = None
    token: CancelToken = field(default_factory=CancelToken)
    """Every turn of the thread ends when this is cancelled."""

    apart: bool = False
    """Whether stopping a turn of the parent's leaves it alone: the user started it beside them."""

    shown_in: "Turn | None" = None
    """A turn of the parent's that shows this thread's items, and asks its questions, as its own."""

    hear: Callable[[Event], None] | None = None
    """Takes every event of the thread, in order; must not block."""

    room: Callable[[CancelToken], Awaitable[None]] | None = None
    """Waits until whoever hears the events can take more, or until a token is cancelled."""

    caught_up: Callable[[CancelToken], Awaitable[None]] | None = None
    """Waits until whoever hears the events has taken all, or until a token is cancelled."""

    @property
    def depth(self) -> int:
        """How many threads are above this one."""
        above = self.parent.lineage
        return 1 if above is None else above.depth + 1

    def ancestors(self) -> Iterator["Session"]:
        """Iterate over the threads above, nearest first."""
        session: Session | None = self.parent
        while session is not None:
            yield session
            session = session.lineage.parent if session.lineage is not None else None

    def publisher(
        self,
        thread_id: ThreadId,
        publish: Callable[[Event], None],
        is_heard: Callable[[ThreadId], bool],
    ) -> Callable[[Event], None]:
        """Return where the thread's events go: to its owner, and to whoever hears it.

        One that is shown in a turn of its parent's is announced to nobody who does not ask.
        """

        def take(event: Event) -> None:
            if self.hear is not None:
                self.hear(event)
            if self.shown_in is None or is_heard(thread_id):
                publish(event)

        return take

    def ceiling(self) -> Policy:
        """Return what the thread may do at most, at this moment."""
        return self.parent.ceiling()

    def identity(self, thread_id: str, turn_id: str) -> Json:
        """Return who asks, for the params of a question."""
        return {
            "threadId": thread_id,
            "turnId": turn_id,
            "parentThreadId": self.parent.thread_id,
            "nickname": self.nickname,
            "role": self.role,
        }
