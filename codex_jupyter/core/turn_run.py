"""Runs one accepted turn from its start event to its one end event."""

import logging
import time
from collections.abc import Sequence
from typing import Any, Final, Protocol, cast

import anyio
import anyio.abc

from codex_jupyter.core.config import SessionConfig
from codex_jupyter.core.kin import Kin
from codex_jupyter.core.session_state import SessionState
from codex_jupyter.core.spoken import Spoken
from codex_jupyter.core.turn import Turn
from codex_jupyter.core.turn_parts import EndedTurn
from codex_jupyter.core.turn_records import aborted_message, end_record, wire_error, wire_turn
from codex_jupyter.core.user_shell import run_user_shell
from codex_jupyter.errors import CodexError, ModelError, RolloutError
from codex_jupyter.model.interface import ModelClient
from codex_jupyter.model.retry import RetryPolicy
from codex_jupyter.protocol.events import (
    ErrorNoted,
    ItemCompleted,
    ItemStarted,
    TurnCompleted,
    TurnStarted,
)
from codex_jupyter.protocol.ops import Compact, Delegation, Review, UserShell
from codex_jupyter.rollout.records import Record
from codex_jupyter.tools.registry import ToolRegistry
from codex_jupyter.tools.terminals import Terminals

__all__ = ["END_LIMIT", "TurnRun"]

Json = dict[str, Any]
_log = logging.getLogger(__name__)

COOPERATIVE: Final = 2.0
"""Seconds that tools get to wind down after an interrupt before their tasks are cancelled."""

END_LIMIT: Final = 30.0
"""Seconds that storing a turn's end may take."""


class TurnHost(Protocol):
    """What a session lends to the run of its turn."""

    terminals: Terminals
    """A stop ends them."""

    kin: Kin

    async def tools_for(self, turn: Turn) -> ToolRegistry:
        """Find what the model may call, starting what it needs."""
        ...

    def client_for(self, config: SessionConfig) -> ModelClient:
        """Make or find the provider's client."""
        ...

    async def perform(self, turn: Turn) -> None:
        """Have delegates do what the turn is for: a review, or tasks."""
        ...

    def leave(self, turn: Turn) -> None:
        """Have no active turn any more."""
        ...

    def note_end(self, ended: EndedTurn) -> None:
        """Tell whoever waits for it."""
        ...


