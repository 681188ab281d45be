"""The threads of this process: start, resume, fork, read, list, unload, and close them all."""

import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import anyio.abc

from codex_jupyter.core.agent_tools import AGENT_TOOLS
from codex_jupyter.core.builtin_tools import BUILTIN_TOOLS
from codex_jupyter.core.config import SessionConfig, ThreadOptions
from codex_jupyter.core.containment import contained
from codex_jupyter.core.created import CreatedThreads
from codex_jupyter.core.idle_threads import unload_idle
from codex_jupyter.core.instructions import BASE_INSTRUCTIONS
from codex_jupyter.core.lineage import Lineage
from codex_jupyter.core.providers import ModelClients
from codex_jupyter.core.session import Session
from codex_jupyter.core.session_builder import SessionBuilder
from codex_jupyter.core.thread_shape import thread_shape
from codex_jupyter.errors import (
    DuplicateIdError,
    InvalidRequestError,
    RolloutError,
    ThreadNotFoundError,
)
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.ids import ThreadId, new_thread_id
from codex_jupyter.protocol.dynamic_tools import DynamicToolSpec
from codex_jupyter.protocol.events import Event, ThreadClosed, ThreadStarted
from codex_jupyter.rollout.cutting import WHOLE, Cut
from codex_jupyter.rollout.memory import MemoryRecorder
from codex_jupyter.rollout.reader import StoredThread
from codex_jupyter.rollout.recorder import Recorder
from codex_jupyter.rollout.records import Record
from codex_jupyter.rollout.store import ThreadStore
from codex_jupyter.settings import Settings
from codex_jupyter.tools.dynamic_checks import check_dynamic_tools

__all__ = ["ThreadManager"]

Json = dict[str, Any]
_log = logging.getLogger(__name__)

_RESERVED: Final = (*BUILTIN_TOOLS, *AGENT_TOOLS)
"""Names that a client's own tool cannot have: the model would call the one and get the other."""

_CLOSE_LIMIT: Final = 60.0
"""Seconds that the end of all sessions may take; what still runs then is cancelled."""


@dataclass(slots=True)
class _Busy:
    """A thread that is being opened or moved, and by that kept from everybody else."""

    doing: str
    ended: anyio.Event = field(default_factory=anyio.Event)


