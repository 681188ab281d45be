"""What stands behind the handshake: the threads, who hears them, who watches, whose they are."""

from collections.abc import Iterator, Sequence
from typing import Any

import anyio

from codex_jupyter.core.lineage import Lineage
from codex_jupyter.core.thread_moves import ThreadMoves
from codex_jupyter.core.thread_reader import ThreadReader
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.core.turn import Turn
from codex_jupyter.errors import CodexError, NoActiveTurnError, ThreadNotFoundError
from codex_jupyter.flow.requests import Outcome
from codex_jupyter.ids import ThreadId, TurnId
from codex_jupyter.model.client import warm as warm_http
from codex_jupyter.protocol.events import Event, ThreadClosed, TurnCompleted, TurnStarted
from codex_jupyter.rollout.store import ThreadStore
from codex_jupyter.rpc import Peer
from codex_jupyter.server.account_handlers import AccountHandlers
from codex_jupyter.server.catalogue_handlers import CatalogueHandlers
from codex_jupyter.server.config_handlers import ConfigHandlers
from codex_jupyter.server.delegate_handlers import DelegateHandlers
from codex_jupyter.server.exec_handlers import ExecHandlers
from codex_jupyter.server.file_searches import FileSearches
from codex_jupyter.server.file_watches import FileWatches
from codex_jupyter.server.fs_handlers import FsHandlers
from codex_jupyter.server.handlers import Handlers
from codex_jupyter.server.handshake import Greeting
from codex_jupyter.server.history_handlers import HistoryHandlers
from codex_jupyter.server.item_handlers import ItemHandlers
from codex_jupyter.server.kernel_turns import KernelTurns, TurnKey
from codex_jupyter.server.mcp_handlers import McpHandlers
from codex_jupyter.server.model_handlers import ModelHandlers
from codex_jupyter.server.notebook_handlers import NotebookHandlers
from codex_jupyter.server.page_handlers import PageHandlers
from codex_jupyter.server.queue_handlers import QueueHandlers
from codex_jupyter.server.queued_turns import QueuedTurns
from codex_jupyter.server.rights import Rights
from codex_jupyter.server.search_handlers import SearchHandlers
from codex_jupyter.server.subscriptions import Connection, Subscriptions
from codex_jupyter.server.terminal_handlers import TerminalHandlers
from codex_jupyter.server.thread_handlers import ThreadHandlers
from codex_jupyter.server.thread_sources import ThreadSources
from codex_jupyter.server.watches import TurnWatches
from codex_jupyter.settings import Settings
from codex_jupyter.tools.child_env import child_environment
from codex_jupyter.tools.policy import NOT_SANDBOXED

__all__ = ["Engine"]

Json = dict[str, Any]


