"""Delegates: threads that work on behalf of another one, and end with it."""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol, Self

import anyio

from codex_jupyter.core.config import SessionConfig, meet_of_sandboxes
from codex_jupyter.core.delegate_events import MAX_WAITING, DelegateEvents, Envelope
from codex_jupyter.core.lineage import Lineage
from codex_jupyter.core.session import Session
from codex_jupyter.core.turn import Turn
from codex_jupyter.core.turn_parts import EndedTurn
from codex_jupyter.errors import DelegateError, InvalidRequestError, ThreadNotFoundError
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.ids import ThreadId, TurnId, new_turn_id
from codex_jupyter.protocol.dynamic_tools import DynamicToolSpec
from codex_jupyter.protocol.items import UserInput
from codex_jupyter.protocol.ops import Submission, TurnOp, UserTurn
from codex_jupyter.rollout.fold import StoredThread
from codex_jupyter.settings.approval import ApprovalPolicy

__all__ = [
    "DelegateHandle",
    "DelegateStatus",
    "DelegateWish",
    "StartsThreads",
    "child_config",
    "run_delegate_interactive",
    "run_delegate_one_shot",
]

Json = dict[str, Any]
DelegateStatus = Literal["waiting", "running", "completed", "interrupted", "failed", "closed"]

_MAX_SUBMITTING: Final = 512
"""Submissions of one handle on their way at once (the original's number); more wait."""


@dataclass(frozen=True, slots=True)
class DelegateWish:
    """How a delegate differs from the turn it works for; ``None`` takes over."""

    source: Json
    """Says what it is: ``{"subagent": "review"}``, ``{"subagent": {"other": …}}``."""

    nickname: str | None = None
    role: str | None = None
    model: str | None = None
    effort: str | None = None
    cwd: str | None = None
    approval_policy: ApprovalPolicy | None = None
    """Counts as far as it allows no more than the parent's, as does ``sandbox``."""

    sandbox: Json | None = None
    base_instructions: str | None = None
    developer_instructions: str | None = None
    web_search: str | None = None
    dynamic_tools: Sequence[DynamicToolSpec] = ()
    history: Sequence[Json] = ()
    """Response items it remembers from the start."""

    thread_id: ThreadId | None = None
    ephemeral: bool = False


