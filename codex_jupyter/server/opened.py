"""What a client is told of a thread that it has opened."""

from typing import Any

from codex_jupyter.core.session import Session
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.tools.policy import NOT_SANDBOXED

__all__ = ["new_turn_shape", "opened_shape"]

Json = dict[str, Any]


def opened_shape(threads: ThreadManager, session: Session, *, include_turns: bool = False) -> Json:
    """Return the result of thread/start, thread/resume and thread/fork."""
    config = session.config
    return {
        "thread": threads.shape(session, include_turns=include_turns),
        "model": config.model,
        "modelProvider": config.provider.id,
        "cwd": str(config.cwd),
        "approvalPolicy": config.approval_policy,
        "approvalsReviewer": config.approvals_reviewer,
        "sandbox": config.sandbox,
        "reasoningEffort": config.effort,
        "sandboxing": NOT_SANDBOXED,
        "notices": threads.settings.notices,
        "epoch": session.state.log.epoch,
        "sequence": session.state.log.last,
    }


def new_turn_shape(turn_id: str) -> Json:
    """Return a turn that was accepted and has not begun, as the result of what starts one."""
    return {
        "id": turn_id,
        "rootTurnId": turn_id,
        "items": [],
        "itemsView": "notLoaded",
        "status": "inProgress",
        "error": None,
        "startedAt": None,
        "completedAt": None,
        "durationMs": None,
    }
