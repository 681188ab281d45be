"""The engine of one loaded thread: takes turns in, one at a time, and ends each exactly once."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread

from codex_jupyter.core.config import SessionConfig
from codex_jupyter.core.history import History, user_message
from codex_jupyter.core.instructions import environment_context, permissions
from codex_jupyter.core.session_state import SessionState
from codex_jupyter.core.turn import Spoken, Turn
from codex_jupyter.core.turn_records import (
    aborted_message,
    developer_message,
    end_record,
    session_meta,
    start_records,
    wire_error,
    wire_turn,
)
from codex_jupyter.errors import (
    CodexError,
    DuplicateIdError,
    InvalidRequestError,
    NoActiveTurnError,
    PatchError,
    RolloutError,
    TurnConflictError,
)
from codex_jupyter.ids import ThreadId, TurnId, same_turn_id
from codex_jupyter.model.interface import ModelClient
from codex_jupyter.model.retry import RetryPolicy
from codex_jupyter.protocol.events import (
    ErrorNoted,
    Event,
    ItemCompleted,
    ItemStarted,
    TurnCompleted,
    TurnStarted,
)
from codex_jupyter.protocol.items import input_preview
from codex_jupyter.protocol.ops import Submission
from codex_jupyter.protocol.requests import DynamicToolSpec
from codex_jupyter.rollout.reader import StoredThread
from codex_jupyter.rollout.records import Record
from codex_jupyter.rollout.store import ThreadStore
from codex_jupyter.tools.apply_patch import recover_workspace
from codex_jupyter.tools.dynamic import DynamicTool
from codex_jupyter.tools.patch_tool import PatchTool
from codex_jupyter.tools.plan import PlanTool
from codex_jupyter.tools.questions import QuestionTool
from codex_jupyter.tools.registry import ToolRegistry
from codex_jupyter.tools.shell_tool import ShellTool

__all__ = ["BUILTIN_TOOLS", "Accepted", "Session"]

Json = dict[str, Any]
_log = logging.getLogger(__name__)

COOPERATIVE: Final = 2.0
"""Seconds that tools get to wind down after an interrupt before their tasks are cancelled."""

_END_LIMIT: Final = 30.0
_QUEUED_TURNS: Final = 8
"""Accepted turns that wait for the worker; acceptance allows one at a time, so it never fills."""

BUILTIN_TOOLS: Final = ("shell_command", "apply_patch", "update_plan", "request_user_input")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A submission was taken: it is stored, and its turn counts as active."""

    turn_id: TurnId
    steered: bool
    start: Callable[[], None]
    """Lets the turn run; call it right after the answer is on its way."""


