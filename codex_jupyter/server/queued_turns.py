"""Messages that wait for the next turns of loaded threads, and what lets them begin."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from weakref import WeakKeyDictionary

import anyio

from codex_jupyter.core.session import Accepted, Session
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.core.turn_parts import EndedTurn
from codex_jupyter.errors import CodexError, InvalidRequestError
from codex_jupyter.ids import new_turn_id
from codex_jupyter.protocol.events import QueueChanged, Warned
from codex_jupyter.protocol.items import UserInput
from codex_jupyter.protocol.ops import Submission, UserTurn
from codex_jupyter.server.kernel_turns import KernelTurns
from codex_jupyter.server.submitting import submit_for

__all__ = ["Queued", "QueuedTurns"]

_log = logging.getLogger(__name__)

MAX_QUEUED: Final = 100
"""Messages of one thread."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A message that waits."""

    id: str
    input: tuple[UserInput, ...]
    client_message_id: str
    metadata: dict[str, Any] | None = None
    kernel_id: str | None = None
    """The kernel whose turn it will be."""


@dataclass(slots=True)
class _Queue:
    entries: list[Queued] = field(default_factory=list[Queued])
    starting: anyio.Lock = field(default_factory=anyio.Lock)


class QueuedTurns:
    """A queue for each loaded thread that has one; it ends with the loading of the thread."""

    def __init__(self, threads: ThreadManager, kernels: KernelTurns) -> None:
        self._threads = threads
        self._kernels = kernels
        self._queues: WeakKeyDictionary[Session, _Queue] = WeakKeyDictionary()

    def entries(self, session: Session) -> Sequence[Queued]:
        """Return what waits, next first."""
        return tuple(self._queue(session).entries)

    async def add(self, session: Session, queued: Queued) -> Callable[[], None]:
        """Let a message wait, or begin at once where the thread is at rest and nothing waits.

        Returns what lets its turn run; call it right after the answer is on its way.

        Raises:
            InvalidRequestError: There is no room, or its turn is refused; it does not wait then.
            RolloutError: Its turn could not be stored; the same.
        """
        queue = self._queue(session)
        if len(queue.entries) >= MAX_QUEUED:
            raise InvalidRequestError(f"{MAX_QUEUED} messages wait in this thread already")
        is_next = not queue.entries and session.active is None
        queue.entries.append(queued)
        session.state.emit(QueueChanged())
        if not is_next:
            return _nothing
        accepted = await self._begin(session, queued.id, keep=False)
        return _nothing if accepted is None else accepted.start

    async def start(self, session: Session, queued_id: str | None) -> Accepted:
        """Let a message begin, or join the turn that runs.

        Raises:
            InvalidRequestError: Nothing, or no such message, waits; or its turn is refused, and it
                waits again.
            RolloutError: Its turn could not be stored; it waits again.
        """
        entries = self._queue(session).entries
        if queued_id is None and not entries:
            raise InvalidRequestError("queue is empty")
        queued = entries[0] if queued_id is None else self._find(session, queued_id)
        accepted = await self._begin(session, queued.id, keep=True, may_join=True)
        if accepted is None:
            raise InvalidRequestError(_not_found(queued.id))
        return accepted

    def update(self, session: Session, queued_id: str, **changes: Any) -> Queued:
        """Change a message that waits.

        Raises:
            InvalidRequestError: It does not wait.
        """
        old = self._find(session, queued_id)
        entries = self._queue(session).entries
        new = entries[entries.index(old)] = replace(old, **changes)
        session.state.emit(QueueChanged())
        return new

    def delete(self, session: Session, queued_id: str) -> bool:
        """Take a message back; ``False`` if it did not wait."""
        entries = self._queue(session).entries
        found = [queued for queued in entries if queued.id == queued_id]
        for queued in found:
            entries.remove(queued)
            session.state.emit(QueueChanged())
        return bool(found)

    def reorder(self, session: Session, queued_ids: Sequence[str]) -> None:
        """Put the messages into another order.

        Raises:
            InvalidRequestError: Not each that waits is named once.
        """
        entries = self._queue(session).entries
        if sorted(queued_ids) != sorted(queued.id for queued in entries):
            raise InvalidRequestError(
                "queue reorder must include every queued submission exactly once"
            )
        entries.sort(key=lambda queued: queued_ids.index(queued.id))
        session.state.emit(QueueChanged())

    async def _begin(
        self, session: Session, queued_id: str | None, *, keep: bool, may_join: bool = False
    ) -> Accepted | None:
        """Take a message out and submit it; ``None`` if it waits no more, or has to wait on.

        Without an id it is the one that is next by then: all may change while another begins.
        """
        queue = self._queue(session)
        async with queue.starting:
            busy = session.active is not None and not may_join
            named = (n for n, q in enumerate(queue.entries) if queued_id in (None, q.id))
            if busy or (place := next(named, None)) is None:
                return None
            queued = queue.entries.pop(place)
            session.state.emit(QueueChanged())
            try:
                return await self._submit(session, queued)
            except BaseException:
                if keep:
                    queue.entries.insert(place, queued)
                    session.state.emit(QueueChanged())
                raise

    async def _submit(self, session: Session, queued: Queued) -> Accepted:
        op = UserTurn(queued.input, client_message_id=queued.client_message_id)
        submission = Submission(new_turn_id(), op, chosen_by_caller=False)
        return await submit_for(queued.kernel_id, self._kernels, session, submission)

    def _queue(self, session: Session) -> _Queue:
        queue = self._queues.get(session)
        if queue is None:
            queue = self._queues[session] = _Queue()
            session.on_end(lambda ended: self._note_end(session, ended))
        return queue

    def _note_end(self, session: Session, ended: EndedTurn) -> None:
        # What follows a turn that failed or was stopped, its writer may not want any more.
        if ended.status == "completed" and self._queue(session).entries:
            self._threads.post(lambda: self._go_on(session))

    async def _go_on(self, session: Session) -> None:
        if self._threads.find(session.thread_id) is not session:
            return
        try:
            accepted = await self._begin(session, None, keep=True)
            if accepted is not None:
                accepted.start()
        except CodexError as error:
            session.state.emit(Warned(f"a message that waited could not be sent: {error}"))
        except anyio.ClosedResourceError:
            _log.info("thread %s was closed before a message that waited", session.thread_id)

    def _find(self, session: Session, queued_id: str) -> Queued:
        for queued in self._queue(session).entries:
            if queued.id == queued_id:
                return queued
        raise InvalidRequestError(_not_found(queued_id))


def _not_found(queued_id: str) -> str:
    return f"queued submission not found: {queued_id[:100]}"


def _nothing() -> None:
    """Start nothing: the message waits."""
