"""One task as the process sees it that does it: found or begun, told of, answered for, stopped."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import anyio

from codex_jupyter.errors import CodexError, PeerClosedError, RemoteError, UsageError
from codex_jupyter.notebook.delegate_turns import DelegateTurns
from codex_jupyter.notebook.headless import parse_headless, what_is_asked
from codex_jupyter.notebook.known_turns import duplicate_status
from codex_jupyter.notebook.remote_task import Attempt, RemoteTask, choose_attempt
from codex_jupyter.view.requests import answer_for, pending_request
from codex_jupyter.view.snapshot_size import clip_texts
from codex_jupyter.view.turn_state import TurnState

if TYPE_CHECKING:
    from codex_jupyter.client.aio import CodexClient

__all__ = ["RemoteTurn"]

Json = dict[str, Any]
Told = list[Any]
"""A notification as it travels: its method and its params."""

RESULT_BYTES: Final = 1_048_576
"""Of the result of one task; past it long texts lose their middle, then items go."""

MAX_WAITING: Final = 512
"""Notifications that wait for their batch; past it the oldest go, for the result has them all."""

_TEXT_CHARS: Final = 2_000
"""Of one text in a notification; the view of a delegate that is opened shows no more of it."""

BATCH_GAP: Final = 0.1
"""Seconds between two batches of one task: the scheduler carries those of all tasks."""

OWNER_LIMIT: Final = 60.0
"""Seconds another living process may have the thread: as long as a worker is taken for lost that
is only slow, it goes on with the turn."""

_OWNER_GAP: Final = 0.2
"""Seconds between two looks whether it still has."""

_CARRIED: Final = frozenset(
    {
        "thread/started",
        "thread/closed",
        "thread/tokenUsage/updated",
        "turn/started",
        "turn/completed",
        "turn/plan/updated",
        "item/started",
        "item/completed",
        "model/rerouted",
        "warning",
        "error",
    }
)
"""What rows and opened delegates show; deltas stay here."""


class RemoteTurn:
    """A task at work; everything on the core's loop.

    Args:
        remote: The task.
        params: Of thread/start; see `thread_params`.
        tell: Sends a batch of notifications; must not block.

    Raises:
        UsageError: The policy for questions is not understood.
    """

    def __init__(
        self, remote: RemoteTask, params: Json, tell: Callable[[list[Told]], object]
    ) -> None:
        self._remote = remote
        self._params = params
        self._tell = tell
        self._policy = parse_headless(remote.headless)
        self._state = TurnState(remote.thread_id, "")
        self._below = DelegateTurns(self._state)
        self._threads = {remote.thread_id}
        """Its thread and those below it, as far as they were heard of."""

        self._waiting: list[Told] = []
        self._news = anyio.Event()
        self._stopped = anyio.Event()
        self._begun = anyio.Event()
        self._problem: str | None = None

    @property
    def thread_id(self) -> str:
        """Of its thread."""
        return self._remote.thread_id

    def stop(self) -> None:
        """Stop it, whether it has begun or not; a second call does nothing."""
        self._stopped.set()

    def has_thread(self, thread_id: str) -> bool:
        """Whether a thread is its own or one below it."""
        return thread_id in self._threads

    async def run(self, client: "CodexClient") -> Json:
        """Do the task, or find it done, and return the snapshot of its turn.

        A turn that fails or is stopped is a result as well.

        Raises:
            PeerClosedError: The core ended; somebody else may do the task.
        """
        stop_hearing = client.listen(None, self._hear)
        problem: CodexError | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._send)
                tasks.start_soon(self._interrupt, client)
                await self._work(client)
                tasks.cancel_scope.cancel()
        except* CodexError as problems:
            problem = _first(problems)
        finally:
            stop_hearing()
        if isinstance(problem, PeerClosedError):
            raise problem
        if problem is not None or self._problem is not None:
            self._end("failed", self._problem or str(problem))
        self._flush()
        return self._state.snapshot(max_bytes=RESULT_BYTES)

    async def _work(self, client: "CodexClient") -> None:
        while True:
            attempt = await self._find(client)
            if attempt is None or (self._stopped.is_set() and attempt.does == "begin"):
                self._end("interrupted", None)
                return
            has_ended = await self._take(client, attempt)
            was_stopped = attempt.does == "attach" and self._state.status == "interrupted"
            if has_ended and (self._stopped.is_set() or not was_stopped):
                return
            # Somebody else was quicker, or has stopped what was theirs: look again.

    async def _find(self, client: "CodexClient") -> Attempt | None:
        """Open the thread and say what is due; ``None`` if it was stopped meanwhile."""
        owner = ""
        with anyio.move_on_after(OWNER_LIMIT) as limit:
            while not self._stopped.is_set():
                try:
                    return await self._open(client)
                except RemoteError as refusal:
                    if not _is_taken(refusal):
                        raise
                    owner = str(refusal)
                found = await self._look(client)
                if found.does == "show":
                    return found  # it can be read, whoever has it
                with anyio.move_on_after(_OWNER_GAP):
                    await self._stopped.wait()
        if limit.cancelled_caught:
            raise UsageError(
                f"after {OWNER_LIMIT:.0f} s {owner}. When the work there has ended, a map with the "
                "same ids gives its result"
            )
        return None

    async def _open(self, client: "CodexClient") -> Attempt:
        try:
            await client.call("thread/start", self._params)
        except RemoteError as refusal:
            data: Any = refusal.remote_data
            if not (isinstance(data, dict) and data.get("duplicate") == "thread"):
                raise
            resumed = {"threadId": self._remote.thread_id, "excludeTurns": True}
            await client.call("thread/resume", resumed)
            return await self._look(client)
        return choose_attempt(self._remote.thread_id, {})

    async def _look(self, client: "CodexClient") -> Attempt:
        asked = {"threadId": self._remote.thread_id, "itemsView": "notLoaded", "limit": 100}
        statuses: dict[str, str] = {}
        while True:
            page = await client.call("thread/turns/list", asked)
            statuses |= {turn["id"]: turn["status"] for turn in page["data"]}
            if page["nextCursor"] is None:
                return choose_attempt(self._remote.thread_id, statuses)
            asked["cursor"] = page["nextCursor"]

    async def _take(self, client: "CodexClient", attempt: Attempt) -> bool:
        """Begin or follow a turn to its end; ``False`` if it had been begun by somebody else."""
        thread_id = self._remote.thread_id
        self._state = TurnState(thread_id, attempt.turn_id)
        self._below = DelegateTurns(self._state)
        if attempt.does == "show":
            await self._show(client, attempt.turn_id)
            return True
        params = {"turnId": attempt.turn_id, "input": self._remote.task["input"]}
        begins = attempt.does == "begin"
        try:
            async with (
                client.turn(thread_id, params)
                if begins
                else client.follow(thread_id, attempt.turn_id)
            ) as stream:
                self._begun.set()
                if not begins:
                    turn = {"id": attempt.turn_id, "status": "inProgress", "items": []}
                    self._carry("turn/started", {"threadId": thread_id, "turn": turn})
                async for method, told in stream:
                    self._state.apply(method, told)
                    self._carry(method, told)
        except RemoteError as refusal:
            if not begins or duplicate_status(refusal) is None:
                raise
            return False
        finally:
            if self._begun.is_set():  # else a stop waits for this one
                self._begun = anyio.Event()
        return True

    async def _show(self, client: "CodexClient", turn_id: str) -> None:
        """Take a stored turn as it is; its thread need not be ours."""
        thread_id = self._remote.thread_id
        asked = {"threadId": thread_id, "turnId": turn_id, "itemsView": "full"}
        page = await client.call("thread/turns/list", asked)
        for turn in page["data"]:
            for method in ("turn/started", "turn/completed"):
                params = {"threadId": thread_id, "turn": turn}
                self._state.apply(method, params)
                self._carry(method, params)

    async def answer(self, method: str, params: Json, request_id: str | int) -> Json:
        """Answer a question by the stated policy: nobody sits here."""
        item = self._item(params)
        request = pending_request(method, params, str(request_id), item)
        decision = self._policy.decide(request)
        if decision == "fail":
            self._problem = (
                f"the delegate asks for approval of {what_is_asked(request)}, but nobody sits "
                "before a worker. State a policy: delegate_map(..., headless='deny') or "
                "headless='allow RULES'"
            )
            self.stop()
        if request["kind"] == "question":
            return answer_for(method, params, {"answers": {}})
        answered = "decline" if decision == "fail" else decision
        said = {"decision": answered, "digest": request.get("digest")}
        return answer_for(method, params, said)

    def _item(self, params: Json) -> Json | None:
        thread_id, item_id = str(params.get("threadId")), str(params.get("itemId"))
        if thread_id != self._remote.thread_id:
            return self._below.item(thread_id, item_id)
        items = self._state.snapshot()["items"]
        return next((item for item in items if item["id"] == item_id), None)

    def _hear(self, method: str, params: Json) -> None:
        """Take what threads below its own say."""
        if method == "thread/started":
            thread: Json = params["thread"]
            if thread.get("parentThreadId") not in self._threads:
                return
            self._threads.add(thread["id"])
        elif params.get("threadId") not in self._threads - {self._remote.thread_id}:
            return
        self._state.apply(method, params)
        self._below.hear(method, params)
        self._carry(method, params)

    def _carry(self, method: str, params: Json) -> None:
        if method not in _CARRIED:
            return
        self._waiting.append([method, clip_texts(params, _TEXT_CHARS)])
        del self._waiting[:-MAX_WAITING]
        self._news.set()

    async def _send(self) -> None:
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            self._flush()
            await anyio.sleep(BATCH_GAP)

    def _flush(self) -> None:
        batch, self._waiting = self._waiting, []
        if batch:
            self._tell(batch)

    async def _interrupt(self, client: "CodexClient") -> None:
        await self._stopped.wait()
        await self._begun.wait()  # an interrupt that comes before the turn stops nothing
        ids = {"threadId": self._remote.thread_id, "turnId": self._state.turn_id}
        try:
            await client.call("turn/interrupt", ids)
        except RemoteError:
            return  # it has ended by itself

    def _end(self, status: str, problem: str | None) -> None:
        """End a turn that nobody else ends."""
        turn_id = self._state.turn_id or choose_attempt(self._remote.thread_id, {}).turn_id
        error = None if problem is None else {"message": problem}
        turn = {"id": turn_id, "status": status, "items": [], "error": error}
        told = {"threadId": self._remote.thread_id, "turn": turn}
        if not self._state.turn_id:
            self._state = TurnState(self._remote.thread_id, turn_id)
        self._state.apply("turn/completed", told)
        self._carry("turn/completed", told)


def _is_taken(refusal: RemoteError) -> bool:
    """Whether another living process has the thread now."""
    data: Any = refusal.remote_data
    return isinstance(data, dict) and "ownedElsewhere" in data


def _first(problems: BaseExceptionGroup[CodexError]) -> CodexError:
    problem: BaseException = problems
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    assert isinstance(problem, CodexError)  # noqa: S101 - the group was made of these
    return problem
