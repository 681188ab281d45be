"""What a session begins with: nothing, or what its stored thread left."""

from collections.abc import Callable, Mapping

from codex_jupyter.core.config import SessionConfig
from codex_jupyter.core.context import told_by_history
from codex_jupyter.core.history import History
from codex_jupyter.core.lineage import Lineage
from codex_jupyter.core.session_state import SessionState
from codex_jupyter.ids import ThreadId
from codex_jupyter.protocol.events import Event
from codex_jupyter.rollout.reader import StoredThread

__all__ = ["initial_state"]


def initial_state(
    thread_id: ThreadId,
    config: SessionConfig,
    publish: Callable[[Event], None],
    environment: Mapping[str, str],
    stored: StoredThread | None,
    lineage: Lineage | None,
) -> SessionState:
    """Return it. A thread below another one shares the root's questions and what it allowed."""
    shared = None if lineage is None else lineage.parent.root.state
    broker, approvals = (None, None) if shared is None else (shared.broker, shared.approvals)
    if stored is None:
        return SessionState(thread_id, publish, environment, broker=broker, approvals=approvals)
    return SessionState(
        thread_id,
        publish,
        environment,
        history=History(stored.history, counted=stored.token_usage is not None),
        turns=stored.turns,
        usage=stored.token_usage,
        told=told_by_history(stored.history, stored.last_turn_context, config),
        broker=broker,
        approvals=approvals,
    )
