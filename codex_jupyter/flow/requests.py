"""Questions to people and clients: each is asked once and has exactly one outcome."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import anyio

from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.ids import ItemId, RequestId, ThreadId, TurnId

__all__ = ["Answered", "AskedRequest", "Outcome", "Refused", "RequestBroker", "Withdrawn"]

MAX_OPEN: Final = 20
"""Requests of one tree that are shown at once; the rest wait in line: nobody reads more."""


@dataclass(frozen=True, slots=True)
class AskedRequest:
    """A question as it was put. ``params`` are the members that travel."""

    id: RequestId
    thread_id: ThreadId
    turn_id: TurnId
    item_id: ItemId
    method: str
    params: dict[str, Any]
    waits_on: Literal["approval", "userInput", "form", "client"]
    """Which flag of the thread's status this request sets; ``client`` sets none. A ``form`` of an
    MCP server sets that of approvals, as the original does."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Somebody answered. ``result`` is as it came in: the asker validates it."""

    result: Any


@dataclass(frozen=True, slots=True)
class Refused:
    """A client answered with an error instead of a result."""

    message: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The question was taken back before an answer counted."""

    reason: str


Outcome = Answered | Refused | Withdrawn


@dataclass(slots=True)
class _Open:
    request: AskedRequest
    settled: anyio.Event = field(default_factory=anyio.Event)
    outcome: Outcome | None = None


class RequestBroker:
    """The open requests of a tree of threads, owned by its root.

    Ids are unique, so two threads of the tree may ask about equal calls at the same time.
    """

    def __init__(self) -> None:
        self._open: dict[RequestId, _Open] = {}
        self._places = anyio.Semaphore(MAX_OPEN)

    @property
    def open_requests(self) -> tuple[AskedRequest, ...]:
        """What waits for an answer now, oldest first."""
        return tuple(entry.request for entry in self._open.values())

    async def ask(
        self,
        request: AskedRequest,
        token: CancelToken,
        announce: Callable[[AskedRequest], None],
    ) -> Outcome:
        """Announce ``request`` and wait for its outcome, without a time limit of its own.

        ``announce`` is called once, when it can already be answered. It must not block.

        Returns `Withdrawn` if ``token`` is cancelled first; it was then never announced if it
        still waited in line. The request is closed when this returns: an answer that comes later
        finds nothing to settle.
        """
        entry = _Open(request)
        with token.scope():
            async with self._places:
                self._open[request.id] = entry
                try:
                    announce(request)
                    await entry.settled.wait()
                finally:
                    del self._open[request.id]
        # A cancel outranks an answer given in the same tick: whoever pressed "stop" must never
        # see the command start.
        if token.reason is not None or entry.outcome is None:
            return Withdrawn(token.reason or "withdrawn")
        return entry.outcome

    def answer(self, request_id: str, outcome: Outcome) -> bool:
        """Settle a request. Return ``False`` if it is unknown, closed or already settled."""
        entry = self._open.get(RequestId(request_id))
        if entry is None or entry.outcome is not None:
            return False
        entry.outcome = outcome
        entry.settled.set()
        return True
