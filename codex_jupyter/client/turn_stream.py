"""What one turn says, from its start to its end, across connections that drop."""

from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from typing import Any, Final

from codex_jupyter.errors import PeerClosedError
from codex_jupyter.flow.channels import Outbox, OutboxOverflowError
from codex_jupyter.rpc import merge_deltas

__all__ = ["TurnStream"]

Json = dict[str, Any]

_RESUMED: Final = "thread/resumed"
"""Marks in a stream where the thread was resumed; travels on no wire."""


class TurnStream:
    """The notifications of one turn, in order. Neighbouring deltas merge when the reader lags."""

    def __init__(self, thread_id: str = "", turn_id: str = "") -> None:
        self.thread_id = thread_id
        self.turn_id = turn_id
        self.is_known = False
        """Whether the server has said that it has the turn."""

        self._queue = Outbox(merge_deltas)
        self._problem = "the stream of the turn broke off before the turn ended"

    def begin(self, turn_id: str) -> None:
        """Note that the server has taken the turn."""
        self.turn_id = turn_id
        self.is_known = True

    def put(self, method: str, params: Json) -> None:
        """Take a notification of the turn's thread."""
        # A reader that lags too far gets what was queued, then the error of `__aiter__`; the
        # connection and its other readers go on.
        with suppress(OutboxOverflowError):
            self._queue.put({"method": method, "params": params})

    def resume(self, turns: list[Json]) -> None:
        """Go on from ``turns``, what the server has of the thread after a lost connection."""
        turn = next((turn for turn in turns if turn["id"] == self.turn_id), None)
        if turn is not None or self.is_known:
            self.is_known = True
            self.put(_RESUMED, {"turn": turn})

    def end(self, problem: str | None = None) -> None:
        """Take no more: the connection has ended, because of ``problem``."""
        self._problem = problem or self._problem
        self._queue.close()

    async def __aiter__(self) -> AsyncGenerator[tuple[str, Json]]:
        """Iterate over ``(method, params)`` up to and including the turn's `turn/completed`.

        After a lost connection each item the server has comes again, as it stands there.

        Raises:
            PeerClosedError: The connection ended before the turn, or the reader is too slow.
        """
        while True:
            messages = await self._queue.take()
            if not messages:
                raise PeerClosedError(self._problem)
            for message in messages:
                for method, params in self._told(message["method"], message["params"]):
                    yield method, params
                    if method == "turn/completed":
                        return

    def _told(self, method: str, params: Json) -> Generator[tuple[str, Json]]:
        if method == _RESUMED:
            yield from self._missed(params["turn"])
        elif self._concerns(params):
            yield method, params

    def _missed(self, turn: Json | None) -> Generator[tuple[str, Json]]:
        if turn is None:
            raise PeerClosedError("the server no longer has the turn; it was started anew")
        running = turn["status"] == "inProgress"
        ids = {"threadId": self.thread_id, "turnId": self.turn_id}
        for item in turn["items"]:
            yield ("item/started" if running else "item/completed"), {**ids, "item": item}
        if not running:
            yield "turn/completed", {"threadId": self.thread_id, "turn": turn}

    def _concerns(self, params: Json) -> bool:
        shape: Json = params.get("turn") or {}
        turn: Any = params.get("turnId") or shape.get("id")
        return turn is None or turn == self.turn_id
