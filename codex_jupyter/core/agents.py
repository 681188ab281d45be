"""Agents: threads that a model starts, tells, waits for and closes; owned by the tree's root."""

import logging
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import anyio

from codex_jupyter.core.delegate import StartsThreads, child_config
from codex_jupyter.core.joining import Accepted
from codex_jupyter.core.lineage import Lineage
from codex_jupyter.core.roles import role_named, spawn_wish
from codex_jupyter.core.session import Session
from codex_jupyter.core.turn import Turn
from codex_jupyter.core.turn_parts import EndedTurn
from codex_jupyter.errors import AgentError, CodexError, DuplicateIdError
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.ids import ThreadId, TurnId, new_turn_id, parse_thread_id
from codex_jupyter.protocol.items import TextInput
from codex_jupyter.protocol.jsonrpc import encode
from codex_jupyter.protocol.ops import Notice, Submission, UserTurn
from codex_jupyter.rollout.fold import StoredThread
from codex_jupyter.settings.agents import AgentSettings

__all__ = ["Agent", "AgentStatus", "Agents"]

Json = dict[str, Any]
_log = logging.getLogger(__name__)

AgentStatus = Literal["pendingInit", "running", "interrupted", "completed", "errored", "shutdown"]

_MAX_AGENTS: Final = 200
"""Agents of one tree that are known at once, at work or not; closed ones make room."""

_NICKNAMES: Final = (
    "Ada",
    "Blaise",
    "Carl",
    "Dorothy",
    "Emmy",
    "Florence",
    "Grace",
    "Hypatia",
    "Isaac",
    "Joan",
    "Karl",
    "Lise",
    "Mary",
    "Niels",
    "Olga",
    "Pierre",
    "Quentin",
    "Rosalind",
    "Sofia",
    "Thales",
    "Ursula",
    "Vera",
    "William",
    "Xenia",
    "Yuri",
    "Zeno",
)

_STATUS_OF: Final[dict[str, AgentStatus]] = {
    "completed": "completed",
    "interrupted": "interrupted",
    "failed": "errored",
}


@dataclass(slots=True)
class _Run:
    """One piece of work of an agent: the turn that takes a submission."""

    ended: anyio.Event = field(default_factory=anyio.Event)
    outcome: EndedTurn | None = None
    holds_slot: bool = True
    waiters: int = 0
    told: bool = False
    """Whether the parent's model has read how it ended."""


@dataclass(eq=False, slots=True)
class Agent:
    """One agent, from its start to its close."""

    session: Session
    nickname: str
    role: str | None
    token: CancelToken
    runs: dict[TurnId, _Run] = field(default_factory=dict[TurnId, _Run])
    last: TurnId | None = None
    closed: bool = False

    @property
    def thread_id(self) -> ThreadId:
        """Its thread."""
        return self.session.thread_id

    @property
    def parent(self) -> Session:
        """The thread that started it."""
        lineage = self.session.lineage
        if lineage is None:
            raise RuntimeError("an agent has a parent")
        return lineage.parent

    def status(self) -> AgentStatus:
        """What its newest work is doing."""
        if self.closed:
            return "shutdown"
        run = self.runs.get(self.last) if self.last is not None else None
        if run is None:
            return "pendingInit"
        return "running" if run.outcome is None else _STATUS_OF[run.outcome.status]

    def outcome(self) -> EndedTurn | None:
        """How its newest work ended, if it has."""
        run = self.runs.get(self.last) if self.last is not None else None
        return run.outcome if run is not None else None

    def message(self) -> str | None:
        """What it said last, or why its newest work failed."""
        ended = self.outcome()
        return None if ended is None else (ended.error or {}).get("message") or ended.text


