"""What goes into a session: submissions for the work lane, and settings that last."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from codex_jupyter.ids import ItemId, ThreadId, TurnId
from codex_jupyter.protocol.items import UserInput
from codex_jupyter.settings.approval import ApprovalPolicy

__all__ = [
    "Compact",
    "DelegateTask",
    "Delegation",
    "Notice",
    "Review",
    "Submission",
    "ToolMessage",
    "TurnOp",
    "TurnOverrides",
    "UserShell",
    "UserTurn",
]


@dataclass(frozen=True, slots=True)
class TurnOverrides:
    """Settings that come with a turn and stay for later ones; ``None`` leaves one as it is."""

    cwd: str | None = None
    approval_policy: ApprovalPolicy | None = None
    approvals_reviewer: str | None = None
    sandbox: Mapping[str, Any] | None = None
    model: str | None = None
    effort: str | None = None
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class ToolMessage:
    """What a tool outside of the conversation delivers: it has no more authority than a tool."""

    name: str
    namespace: str | None
    output: str | list[dict[str, Any]]
    """Text, or content items as a model takes them."""


@dataclass(frozen=True, slots=True)
class UserTurn:
    """Start a turn with the user's input, or steer the running one with it."""

    input: tuple[UserInput, ...]
    """Empty if ``delivered`` is given."""

    overrides: TurnOverrides = field(default_factory=TurnOverrides)
    output_schema: Any = None
    """JSON schema of the final answer, for this turn only."""

    client_message_id: str | None = None
    delivered: ToolMessage | None = None


@dataclass(frozen=True, slots=True)
class Compact:
    """Replace the model's memory by a summary of it."""


@dataclass(frozen=True, slots=True)
class UserShell:
    """Run a command of the user's own, unasked; the model sees it and what it printed."""

    command: str
    timeout: float = 3600.0
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Let the model read what happened elsewhere, and act on it."""

    items: tuple[dict[str, Any], ...]
    """Response items."""


@dataclass(frozen=True, slots=True)
class Review:
    """Have a reviewer of its own look at changes, and tell what it found."""

    target: Mapping[str, Any]
    """In wire shape: ``uncommittedChanges``, ``baseBranch``, ``commit`` or ``custom``."""

    hint: str
    """Names the target for people."""


@dataclass(frozen=True, slots=True)
class DelegateTask:
    """One piece of work for a delegate; ``None`` takes over what the thread has."""

    input: tuple[UserInput, ...]
    name: str
    thread_id: ThreadId
    turn_id: TurnId
    item_id: ItemId
    """Of the item that shows it in the turn that delegates."""

    role: str | None = None
    model: str | None = None
    effort: str | None = None
    cwd: str | None = None
    approval_policy: ApprovalPolicy | None = None
    """Counts as far as it allows no more than the thread's, as does ``sandbox``."""

    sandbox: Mapping[str, Any] | None = None
    output_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Delegation:
    """Have delegates work side by side, and wait for all of them."""

    tasks: tuple[DelegateTask, ...]
    limit: int
    """How many work at a time."""

    held: bool = False
    """Whether it waits for more tasks until it is let go."""


TurnOp = UserTurn | Compact | UserShell | Notice | Review | Delegation
"""What becomes a turn. All else acts on the session at once."""


@dataclass(frozen=True, slots=True)
class Submission:
    """An op under an id, which becomes the id of its turn."""

    id: TurnId
    op: TurnOp
    chosen_by_caller: bool
    """A caller that chose the id wants exactly this turn: it is never merged into another."""