class StartsThreads(Protocol):
    """What delegates need of the thread manager."""

    async def start_child(
        self,
        config: SessionConfig,
        lineage: Lineage,
        *,
        thread_id: ThreadId | None = None,
        dynamic_tools: Sequence[DynamicToolSpec] = (),
        ephemeral: bool = False,
    ) -> Session:
        """Make a thread below another one."""
        ...

    async def resume_child(
        self, thread_id: ThreadId, link: Callable[[StoredThread], Lineage]
    ) -> Session:
        """Load a stored thread below another one."""
        ...

    async def close(self, thread_id: ThreadId, session: Session | None = None) -> bool:
        """Stop and unload a thread and all below it, if it is still that session."""
        ...

    def post(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run something in the manager's own tasks."""
        ...


def child_config(config: SessionConfig, wish: DelegateWish) -> SessionConfig:
    """Return the settings of a delegate of a turn that has ``config`` now.

    Raises:
        InvalidRequestError: The working directory is not an absolute path.
    """
    if wish.cwd is not None and not Path(wish.cwd).is_absolute():
        raise InvalidRequestError(f"cwd must be an absolute path, found {wish.cwd!r}")
    wished = replace(
        config,
        approval_policy=wish.approval_policy or config.approval_policy,
        sandbox=dict(wish.sandbox or config.sandbox),
    )
    sandbox = meet_of_sandboxes(config.sandbox, wished.sandbox)
    return replace(
        config,
        model=wish.model or config.model,
        effort=wish.effort or config.effort,
        cwd=Path(wish.cwd) if wish.cwd is not None else config.cwd,
        approval_policy=config.policy.meet(wished.policy).approval,
        sandbox=sandbox,
        base_instructions=wish.base_instructions or config.base_instructions,
        developer_instructions=(
            config.developer_instructions
            if wish.developer_instructions is None
            else wish.developer_instructions or None
        ),
        web_search=wish.web_search or config.web_search,
    )


class DelegateHandle:
    """A running delegate, as its owner holds it.

    Cancelling the token it was started under stops it at once: its turn ends as interrupted, its
    questions are withdrawn, its processes are killed, and it is closed. Events that were queued
    by then can still be read, then its end, then nothing.
    """

    def __init__(
        self,
        threads: StartsThreads,
        session: Session,
        token: CancelToken,
        events: DelegateEvents,
        *,
        one_shot: bool = False,
    ) -> None:
        self._threads = threads
        self._session = session
        self._token = token
        self._events = events
        self._one_shot = one_shot
        self._submitting = anyio.Semaphore(_MAX_SUBMITTING)
        self._finished = anyio.Event()
        self._ended = anyio.Event()
        self.last: EndedTurn | None = None
        """How its newest ended turn ended."""

        session.on_end(self._note_end)
        session.on_close(self._finished.set)

    @property
    def thread_id(self) -> ThreadId:
        """Its thread."""
        return self._session.thread_id

    @property
    def status(self) -> DelegateStatus:
        """What it does now."""
        if self._ended.is_set():
            return "closed"
        if self._session.active is not None:
            return "running"
        return "waiting" if self.last is None else self.last.status

    @property
    def is_over(self) -> bool:
        """Whether its work has ended, so that it only has to close."""
        return self._one_shot and self.last is not None

    async def submit(self, op: TurnOp, *, submission_id: TurnId | None = None) -> TurnId:
        """Give it work; returns the id of the turn that takes it, which is ``submission_id``.

        Input joins a turn that runs, if no id was chosen.

        Raises:
            DelegateError: It is one-shot, or it has ended or is about to.
            CodexError: As `Session.submit`.
        """
        if self._one_shot:
            raise DelegateError("a one-shot delegate takes no further input; start another one")
        return await self._submit(op, submission_id)

    async def begin(self, op: TurnOp, turn_id: TurnId | None) -> tuple[TurnId, Callable[[], None]]:
        """Have the first turn accepted; the function that is returned lets it run."""
        chosen = turn_id is not None
        submission = Submission(turn_id or new_turn_id(), op, chosen)
        accepted = await self._session.submit(submission)
        return accepted.turn_id, accepted.start

    async def _submit(self, op: TurnOp, submission_id: TurnId | None) -> TurnId:
        async with self._submitting:
            if self._finished.is_set() or self._token.reason is not None:
                raise _over(self.thread_id)
            try:
                turn_id, start = await self.begin(op, submission_id)
            except ThreadNotFoundError:
                raise _over(self.thread_id) from None
            start()
            return turn_id

    def interrupt(self, reason: str = "interrupted") -> None:
        """Stop its running turn, if there is one; it can be given work again."""
        if self._session.active is not None and not self._session.active.closed:
            self._session.active.interrupt(reason)

    async def next_event(self) -> Envelope | None:
        """Wait for its next event; ``None`` after the last one."""
        return await self._events.next()

    def __aiter__(self) -> AsyncIterator[Envelope]:
        return self

    async def __anext__(self) -> Envelope:
        envelope = await self._events.next()
        if envelope is None:
            raise StopAsyncIteration
        return envelope

    async def join(self) -> None:
        """Wait until it has ended: its turn, its tools, its processes, its rollout."""
        await self._ended.wait()

    async def aclose(self, reason: str = "closed") -> None:
        """Stop it and wait for its end; a cancelled wait does not stop the stopping."""
        self._token.cancel(reason)
        await self.join()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with anyio.CancelScope(shield=True):
            await self.aclose()

    async def own(self) -> None:
        """Wait for its end, whatever brings it, then close it: the one owner of its life."""
        try:
            with self._token.scope():
                await self._finished.wait()
            with anyio.CancelScope(shield=True):
                await self._threads.close(self.thread_id, self._session)
                await self._session.closed.wait()
        finally:
            self._finished.set()
            self._events.close()
            self._ended.set()

    def _note_end(self, ended: EndedTurn) -> None:
        self.last = ended
        if self._one_shot:
            self._finished.set()


def _over(thread_id: ThreadId) -> DelegateError:
    return DelegateError(f"the delegate {thread_id} has ended; start another one")


async def run_delegate_interactive(  # noqa: PLR0913 - what a delegate is made of
    threads: StartsThreads,
    parent: Session,
    wish: DelegateWish,
    token: CancelToken,
    *,
    turn: Turn | None = None,
    shown: bool = False,
    limit: int = MAX_WAITING,
    one_shot: bool = False,
) -> DelegateHandle:
    """Start a delegate that takes input until it is closed.

    Args:
        threads: Starts and closes it.
        parent: Whose tree it joins; its settings now, or those of ``turn``, are the most it gets.
        wish: How it differs.
        token: Cancelling it ends the delegate, and its start. It is not cancelled by its end.
        turn: The turn it works for, which does not end before it.
        shown: Whether that turn shows its items and asks its questions as its own.
        limit: Events that may wait to be read.
        one_shot: Used by `run_delegate_one_shot`.

    Raises:
        DelegateError: The token was cancelled first, or the turn is over; nothing is left of it.
        CodexError: As `ThreadManager.start`.
    """
    events = DelegateEvents(limit)
    own = token.child()
    if turn is not None:
        turn.token.adopt(own)
    lineage = _link(parent, wish, own, events, turn if shown else None)
    config = child_config(turn.config if turn is not None else parent.config, wish)
    started: list[DelegateHandle] = []
    with own.scope():
        session = await threads.start_child(
            config,
            lineage,
            thread_id=wish.thread_id,
            dynamic_tools=wish.dynamic_tools,
            ephemeral=wish.ephemeral or parent.ephemeral,
        )
        handle = DelegateHandle(threads, session, own, events, one_shot=one_shot)
        started.append(handle)
        threads.post(handle.own)
        if turn is not None:
            turn.delegates.add(handle)
        await _remind(handle, session, wish.history)
    over = "the turn it is for is over" if turn is not None and turn.closed else None
    if (reason := own.reason or over) is not None or not started:
        for handle in started:
            await handle.aclose()
        raise DelegateError(f"the delegate was not started: {reason}")
    return started[0]


def _link(
    parent: Session,
    wish: DelegateWish,
    token: CancelToken,
    events: DelegateEvents,
    shown_in: Turn | None,
) -> Lineage:
    return Lineage(
        parent,
        wish.source,
        nickname=wish.nickname,
        role=wish.role,
        token=token,
        shown_in=shown_in,
        hear=events.put,
        room=events.room,
        caught_up=events.caught_up,
    )


async def _remind(handle: DelegateHandle, session: Session, history: Sequence[Json]) -> None:
    """Let a delegate remember what it was given; one that cannot be given it is closed."""
    if not history:
        return
    try:
        await session.inject(history)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await handle.aclose("its history could not be stored")
        raise


async def run_delegate_one_shot(  # noqa: PLR0913 - what a delegate is made of
    threads: StartsThreads,
    parent: Session,
    wish: DelegateWish,
    prompt: tuple[UserInput, ...],
    token: CancelToken,
    *,
    turn: Turn | None = None,
    shown: bool = False,
    limit: int = MAX_WAITING,
    turn_id: TurnId | None = None,
    output_schema: Mapping[str, Any] | None = None,
) -> DelegateHandle:
    """Start a delegate for one prompt. It closes itself when that turn has ended.

    Nothing can be submitted to it. See `run_delegate_interactive` for the rest.
    """
    handle = await run_delegate_interactive(
        threads, parent, wish, token, turn=turn, shown=shown, limit=limit, one_shot=True
    )
    try:
        op = UserTurn(prompt, output_schema=output_schema)
        _, start = await handle.begin(op, turn_id)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await handle.aclose("its prompt was not accepted")
        raise
    start()
    return handle