class Agents:
    """The agents of one tree.

    A slot is held while an agent works, and free when its work has ended, however it ended.

    Args:
        threads: Starts and closes them.
        settings: Limits and roles.
    """

    def __init__(self, threads: StartsThreads, settings: AgentSettings) -> None:
        self._threads = threads
        self.settings = settings
        self._agents: dict[ThreadId, Agent] = {}
        self._slots = 0

    def of(self, caller: Session) -> list[Agent]:
        """Return the agents a thread started that are not closed."""
        return [a for a in self._agents.values() if a.parent is caller and not a.closed]

    def find(self, caller: Session, agent_id: str) -> Agent:
        """Return one of the caller's own agents.

        Raises:
            AgentError: There is no such agent, or it is somebody else's. (W-44)
        """
        agent = self._agents.get(ThreadId(agent_id))
        if agent is None or agent.parent is not caller:
            known = ", ".join(a.thread_id for a in self.of(caller)) or "none"
            raise AgentError(f"agent with id {agent_id[:64]} not found; your agents: {known}")
        return agent

    async def spawn(self, turn: Turn, caller: Session, text: str, role: str | None) -> Agent:
        """Start an agent on a piece of work; it works on when this returns.

        Raises:
            AgentError: Depth, number or role does not fit, or it could not be started.
        """
        depth = 0 if caller.lineage is None else caller.lineage.depth
        if depth >= self.settings.max_depth:
            raise AgentError("Agent depth limit reached. Solve the task yourself.")
        self._make_room()
        wish = spawn_wish(caller, role_named(self.settings.roles, role), self._nickname())
        token = CancelToken()
        lineage = Lineage(caller, wish.source, nickname=wish.nickname, role=wish.role, token=token)
        with self._slot():
            try:
                session = await self._threads.start_child(
                    child_config(turn.config, wish),
                    lineage,
                    dynamic_tools=caller.dynamic_tools,
                    ephemeral=caller.ephemeral,
                )
            except CodexError as error:
                raise AgentError(f"collab spawn failed: {error}") from error
            agent = Agent(session, wish.nickname or "", wish.role, token)
            self._agents[session.thread_id] = agent
            session.on_end(lambda ended: self._ended(agent, ended))
            try:
                await self._submit(turn, agent, text)
            except BaseException:
                await self._close(agent)
                raise
        return agent

    async def send(
        self, turn: Turn, caller: Session, agent_id: str, text: str, *, interrupt: bool
    ) -> TurnId:
        """Give an agent more input and return the id of the turn that takes it.

        Raises:
            AgentError: It is not the caller's, is closed, or no slot is free.
        """
        agent = self.find(caller, agent_id)
        if agent.closed:
            raise AgentError(f"agent with id {agent_id} is closed; resume it first")
        if interrupt:
            for run in agent.runs.values():
                # Whoever stops it need not be told that it stopped. (W-41)
                run.told = run.told or run.outcome is None
            agent.session.stop("interrupted by its parent")
        while (active := agent.session.active) is not None and active.is_leaving:
            await active.ended.wait()
        # Input that joins running work needs no slot of its own.
        with nullcontext() if active is not None else self._slot():
            return await self._submit(turn, agent, text)

    async def resume(self, caller: Session, agent_id: str) -> Agent:
        """Open one of the caller's agents again, from its rollout if it was closed.

        Raises:
            AgentError: It is not the caller's, or there is nothing to open.
        """
        known = self._agents.get(ThreadId(agent_id))
        if known is not None and (known.parent is not caller or not known.closed):
            return self.find(caller, agent_id)
        if known is None:
            self._make_room()
        token = CancelToken()

        def link(stored: StoredThread) -> Lineage:
            if stored.meta.get("parent_thread_id") != caller.thread_id:
                raise AgentError(f"agent with id {agent_id[:64]} not found")
            return Lineage(
                caller,
                stored.meta.get("source") or {},
                nickname=stored.meta.get("agent_nickname"),
                role=stored.meta.get("agent_role"),
                token=token,
            )

        try:
            session = await self._threads.resume_child(parse_thread_id(agent_id), link)
        except AgentError:
            raise
        except DuplicateIdError:
            # Somebody else was quicker: then it is an open agent, or a thread of its own.
            return self.find(caller, agent_id)
        except CodexError as error:
            raise AgentError(f"agent with id {agent_id[:64]} not found: {error}") from error
        lineage = session.lineage
        nickname = (lineage.nickname if lineage is not None else None) or self._nickname()
        role = lineage.role if lineage is not None else None
        agent = self._agents[session.thread_id] = Agent(session, nickname, role, token)
        session.on_end(lambda ended: self._ended(agent, ended))
        return agent

    async def wait(
        self, caller: Session, agent_ids: Sequence[str], seconds: float
    ) -> tuple[dict[ThreadId, Agent], bool]:
        """Wait until the newest work of one of the agents has ended.

        Returns those whose work has ended by then, and whether the time was up first. Bound to
        what was given to them last, not to a status that may be an old one. (W-40) One that was
        opened again and given nothing is not waited for, unless there are only such.

        Raises:
            AgentError: One is not the caller's.
        """
        agents = [self.find(caller, agent_id) for agent_id in agent_ids]
        watched = [(a, a.runs[a.last]) for a in agents if a.last is not None and not a.closed]
        for _, run in watched:
            run.waiters += 1
        try:
            with anyio.move_on_after(seconds) as limit:
                if not any(agent.closed for agent in agents):
                    await _first_of([run for _, run in watched])
            ended = {a.thread_id: a for a in agents if a.closed or not watched}
            for agent, run in watched:
                if run.outcome is not None:
                    run.told = True
                    ended[agent.thread_id] = agent
            return ended, limit.cancelled_caught and not ended
        finally:
            for agent, run in watched:
                run.waiters -= 1
                if run.outcome is not None:
                    self._announce(agent, run)

    async def close(self, caller: Session, agent_id: str) -> AgentStatus:
        """Stop an agent and all below it, wait for their end, and return what it did before.

        Raises:
            AgentError: It is not the caller's.
        """
        agent = self.find(caller, agent_id)
        before = agent.status()
        if not agent.closed:
            for run in agent.runs.values():
                run.told = True
            await self._close(agent)
        return before

    def forget(self, session: Session) -> None:
        """Note that a thread is no longer loaded; an agent of this id can be resumed."""
        agent = self._agents.get(session.thread_id)
        if agent is not None and agent.session is session:
            agent.closed = True
            for run in agent.runs.values():
                self._slots -= run.holds_slot and run.outcome is None
                run.holds_slot = False
                run.ended.set()

    async def _close(self, agent: Agent) -> None:
        agent.token.cancel("closed by its parent")
        agent.closed = True
        # Also where the caller is stopped meanwhile: closed and loaded would be for ever.
        with anyio.CancelScope(shield=True):
            await self._threads.close(agent.thread_id, agent.session)

    async def _submit(self, turn: Turn, agent: Agent, text: str) -> TurnId:
        op = UserTurn((TextInput(text=text),))
        submission = Submission(new_turn_id(), op, chosen_by_caller=False)
        try:
            accepted = await agent.session.submit(submission)
        except CodexError as error:
            raise AgentError(f"collab tool failed: {error}") from error
        self._note_work(agent, accepted)
        if turn.token.reason is not None:
            # The stop came while it was being accepted, so it did not reach it by itself.
            agent.session.stop(turn.token.reason)
        accepted.start()
        return accepted.turn_id

    def _note_work(self, agent: Agent, accepted: Accepted) -> None:
        """Note the turn that takes what an agent was given; a turn of its own holds a slot."""
        if not accepted.steered:
            self._slots += 1
            agent.runs = {t: r for t, r in agent.runs.items() if r.outcome is None}
        agent.runs.setdefault(accepted.turn_id, _Run(holds_slot=not accepted.steered))
        agent.last = accepted.turn_id

    def _make_room(self) -> None:
        """Forget the agent that was closed first, if no more can be known; its rollout stays."""
        if len(self._agents) < _MAX_AGENTS:
            return
        gone = (a for a in self._agents.values() if a.closed and a.session.closed.is_set())
        if (oldest := next(gone, None)) is None:
            raise AgentError(f"there are {_MAX_AGENTS} agents; close those you need no more")
        del self._agents[oldest.thread_id]

    @contextmanager
    def _slot(self) -> Generator[None, None, None]:
        """Hold a slot while work is being given; the work then holds its own."""
        if self._slots >= self.settings.max_threads:
            raise AgentError(
                f"agent limit reached: {self._slots} agents are at work and "
                f"{self.settings.max_threads} may be; wait for one or close one"
            )
        self._slots += 1
        try:
            yield
        finally:
            self._slots -= 1

    def _nickname(self) -> str:
        used = {agent.nickname for agent in self._agents.values() if not agent.closed}
        free = [name for name in _NICKNAMES if name not in used]
        return free[0] if free else f"{_NICKNAMES[len(used) % len(_NICKNAMES)]} {len(used)}"

    def _ended(self, agent: Agent, ended: EndedTurn) -> None:
        run = agent.runs.get(ended.turn_id)
        if run is None or run.outcome is not None:
            return
        self._slots -= run.holds_slot
        run.outcome = ended
        run.ended.set()
        self._announce(agent, run)

    def _announce(self, agent: Agent, run: _Run) -> None:
        """Tell the parent's model how work ended, unless it knows or will in a moment."""
        if run.told or run.waiters or run.outcome is None or agent.closed:
            return
        run.told = True
        parent = agent.parent
        # Whoever stops a thread does not want it to go on by itself.
        wake = run.outcome.status != "interrupted" and not _is_being_stopped(parent)
        items = (_notice(agent, run.outcome),)
        if parent.active is not None and parent.active.hear(items):
            return
        self._threads.post(lambda: self._tell_idle(parent, items, wake=wake))

    async def _tell_idle(self, parent: Session, items: tuple[Json, ...], *, wake: bool) -> None:
        """Let a parent at rest read what happened: at once, or with its next turn."""
        while (active := parent.active) is not None and not active.takes_input:
            await active.ended.wait()
        if parent.retired:
            return
        try:
            if wake and self.settings.wake_parent:
                notice = Submission(new_turn_id(), Notice(items), chosen_by_caller=False)
                accepted = await parent.submit(notice)
                # What an agent is woken for is work like any other: its parent hears of its end.
                woken = self._agents.get(parent.thread_id)
                if woken is not None and woken.session is parent:
                    self._note_work(woken, accepted)
                accepted.start()
            else:
                await parent.inject(items)
        except CodexError:
            _log.warning("thread %s could not be told of its agent", parent.thread_id)


def _is_being_stopped(session: Session) -> bool:
    above = () if session.lineage is None else session.lineage.ancestors()
    turns = (one.active for one in (session, *above))
    return any(turn is not None and turn.token.reason is not None for turn in turns)


async def _first_of(runs: Iterable[_Run]) -> None:
    """Wait until one of the runs has ended."""
    waiting = list(runs)
    if not waiting or any(run.ended.is_set() for run in waiting):
        return
    async with anyio.create_task_group() as tasks:

        async def watch(run: _Run) -> None:
            await run.ended.wait()
            tasks.cancel_scope.cancel()

        for run in waiting:
            tasks.start_soon(watch, run)


def _notice(agent: Agent, ended: EndedTurn) -> Json:
    """Return what the parent's model reads when an agent's work has ended."""
    status: Any = {"completed": ended.text}
    if ended.status == "interrupted":
        status = {"errored": "Interrupted"}
    elif ended.status == "failed":
        status = {"errored": (ended.error or {}).get("message")}
    told = encode({"agent_id": agent.thread_id, "nickname": agent.nickname, "status": status})
    text = f"<subagent_notification>\n{told.decode()}\n</subagent_notification>"
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
