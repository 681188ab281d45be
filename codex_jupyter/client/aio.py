"""A client of any app-server v2: calls, what a thread says, and who answers its questions."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import anyio

from codex_jupyter._version import __version__
from codex_jupyter.client.turn_stream import TurnStream
from codex_jupyter.errors import CodexError, PeerClosedError, RemoteError
from codex_jupyter.ids import uuid7
from codex_jupyter.protocol.jsonrpc import METHOD_NOT_FOUND, Response
from codex_jupyter.protocol.streams import MessageStreams
from codex_jupyter.rpc import Peer

__all__ = ["AnswerRequest", "CodexClient", "Listener", "Reopen", "TurnStream"]

Json = dict[str, Any]

Listener = Callable[[str, Json], None]
"""Takes ``(method, params)`` of a notification, on the client's loop; must not block."""

AnswerRequest = Callable[[str, Json, str | int], Awaitable[Json]]
"""Answers ``(method, params, request id)`` of a server request."""

Reopen = Callable[[], Awaitable[MessageStreams]]
"""Opens another connection to the same server.

Raises `PeerClosedError` if it cannot be reached now, another `CodexError` if it refuses.
"""

RECONNECT_FOR: Final = 8.0
"""Seconds a connection that dropped is tried for; servers keep a kernel's turns for ten."""

