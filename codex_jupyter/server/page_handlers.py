"""The methods that pages use: watch a turn, answer a question, take a turn's saved form."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio.to_thread

from codex_jupyter.core.thread_reader import ThreadReader
from codex_jupyter.errors import CodexError, InvalidRequestError, ThreadNotFoundError
from codex_jupyter.ids import parse_thread_id, parse_turn_id
from codex_jupyter.protocol.delegate_requests import TurnSnapshotParams
from codex_jupyter.protocol.requests import (
    ServerRequestAnswerParams,
    TurnOutputParams,
    TurnUnwatchParams,
    TurnWatchParams,
)
from codex_jupyter.server.kernel_turns import TurnKey
from codex_jupyter.server.params import read_params
from codex_jupyter.server.subscriptions import Connection, Subscriptions
from codex_jupyter.server.watches import TurnWatches
from codex_jupyter.tools.policy import NOT_SANDBOXED
from codex_jupyter.view.output import bundle
from codex_jupyter.view.turn_state import TurnState

__all__ = ["PageHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]

_UNKNOWN: Json = {"known": False, "snapshot": None, "seq": 0, "running": False, "open": []}


class PageHandlers:
    """The methods beside those of the original.

    Args:
        threads: Where older turns are read.
        subscriptions: Where answers go.
        watches: The turns in memory; ``None`` where no pages connect: nothing is known then.
    """

    def __init__(
        self, reader: ThreadReader, subscriptions: Subscriptions, watches: TurnWatches | None
    ) -> None:
        self._reader = reader
        self._subscriptions = subscriptions
        self._watches = watches
        self.methods: dict[str, Method] = {
            "turn/watch": self._turn_watch,
            "turn/unwatch": self._turn_unwatch,
            "turn/output": self._turn_output,
            "turn/snapshot": self._turn_snapshot,
            "serverRequest/answer": self._answer,
            "serverRequest/list": self._list,
        }

    async def _turn_watch(self, connection: Connection, params: Any) -> Json:
        key = _key(read_params(TurnWatchParams, params))
        if self._watches is not None and (seen := self._watches.watch(connection, key)):
            return seen
        snapshot = await self._stored(key)
        if self._watches is not None and (seen := self._watches.watch(connection, key)):
            return seen  # it began while the disk was read
        return _UNKNOWN if snapshot is None else {**_UNKNOWN, "known": True, "snapshot": snapshot}

    async def _turn_unwatch(self, connection: Connection, params: Any) -> Json:
        key = _key(read_params(TurnUnwatchParams, params))
        if self._watches is not None:
            self._watches.unwatch(connection, key)
        return {}

    async def _turn_output(self, _connection: Connection, params: Any) -> Json:
        key = _key(read_params(TurnOutputParams, params))
        snapshot = self._watches.snapshot(key) if self._watches is not None else None
        snapshot = snapshot or await self._stored(key)
        if snapshot is None:
            raise InvalidRequestError(f"thread {key[0]} has no turn {key[1]}")
        data = await anyio.to_thread.run_sync(bundle, snapshot)
        return {"data": data, "metadata": {"codex": {"threadId": key[0], "turnId": key[1]}}}

    async def _turn_snapshot(self, _connection: Connection, params: Any) -> Json:
        key = _key(read_params(TurnSnapshotParams, params))
        seen = self._watches.snapshot(key) if self._watches is not None else None
        return {"snapshot": seen or await self._stored(key)}

    async def _answer(self, connection: Connection, params: Any) -> Json:
        asked = read_params(ServerRequestAnswerParams, params)
        if not connection.rights.may_answer:
            raise InvalidRequestError(
                f"this connection ({connection.rights.label}) may not answer approvals or "
                "questions: only the user's page, or the headless policy of the server, may"
            )
        if (asked.decision is None) == (asked.answers is None):
            raise InvalidRequestError(
                "give either `decision`, for an approval, or `answers`, for questions"
            )
        result: Json = (
            {"answers": asked.answers}
            if asked.decision is None
            else {"decision": asked.decision, "digest": asked.digest}
        )
        taken = self._subscriptions.answer(asked.request_id, result, asked.digest)
        return {"status": "ok" if taken else "gone"}

    async def _list(self, connection: Connection, _params: Any) -> Json:
        if not connection.rights.may_answer:
            raise InvalidRequestError("this connection may not answer, so it is not told either")
        return {"data": self._watches.open_requests if self._watches is not None else []}

    async def _stored(self, key: TurnKey) -> Json | None:
        """Rebuild the state of a turn from its thread, loaded or on disk."""
        try:
            thread = await self._reader.read(key[0], include_turns=True)
        except ThreadNotFoundError:
            return None
        except CodexError as problem:
            raise InvalidRequestError(f"thread {key[0]} cannot be read: {problem}") from None
        turn = next((turn for turn in thread["turns"] if turn["id"] == key[1]), None)
        if turn is None:
            return None
        state = TurnState(*key, model=thread.get("model"), sandbox=NOT_SANDBOXED)
        state.apply("turn/completed", {"threadId": key[0], "turn": turn})
        return state.snapshot()


def _key(
    asked: TurnWatchParams | TurnUnwatchParams | TurnOutputParams | TurnSnapshotParams,
) -> TurnKey:
    return parse_thread_id(asked.thread_id), parse_turn_id(asked.turn_id)
