"""What stands behind the handshake: the threads and who hears them."""

from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.errors import ThreadNotFoundError
from codex_jupyter.flow.requests import Outcome
from codex_jupyter.ids import ThreadId
from codex_jupyter.model.client import warm as warm_http
from codex_jupyter.rollout.store import ThreadStore
from codex_jupyter.rpc import Peer
from codex_jupyter.server.handlers import Handlers
from codex_jupyter.server.handshake import Greeting
from codex_jupyter.server.subscriptions import Connection, Subscriptions
from codex_jupyter.settings import Settings

__all__ = ["Engine"]


class Engine:
    """The parts of a server that are heavy to load, wired together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.subscriptions = Subscriptions(self._settle)
        store = ThreadStore(settings.home)
        self.threads = ThreadManager(settings, store, self.subscriptions.publish)
        self.handlers = Handlers(self.threads, self.subscriptions)

    def connect(self, peer: Peer, greeting: Greeting) -> Connection:
        """Let a greeted connection take part."""
        connection = Connection(peer, greeting.experimental, greeting.opted_out)
        self.subscriptions.add(connection)
        for warning in self._settings.warnings:
            peer.notify("configWarning", {"summary": warning})
        return connection

    async def warm(self) -> None:
        """Load the HTTP library in a worker thread, before the first turn needs it."""
        if self._settings.provider.kind == "http":
            await warm_http()

    def _settle(self, thread_id: ThreadId, request_id: str, outcome: Outcome) -> None:
        try:
            session = self.threads.get(thread_id)
        except ThreadNotFoundError:
            return
        session.state.broker.answer(request_id, outcome)
