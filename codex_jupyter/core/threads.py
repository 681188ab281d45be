"""The threads of this process: start, resume, read, list, and close them all."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import anyio
import anyio.abc

from codex_jupyter.core.config import SessionConfig, ThreadOptions, mode_of_sandbox
from codex_jupyter.core.instructions import BASE_INSTRUCTIONS
from codex_jupyter.core.providers import ModelClients
from codex_jupyter.core.session import BUILTIN_TOOLS, Session
from codex_jupyter.core.thread_shape import summary_shape, thread_shape
from codex_jupyter.errors import DuplicateIdError, RolloutError, ThreadNotFoundError
from codex_jupyter.ids import ThreadId, new_thread_id
from codex_jupyter.model.interface import ModelClient
from codex_jupyter.protocol.events import Event, ThreadStarted
from codex_jupyter.protocol.requests import DynamicToolSpec
from codex_jupyter.rollout.reader import StoredThread
from codex_jupyter.rollout.store import ListQuery, ThreadStore
from codex_jupyter.settings import Settings
from codex_jupyter.tools.dynamic import check_dynamic_tools

__all__ = ["ThreadManager"]

Json = dict[str, Any]
_log = logging.getLogger(__name__)

_CLOSE_LIMIT: Final = 60.0
"""Seconds that the end of all sessions may take; what still runs then is cancelled."""


class ThreadManager:
    """All loaded threads; the owner of every session's task.

    Args:
        settings: Defaults of new threads.
        store: Threads on disk.
        publish: Takes every event of every thread, in order; must not block.
    """

    def __init__(
        self, settings: Settings, store: ThreadStore, publish: Callable[[Event], None]
    ) -> None:
        self.settings = settings
        self._store = store
        self._publish = publish
        self._clients = ModelClients(settings)
        self._sessions: dict[ThreadId, Session] = {}
        self._opening: dict[ThreadId, anyio.Event] = {}
        self._tasks: anyio.abc.TaskGroup | None = None

    @property
    def loaded(self) -> Sequence[ThreadId]:
        """Ids of the loaded threads, oldest first."""
        return tuple(self._sessions)

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
                await leaving.wait()
                with anyio.move_on_after(_CLOSE_LIMIT):
                    await self.close_all()
                tasks.cancel_scope.cancel()

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
        check_dynamic_tools(dynamic_tools, BUILTIN_TOOLS)
        config = SessionConfig.of(self.settings, options, BASE_INSTRUCTIONS)
        chosen = thread_id or new_thread_id()
        if chosen in self._sessions or chosen in self._opening:
            status = "loaded" if chosen in self._sessions else "starting"
            raise DuplicateIdError("thread", chosen, status)
        opened = self._opening[chosen] = anyio.Event()
        try:
            await self._store.reserve(chosen, minted=thread_id is None)
            session = self._adopt(
                Session(
                    chosen,
                    config,
                    self._store,
                    self._client_for,
                    self._publish,
                    environment=self.settings.child_env,
                    dynamic_tools=dynamic_tools,
                    ephemeral=ephemeral,
                )
            )
        finally:
            del self._opening[chosen]
            opened.set()
        return session

    async def resume(
        self,
        thread_id: ThreadId,
        options: ThreadOptions,
    ) -> tuple[Session, bool]:
        """Return the thread, loading it from disk if need be, and whether it was loaded already.

        Raises:
            ThreadNotFoundError: No rollout has this id.
            ThreadOwnedElsewhereError: Another process has it open.
        """
        while thread_id in self._opening:
            await self._opening[thread_id].wait()
        if (session := self._sessions.get(thread_id)) is not None:
            return session, True
        opened = self._opening[thread_id] = anyio.Event()
        try:
            recorder, stored = await self._store.open(thread_id)
            try:
                session = self._revive(stored, options)
            except BaseException:
                with anyio.move_on_after(5, shield=True):
                    await recorder.aclose()
                    await self._store.release(thread_id)
                raise
            session.state.recorder = recorder
            self._adopt(session)
        finally:
            del self._opening[thread_id]
            opened.set()
        return session, False

    def announce(self, session: Session) -> None:
        """Tell everybody that a new thread exists."""
        session.state.emit(ThreadStarted(self.shape(session)))

    def shape(self, session: Session, *, include_turns: bool = False) -> Json:
        """Return a loaded thread as it travels."""
        return thread_shape(session, include_turns=include_turns)

    async def read(self, thread_id: ThreadId, *, include_turns: bool) -> Json:
        """Return a thread, loaded or stored, without loading it.

        Raises:
            ThreadNotFoundError: It is neither.
        """
        if (session := self._sessions.get(thread_id)) is not None:
            if include_turns and session.path is None and not session.ephemeral:
                raise ThreadNotFoundError(
                    f"thread {thread_id} is not materialized yet; includeTurns is unavailable "
                    "before first user message"
                )
            return self.shape(session, include_turns=include_turns)
        stored = await self._store.read(thread_id)
        if stored is None:
            raise ThreadNotFoundError(f"thread not loaded: {thread_id}")
        return summary_shape(stored, turns=stored.turns if include_turns else ())

    async def list(self, query: ListQuery) -> Json:
        """Return one page of stored threads."""
        page = await self._store.list(query)
        data = [
            self.shape(self._sessions[summary.thread_id])
            if summary.thread_id in self._sessions
            else summary_shape(summary)
            for summary in page.data
        ]
        return {"data": data, "nextCursor": page.next_cursor}

    async def close_all(self) -> None:
        """End all turns, close all rollouts, stop all providers. Sessions close side by side."""
        sessions, self._sessions = self._sessions, {}
        async with anyio.create_task_group() as closing:
            for session in sessions.values():
                closing.start_soon(self._close, session)
        await self._clients.aclose()
        await self._store.aclose()

    async def _close(self, session: Session) -> None:
        try:
            await session.aclose()
            await self._store.release(session.thread_id)
        except RolloutError:
            _log.exception("thread %s could not be closed in order", session.thread_id)

    def _adopt(self, session: Session) -> Session:
        if self._tasks is None:
            raise RuntimeError("the thread manager is not running")
        self._sessions[session.thread_id] = session
        self._tasks.start_soon(session.run)
        return session

    def _client_for(self, config: SessionConfig) -> ModelClient:
        return self._clients.client(config.provider)

    def _revive(self, stored: StoredThread, options: ThreadOptions) -> Session:
        """Rebuild a session; what the caller left open is as the last turn had it."""
        last: Json = stored.last_turn_context or {}
        meta: Json = stored.meta
        base: Json = meta.get("base_instructions") or {}
        wishes = ThreadOptions(
            model=options.model or last.get("model"),
            model_provider=options.model_provider
            or last.get("model_provider")
            or meta.get("model_provider"),
            cwd=options.cwd or last.get("cwd") or meta.get("cwd"),
            approval_policy=options.approval_policy or last.get("approval_policy"),
            approvals_reviewer=options.approvals_reviewer,
            sandbox=options.sandbox or mode_of_sandbox(last.get("sandbox_policy")),
            config=options.config,
            base_instructions=options.base_instructions or base.get("text"),
            developer_instructions=options.developer_instructions,
        )
        config = SessionConfig.of(self.settings, wishes, BASE_INSTRUCTIONS)
        tools = [DynamicToolSpec.model_validate(tool) for tool in meta.get("dynamic_tools") or ()]
        return Session(
            stored.thread_id,
            config,
            self._store,
            self._client_for,
            self._publish,
            environment=self.settings.child_env,
            dynamic_tools=tools,
            stored=stored,
        )