class TurnRun:
    """One run of one turn.

    Args:
        turn: Accepted and stored.
        state: Of its session.
        host: Its session. `TurnHost.leave` is called when the end is decided and stored, just
            before it is announced.
    """

    def __init__(self, turn: Turn, state: SessionState, host: TurnHost) -> None:
        self._turn = turn
        self._state = state
        self._host = host

    async def run(self) -> None:
        """Run the turn; whatever happens it ends once, and the next one can start."""
        turn = self._turn
        failure: CodexError | None = None
        try:
            self._announce_start()
            try:
                failure = await self._watched()
            finally:
                with anyio.CancelScope(shield=True):
                    await self._end(failure)
        finally:
            self._host.leave(turn)
            turn.ended.set()

    async def _watched(self) -> CodexError | None:
        """Do the work, and what is asked for beside it, until the work is done or must stop."""
        failure: CodexError | None = None
        try:
            async with anyio.create_task_group() as watch:
                watch.start_soon(self._enforce_interrupt)
                watch.start_soon(self._run_beside, watch)
                with self._turn.hard:
                    failure = await self._work()
                watch.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001 - as `_work`: what runs beside it may fail, too
            return self._unforeseen(error)
        return failure

    def _announce_start(self) -> None:
        turn = self._turn
        self._state.set_status({"type": "active", "activeFlags": []})
        self._state.emit(TurnStarted(wire_turn(turn, "inProgress")), turn.turn_id)
        if (opening := turn.opening) is not None:
            now = round(turn.started * 1000)
            item = {**opening, "startedAtMs": now}
            self._state.emit(ItemStarted(item), turn.turn_id)
            self._state.emit(ItemCompleted({**item, "completedAtMs": now}), turn.turn_id)

    async def _work(self) -> CodexError | None:
        """Do what the turn is for and return what made it fail, if something did."""
        turn = self._turn
        try:
            if isinstance(turn.op, UserShell):
                await run_user_shell(turn, turn.op)
                return None
            if isinstance(turn.op, Review | Delegation):
                await self._host.perform(turn)
                await turn.rest()
                if turn.close_if_done() or isinstance(turn.op, Delegation):
                    return None
                await self._state.record()
            client = self._host.client_for(turn.config)
            retry = RetryPolicy(max_retries=turn.config.provider.stream_max_retries)
            if isinstance(turn.op, Compact):
                await turn.compact(client, retry, with_context=False)
            else:
                with turn.token.scope() as starting:
                    tools = await self._host.tools_for(turn)
                if not starting.cancelled_caught:
                    await turn.run(client, tools, retry)
        except ModelError as error:
            if error.info == "contextWindowExceeded":
                self._state.note_too_long(turn.config.model)
            return error
        except CodexError as error:
            return error
        except Exception as error:  # noqa: BLE001 - one failing turn must not end the session
            return self._unforeseen(error)
        return None

    def _unforeseen(self, error: Exception) -> CodexError:
        _log.error("turn %s failed", self._turn.turn_id, exc_info=error)
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cast("BaseExceptionGroup[BaseException]", cause).exceptions[0]
        return CodexError(f"internal error: {type(cause).__name__}: {cause}")

    async def _run_beside(self, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            tasks.start_soon(self._run_one_beside, await self._turn.next_beside())

    async def _run_one_beside(self, op: UserShell) -> None:
        try:
            await run_user_shell(self._turn, op)
        except RolloutError as problem:
            self._turn.failure = self._turn.failure or problem
            self._turn.interrupt("a record could not be stored")
        finally:
            self._turn.beside_ended()

    async def _enforce_interrupt(self) -> None:
        with self._turn.token.scope():
            await anyio.sleep_forever()
        await anyio.sleep(COOPERATIVE)
        self._turn.hard.cancel()

    async def _end(self, failure: CodexError | None) -> None:
        """Decide how the turn ended, close what is open, store the end, and announce it."""
        turn = self._turn
        await self._host.kin.join(turn)
        spoken, injected = turn.close()
        failure = turn.failure or failure
        interrupted = turn.token.reason is not None and turn.failure is None
        status = "interrupted" if interrupted else "failed" if failure else "completed"
        error = wire_error(failure) if failure and not interrupted else None
        duration = round((time.time() - turn.started) * 1000)
        if interrupted:
            # What the user stops is stopped: also what the turn, or one before, left running.
            await self._host.terminals.end_all()
        end = end_record(turn, status, error, duration, self._state.extras)
        if (problem := await self._part(spoken, injected, end)) is not None:
            _log.error("the end of turn %s could not be stored", turn.turn_id, exc_info=problem)
            status, error = "failed", error or wire_error(_as_rollout_error(problem))
            self._state.unstage()
            for item in self._open_items():
                turn.drop_item(item)
        if error is not None:
            self._state.emit(ErrorNoted(error, will_retry=False), turn.turn_id)
        await self._host.kin.charge(turn)
        self._host.leave(turn)
        self._state.updated_at = time.time()
        self._state.set_status({"type": "systemError" if status == "failed" else "idle"})
        ended = wire_turn(turn, status)
        ended |= {"error": error, "completedAt": int(time.time()), "durationMs": duration}
        self._state.emit(TurnCompleted(ended), turn.turn_id)
        turn.ended.set()
        self._host.note_end(
            EndedTurn(turn.turn_id, status, turn.last_text, error, turn.tokens, duration)
        )

    async def _part(
        self, left_over: Sequence[Spoken], injected: tuple[Json, ...], end: Record
    ) -> RolloutError | TimeoutError | None:
        """Store the end while delegates whose work is over close; return what went wrong."""
        async with anyio.create_task_group() as parting:
            parting.start_soon(self._host.kin.part, self._turn)
            try:
                with anyio.fail_after(END_LIMIT):
                    await self._store_end(left_over, injected, end)
            except (RolloutError, TimeoutError) as problem:
                return problem
        return None

    async def _store_end(
        self, left_over: Sequence[Spoken], injected: tuple[Json, ...], end: Record
    ) -> None:
        turn = self._turn
        for item in self._open_items():
            await turn.complete_item(item)
        await turn.remember(injected)
        for spoken in left_over:
            await turn.take_in(spoken)
        # A plain close of the thread is nothing the user did to the turn (W-34).
        if turn.token.reason not in (None, "shutdown") and turn.takes_input:
            turn.stage_memory((aborted_message(),))
        await self._state.record([end])

    def _open_items(self) -> list[Json]:
        """Return what was begun and not finished, as it ends with its turn."""
        items = self._state.open_items()
        return [i | {"status": _cut(i)} if i.get("status") == "inProgress" else i for i in items]


def _cut(item: Json) -> str:
    """Return how an item ends that was cut off; most kinds have no word for it of their own."""
    return "interrupted" if item["type"] == "collabAgentToolCall" else "failed"


def _as_rollout_error(problem: RolloutError | TimeoutError) -> RolloutError:
    if isinstance(problem, RolloutError):
        return problem
    return RolloutError(f"the end of the turn was not stored within {END_LIMIT:.0f} s")
