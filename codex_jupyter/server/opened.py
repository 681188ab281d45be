"""What a client is told of a thread that it has opened."""

from typing import Any

from codex_jupyter.core.session import Session
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.core.transcript import Transcript
from codex_jupyter.protocol.history_requests import TurnsPageParams
from codex_jupyter.server.turn_pages import newest, turns_page
from codex_jupyter.settings.approval import policy_shape
from codex_jupyter.tools.policy import NOT_SANDBOXED

__all__ = ["opened_shape", "resumed_shape"]

Json = dict[str, Any]


def opened_shape(threads: ThreadManager, session: Session, *, include_turns: bool = False) -> Json:
    """Return the result of thread/start, thread/resume and thread/fork."""
    config = session.config
    return {
        "thread": threads.shape(session, include_turns=include_turns),
        "model": config.model,
        "modelProvider": config.provider.id,
        "cwd": str(config.cwd),
        "approvalPolicy": policy_shape(config.approval_policy),
        "approvalsReviewer": config.approvals_reviewer,
        "sandbox": config.sandbox,
        "reasoningEffort": config.effort,
        "sandboxing": NOT_SANDBOXED,
        "notices": threads.settings.notices,
        "epoch": session.state.log.epoch,
        "sequence": session.state.log.last,
    }


def resumed_shape(transcript: Transcript, page: TurnsPageParams | None) -> Json:
    """Return what the result of thread/resume says of the thread's past beside its turns."""
    first = None if page is None else turns_page(transcript, page)
    return {**newest(transcript), "initialTurnsPage": first}