GREET_LIMIT: Final = 20.0
"""Seconds a server may take to answer the greeting; it has read its settings by then."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 1.0
"""Seconds between two tries; the first pause doubles up to the longest."""

_CLIENT: Final = "codex_jupyter"


async def _answer_nothing(method: str, params: Json, request_id: str | int) -> Json:
    del params, request_id
    raise RemoteError(METHOD_NOT_FOUND, f"this client does not answer `{method}`")


class CodexClient:
    """A conversation with a server. Make it with `open`.

    With a way to connect again it outlives the connection: calls wait and are repeated, the
    threads it uses are resumed, and the streams of its turns go on from what the server has.
    """

    def __init__(
        self, streams: MessageStreams, answer: AnswerRequest, again: Reopen | None = None
    ) -> None:
        self._answer = answer
        self._again = again
        self._peer = self._peer_on(streams)
        self._usable = anyio.Event()
        self._problem: str | None = None
        self._listeners: dict[str, list[Listener]] = {}
        self._everything: list[Listener] = []
        self._streams: set[TurnStream] = set()
        self._threads: set[str] = set()
        self.explain: Callable[[str], Awaitable[str]] | None = None
        """Says why a connection that does not come back has ended, given what is known here."""

        self.server: Json = {}
        """The answer to `initialize`."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        streams: MessageStreams,
        *,
        answer: AnswerRequest = _answer_nothing,
        again: Reopen | None = None,
    ) -> AsyncGenerator["CodexClient"]:
        """Connect, greet, and serve the connection until the context is left.

        Args:
            streams: The connection; closed at the end.
            answer: Answers the server's questions, each in a task of its own.
            again: Replaces a connection that dropped, within `RECONNECT_FOR`.

        Raises:
            RemoteError: The server refused the greeting.
            PeerClosedError: The connection ended during the greeting.
        """
        client = cls(streams, answer, again)
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client._run)
            try:
                await client._greet_in_time()
                client._usable.set()
                yield client
            except Exception as error:  # noqa: BLE001 - kept out of the group, which would wrap it
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    @property
    def gone(self) -> bool:
        """Whether the connection has ended and does not come back."""
        return self._problem is not None

    async def call(self, method: str, params: Json) -> Json:
        """Ask the server and return its answer; a lost connection is waited for.

        Raises:
            RemoteError: The server refused.
            PeerClosedError: The connection ended.
        """
        while True:
            peer = await self._connected()
            try:
                answer = cast("Json", await peer.call(method, params))
            except PeerClosedError:
                if self._again is None or not _may_repeat(method, params):
                    raise
                self._lose(peer)
                continue
            if method in {"thread/start", "thread/resume", "delegate/start"}:
                self._threads.add(answer["thread"]["id"])
            return answer

    def listen(self, thread_id: str | None, listener: Listener) -> Callable[[], None]:
        """Hear the notifications of one thread, or of all; returns what ends it."""
        listeners = (
            self._everything if thread_id is None else self._listeners.setdefault(thread_id, [])
        )
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    @asynccontextmanager
    async def turn(
        self, thread_id: str, params: Json, method: str = "turn/start"
    ) -> AsyncGenerator["TurnStream"]:
        """Start a turn and stream what it says; leaving early does not stop the turn.

        Args:
            thread_id: Where the turn runs: a thread this connection has started or resumed, or
                that the call starts; in canonical form.
            params: Params beside the thread's id. With a ``turnId`` the call is repeated if the
                connection drops meanwhile.
            method: What starts the turn: also review/start or delegate/start.
        """
        stream = TurnStream(thread_id, params.get("turnId", ""))
        self._streams.add(stream)
        stop = self.listen(thread_id, stream.put)
        try:
            try:
                started = await self.call(method, {"threadId": thread_id, **params})
                stream.begin(started["turn"]["id"])
            except RemoteError:
                if not stream.is_known:  # else it had begun when the connection dropped
                    raise
            yield stream
        finally:
            stop()
            self._streams.discard(stream)

    @asynccontextmanager
    async def follow(self, thread_id: str, turn_id: str) -> AsyncGenerator["TurnStream"]:
        """Stream a turn that somebody has started, from a snapshot on; it may have ended.

        Of the thread only this turn travels: a whole one may be larger than a message can be.

        Raises:
            RemoteError: The thread cannot be resumed.
            PeerClosedError: The connection ended.
        """
        stream = TurnStream(thread_id, turn_id)
        stops: list[Callable[[], None]] = []
        answered, left = anyio.Event(), anyio.Event()
        problem: list[Json] = []
        await self.call("thread/resume", {"threadId": thread_id, "excludeTurns": True})
        peer = await self._connected()

        def take(response: Response) -> None:
            if response.error is not None and not peer.closed:
                problem.append(response.error)
            elif not peer.closed and not left.is_set():
                stream.is_known = True
                stream.resume(cast("Json", response.result)["data"])
                # From here on: what the snapshot has is not taken again.
                stops.append(self.listen(thread_id, stream.put))
                self._streams.add(stream)
            answered.set()

        asked = {"threadId": thread_id, "turnId": turn_id, "itemsView": "full"}
        peer.ask(f"follow {uuid7()}", "thread/turns/list", asked, take)
        try:
            await answered.wait()
            if problem:
                raise RemoteError(int(problem[0]["code"]), str(problem[0]["message"]))
            if not stops:
                raise PeerClosedError("the connection closed")
            yield stream
        finally:
            left.set()
            for stop in stops:
                stop()
            self._streams.discard(stream)

    async def _run(self) -> None:
        try:
            await self._peer.run()
            if self._again is not None and self.server:
                await self._come_back(self._again)
            elif self.explain is not None:
                self._problem = await self.explain("the connection has ended")
        finally:
            self._problem = self._problem or "the connection has ended"
            self._usable.set()
            for stream in self._streams:
                stream.end(self._problem if self._again or self.explain else None)

    async def _come_back(self, again: Reopen) -> None:
        """Connect again whenever the connection drops, until that fails for too long."""
        until = pause = 0.0
        while self._problem is None:
            if self._peer.closed:
                self._lose(self._peer)
            until = until or anyio.current_time() + RECONNECT_FOR
            streams = await self._reach(again, until, pause)
            if streams is None:
                return
            peer = self._peer_on(streams)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._catch_up, peer, until, tasks.cancel_scope)
                await peer.run()
                tasks.cancel_scope.cancel()
            # One that takes connections only to drop them is given time as well.
            until, pause = (0.0, 0.0) if self._peer is peer else (until, _longer(pause))

    async def _reach(self, again: Reopen, until: float, pause: float) -> MessageStreams | None:
        with anyio.CancelScope(deadline=until):
            while True:
                await anyio.sleep(pause)
                try:
                    return await again()
                except PeerClosedError:
                    pause = _longer(pause)
                except CodexError as refusal:
                    self._problem = f"the server does not take this client back: {refusal}"
                    return None
        self._problem = (
            f"the connection to the server was lost and did not come back within "
            f"{RECONNECT_FOR:.0f} s; the server ends what this client had running"
        )
        return None

    async def _catch_up(self, peer: Peer, until: float, serving: anyio.CancelScope) -> None:
        """Make a new connection what the old one was."""
        try:
            with anyio.fail_after(max(0.0, until - anyio.current_time())):
                await self._greet(peer)
                for thread_id in list(self._threads):
                    await self._resume(peer, thread_id)
        except RemoteError as refusal:
            self._problem = f"the server does not take this client back: {refusal}"
            serving.cancel()
        except (PeerClosedError, TimeoutError):
            serving.cancel()
        else:
            if not peer.closed:
                self._peer = peer
                self._usable.set()

    async def _resume(self, peer: Peer, thread_id: str) -> None:
        """Hear a thread again; its turns go on from the server's snapshot.

        The snapshot is taken in while the answer is dispatched, so that it stands in each stream
        before whatever the server says next. It is a page of the newest turns: a whole thread may
        be larger than a message can be. An older turn has ended, so it can be asked for later.
        """
        answered = anyio.Event()
        streams = [stream for stream in self._streams if stream.thread_id == thread_id]
        older: list[TurnStream] = []

        def take(response: Response) -> None:
            if not peer.closed:
                turns = _turns_of(response)
                for stream in streams:
                    if response.error is not None or _has(turns, stream.turn_id):
                        stream.resume(turns)
                    else:
                        older.append(stream)
                if response.error is not None:
                    self._threads.discard(thread_id)
            answered.set()

        asked: Json = {"threadId": thread_id, "excludeTurns": True}
        if streams:
            asked["initialTurnsPage"] = {"itemsView": "full"}
        peer.ask(f"resume {thread_id}", "thread/resume", asked, take)
        await answered.wait()
        if peer.closed:
            raise PeerClosedError("the connection closed again")
        for stream in older:
            stream.resume(await _listed(peer, thread_id, stream.turn_id))

    async def _connected(self) -> Peer:
        """Return the connection to speak on, waiting for it if there is none now."""
        if self._again is None:
            return self._peer
        await self._usable.wait()
        if self._problem is not None:
            raise PeerClosedError(self._problem)
        return self._peer

    def _lose(self, peer: Peer) -> None:
        if peer is self._peer and self._usable.is_set() and self._problem is None:
            self._usable = anyio.Event()

    def _peer_on(self, streams: MessageStreams) -> Peer:
        return Peer(streams, on_request=self._asked, on_notification=self._told)

    async def _greet_in_time(self) -> None:
        try:
            with anyio.fail_after(GREET_LIMIT):
                await self._greet(self._peer)
        except TimeoutError:
            problem = f"the server did not answer the greeting within {GREET_LIMIT:.0f} s"
            raise PeerClosedError(problem) from None

    async def _greet(self, peer: Peer) -> None:
        asked = {
            "clientInfo": {"name": _CLIENT, "title": "Codex Jupyter", "version": __version__},
            "capabilities": {"experimentalApi": True},
        }
        self.server = cast("Json", await peer.call("initialize", asked))
        peer.notify("initialized", {})

    async def _asked(self, method: str, params: Any, request_id: str | int) -> Any:
        return await self._answer(method, cast("Json", params or {}), request_id)

    def _told(self, method: str, params: Any) -> None:
        if params is not None and not isinstance(params, dict):
            return  # no notification of the protocol's
        told = cast("Json", params or {})
        match told:
            case {"threadId": str(thread)} | {"thread": {"id": str(thread)}}:
                listeners = self._listeners.get(thread, [])
            case _:
                listeners = []
        for listener in [*listeners, *self._everything]:
            listener(method, told)


def _longer(pause: float) -> float:
    return min(2 * pause or _FIRST_PAUSE, _LONGEST_PAUSE)


def _may_repeat(method: str, params: Json) -> bool:
    """Tell whether asking twice does no harm: a turn without an id would be started twice."""
    begins = method in {"turn/start", "review/start", "delegate/start"}
    return not begins or "turnId" in params


def _turns_of(response: Response) -> list[Json]:
    """Return the page of turns in an answer to thread/resume; none if it was refused."""
    answer: Json = cast("Json", response.result or {}) if response.error is None else {}
    page: Json = answer.get("initialTurnsPage") or {}
    return page.get("data") or []


def _has(turns: list[Json], turn_id: str) -> bool:
    return any(turn["id"] == turn_id for turn in turns)


async def _listed(peer: Peer, thread_id: str, turn_id: str) -> list[Json]:
    """Return one turn as the server has it, or none."""
    asked = {"threadId": thread_id, "turnId": turn_id, "itemsView": "full"}
    try:
        return cast("Json", await peer.call("thread/turns/list", asked))["data"]
    except RemoteError:
        return []
