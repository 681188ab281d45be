"""Starts turns on behalf of connections, and notes whose they are."""

from typing import Any

from codex_jupyter.core.joining import Accepted
from codex_jupyter.core.session import Session
from codex_jupyter.ids import TurnId, new_turn_id, parse_turn_id
from codex_jupyter.protocol.ops import Submission
from codex_jupyter.server.kernel_turns import KernelTurns

__all__ = ["begun_turn", "chosen_turn_id", "submit_for"]

Json = dict[str, Any]


def chosen_turn_id(text: str | None) -> tuple[TurnId, bool]:
    """Return the id of a new turn, and whether the caller chose it.

    Raises:
        InvalidIdError: It is no id.
    """
    return (new_turn_id(), False) if text is None else (parse_turn_id(text), True)


async def submit_for(
    kernel_id: str | None, kernels: KernelTurns, session: Session, submission: Submission
) -> Accepted:
    """Submit what becomes a turn of a kernel's, if one asked for it.

    Raises:
        CodexError: As `Session.submit`.
    """
    key = (session.thread_id, submission.id)
    noted = kernels.begin(kernel_id, key)
    try:
        accepted = await session.submit(submission)
    except BaseException:
        if noted:
            kernels.end(key)
        raise
    if noted and accepted.steered:
        kernels.end(key)
    return accepted


def begun_turn(turn_id: TurnId, *items: Json) -> Json:
    """Return a turn that has just been accepted, as answers carry it."""
    return {
        "id": turn_id,
        "rootTurnId": turn_id,
        "items": list(items),
        "itemsView": "notLoaded",
        "status": "inProgress",
        "error": None,
        "startedAt": None,
        "completedAt": None,
        "durationMs": None,
    }