class Session:
    """A loaded thread.

    Control (`interrupt`, `steer`, answers) acts at once, on the caller's task; work goes through
    a bounded queue to the session's own task, `run`.
    """

    def __init__(  # noqa: PLR0913 - what a session is made of
        self,
        thread_id: ThreadId,
        config: SessionConfig,
        store: ThreadStore,
        client_for: Callable[[SessionConfig], ModelClient],
        publish: Callable[[Event], None],
        *,
        environment: Mapping[str, str],
        dynamic_tools: Sequence[DynamicToolSpec] = (),
        ephemeral: bool = False,
        stored: StoredThread | None = None,
    ) -> None:
        self.thread_id = thread_id
        self.config = config
        self.ephemeral = ephemeral
        self.dynamic_tools = tuple(dynamic_tools)
        self.created_at = stored.created_at if stored else time.time()
        self.preview = stored.preview if stored else ""
        self.name = stored.name if stored else None
        self.state = SessionState(
            thread_id,
            publish,
            environment,
            history=History(stored.history) if stored else None,
            turns=stored.turns if stored else (),
            usage=(stored.token_usage or {}).get("total") if stored else None,
        )
        self._store = store
        self._client_for = client_for
        self._used_turn_ids = set(stored.used_turn_ids) if stored else set[str]()
        self._active: Turn | None = None
        self._recovered: set[Path] = set()
        self._work_in, self._work_out = anyio.create_memory_object_stream[Turn](_QUEUED_TURNS)
        self._tools = ToolRegistry.of(
            [
                ShellTool(),
                PatchTool(),
                PlanTool(),
                QuestionTool(),
                *(DynamicTool(spec) for spec in dynamic_tools),
            ]
        )

    @property
    def active_turn_id(self) -> TurnId | None:
        """The running turn, known from the moment its id is given out."""
        return self._active.turn_id if self._active is not None else None

    @property
    def path(self) -> Path | None:
        """The rollout, once there is one."""
        return self.state.recorder.path if self.state.recorder is not None else None

    async def submit(self, submission: Submission) -> Accepted:
        """Accept a turn, or steer the active one with it.

        Raises:
            DuplicateIdError: The id was used before in this thread.
            TurnConflictError: The caller chose an id, but another turn is active.
            InvalidRequestError: The input is empty or an override does not fit.
            RolloutError: The turn could not be stored; the id stays free and no override counts.
        """
        op = submission.op
        if not op.input:
            raise InvalidRequestError("input must not be empty")
        spoken = Spoken(op.input, op.client_message_id)
        while (active := self._active) is not None:
            if submission.chosen_by_caller:
                if active.turn_id == submission.id:
                    raise DuplicateIdError("turn", submission.id, "inProgress")
                if not active.is_leaving:
                    raise TurnConflictError(submission.id, active.turn_id)
            elif active.steer(spoken):
                return Accepted(active.turn_id, steered=True, start=_nothing)
            await active.ended.wait()
        if submission.id in self._used_turn_ids:
            status = self.state.transcript.status_of(submission.id) or "used"
            raise DuplicateIdError("turn", submission.id, status)
        config = self.config.with_overrides(op.overrides)
        turn = Turn(submission.id, spoken, config, self.state, output_schema=op.output_schema)
        self._used_turn_ids.add(turn.turn_id)
        self._active = turn
        try:
            await self._store_start(turn)
        except BaseException:
            self._used_turn_ids.discard(turn.turn_id)
            self._active = None
            turn.ended.set()
            raise
        self.config = config
        return Accepted(turn.turn_id, False, lambda: self._work_in.send_nowait(turn))

    def steer(self, expected: str, spoken: Spoken) -> TurnId:
        """Add input to the running turn.

        Raises:
            NoActiveTurnError: No turn runs, or its end is decided.
            TurnConflictError: Another turn than ``expected`` runs.
        """
        active = self._active
        if active is None:
            raise NoActiveTurnError("steer")
        if not same_turn_id(expected, active.turn_id):
            raise TurnConflictError(expected, active.turn_id)
        if not active.steer(spoken):
            raise NoActiveTurnError("steer")
        return active.turn_id

    def interrupt(self, turn_id: str, reason: str = "interrupted") -> None:
        """Stop the running turn; a second interrupt does not wait for its tools any more.

        Raises:
            NoActiveTurnError: No turn runs.
            TurnConflictError: Another turn runs.
        """
        active = self._active
        if active is None:
            raise NoActiveTurnError("interrupt")
        if not same_turn_id(turn_id, active.turn_id):
            raise TurnConflictError(turn_id, active.turn_id, quoted=False)
        if not active.closed:
            active.interrupt(reason)

    def fail(self, turn_id: str, problem: CodexError) -> None:
        """Stop the running turn, which then ends as failed with the text of ``problem``.

        Raises:
            NoActiveTurnError: No turn runs.
            TurnConflictError: Another turn runs.
        """
        active = self._active
        if active is not None and active.turn_id == turn_id and active.failure is None:
            active.failure = problem
        self.interrupt(turn_id, "the turn cannot go on")

    async def run(self) -> None:
        """Run accepted turns, one after the other, until `aclose`."""
        async with self._work_out:
            async for turn in self._work_out:
                await self._run_turn(turn)

    async def aclose(self) -> None:
        """Interrupt what runs, wait for its end, and close the rollout."""
        if (active := self._active) is not None:
            active.interrupt("shutdown")
            with anyio.move_on_after(_END_LIMIT):
                await active.ended.wait()
        self._work_in.close()
        if self.state.recorder is not None:
            await self.state.recorder.aclose()

    async def _run_turn(self, turn: Turn) -> None:
        self.state.set_status({"type": "active", "activeFlags": []})
        self.state.emit(TurnStarted(wire_turn(turn, "inProgress")), turn.turn_id)
        item = {**turn.spoken.item(), "startedAtMs": round(turn.started * 1000)}
        self.state.emit(ItemStarted(item), turn.turn_id)
        done = {**item, "completedAtMs": item["startedAtMs"]}
        self.state.emit(ItemCompleted(done), turn.turn_id)
        failure: CodexError | None = None
        try:
            async with anyio.create_task_group() as watch:
                watch.start_soon(self._enforce_interrupt, turn)
                with turn.hard:
                    failure = await self._work_on(turn)
                watch.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._end_turn(turn, failure)
            # Whatever happened above, the next turn must be able to start.
            if self._active is turn:
                self._active = None
            turn.ended.set()

    async def _work_on(self, turn: Turn) -> CodexError | None:
        """Run the turn and return what made it fail, if something did."""
        try:
            provider = turn.config.provider
            await turn.run(
                self._client_for(turn.config),
                self._tools,
                RetryPolicy(max_retries=provider.stream_max_retries),
            )
        except CodexError as error:
            return error
        except Exception as error:  # noqa: BLE001 - one failing turn must not end the session
            _log.exception("turn %s failed", turn.turn_id)
            return CodexError(f"internal error: {type(error).__name__}: {error}")
        return None

    async def _enforce_interrupt(self, turn: Turn) -> None:
        with turn.token.scope():
            await anyio.sleep_forever()
        await anyio.sleep(COOPERATIVE)
        turn.hard.cancel()

    async def _end_turn(self, turn: Turn, failure: CodexError | None) -> None:
        """Decide how the turn ended, close what is open, store the end, and announce it."""
        left_over = turn.close()
        failure = turn.failure or failure
        interrupted = turn.token.reason is not None and turn.failure is None
        status = "interrupted" if interrupted else "failed" if failure else "completed"
        error = wire_error(failure) if failure and not interrupted else None
        duration = round((time.time() - turn.started) * 1000)
        try:
            with anyio.fail_after(_END_LIMIT):
                await self._store_end(turn, left_over, end_record(turn, status, error, duration))
        except (RolloutError, TimeoutError) as problem:
            _log.exception("the end of turn %s could not be stored", turn.turn_id)
            status, error = "failed", error or wire_error(_as_rollout_error(problem))
            for item in self._open_items():
                turn.drop_item(item)
        if error is not None:
            self.state.emit(ErrorNoted(error, will_retry=False), turn.turn_id)
        self._active = None
        self.state.updated_at = time.time()
        self.state.set_status({"type": "systemError" if status == "failed" else "idle"})
        ended = wire_turn(turn, status)
        ended |= {"error": error, "completedAt": int(time.time()), "durationMs": duration}
        self.state.emit(TurnCompleted(ended), turn.turn_id)
        turn.ended.set()

    async def _store_end(self, turn: Turn, left_over: Sequence[Spoken], end: Record) -> None:
        for item in self._open_items():
            await turn.complete_item(item)
        for spoken in left_over:
            await turn.take_in(spoken)
        if turn.token.reason not in (None, "shutdown"):
            await turn.remember((aborted_message(),))
        await self.state.record([end])

    def _open_items(self) -> list[Json]:
        """Return what was begun and not finished, as it ends with its turn."""
        items = self.state.transcript.open_items()
        return [i | {"status": "failed"} if i.get("status") == "inProgress" else i for i in items]

    async def _store_start(self, turn: Turn) -> None:
        """Write down that the turn was accepted, before anybody is told so.

        A patch that a killed process left half applied is undone first, so that the turn finds
        either all of it or none.
        """
        if turn.workspace not in self._recovered:
            self._recovered.add(turn.workspace)
            with suppress(PatchError):  # applying the next patch says it again, to the model
                await anyio.to_thread.run_sync(recover_workspace, turn.workspace)
        message = await anyio.to_thread.run_sync(user_message, turn.spoken.input)
        context: tuple[Json, ...] = ()
        if len(self.state.history) == 0:
            context = (permissions(turn.policy), environment_context(turn.workspace))
            if turn.config.developer_instructions:
                context = (developer_message(turn.config.developer_instructions), *context)
        if not self.ephemeral:
            if self.state.recorder is None:
                meta = session_meta(turn, self.created_at, self.dynamic_tools)
                self.state.recorder = await self._store.create(self.thread_id, meta)
            await self.state.record(start_records(turn, (*context, message)))
        self.state.history.append((*context, message))
        self.preview = self.preview or input_preview(list(turn.spoken.input))


def _as_rollout_error(problem: RolloutError | TimeoutError) -> RolloutError:
    if isinstance(problem, RolloutError):
        return problem
    return RolloutError(f"the end of the turn was not stored within {_END_LIMIT:.0f} s")


def _nothing() -> None:
    """Start nothing: the input went into a turn that runs."""
