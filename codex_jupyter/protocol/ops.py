"""What goes into a session: submissions for the work lane, and settings that last."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from codex_jupyter.ids import TurnId
from codex_jupyter.protocol.items import UserInput

__all__ = ["Submission", "TurnOverrides", "UserTurn"]


@dataclass(frozen=True, slots=True)
class TurnOverrides:
    """Settings that come with a turn and stay for later ones; ``None`` leaves one as it is."""

    cwd: str | None = None
    approval_policy: str | None = None
    approvals_reviewer: str | None = None
    sandbox: Mapping[str, Any] | None = None
    model: str | None = None
    effort: str | None = None
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class UserTurn:
    """Start a turn with the user's input, or steer the running one with it."""

    input: tuple[UserInput, ...]
    overrides: TurnOverrides = field(default_factory=TurnOverrides)
    output_schema: Any = None
    """JSON schema of the final answer, for this turn only."""

    client_message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """An op under an id; the id of a `UserTurn` becomes the id of the turn."""

    id: TurnId
    op: UserTurn
    chosen_by_caller: bool
    """A caller that chose the id wants exactly this turn: it is never merged into another."""
