"""Who hears which thread, and whose answer to a question counts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from codex_jupyter.flow.requests import Answered, AskedRequest, Outcome, Refused
from codex_jupyter.ids import ThreadId, TurnId
from codex_jupyter.protocol.events import Event, RequestOpened, RequestResolved, ThreadClosed
from codex_jupyter.protocol.jsonrpc import METHOD_NOT_FOUND, Response
from codex_jupyter.rpc import Peer
from codex_jupyter.server.kernel_turns import KernelTurns
from codex_jupyter.server.projection import BROADCAST, notification_of
from codex_jupyter.server.rights import OWNER, Rights
from codex_jupyter.view.requests import answer_for

__all__ = ["Connection", "Subscriptions"]

Json = dict[str, Any]
_TOOL_CALL: Final = "item/tool/call"
Settle = Callable[[ThreadId, str, Outcome], bool]
Watch = Callable[[Event, Json | None], Json | None]


@dataclass(eq=False, slots=True)
class Connection:
    """One initialised connection."""

    peer: Peer
    experimental: bool
    """Whether it asked for members and methods that may still change."""

    opted_out: frozenset[str]
    rights: Rights = OWNER
    sequences: bool = False
    """Whether each notification of a thread carries its number."""

    threads: set[ThreadId] = field(default_factory=set[ThreadId])

    def tell(self, method: str, params: Json) -> None:
        """Tell it something, unless it has asked not to hear of that kind."""
        if method not in self.opted_out:
            self.peer.notify(method, params)


@dataclass(slots=True)
class _Asked:
    thread_id: ThreadId
    turn_id: TurnId
    method: str
    params: Json
    waiting: set[Connection]
    """Connections that have neither answered nor said that they do not know the method."""


class Subscriptions:
    """Fans events out. Everything is synchronous: an event is queued everywhere or nowhere.

    Args:
        settle: Takes the answer that counts; returns whether the question was still open.
        kernels: Which turn belongs to which kernel.
        watch: Takes every event, with its notification, before anybody hears of it; returns an
            opened question as pages show it. ``None`` where no pages connect.
    """

    def __init__(self, settle: Settle, kernels: KernelTurns, watch: Watch | None = None) -> None:
        self._settle = settle
        self._kernels = kernels
        self._watch = watch
        self._connections: set[Connection] = set()
        self._subscribers: dict[ThreadId, set[Connection]] = {}
        self._asked: dict[str, _Asked] = {}

    def add(self, connection: Connection) -> None:
        """Let a connection hear what everybody hears."""
        self._connections.add(connection)

    def remove(self, connection: Connection) -> None:
        """Forget a connection. Its threads run on, and what it was asked stays open."""
        self._connections.discard(connection)
        for thread_id in connection.threads:
            self._subscribers[thread_id].discard(connection)
        for asked in self._asked.values():
            asked.waiting.discard(connection)

    def subscribe(
        self, connection: Connection, thread_id: ThreadId, pending: Iterable[AskedRequest] = ()
    ) -> None:
        """Let a connection hear a thread, and put to it what waits for an answer."""
        if thread_id in connection.threads:
            return
        connection.threads.add(thread_id)
        self._subscribers.setdefault(thread_id, set()).add(connection)
        for request in pending:
            asked = self._asked.get(request.id) if request.thread_id == thread_id else None
            if asked is not None:
                self._put(connection, request.id, asked)

    def inherit(self, parent_id: ThreadId, thread_id: ThreadId) -> None:
        """Let whoever hears a thread hear a new one below it: its questions go to them too."""
        for connection in tuple(self._subscribers.get(parent_id, ())):
            self.subscribe(connection, thread_id)

    def unsubscribe(self, connection: Connection, thread_id: ThreadId) -> bool:
        """Let a connection hear a thread no more; ``False`` if it did not."""
        if thread_id not in connection.threads:
            return False
        connection.threads.discard(thread_id)
        self._subscribers[thread_id].discard(connection)
        for request_id, asked in self._asked.items():
            if asked.thread_id == thread_id:
                asked.waiting.discard(connection)
                connection.peer.forget(request_id)
        return True

    def is_heard(self, thread_id: ThreadId) -> bool:
        """Whether a connection is subscribed to a thread."""
        return bool(self._subscribers.get(thread_id))

    def publish(self, event: Event) -> None:
        """Send one event to everybody whom it concerns."""
        msg = event.msg
        if isinstance(msg, RequestOpened):
            self._open(event, msg)
            return
        if isinstance(msg, RequestResolved):
            self._asked.pop(msg.request_id, None)
            for connection in self._subscribers.get(event.thread_id, ()):
                connection.peer.forget(msg.request_id)
        notification = notification_of(event)
        if self._watch is not None:
            self._watch(event, notification)
        if notification is None:
            return
        for connection in self._hearers(notification["method"], event.thread_id):
            # What everybody hears is numbered only for who follows the thread: who resumes it in
            # a moment would count it twice.
            follows = event.thread_id in connection.threads
            self._send(connection, notification, event.seq if follows else 0)
        if isinstance(msg, ThreadClosed):
            self._close(event.thread_id)

    def tell_all(self, method: str, params: Json) -> None:
        """Tell every connection something that belongs to no thread."""
        for connection in self._connections:
            connection.tell(method, params)

    def tell_peers(self, connection: Connection, method: str, params: Json) -> None:
        """Tell what a connection asked for: an owner's is heard by all owners, others' by it alone.

        The original tells everybody. But what a person types in a page is not for a kernel, whose
        token a command that the agent runs may have read.
        """
        shared = connection.rights == OWNER
        hearers = [c for c in self._connections if c.rights == OWNER] if shared else [connection]
        for hearer in hearers:
            hearer.tell(method, params)

    def replay(self, connection: Connection, events: Iterable[Event]) -> None:
        """Send a connection what it missed."""
        for event in events:
            if (notification := notification_of(event)) is not None:
                self._send(connection, notification, event.seq)

    def _send(self, connection: Connection, notification: Json, seq: int) -> None:
        if notification["method"] not in connection.opted_out:
            numbered = connection.sequences and seq > 0
            connection.peer.send({**notification, "seq": seq} if numbered else notification)

    def _close(self, thread_id: ThreadId) -> None:
        """Forget who heard a thread that is no longer loaded."""
        for connection in self._subscribers.pop(thread_id, ()):
            connection.threads.discard(thread_id)

    def answer(self, request_id: str, result: Json, digest: str | None) -> bool:
        """Settle a question with an answer that did not come as a response.

        Returns ``False`` if it is unknown or settled, or was shown with another digest.
        """
        asked = self._asked.get(request_id)
        if asked is None or asked.method == _TOOL_CALL or asked.params.get("digest") != digest:
            return False
        answer = answer_for(asked.method, asked.params, result)
        return self._settle(asked.thread_id, request_id, Answered(answer))

    def count(self, rights: Callable[[Rights], bool]) -> int:
        """Return how many connections have such rights."""
        return sum(rights(connection.rights) for connection in self._connections)

    def _open(self, event: Event, msg: RequestOpened) -> None:
        """Put a question to everybody who may answer it."""
        turn_id = event.turn_id or TurnId("")
        asked = _Asked(event.thread_id, turn_id, msg.method, msg.params, set())
        self._asked[msg.request_id] = asked
        shown = self._watch(event, None) if self._watch is not None else None
        if shown is not None:
            for connection in self._connections:
                if connection.rights.hears_all_requests:
                    connection.tell("serverRequest/opened", {"request": shown})
        for connection in list(self._subscribers.get(event.thread_id, ())):
            self._put(connection, msg.request_id, asked)

    def _hearers(self, method: str, thread_id: ThreadId) -> Iterable[Connection]:
        if method in BROADCAST:
            return self._connections
        subscribers = self._subscribers.get(thread_id, set[Connection]())
        if method != "serverRequest/resolved":
            return subscribers
        return subscribers | {c for c in self._connections if c.rights.hears_all_requests}

    def _is_for(self, rights: Rights, asked: _Asked) -> bool:
        """Whether a connection of these rights is asked, by a request of the protocol."""
        if asked.method != _TOOL_CALL:
            return rights.may_answer and not rights.hears_all_requests
        kernel_id = self._kernels.kernel_of((asked.thread_id, asked.turn_id))
        return rights.runs_tools and kernel_id in (None, rights.kernel_id)

    def _put(self, connection: Connection, request_id: str, asked: _Asked) -> None:
        if connection.peer.closed or not self._is_for(connection.rights, asked):
            return
        asked.waiting.add(connection)

        def take(response: Response) -> None:
            self._answered(connection, request_id, response)

        connection.peer.ask(request_id, asked.method, asked.params, take)

    def _answered(self, connection: Connection, request_id: str, response: Response) -> None:
        """Count an answer, unless it only says that this connection cannot answer."""
        asked = self._asked.get(request_id)
        if asked is None or connection not in asked.waiting:
            return
        if connection.peer.closed:
            # The peer ended: that is no answer, and somebody else may still give one.
            asked.waiting.discard(connection)
            return
        if response.error is None:
            self._settle(asked.thread_id, request_id, Answered(response.result))
            return
        asked.waiting.discard(connection)
        unknown = response.error.get("code") == METHOD_NOT_FOUND
        if not (unknown and (asked.waiting or self._may_come_otherwise(asked))):
            message = str(response.error.get("message", "error"))[:500]
            self._settle(asked.thread_id, request_id, Refused(message))

    def _may_come_otherwise(self, asked: _Asked) -> bool:
        """Whether somebody who was not asked by a request may answer: nobody runs a tool so."""
        if asked.method == _TOOL_CALL:
            return False
        return any(c.rights.hears_all_requests for c in self._connections)
