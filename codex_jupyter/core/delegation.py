"""The turn that delegates: one-shot delegates work side by side, each shown as one item."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final

import anyio

from codex_jupyter.core.delegate import (
    DelegateWish,
    StartsThreads,
    run_delegate_one_shot,
)
from codex_jupyter.core.roles import role_named, spawn_wish
from codex_jupyter.core.session import Session
from codex_jupyter.core.turn import Turn
from codex_jupyter.core.turn_parts import EndedTurn
from codex_jupyter.errors import CodexError, DelegateError, ModelError, RolloutError
from codex_jupyter.ids import new_item_id
from codex_jupyter.protocol.items import input_preview
from codex_jupyter.protocol.ops import DelegateTask
from codex_jupyter.settings.agents import AgentRole

__all__ = ["MAX_TASKS", "run_delegation"]

Json = dict[str, Any]

MAX_TASKS: Final = 1_000
"""Tasks of one delegation; whoever has more cuts them into several."""

_STATES: Final = {"completed": "completed", "interrupted": "interrupted", "failed": "errored"}


async def run_delegation(
    threads: StartsThreads,
    session: Session,
    turn: Turn,
    limit: int,
    roles: Mapping[str, AgentRole],
) -> None:
    """Run the tasks of a turn, those that are added while it runs included, to their ends.

    A task that fails is one failed item; the turn fails only if every one did, and counts as
    interrupted if every one was stopped. When the turn is
    stopped, its delegates are, and this returns once they have ended.

    Args:
        threads: Start the delegates.
        session: Whose turn it is.
        turn: The turn.
        limit: How many work at a time.
        roles: Those a task may name.

    Raises:
        ModelError: Every task failed; the first one's reason.
        RolloutError: Something could not be stored; all tasks are stopped by that.
    """
    run = _Delegation(threads, session, turn, limit, roles)
    async with anyio.create_task_group() as working:
        while True:
            for task in turn.tasks.take():
                run.at_work += 1
                working.start_soon(run.work, task)
            # No await between the look and the decision, or an added task could be forgotten.
            if not run.at_work and (turn.token.reason is not None or turn.close_if_done()):
                break
            # A stop ends the tasks, which stirs the turn; without a task nothing would.
            with nullcontext() if run.at_work else turn.token.scope():
                await turn.news()
    await run.conclude()


class _Delegation:
    def __init__(
        self,
        threads: StartsThreads,
        session: Session,
        turn: Turn,
        limit: int,
        roles: Mapping[str, AgentRole],
    ) -> None:
        self._threads = threads
        self._session = session
        self._turn = turn
        self._roles = roles
        self._places = anyio.Semaphore(limit)
        self._ended: list[EndedTurn] = []
        self._problem: RolloutError | None = None
        self.at_work = 0
        """Tasks that were taken and have not ended."""

    async def work(self, task: DelegateTask) -> None:
        """Do one task and show it from its begin to its end."""
        item = self._item(task)
        self._turn.start_item(item)
        try:
            ended = await self._delegate(task)
        except CodexError as problem:
            ended = _left_over(task, "failed", str(problem))
        try:
            await self._turn.complete_item(_completed(item, task, ended))
        except RolloutError as problem:
            self._problem = problem
            self._turn.token.cancel("a record could not be stored")
        finally:
            self.at_work -= 1
            self._turn.tasks.done(task)
            self._ended.append(ended)
            self._turn.stir()

    async def _delegate(self, task: DelegateTask) -> EndedTurn:
        has_place, token = False, self._turn.tasks.token_of(task)
        with token.scope():
            await self._places.acquire()
            has_place = True
        if not has_place:
            return _left_over(task, "interrupted", None)
        try:
            handle = await run_delegate_one_shot(
                self._threads,
                self._session,
                self._wish(task),
                task.input,
                token,
                turn=self._turn,
                turn_id=task.turn_id,
                output_schema=task.output_schema,
            )
            # Not under the token: a delegate that is stopped is waited for.
            async for _ in handle:
                pass  # subscribers of its thread hear of it; here only its end matters
            await handle.join()
        except DelegateError:
            if token.reason is None:
                raise
            return _left_over(task, "interrupted", None)
        finally:
            self._places.release()
        return handle.last or _left_over(task, "interrupted", None)

    def _wish(self, task: DelegateTask) -> DelegateWish:
        wish = spawn_wish(self._session, role_named(self._roles, task.role), task.name)
        return replace(
            wish,
            model=task.model or wish.model,
            effort=task.effort or wish.effort,
            cwd=task.cwd,
            approval_policy=task.approval_policy or wish.approval_policy,
            sandbox=dict(task.sandbox) if task.sandbox is not None else wish.sandbox,
            dynamic_tools=self._session.dynamic_tools,
            thread_id=task.thread_id,
        )

    def _item(self, task: DelegateTask) -> Json:
        return {
            "type": "collabAgentToolCall",
            "id": task.item_id,
            "tool": "spawnAgent",
            "status": "inProgress",
            "senderThreadId": self._session.thread_id,
            "receiverThreadIds": [task.thread_id],
            "prompt": input_preview(list(task.input)),
            "model": task.model,
            "reasoningEffort": task.effort,
            "agentsStates": {task.thread_id: {"status": "pendingInit", "message": None}},
            "agents": [_agent(task, None)],
        }

    async def conclude(self) -> None:
        """Say what came of it, as far as one sentence can."""
        if self._problem is not None:
            self._turn.failure = self._problem
            raise self._problem
        if self._turn.token.reason is not None:
            return
        if self._ended and all(ended.status != "completed" for ended in self._ended):
            failed = next((ended for ended in self._ended if ended.status == "failed"), None)
            if failed is None:
                # All were stopped, one by one, which is what stopping the turn does.
                self._turn.interrupt("every task was stopped")
                return
            error = failed.error or {}
            raise ModelError(
                str(error.get("message") or "the delegate failed"),
                info=error.get("codexErrorInfo") or "other",
                details=error.get("additionalDetails"),
            )
        if len(self._ended) == 1:
            text = self._ended[0].text or ""
            item: Json = {"type": "agentMessage", "id": new_item_id(), "text": text, "phase": None}
            self._turn.start_item(item)
            await self._turn.complete_item(item)
            self._turn.last_text = text


def _left_over(task: DelegateTask, status: Any, problem: str | None) -> EndedTurn:
    error = None if problem is None else {"message": problem}
    return EndedTurn(task.turn_id, status, None, error)


def _completed(item: Json, task: DelegateTask, ended: EndedTurn) -> Json:
    message = (ended.error or {}).get("message") or ended.text
    state = {"status": _STATES[ended.status], "message": message}
    return {
        **item,
        "status": ended.status,
        "agentsStates": {task.thread_id: state},
        "agents": [_agent(task, ended)],
    }


def _agent(task: DelegateTask, ended: EndedTurn | None) -> Json:
    used = ended.tokens if ended is not None else {}
    return {
        "threadId": task.thread_id,
        "turnId": task.turn_id,
        "nickname": task.name,
        "role": task.role,
        "tokens": int(used.get("inputTokens", 0)) + int(used.get("outputTokens", 0)) or None,
        "durationMs": ended.duration_ms if ended is not None else None,
    }
