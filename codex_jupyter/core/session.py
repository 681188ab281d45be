"""The engine of one loaded thread: takes turns in, one at a time, and ends each exactly once."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.abc
import anyio.to_thread

from codex_jupyter.core.builtin_tools import builtin_tools
from codex_jupyter.core.config import SessionConfig
from codex_jupyter.core.context import context_items, told_of
from codex_jupyter.core.history_edits import HistoryEdits
from codex_jupyter.core.initial_state import initial_state
from codex_jupyter.core.joining import Accepted, join_turn
from codex_jupyter.core.kin import Kin
from codex_jupyter.core.lineage import Lineage
from codex_jupyter.core.spoken import Spoken
from codex_jupyter.core.turn import Turn
from codex_jupyter.core.turn_parts import EndedTurn
from codex_jupyter.core.turn_records import git_record, session_meta, start_records
from codex_jupyter.core.turn_run import END_LIMIT, TurnRun
from codex_jupyter.errors import (
    CodexError,
    DuplicateIdError,
    InvalidRequestError,
    NoActiveTurnError,
    NotSteerableError,
    PatchError,
    ThreadNotFoundError,
    TurnConflictError,
)
from codex_jupyter.ids import ThreadId, TurnId, same_turn_id
from codex_jupyter.model.interface import ModelClient
from codex_jupyter.protocol.dynamic_tools import DynamicToolSpec
from codex_jupyter.protocol.events import (
    Event,
    SettingsChanged,
    ThreadNamed,
    Warned,
)
from codex_jupyter.protocol.items import input_preview
from codex_jupyter.protocol.ops import (
    Notice,
    Review,
    Submission,
    TurnOverrides,
    UserTurn,
)
from codex_jupyter.rollout.memory import MemoryRecorder
from codex_jupyter.rollout.reader import StoredThread
from codex_jupyter.rollout.records import Record
from codex_jupyter.rollout.store import ThreadStore
from codex_jupyter.settings.mcp_servers import McpServer
from codex_jupyter.tools.apply_patch import recover_workspace
from codex_jupyter.tools.mcp import McpServers
from codex_jupyter.tools.policy import Policy
from codex_jupyter.tools.registry import Tool, ToolRegistry
from codex_jupyter.tools.terminals import Terminals

if TYPE_CHECKING:
    from codex_jupyter.core.agents import Agents

__all__ = ["Accepted", "Session"]

Json = dict[str, Any]

_QUEUED_TURNS: Final = 8
"""Accepted turns that wait for the worker; acceptance allows one at a time, so it never fills."""


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
        mcp_servers: Mapping[str, McpServer] | None = None,
        lineage: Lineage | None = None,
    ) -> None:
        self.thread_id = thread_id
        self.config = config
        self.ephemeral = ephemeral
        self.dynamic_tools = tuple(dynamic_tools)
        self._take_over(stored)
        self.kin = Kin(lineage)
        self.state = initial_state(thread_id, config, publish, environment, stored, lineage)
        if ephemeral:
            self.state.recorder = MemoryRecorder()
        self._store = store
        self._client_for = client_for
        self._active: Turn | None = None
        self._editing = anyio.Lock()
        self.edits = HistoryEdits(
            self.state, store, self._editing, lambda: self._active is not None
        )
        self.agents: Agents | None = None
        """Those of the whole tree, at its root."""

        self.performs: Callable[[Session, Turn], Awaitable[None]] = _nobody_performs
        """Runs the turns that delegates work in."""

        self.recovered: set[Path] = set() if lineage is None else self.root.recovered
        """Folders in which the tree has looked for half applied patches."""

        self._tasks: anyio.abc.TaskGroup | None = None
        self._work_in, self._work_out = anyio.create_memory_object_stream[Turn](_QUEUED_TURNS)
        self._ending: list[Callable[[EndedTurn], None]] = []
        self._closing: list[Callable[[], None]] = []
        self.retired = False
        """Whether it is closing or closed, and takes nothing more."""

        self.closed = anyio.Event()
        """Set by the thread manager when nothing of it runs or is open any more."""

        self.terminals = Terminals(self.state)
        # The servers are the root's: twenty delegates must not start each of them twenty times.
        self.mcp = McpServers(mcp_servers or {}, environment) if lineage is None else self.root.mcp
        self._tools = builtin_tools(self.terminals, dynamic_tools)

    def _take_over(self, stored: StoredThread | None) -> None:
        self.created_at = stored.created_at if stored else time.time()
        self.preview = stored.preview if stored else ""
        self.name = stored.name if stored else None
        self.git_info = stored.git_info if stored else None
        self.forked_from: str | None = (stored.meta if stored else {}).get("forked_from_id")
        self._used_turn_ids = set(stored.used_turn_ids) if stored else set[str]()

    @property
    def lineage(self) -> Lineage | None:
        """The link to the thread this one belongs to; ``None`` for a root."""
        return self.kin.lineage

    @property
    def root(self) -> "Session":
        """The thread at the top of the tree, which may be this one."""
        return self if self.lineage is None else self.lineage.parent.root

    @property
    def active(self) -> Turn | None:
        """The running turn, from the moment its id is given out."""
        return self._active

    def ceiling(self) -> Policy:
        """Return what threads below may do at most, at this moment.

        A turn that runs under narrower settings than the thread now has counts too.
        """
        policy = self.config.policy
        if self._active is not None:
            policy = policy.meet(self._active.config.policy)
        return policy if self.lineage is None else policy.meet(self.lineage.ceiling())

    def on_end(self, listener: Callable[[EndedTurn], None]) -> None:
        """Call ``listener`` after each turn's end; it must not block."""
        self._ending.append(listener)

    def on_close(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` when the thread begins to close; it must not block."""
        self._closing.append(listener)

    @property
    def active_turn_id(self) -> TurnId | None:
        """The running turn, known from the moment its id is given out."""
        return self._active.turn_id if self._active is not None else None

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing is being changed."""
        busy = self._active is not None or self._editing.locked() or self.terminals.live
        return not busy and all(child.is_idle for child in self.kin.children.values())

    @property
    def path(self) -> Path | None:
        """The rollout, once there is one."""
        return self.state.recorder.path if self.state.recorder is not None else None

    async def submit(self, submission: Submission) -> Accepted:
        """Accept a turn, or steer the active one with it.

        Raises:
            DuplicateIdError: The id was used before in this thread.
            TurnConflictError: The caller chose an id, but another turn is active.
            NotSteerableError: A turn is active that takes no input, or this is none.
            InvalidRequestError: The input is empty or an override does not fit.
            ThreadNotFoundError: The thread is closing, or closed.
            RolloutError: The turn could not be stored; the id stays free and no override counts.
        """
        op = submission.op
        if isinstance(op, UserTurn) and not op.input and op.delivered is None:
            raise InvalidRequestError("input must not be empty")
        if isinstance(op, Review):
            # Before it takes the place of another turn.
            self.require_unused(submission.id)
        while (active := self._active) is not None:
            if not active.accepted.is_set():
                await active.accepted.wait()
                continue
            if (steered := join_turn(active, submission)) is not None:
                return steered
            await active.ended.wait()
        self._require_open()
        self.require_unused(submission.id)
        overrides = op.overrides if isinstance(op, UserTurn) else TurnOverrides()
        config = self.config.with_overrides(overrides)
        turn = Turn(submission.id, op, config, self.state, self.lineage)
        self._used_turn_ids.add(turn.turn_id)
        self._active = turn
        self.kin.link(turn)
        try:
            async with self._editing:
                await self._store_start(turn)
        except BaseException:
            self._used_turn_ids.discard(turn.turn_id)
            self.leave(turn)
            self._keep_injected(turn)
            turn.ended.set()
            raise
        finally:
            turn.accepted.set()
        # Not the settings from before the wait: others may have changed meanwhile.
        before, self.config = self.config, self.config.with_overrides(overrides)
        if self.config.wire() != before.wire():
            self.tell_settings()
        return Accepted(turn.turn_id, False, lambda: self._work_in.send_nowait(turn))

    def _keep_injected(self, turn: Turn) -> None:
        """Remember what others let a turn know that could not begin; it is stored by and by."""
        _, injected = turn.close()
        self.state.stage(turn.turn_id, [Record("response_item", item) for item in injected])
        self.state.history.append(injected)

    def require_unused(self, turn_id: TurnId) -> None:
        """Refuse an id that a turn of this thread has.

        Raises:
            DuplicateIdError: One has it.
        """
        if turn_id in self._used_turn_ids:
            status = self.state.transcript.status_of(turn_id) or "used"
            raise DuplicateIdError("turn", turn_id, status)

    def steer(self, expected: str, spoken: Spoken) -> TurnId:
        """Add input to the running turn.

        Raises:
            NoActiveTurnError: No turn runs, or its end is decided.
            TurnConflictError: Another turn than ``expected`` runs.
            NotSteerableError: It takes no input.
        """
        active = self._active
        if active is None:
            raise NoActiveTurnError("steer")
        if not same_turn_id(expected, active.turn_id):
            raise TurnConflictError(expected, active.turn_id)
        if not active.takes_input:
            raise NotSteerableError(active.kind, active.turn_id)
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

    def stop(self, reason: str) -> None:
        """Stop what runs, if something does; it ends by and by."""
        active = self._active
        # A second interrupt would be a hard one.
        if active is not None and not active.closed and active.token.reason is None:
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

    async def inject(self, items: Sequence[Json]) -> None:
        """Let the model know ``items``: at once, or before the running turn's next answer.

        Raises:
            ThreadNotFoundError: The thread is closing, or closed.
            RolloutError: They could not be stored; the model does not know them.
        """
        active = self._active
        if active is not None and not active.closed:
            active.inject(items)
            return
        async with self._editing:
            self._require_open()
            await self._create_rollout(self.config)
            await self.state.record([Record("response_item", dict(item)) for item in items])
            self.state.history.append(items)

    def update_settings(self, overrides: TurnOverrides) -> None:
        """Change the settings of later turns; a running turn keeps its own.

        Raises:
            InvalidRequestError: One does not fit; none was changed.
        """
        self.config = self.config.with_overrides(overrides)

    def tell_settings(self) -> None:
        """Announce the settings of later turns."""
        self.state.emit(SettingsChanged(self.config.wire()))

    async def rename(self, name: str) -> None:
        """Give the thread another name; `tell_name` tells it.

        Raises:
            InvalidRequestError: The name is blank, or the thread is ephemeral.
            RolloutError: It could not be stored; the name is as it was.
        """
        name = name.strip()
        if not name:
            raise InvalidRequestError("thread name must not be empty")
        if self.ephemeral:
            raise InvalidRequestError(
                f"ephemeral thread does not support metadata updates: {self.thread_id}"
            )
        async with self._editing:
            # Without a rollout there is nothing to write to: the first turn writes the name too.
            await self.state.record([self._name_record(name)])
            self.name = name

    def tell_name(self) -> None:
        """Announce the thread's name."""
        if self.name is not None:
            self.state.emit(ThreadNamed(self.name))

    async def run(self) -> None:
        """Run accepted turns, one after the other, and what outlives them, until `aclose`."""
        async with anyio.create_task_group() as tasks, self._work_out:
            self.terminals.own(tasks)
            self._tasks = tasks
            async for turn in self._work_out:
                await TurnRun(turn, self.state, self).run()

    def retire(self) -> None:
        """Take no more turns, and stop what runs; `aclose` waits for its end."""
        if not self.retired:
            self.retired = True
            for listener in tuple(self._closing):
                listener()
        self.stop("shutdown")

    async def aclose(self) -> None:
        """Interrupt what runs, wait for its end, and close the rollout."""
        self.retire()
        if (active := self._active) is not None:
            with anyio.move_on_after(END_LIMIT):
                await active.ended.wait()
        self._work_in.close()
        with anyio.move_on_after(END_LIMIT):
            await self.terminals.aclose()
        if self.lineage is None:
            with anyio.move_on_after(END_LIMIT):
                await self.mcp.aclose()
        # Whoever is creating the rollout, or writing to it, finishes first.
        async with self._editing:
            if self.state.recorder is not None:
                await self.state.recorder.aclose()

    def forget_agent(self, session: "Session") -> None:
        """Note that a thread of this tree is no longer loaded."""
        if self.agents is not None:
            self.agents.forget(session)

    def bring(self, tools: Sequence[Tool]) -> None:
        """Offer more tools to the model, from the next turn on."""
        self._tools = ToolRegistry.of([*self._tools.tools.values(), *tools])

    async def tools_for(self, turn: Turn) -> ToolRegistry:
        """Return what a turn may call; MCP servers start at the first one."""
        owner = self.root.own_tasks
        if owner is None:
            return self._tools
        found = await self.mcp.tools(owner, lambda text: turn.publish(Warned(text)))
        return ToolRegistry.of([*self._tools.tools.values(), *found]) if found else self._tools

    async def perform(self, turn: Turn) -> None:
        """Run a turn that delegates work in; how is given by whoever runs the threads."""
        await self.performs(self, turn)

    @property
    def own_tasks(self) -> anyio.abc.TaskGroup | None:
        """Where what outlives a turn runs, while the session does."""
        return self._tasks

    def client_for(self, config: SessionConfig) -> ModelClient:
        """Return the client of a provider."""
        return self._client_for(config)

    def note_end(self, ended: EndedTurn) -> None:
        """Tell whoever waits for turns of this thread."""
        for listener in tuple(self._ending):
            listener(ended)

    def leave(self, turn: Turn) -> None:
        """Have no active turn any more: its end is decided and stored."""
        if self._active is turn:
            self._active = None
            self.edits.note(turn.turn_id, turn.turn_diff.reversal())

    def _require_open(self) -> None:
        if self.retired:
            raise ThreadNotFoundError(f"thread not found: {self.thread_id}")

    def _name_record(self, name: str) -> Record:
        payload = {
            "type": "thread_name_updated",
            "thread_id": self.thread_id,
            "thread_name": name,
        }
        return Record("event_msg", payload)

    async def _store_start(self, turn: Turn) -> None:
        """Write down that the turn was accepted, before anybody is told so.

        A patch that a killed process left half applied is undone first, so that the turn finds
        either all of it or none.
        """
        if turn.workspace not in self.recovered:
            self.recovered.add(turn.workspace)
            with suppress(PatchError):  # applying the next patch says it again, to the model
                await anyio.to_thread.run_sync(recover_workspace, turn.workspace)
        items: tuple[Json, ...] = ()
        if isinstance(turn.op, Notice):
            items = (*context_items(self.state.told, turn.config), *turn.op.items)
        elif turn.spoken is not None:
            remembered = await turn.spoken.remembered()
            items = (*context_items(self.state.told, turn.config), *remembered)
        await self._create_rollout(turn.config)
        await self.state.record(start_records(turn, items))
        self.state.history.append(items)
        if items:
            self.state.told = told_of(turn.config)
        if turn.spoken is not None:
            self.preview = self.preview or input_preview(list(turn.spoken.input))

    def store_late(self) -> None:
        """Store the thread when it closes: what it says is stored by the turn it is shown in."""
        self.state.recorder = self._store.create_late(self.thread_id, self._meta(self.config))

    def _meta(self, config: SessionConfig) -> Json:
        return session_meta(
            config, self.thread_id, self.created_at, self.dynamic_tools, self.lineage
        )

    async def _create_rollout(self, config: SessionConfig) -> None:
        if self.state.recorder is not None:
            return
        self.state.recorder = await self._store.create(self.thread_id, self._meta(config))
        known: list[Record] = []
        if self.name is not None:
            known.append(self._name_record(self.name))
        if self.git_info is not None:
            known.append(git_record(self.thread_id, self.git_info))
        # Staged, so that they are not lost if what is written first is refused.
        self.state.stage(TurnId(""), known)


async def _nobody_performs(_session: Session, _turn: Turn) -> None:
    raise InvalidRequestError("this thread has nobody to delegate to")
