"""What becomes of a submission while another turn runs: it joins, waits, or is refused."""

from collections.abc import Callable
from dataclasses import dataclass

from codex_jupyter.core.spoken import spoken_of
from codex_jupyter.core.turn import Turn
from codex_jupyter.errors import DuplicateIdError, NotSteerableError, TurnConflictError
from codex_jupyter.ids import TurnId
from codex_jupyter.protocol.ops import (
    Compact,
    Delegation,
    Notice,
    Review,
    Submission,
    TurnOp,
    UserShell,
    UserTurn,
)

__all__ = ["Accepted", "join_turn"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A submission was taken: it is stored, and its turn counts as active."""

    turn_id: TurnId
    steered: bool
    start: Callable[[], None]
    """Lets the turn run; call it right after the answer is on its way."""


def join_turn(active: Turn, submission: Submission) -> Accepted | None:
    """Put a submission into the active turn; ``None`` if it has to wait for that one's end.

    Raises:
        DuplicateIdError: It has the running turn's id.
        TurnConflictError: Its id was chosen, so it must be a turn of its own.
        NotSteerableError: The running turn does not take it, or it needs a thread at rest.
    """
    replaces = isinstance(submission.op, Review) and isinstance(active.op, UserTurn | Notice)
    if replaces and not active.is_leaving:
        # As the original does: a review is asked for about what is there now.
        active.interrupt("replaced by a review")
    if submission.chosen_by_caller:
        if active.turn_id == submission.id:
            raise DuplicateIdError("turn", submission.id, "inProgress")
        if not active.is_leaving:
            raise TurnConflictError(submission.id, active.turn_id)
        return None
    if active.is_leaving:
        return None
    _put_into(active, submission.op)
    return Accepted(active.turn_id, steered=True, start=_nothing)


def _put_into(active: Turn, op: TurnOp) -> None:
    match op:
        case Compact():
            raise NotSteerableError(active.kind, active.turn_id, wanted="compact")
        case Review():
            raise NotSteerableError(active.kind, active.turn_id, wanted="review")
        case Notice(items):
            taken = active.hear(items)
        case Delegation(tasks):
            taken = active.delegate(tasks)
        case UserShell():
            taken = active.takes_input
            if taken:
                active.run_beside(op)
        case UserTurn():
            taken = active.steer(spoken_of(op))
    if not taken:
        raise NotSteerableError(active.kind, active.turn_id)


def _nothing() -> None:
    """Start nothing: the input went into a turn that runs."""
