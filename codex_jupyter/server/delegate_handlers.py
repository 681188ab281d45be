"""The methods around delegates and reviews."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from codex_jupyter.core.config import ThreadOptions
from codex_jupyter.core.delegation import MAX_TASKS
from codex_jupyter.core.lineage import Lineage
from codex_jupyter.core.review_text import review_hint
from codex_jupyter.core.session import Session
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.core.turn import Turn
from codex_jupyter.errors import (
    InvalidRequestError,
    NoActiveTurnError,
    ThreadNotFoundError,
    TurnConflictError,
)
from codex_jupyter.ids import (
    ThreadId,
    new_item_id,
    new_thread_id,
    new_turn_id,
    parse_thread_id,
    parse_turn_id,
    same_turn_id,
)
from codex_jupyter.protocol.delegate_requests import (
    DelegateAddParams,
    DelegateCloseParams,
    DelegateStartParams,
    DelegateTaskParams,
    ReviewStartParams,
)
from codex_jupyter.protocol.ops import DelegateTask, Delegation, Review, Submission
from codex_jupyter.rollout.fold import StoredThread
from codex_jupyter.rpc import Reply
from codex_jupyter.server.asked import policy_of
from codex_jupyter.server.kernel_turns import KernelTurns
from codex_jupyter.server.params import check_input, read_params
from codex_jupyter.server.submitting import begun_turn, chosen_turn_id, submit_for
from codex_jupyter.server.subscriptions import Connection, Subscriptions

__all__ = ["DelegateHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]

_SOURCE: Final[Json] = {"subagent": {"other": "delegation"}}
_MOST_AT_ONCE: Final = 64
_MAX_NAME: Final = 80


class DelegateHandlers:
    """Thin coroutines over the thread manager."""

    def __init__(
        self, threads: ThreadManager, subscriptions: Subscriptions, kernels: KernelTurns
    ) -> None:
        self._threads = threads
        self._subscriptions = subscriptions
        self._kernels = kernels
        self.methods: dict[str, Method] = {
            "review/start": self._review,
            "delegate/start": self._start,
            "delegate/add": self._add,
            "delegate/close": self._close,
        }

    async def _start(self, connection: Connection, params: Any) -> Reply:
        asked = read_params(DelegateStartParams, params)
        if not 1 <= asked.limit <= _MOST_AT_ONCE:
            raise InvalidRequestError(f"limit must be 1 to {_MOST_AT_ONCE}, found {asked.limit}")
        tasks = () if asked.keep_open and not asked.tasks else _tasks(asked.tasks, 0)
        turn_id, is_chosen = chosen_turn_id(asked.turn_id)
        parent = self._threads.get(parse_thread_id(asked.thread_id))
        host = await self._host(parent, asked.host_thread_id)
        self._subscriptions.subscribe(connection, host.thread_id)
        submission = Submission(turn_id, Delegation(tasks, asked.limit, asked.keep_open), is_chosen)
        accepted = await submit_for(connection.rights.kernel_id, self._kernels, host, submission)
        result = {
            "thread": self._threads.shape(host),
            "turn": begun_turn(accepted.turn_id),
            "tasks": _started(tasks),
        }
        return Reply(result, then=accepted.start)

    async def _host(self, parent: Session, wanted: str | None) -> Session:
        """Make the thread whose turn delegates, or find the one that did so before."""
        thread_id = new_thread_id() if wanted is None else parse_thread_id(wanted)
        loaded = self._threads.find(thread_id)
        if loaded is not None:
            above = loaded.lineage
            source = above.source if above is not None and above.parent is parent else None
            _require_host(source, thread_id)
            return loaded
        lineage = Lineage(parent, _SOURCE, apart=True)

        def link(stored: StoredThread) -> Lineage:
            is_ours = stored.meta.get("parent_thread_id") == parent.thread_id
            _require_host(stored.meta.get("source") if is_ours else None, thread_id)
            return lineage

        if wanted is not None:
            with suppress(ThreadNotFoundError):
                return await self._threads.resume_child(thread_id, link)
        return await self._threads.start_child(
            parent.config,
            lineage,
            thread_id=thread_id,
            dynamic_tools=parent.dynamic_tools,
            ephemeral=parent.ephemeral,
        )

    async def _add(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(DelegateAddParams, params)
        turn = self._running(asked.thread_id, asked.turn_id)
        tasks = _tasks(asked.tasks, turn.tasks.taken)
        if not turn.delegate(tasks):
            raise NoActiveTurnError("add to")
        return {"tasks": _started(tasks)}

    async def _close(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(DelegateCloseParams, params)
        self._running(asked.thread_id, asked.turn_id).let_go()
        return {}

    def _running(self, thread_id: str, turn_id: str) -> Turn:
        turn = self._threads.get(parse_thread_id(thread_id)).active
        if turn is None:
            raise NoActiveTurnError("add to")
        if not same_turn_id(turn_id, turn.turn_id):
            raise TurnConflictError(turn_id, turn.turn_id)
        return turn

    async def _review(self, connection: Connection, params: Any) -> Reply:
        asked = read_params(ReviewStartParams, params)
        target = _target(asked)
        turn_id, is_chosen = chosen_turn_id(asked.turn_id)
        session = self._threads.get(parse_thread_id(asked.thread_id))
        if asked.delivery == "detached":
            # The copy has the turns of the thread; a refusal must not leave one behind.
            session.require_unused(turn_id)
            session = await self._copy(connection, session, asked.review_thread_id)
        elif asked.review_thread_id is not None:
            raise InvalidRequestError("reviewThreadId is for `detached` reviews only")
        op = Review(target, review_hint(target))
        accepted = await submit_for(
            connection.rights.kernel_id, self._kernels, session, Submission(turn_id, op, is_chosen)
        )
        shown: Json = {
            "type": "userMessage",
            "id": new_item_id(),
            "content": [{"type": "text", "text": op.hint, "text_elements": []}],
        }
        result = {
            "turn": begun_turn(accepted.turn_id, shown),
            "reviewThreadId": session.thread_id,
        }
        return Reply(result, then=accepted.start)

    async def _copy(self, connection: Connection, session: Session, wanted: str | None) -> Session:
        """Make the thread of a detached review; it is announced before the answer."""
        thread_id = None if wanted is None else parse_thread_id(wanted)
        config = session.config
        options = ThreadOptions(
            model=config.model,
            model_provider=config.provider.id,
            cwd=str(config.cwd),
            approval_policy=config.approval_policy,
        )
        if session.path is None and not session.ephemeral:
            tools = session.dynamic_tools
            copy = await self._threads.start(options, thread_id=thread_id, dynamic_tools=tools)
        else:
            copy = await self._threads.fork(session.thread_id, options, thread_id=thread_id)
        copy.config = config
        self._subscriptions.subscribe(connection, copy.thread_id)
        self._threads.announce(copy, include_turns=True)
        return copy


def _tasks(asked: Sequence[DelegateTaskParams], before: int) -> tuple[DelegateTask, ...]:
    if not asked:
        raise InvalidRequestError("tasks must not be empty")
    if before + len(asked) > MAX_TASKS:
        raise InvalidRequestError(f"a delegation has at most {MAX_TASKS} tasks")
    return tuple(_task(task, before + place) for place, task in enumerate(asked, start=1))


def _task(asked: DelegateTaskParams, number: int) -> DelegateTask:
    if not asked.input:
        raise InvalidRequestError(f"tasks[{number - 1}]: input must not be empty")
    check_input(asked.input)
    thread_id = asked.thread_id
    return DelegateTask(
        input=tuple(asked.input),
        name=(asked.name or "").strip()[:_MAX_NAME] or f"#{number}",
        thread_id=new_thread_id() if thread_id is None else parse_thread_id(thread_id),
        turn_id=new_turn_id() if asked.turn_id is None else parse_turn_id(asked.turn_id),
        item_id=new_item_id(),
        role=asked.role,
        model=asked.model,
        effort=asked.effort,
        cwd=asked.cwd,
        approval_policy=policy_of(asked.approval_policy),
        sandbox=None if asked.sandbox_policy is None else asked.sandbox_policy.wire(),
        output_schema=asked.output_schema,
    )


def _started(tasks: Sequence[DelegateTask]) -> list[Json]:
    return [
        {"itemId": task.item_id, "threadId": task.thread_id, "turnId": task.turn_id}
        for task in tasks
    ]


def _require_host(source: Any, thread_id: ThreadId) -> None:
    if source != _SOURCE:
        raise InvalidRequestError(f"thread {thread_id} is no thread of this one's delegations")


def _target(asked: ReviewStartParams) -> Json:
    """Return the target with its text trimmed.

    Raises:
        InvalidRequestError: There is none.
    """
    target = asked.target.wire()
    for name in ("branch", "sha", "instructions"):
        if name in target:
            target[name] = target[name].strip()
            if not target[name]:
                raise InvalidRequestError(f"{name} must not be empty")
    return target
