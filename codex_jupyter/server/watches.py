"""Turns as pages draw them: the state of each running turn, and who watches it.

A page needs more than notifications: it may come late, come back, or come twice. So the server
folds the notifications of a turn into the same state that a page holds, and a page that watches
gets that state once and then numbered changes.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import anyio

from codex_jupyter.ids import ThreadId, TurnId
from codex_jupyter.protocol.events import (
    Event,
    RequestOpened,
    RequestResolved,
    TextDelta,
    TurnStarted,
)
from codex_jupyter.server.kernel_turns import TurnKey
from codex_jupyter.server.subscriptions import Connection
from codex_jupyter.view.op_batches import OpBatches
from codex_jupyter.view.requests import pending_request
from codex_jupyter.view.turn_state import Op, PendingRequest, TurnState

__all__ = ["TurnWatches"]

Json = dict[str, Any]

_KEPT: Final = 16
"""Ended turns whose state stays in memory, for pages that watch them to their last change; an
older one is rebuilt from its thread. A state is seldom above 256 KiB."""


_WHOLE: Final = 1 << 30
"""Bytes; what is to be allowed is shown to its end."""


@dataclass(slots=True)
class _Watched:
    state: TurnState
    seq: int = 0
    running: bool = True
    batches: OpBatches = field(default_factory=OpBatches)
    watchers: set[Connection] = field(default_factory=set[Connection])
    open: dict[str, Json] = field(default_factory=dict[str, Json])
    """The questions that can be answered now, whole: a snapshot may shorten them."""


class TurnWatches:
    """The turns of this server as pages see them; on its loop only, and nothing here waits.

    Args:
        describe: Returns members for the state of a new turn: its ``model``, its ``sandbox`` and
            the ``notices`` to show first.
        turns_above: Returns the running turns of the threads above one.
    """

    def __init__(
        self,
        describe: Callable[[ThreadId], Mapping[str, Any]],
        turns_above: Callable[[ThreadId], Iterable[TurnKey]] = lambda _: (),
    ) -> None:
        self._describe = describe
        self._turns_above = turns_above
        self._turns: OrderedDict[TurnKey, _Watched] = OrderedDict()
        self._due = anyio.Event()

    async def run(self) -> None:
        """Send what was held back a frame long, until cancelled."""
        while True:
            await self._due.wait()
            self._due = anyio.Event()
            now = time.monotonic()
            waits = [w.batches.due_in(now) for w in self._turns.values() if w.watchers]
            due = min((wait for wait in waits if wait is not None), default=None)
            if due is None:
                continue
            await anyio.sleep(due)
            for key, watched in list(self._turns.items()):
                self._send(key, watched, watched.batches.take(time.monotonic()))

    def publish(self, event: Event, notification: Json | None) -> Json | None:
        """Take one event, with its notification if it has one.

        What a delegate does and asks is shown in the turns above it, too. Returns the question as
        pages show it, for an event that opens one.
        """
        asked = self._take(event, notification)
        # Texts as they come are shown where they are said only.
        if not isinstance(event.msg, TextDelta):
            for key in self._turns_above(event.thread_id):
                if (above := self._turns.get(key)) is not None:
                    self._pass_up(key, above, event, notification, asked)
        return asked

    def _pass_up(
        self,
        key: TurnKey,
        above: _Watched,
        event: Event,
        notification: Json | None,
        asked: Json | None,
    ) -> None:
        if asked is not None:
            above.open[asked["requestId"]] = asked
            shown: Any = asked
            self._add(key, above, above.state.ask(shown))
        elif isinstance(event.msg, RequestResolved):
            self._settle(key, above, event.msg)
        elif notification is not None:
            method, params = notification["method"], notification["params"]
            self._add(key, above, above.state.apply(method, params))

    def _take(self, event: Event, notification: Json | None) -> Json | None:
        if event.turn_id is None and not isinstance(event.msg, TurnStarted):
            key = self._turn_named_in(event.thread_id, notification)
        else:
            key = (event.thread_id, event.turn_id or TurnId(""))
        if isinstance(event.msg, TurnStarted) and key is not None:
            self._begin(key)
        watched = self._turns.get(key) if key is not None else None
        if key is None or watched is None:
            return None
        if isinstance(event.msg, RequestOpened):
            return self._ask(key, watched, event.msg)
        if isinstance(event.msg, RequestResolved):
            self._settle(key, watched, event.msg)
            return None
        if notification is not None:
            method, params = notification["method"], notification["params"]
            self._add(key, watched, watched.state.apply(method, params))
            if method == "turn/completed":
                self._end(key, watched)
        return None

    def hold(self, key: TurnKey, code: str | None) -> None:
        """Show which code still holds the kernel of a turn that was stopped."""
        if (watched := self._turns.get(key)) is not None:
            self._add(key, watched, watched.state.hold(code))

    def watch(self, connection: Connection, key: TurnKey) -> Json | None:
        """Let a connection watch a turn from now on; ``None`` if it is not in memory."""
        watched = self._turns.get(key)
        if watched is None:
            return None
        # What waits goes to those who watched before; the snapshot has it already.
        self._send(key, watched, watched.batches.take(time.monotonic()))
        watched.watchers.add(connection)
        snapshot = watched.state.snapshot()
        requests: list[Json] = snapshot["requests"]
        snapshot["requests"] = [
            {**request, **watched.open.get(request["requestId"], {})} for request in requests
        ]
        return {
            "known": True,
            "snapshot": snapshot,
            "seq": watched.seq,
            "running": watched.running,
            "open": list(watched.open),
        }

    def unwatch(self, connection: Connection, key: TurnKey) -> None:
        """Let a connection hear no more of a turn."""
        if (watched := self._turns.get(key)) is not None:
            watched.watchers.discard(connection)

    def remove(self, connection: Connection) -> None:
        """Forget a connection."""
        for watched in self._turns.values():
            watched.watchers.discard(connection)

    @property
    def open_requests(self) -> list[Json]:
        """Every question that can be answered now, as pages show it."""
        found = {
            request_id: request
            for watched in self._turns.values()
            for request_id, request in watched.open.items()
        }
        return list(found.values())

    def snapshot(self, key: TurnKey) -> Json | None:
        """Return the state of a turn that is in memory."""
        watched = self._turns.get(key)
        return watched.state.snapshot() if watched is not None else None

    def _turn_named_in(self, thread_id: ThreadId, notification: Json | None) -> TurnKey | None:
        """Find the turn of a message that is about a whole thread: the one that runs there."""
        if notification is None or notification["method"] != "warning":
            return None
        running = (key for key, w in self._turns.items() if key[0] == thread_id and w.running)
        return next(running, None)

    def _begin(self, key: TurnKey) -> None:
        described = self._describe(key[0])
        state = TurnState(*key, model=described["model"], sandbox=described["sandbox"])
        for notice in described["notices"]:
            state.notice(notice["text"], notice["level"])
        self._turns[key] = _Watched(state)
        ended = [other for other, watched in self._turns.items() if not watched.running]
        for other in ended[:-_KEPT]:
            del self._turns[other]

    def _end(self, key: TurnKey, watched: _Watched) -> None:
        watched.running = False
        watched.open.clear()
        self._turns.move_to_end(key)

    def _settle(self, key: TurnKey, watched: _Watched, msg: RequestResolved) -> None:
        if watched.open.pop(msg.request_id, None) is not None:
            self._add(key, watched, watched.state.settle(msg.request_id, msg.outcome))

    def _ask(self, key: TurnKey, watched: _Watched, msg: RequestOpened) -> Json | None:
        if msg.method == "item/tool/call":
            return None
        items = watched.state.snapshot(max_bytes=_WHOLE)["items"]
        item = next((item for item in items if item["id"] == msg.params.get("itemId")), None)
        request: Any = pending_request(msg.method, msg.params, msg.request_id, item)
        request["threadId"] = key[0]
        request["shownIn"] = [turn_id for _, turn_id in self._turns_above(key[0])]
        watched.open[msg.request_id] = request
        shown: PendingRequest = request
        self._add(key, watched, watched.state.ask(shown))
        return request

    def _add(self, key: TurnKey, watched: _Watched, ops: list[Op]) -> None:
        if not watched.watchers or not ops:
            return
        now = time.monotonic()
        self._send(key, watched, watched.batches.add(ops, now))
        if watched.batches.due_in(now) is not None:
            self._due.set()

    def _send(self, key: TurnKey, watched: _Watched, ops: list[Op]) -> None:
        if not ops:
            return
        watched.seq += 1
        params = {"threadId": key[0], "turnId": key[1], "seq": watched.seq, "ops": ops}
        for connection in watched.watchers:
            connection.tell("turn/ops", params)
