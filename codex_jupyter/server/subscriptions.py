"""Who hears which thread, and whose answer to a question counts."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from codex_jupyter.flow.requests import Answered, AskedRequest, Outcome, Refused
from codex_jupyter.ids import ThreadId
from codex_jupyter.protocol.events import Event, RequestOpened, RequestResolved
from codex_jupyter.protocol.jsonrpc import METHOD_NOT_FOUND, Response
from codex_jupyter.rpc import Peer
from codex_jupyter.server.projection import BROADCAST, notification_of

__all__ = ["Connection", "Subscriptions"]

Json = dict[str, Any]
Settle = Callable[[ThreadId, str, Outcome], None]


@dataclass(eq=False, slots=True)
class Connection:
    """One initialised connection."""

    peer: Peer
    experimental: bool
    """Whether it asked for members and methods that may still change."""

    opted_out: frozenset[str]
    threads: set[ThreadId] = field(default_factory=set[ThreadId])


@dataclass(slots=True)
class _Asked:
    thread_id: ThreadId
    method: str
    waiting: set[Connection]
    """Connections that have neither answered nor said that they do not know the method."""


class Subscriptions:
    """Fans events out. Everything is synchronous: an event is queued everywhere or nowhere.

    Args:
        settle: Takes the answer that counts.
    """

    def __init__(self, settle: Settle) -> None:
        self._settle = settle
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
            asked = self._asked.get(request.id)
            if asked is not None:
                self._put(connection, request.id, asked, request.params)

    def publish(self, event: Event) -> None:
        """Send one event to everybody whom it concerns."""
        msg = event.msg
        if isinstance(msg, RequestOpened):
            asked = self._asked[msg.request_id] = _Asked(event.thread_id, msg.method, set())
            for connection in list(self._subscribers.get(event.thread_id, ())):
                self._put(connection, msg.request_id, asked, msg.params)
            return
        if isinstance(msg, RequestResolved):
            self._asked.pop(msg.request_id, None)
            for connection in self._subscribers.get(event.thread_id, ()):
                connection.peer.forget(msg.request_id)
        notification = notification_of(event)
        if notification is None:
            return
        method = notification["method"]
        hearers = (
            self._connections if method in BROADCAST else self._subscribers.get(event.thread_id, ())
        )
        for connection in hearers:
            if method not in connection.opted_out:
                connection.peer.send(notification)

    def _put(self, connection: Connection, request_id: str, asked: _Asked, params: Json) -> None:
        if connection.peer.closed:
            return
        asked.waiting.add(connection)

        def take(response: Response) -> None:
            self._answered(connection, request_id, response)

        connection.peer.ask(request_id, asked.method, params, take)

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
        if not (unknown and asked.waiting):
            message = str(response.error.get("message", "error"))[:500]
            self._settle(asked.thread_id, request_id, Refused(message))