class ThreadManager:
    """All loaded threads; the owner of every session's task.

    Args:
        settings: Defaults of new threads.
        store: Threads on disk.
        publish: Takes every event of every thread, in order; must not block.
        is_heard: Tells whether somebody listens to a thread, which keeps it loaded.
        take_in: Hears of each thread that is loaded below another one, before its first event.
    """

    def __init__(
        self,
        settings: Settings,
        store: ThreadStore,
        publish: Callable[[Event], None],
        is_heard: Callable[[ThreadId], bool] = lambda _: False,
        take_in: Callable[[ThreadId, Lineage], None] = lambda _thread_id, _lineage: None,
    ) -> None:
        self.settings = settings
        self._store = store
        self.clients = ModelClients(settings)
        self._sessions: dict[ThreadId, Session] = {}
        self._busy: dict[ThreadId, _Busy] = {}
        self._is_heard = is_heard
        self._take_in = take_in
        self._leaving = CancelToken()
        self._builder = SessionBuilder(settings, store, self.clients, self, publish, is_heard)
        self.created = CreatedThreads()
        """Every thread that comes to be here: started or forked."""

        self._tasks: anyio.abc.TaskGroup | None = None

    @property
    def loaded(self) -> Sequence[ThreadId]:
        """Ids of the loaded threads, oldest first."""
        return tuple(self._sessions)

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The loaded threads, oldest first."""
        return tuple(self._sessions.values())

    def use(self, settings: Settings) -> None:
        """Take other defaults, from the next thread that is started or opened on."""
        self.settings = settings
        self.clients.use(settings)
        self._builder.use(settings)

    async def run(self, started: anyio.Event) -> None:
        """Own the sessions until cancelled; then end every turn and close every rollout."""
        leaving = anyio.Event()
        async with anyio.create_task_group() as owner:
            owner.start_soon(self._own_sessions, started, leaving)
            try:
                await anyio.sleep_forever()
            finally:
                leaving.set()

    async def _own_sessions(self, started: anyio.Event, leaving: anyio.Event) -> None:
        # A session ends by being closed: cancelled, it could not tell a stop from an end.
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                started.set()
                tasks.start_soon(self._unload_idle)
                await leaving.wait()
                self._leaving.cancel("the threads are closing")
                with anyio.move_on_after(_CLOSE_LIMIT):
                    await self.close_all()
                tasks.cancel_scope.cancel()

    def find(self, thread_id: ThreadId) -> Session | None:
        """Return a thread if it is loaded."""
        return self._sessions.get(thread_id)

    def get(self, thread_id: ThreadId) -> Session:
        """Return a loaded thread.

        Raises:
            ThreadNotFoundError: It is not loaded.
        """
        session = self._sessions.get(thread_id)
        if session is None:
            raise ThreadNotFoundError(f"thread not found: {thread_id}")
        return session

    async def start(
        self,
        options: ThreadOptions,
        *,
        thread_id: ThreadId | None = None,
        dynamic_tools: Sequence[DynamicToolSpec] = (),
        ephemeral: bool = False,
    ) -> Session:
        """Make a new thread; the id is reserved here and on disk before anything else happens.

        Raises:
            DuplicateIdError: The id is loaded, starting, stored or archived.
            InvalidRequestError: A dynamic tool does not fit.
            ConfigError: An option does not fit, or the provider needs something.
        """
        check_dynamic_tools(dynamic_tools, _RESERVED)
        config = SessionConfig.of(self.settings, options, BASE_INSTRUCTIONS)
        chosen = thread_id or new_thread_id()
        async with self._reserved(chosen, minted=thread_id is None):
            session = self._adopt(
                self._builder.new(chosen, config, dynamic_tools=dynamic_tools, ephemeral=ephemeral)
            )
            self.created.add(chosen)
        return session

    async def start_child(
        self,
        config: SessionConfig,
        lineage: Lineage,
        *,
        thread_id: ThreadId | None = None,
        dynamic_tools: Sequence[DynamicToolSpec] = (),
        ephemeral: bool = False,
    ) -> Session:
        """Make a thread below another one, which it does not outlive; see `start`.

        Raises:
            DuplicateIdError, InvalidRequestError: As `start`.
            ThreadNotFoundError: The parent is not loaded any more.
        """
        check_dynamic_tools(dynamic_tools, _RESERVED)
        chosen = thread_id or new_thread_id()
        # Nobody else can have an id that was minted now, so only what is stored now needs a claim.
        late = lineage.shown_in is not None and thread_id is None and not ephemeral
        async with (
            self.alone_with(chosen, "starting")
            if late
            else self._reserved(chosen, minted=thread_id is None)
        ):
            self._require_parent(lineage)
            session = self._builder.new(
                chosen,
                config,
                dynamic_tools=dynamic_tools,
                ephemeral=ephemeral,
                lineage=lineage,
            )
            if late:
                session.store_late()
            self._adopt(session)
            self.created.add(chosen)
        return session

    async def resume_child(
        self, thread_id: ThreadId, link: Callable[[StoredThread], Lineage]
    ) -> Session:
        """Load a stored thread below another one.

        Args:
            thread_id: Of the stored thread.
            link: Makes its link to its parent, or refuses; called before anything is loaded.

        Raises:
            DuplicateIdError: It is loaded.
            ThreadNotFoundError, ThreadOwnedElsewhereError: As `resume`.
        """
        async with self.alone_with(thread_id, "starting"):
            if thread_id in self._sessions:
                raise DuplicateIdError("thread", thread_id, "loaded")
            recorder, stored = await self._store.open(thread_id)
            return await self._opened(recorder, stored, ThreadOptions(), link)

    async def close(self, thread_id: ThreadId, session: Session | None = None) -> bool:
        """Unload a thread, alone with it; see `unload`.

        Args:
            thread_id: The thread.
            session: Closed only while the thread is this one, not if it came back meanwhile.
        """
        async with self.alone_with(thread_id, "being closed"):
            if session is not None and self.find(thread_id) is not session:
                return False
            return await self.unload(thread_id)

    def stop_task(self, thread_id: ThreadId, turn_id: str) -> bool:
        """Stop a delegate that has not begun; ``False`` if no turn has such a task."""
        turns = (session.active for session in self._sessions.values())
        return any(t.tasks.stop(thread_id, turn_id, "interrupted") for t in turns if t is not None)

    def post(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run something as long as the threads run; it must end when its threads are closed."""
        if self._tasks is None:
            raise RuntimeError("the thread manager is not running")
        self._tasks.start_soon(contained, "work beside the threads", work)

    async def resume(
        self,
        thread_id: ThreadId,
        options: ThreadOptions,
    ) -> tuple[Session, bool]:
        """Return the thread, loading it from disk if need be, and whether it was loaded already.

        Raises:
            ThreadNotFoundError: No rollout has this id.
            InvalidRequestError: It is archived.
            ThreadOwnedElsewhereError: Another process has it open.
        """
        async with self.alone_with(thread_id, "starting"):
            if (session := self._sessions.get(thread_id)) is not None:
                return session, True
            try:
                recorder, stored = await self._store.open(thread_id)
            except ThreadNotFoundError:
                await self._refuse_archived(thread_id)
                raise
            return await self._opened(recorder, stored, options), False

    async def fork(
        self,
        source_id: ThreadId,
        options: ThreadOptions,
        *,
        cut: Cut = WHOLE,
        thread_id: ThreadId | None = None,
        ephemeral: bool = False,
    ) -> Session:
        """Make a new thread that begins as a copy of another, whole or up to one of its turns.

        The copy has the same turn ids, which are used up in it, and no name. A turn that runs in
        the source is copied as far as it is stored, and counts as interrupted.

        Raises:
            DuplicateIdError: The id is loaded, starting, stored or archived.
            ThreadNotFoundError: The source has nothing stored.
            InvalidRequestError: The turn to cut at is not in it, or the source is archived.
        """
        chosen = thread_id or new_thread_id()
        async with self._reserved(chosen, minted=thread_id is None):
            if ephemeral or self._is_ephemeral(source_id):
                session = await self._fork_in_memory(source_id, chosen, cut, options)
            else:
                try:
                    recorder, stored = await self._store.fork(source_id, chosen, cut)
                except ThreadNotFoundError:
                    await self._refuse_archived(source_id)
                    raise
                try:
                    session = await self._opened(recorder, stored, options)
                except BaseException:
                    with anyio.CancelScope(shield=True):
                        await self._store.delete(chosen)
                    raise
            self.created.add(chosen)
        return session

    @asynccontextmanager
    async def alone_with(self, thread_id: ThreadId, doing: str) -> AsyncGenerator[None]:
        """Keep everybody else from opening or moving a thread; wait for whoever does so now.

        Args:
            thread_id: The thread.
            doing: What is done to it, for the error of a caller who wants the id meanwhile.
        """
        while (busy := self._busy.get(thread_id)) is not None:
            await busy.ended.wait()
        busy = self._busy[thread_id] = _Busy(doing)
        try:
            yield
        finally:
            del self._busy[thread_id]
            busy.ended.set()

    @asynccontextmanager
    async def _reserved(self, thread_id: ThreadId, *, minted: bool) -> AsyncGenerator[None]:
        """Hold an id that nobody has, here and on disk; a failing block leaves it free."""
        busy = self._busy.get(thread_id)
        if thread_id in self._sessions or busy is not None:
            raise DuplicateIdError("thread", thread_id, busy.doing if busy else "loaded")
        async with self.alone_with(thread_id, "starting"):
            await self._store.reserve(thread_id, minted=minted)
            try:
                yield
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self._store.release(thread_id)
                raise

    async def unload(self, thread_id: ThreadId) -> bool:
        """Close a thread and all below it, stopping their turns, and tell it.

        Returns ``False`` if it was not loaded. Call it inside `alone_with`.
        """
        session = self._sessions.get(thread_id)
        if session is None:
            return False
        # Once begun it ends: a session half closed would belong to nobody.
        with anyio.CancelScope(shield=True):
            session.retire()
            # Not loaded from here on, so that nothing new begins below it.
            self._sessions.pop(thread_id, None)
            async with anyio.create_task_group() as closing:
                for child in tuple(session.kin.children):
                    closing.start_soon(self.close, child)
            await self._close(session)
            if session.lineage is not None:
                session.lineage.parent.kin.children.pop(thread_id, None)
                session.root.forget_agent(session)
        session.state.set_status({"type": "notLoaded"})
        session.state.emit(ThreadClosed())
        return True

    async def _unload_idle(self) -> None:
        with self._leaving.scope():
            await unload_idle(self, self._is_heard)

    def _is_ephemeral(self, thread_id: ThreadId) -> bool:
        session = self._sessions.get(thread_id)
        return session is not None and session.ephemeral

    async def _refuse_archived(self, thread_id: ThreadId) -> None:
        stored = await self._store.read(thread_id)
        if stored is not None and stored.archived:
            raise InvalidRequestError(
                f"session {thread_id} is archived. Run `thread/unarchive` first"
            )

    async def _opened(
        self,
        recorder: Recorder,
        stored: StoredThread,
        options: ThreadOptions,
        link: Callable[[StoredThread], Lineage] | None = None,
    ) -> Session:
        try:
            lineage = None if link is None else link(stored)
            self._require_parent(lineage)
            session = self._builder.revive(stored, options, lineage=lineage)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._store.release(stored.thread_id)
            raise
        session.state.recorder = recorder
        return self._adopt(session)

    async def _fork_in_memory(
        self, source_id: ThreadId, thread_id: ThreadId, cut: Cut, options: ThreadOptions
    ) -> Session:
        source = self._sessions.get(source_id)
        if source is not None and isinstance(source.state.recorder, MemoryRecorder):
            records: Sequence[Record] = tuple(source.state.recorder.records)
        else:
            records = await self._store.records(source_id)
        recorder = MemoryRecorder.cut_from(records, cut, source_id)
        session = self._builder.revive(recorder.thread(thread_id), options, ephemeral=True)
        session.state.recorder = recorder
        return self._adopt(session)

    def announce(self, session: Session, *, include_turns: bool = False) -> None:
        """Tell everybody that a new thread exists."""
        session.state.emit(ThreadStarted(self.shape(session, include_turns=include_turns)))

    def shape(self, session: Session, *, include_turns: bool = False) -> Json:
        """Return a loaded thread as it travels."""
        return thread_shape(session, include_turns=include_turns)

    async def close_all(self) -> None:
        """End all turns, close all rollouts, stop all providers. Trees close side by side."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.retire()
        async with anyio.create_task_group() as closing:
            for session in sessions.values():
                above = session.lineage
                if above is None or above.parent.thread_id not in sessions:
                    closing.start_soon(self._close_tree, session, sessions)
        await self.clients.aclose()
        try:
            await self._store.aclose()
        except RolloutError:
            _log.exception("what a thread said last could not be stored")

    async def _close_tree(self, session: Session, sessions: Mapping[ThreadId, Session]) -> None:
        """Close what is below first: the usage of its turns is still stored above."""
        async with anyio.create_task_group() as closing:
            for child in tuple(session.kin.children.values()):
                if sessions.get(child.thread_id) is child:
                    closing.start_soon(self._close_tree, child, sessions)
        await self._close(session)

    async def _close(self, session: Session) -> None:
        try:
            for step in (session.aclose, lambda: self._store.release(session.thread_id)):
                try:
                    await step()
                except RolloutError:
                    _log.exception("thread %s could not be closed in order", session.thread_id)
        finally:
            session.closed.set()

    async def _run(self, session: Session) -> None:
        thread_id = session.thread_id
        if not await contained(f"thread {thread_id}", session.run):
            # What it was told is stored: it can be opened again.
            await contained(
                f"the end of thread {thread_id}", lambda: self.close(thread_id, session)
            )

    def _require_parent(self, lineage: Lineage | None) -> None:
        if lineage is not None and self.find(lineage.parent.thread_id) is not lineage.parent:
            raise ThreadNotFoundError(f"thread not found: {lineage.parent.thread_id}")

    def _adopt(self, session: Session) -> Session:
        if self._tasks is None:
            raise RuntimeError("the thread manager is not running")
        if session.lineage is not None:
            session.lineage.parent.kin.children[session.thread_id] = session
        self._sessions[session.thread_id] = session
        self._tasks.start_soon(self._run, session)
        if session.lineage is not None and session.lineage.shown_in is None:
            self._take_in(session.thread_id, session.lineage)
            self.announce(session)
        return session