class Engine:
    """The parts of a server that are heavy to load, wired together.

    Args:
        settings: Defaults of new threads.
        watchable: Whether pages may watch turns; keeping what they need costs a little per event.
    """

    def __init__(self, settings: Settings, *, watchable: bool) -> None:
        self.kernels = KernelTurns()
        self._lineages: dict[ThreadId, Lineage] = {}
        """Of the threads below others, until each has said that it is closed."""

        self.watches = TurnWatches(self._describe, self._turns_above) if watchable else None
        self.subscriptions = Subscriptions(
            self._settle, self.kernels, self.watches.publish if self.watches else None
        )
        store = ThreadStore(settings.home)
        self.threads = ThreadManager(
            settings,
            store,
            self._publish,
            self.subscriptions.is_heard,
            self._take_in,
        )
        moves = ThreadMoves(self.threads, store, self._publish)
        reader = ThreadReader(self.threads, store)
        pages = PageHandlers(reader, self.subscriptions, self.watches)
        sources = ThreadSources(self.threads, store)
        whole = ThreadHandlers(self.threads, moves, self.subscriptions, sources)
        history = HistoryHandlers(reader)
        self._file_watches = FileWatches()
        self._file_searches = FileSearches(
            child_environment(settings.child_env, "search"), self.subscriptions.tell_peers
        )
        self.handlers = Handlers(
            self.threads,
            reader,
            self.subscriptions,
            self.kernels,
            sources,
            pages,
            whole,
            history,
            DelegateHandlers(self.threads, self.subscriptions, self.kernels),
            NotebookHandlers(self.subscriptions),
            ModelHandlers(self.threads),
            TerminalHandlers(self.threads),
            McpHandlers(self.threads),
            ConfigHandlers(self.threads),
            CatalogueHandlers(self.threads),
            ExecHandlers(self.threads),
            FsHandlers(self.threads, self._file_watches),
            ItemHandlers(reader),
            AccountHandlers(self.threads, self.subscriptions),
            SearchHandlers(self._file_searches),
            QueueHandlers(self.threads, moves, QueuedTurns(self.threads, self.kernels)),
        )

    async def run(self, started: anyio.Event) -> None:
        """Run the threads and what pages watch, until cancelled."""
        async with anyio.create_task_group() as tasks:
            if self.watches is not None:
                tasks.start_soon(self.watches.run)
            tasks.start_soon(self._file_watches.run)
            tasks.start_soon(self._file_searches.run)
            await self.threads.run(started)

    @property
    def running_turns(self) -> Sequence[Turn]:
        """The turns that run, in all threads."""
        return [turn for i in self.threads.loaded if (turn := self.threads.get(i).active)]

    async def settle(self) -> None:
        """Wait until no turn runs, in any thread; those that begin meanwhile count too."""
        while running := [
            turn for i in self.threads.loaded if (turn := self.threads.get(i).active)
        ]:
            await running[0].ended.wait()

    def connect(self, peer: Peer, greeting: Greeting, rights: Rights) -> Connection:
        """Let a greeted connection take part."""
        connection = Connection(
            peer, greeting.experimental, greeting.opted_out, rights, sequences=greeting.sequences
        )
        self.subscriptions.add(connection)
        for warning in self.threads.settings.warnings:
            connection.tell("configWarning", {"summary": warning})
        return connection

    def disconnect(self, connection: Connection) -> None:
        """Forget a connection whose stream has ended; its turns run on."""
        self.subscriptions.remove(connection)
        self._file_watches.forget(connection)
        self._file_searches.forget(connection)
        if self.watches is not None:
            self.watches.remove(connection)

    def stop_kernel(self, kernel_id: str, reason: str) -> int:
        """Stop every running turn that a kernel started; return how many there were.

        One that is being stopped already is left to it: the same press of a button comes here by
        the kernel and by the server, and is no second one.
        """

        def stop(key: TurnKey) -> None:
            session = self.threads.get(key[0])
            if session.active_turn_id != key[1]:
                raise NoActiveTurnError("interrupt")
            session.stop(reason)

        return self.kernels.stop(kernel_id, stop)

    def fail_turn(self, key: TurnKey, problem: CodexError) -> None:
        """Stop a turn that cannot go on; it ends as failed, with this text.

        Raises:
            CodexError: It does not run.
        """
        self.threads.get(key[0]).fail(key[1], problem)

    def note_hold(self, connection: Connection, params: Any) -> None:
        """Take a kernel's word that code of a turn of its own still holds it."""
        match params:
            case {"threadId": str(thread_id), "turnId": str(turn_id), "code": str() | None as code}:
                key = ThreadId(thread_id), TurnId(turn_id)
                if self.watches is not None and connection.rights.runs_tools:
                    self.watches.hold(key, code)
            case _:
                return

    async def warm(self) -> None:
        """Load the HTTP library in a worker thread, before the first turn needs it."""
        if self.threads.settings.provider.kind == "http":
            await warm_http()

    def _publish(self, event: Event) -> None:
        if isinstance(event.msg, TurnStarted) and event.turn_id is not None:
            key = (event.thread_id, event.turn_id)
            self.kernels.inherit(key, self._turns_above(event.thread_id))
        self.subscriptions.publish(event)
        if isinstance(event.msg, TurnCompleted) and event.turn_id is not None:
            self.kernels.end((event.thread_id, event.turn_id))
        elif isinstance(event.msg, ThreadClosed):
            self._lineages.pop(event.thread_id, None)

    def _take_in(self, thread_id: ThreadId, lineage: Lineage) -> None:
        self._lineages[thread_id] = lineage
        self.subscriptions.inherit(lineage.parent.thread_id, thread_id)

    def _turns_above(self, thread_id: ThreadId) -> Iterator[TurnKey]:
        lineage = self._lineages.get(thread_id)
        for above in lineage.ancestors() if lineage is not None else ():
            if above.active is not None:
                yield above.thread_id, above.active.turn_id

    def _describe(self, thread_id: ThreadId) -> Json:
        session = self.threads.find(thread_id)
        if session is None:  # it is being unloaded; a turn it had accepted begins, and is stopped
            return {"model": None, "sandbox": NOT_SANDBOXED, "notices": []}
        is_first = not session.state.transcript.turn_ids
        return {
            "model": session.config.model,
            "sandbox": NOT_SANDBOXED,
            "notices": self.threads.settings.notices if is_first else [],
        }

    def _settle(self, thread_id: ThreadId, request_id: str, outcome: Outcome) -> bool:
        try:
            session = self.threads.get(thread_id)
        except ThreadNotFoundError:
            return False
        return session.state.broker.answer(request_id, outcome)
