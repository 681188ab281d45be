"""What comes out of a session: numbered events, each with one message."""

from dataclasses import dataclass
from typing import Any, Literal

from codex_jupyter.ids import ItemId, RequestId, ThreadId, TurnId

__all__ = [
    "ContextCompacted",
    "DeltaKind",
    "DiffUpdated",
    "ErrorNoted",
    "Event",
    "EventMsg",
    "ItemCompleted",
    "ItemStarted",
    "McpProgress",
    "ModelRerouted",
    "PlanUpdated",
    "QueueChanged",
    "RateLimitsUpdated",
    "RequestOpened",
    "RequestResolved",
    "SettingsChanged",
    "StatusChanged",
    "SummaryPartAdded",
    "TerminalInteraction",
    "TextDelta",
    "ThreadClosed",
    "ThreadMoved",
    "ThreadNamed",
    "ThreadReverted",
    "ThreadStarted",
    "TokenUsageUpdated",
    "TurnCompleted",
    "TurnStarted",
    "Warned",
]

Json = dict[str, Any]
DeltaKind = Literal["agentMessage", "commandOutput", "summary", "reasoning"]


@dataclass(frozen=True, slots=True)
class ThreadStarted:
    """The thread exists; ``thread`` is its wire shape."""

    thread: Json


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """The thread does something else now."""

    status: Json


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A turn runs; ``turn`` is its wire shape."""

    turn: Json


@dataclass(frozen=True, slots=True)
class TurnCompleted:
    """A turn has ended, after everything it started."""

    turn: Json


@dataclass(frozen=True, slots=True)
class ItemStarted:
    """An item has begun."""

    item: Json


@dataclass(frozen=True, slots=True)
class ItemCompleted:
    """An item is final and stored."""

    item: Json


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of an item's text. ``index`` is the part of a reasoning item."""

    kind: DeltaKind
    item_id: ItemId
    delta: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class SummaryPartAdded:
    """The next part of a reasoning summary begins."""

    item_id: ItemId
    index: int


@dataclass(frozen=True, slots=True)
class PlanUpdated:
    """The model's plan, whole, in wire shape."""

    explanation: str | None
    plan: list[Json]


@dataclass(frozen=True, slots=True)
class DiffUpdated:
    """All file changes of the turn so far."""

    diff: str


@dataclass(frozen=True, slots=True)
class TokenUsageUpdated:
    """Tokens, in wire shape, after a response of the model."""

    usage: Json


@dataclass(frozen=True, slots=True)
class ErrorNoted:
    """Something failed; with ``will_retry`` the turn goes on."""

    error: Json
    will_retry: bool


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know."""

    message: str


@dataclass(frozen=True, slots=True)
class ContextCompacted:
    """The model's memory was replaced by a summary."""


@dataclass(frozen=True, slots=True)
class ThreadNamed:
    """The thread has another name."""

    name: str | None


@dataclass(frozen=True, slots=True)
class ThreadReverted:
    """Turns at the end of the thread are gone; read it anew."""


@dataclass(frozen=True, slots=True)
class QueueChanged:
    """Messages that wait for the thread's next turns came, went or changed places."""


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """Settings of later turns, in wire shape."""

    settings: Json


@dataclass(frozen=True, slots=True)
class ThreadClosed:
    """The thread is no longer loaded; whoever names it must resume it first."""


@dataclass(frozen=True, slots=True)
class ThreadMoved:
    """The stored thread is somewhere else now, or nowhere."""

    where: Literal["archived", "unarchived", "deleted"]


@dataclass(frozen=True, slots=True)
class RateLimitsUpdated:
    """How much of the provider's limits is used, in wire shape."""

    limits: Json


@dataclass(frozen=True, slots=True)
class ModelRerouted:
    """The provider answers with another model than the one that was asked."""

    from_model: str
    to_model: str


@dataclass(frozen=True, slots=True)
class TerminalInteraction:
    """The model typed into a running command."""

    item_id: ItemId
    process_id: str
    stdin: str


@dataclass(frozen=True, slots=True)
class McpProgress:
    """A tool of an MCP server says how far it is."""

    item_id: ItemId
    message: str


@dataclass(frozen=True, slots=True)
class RequestOpened:
    """A question waits for an answer; ``params`` are the members that travel."""

    request_id: RequestId
    method: str
    params: Json


@dataclass(frozen=True, slots=True)
class RequestResolved:
    """A question is settled or withdrawn."""

    request_id: RequestId
    method: str
    outcome: str
    """The decision, ``answered``, ``refused`` or ``withdrawn``."""


EventMsg = (
    ThreadStarted
    | StatusChanged
    | TurnStarted
    | TurnCompleted
    | ItemStarted
    | ItemCompleted
    | TextDelta
    | SummaryPartAdded
    | PlanUpdated
    | DiffUpdated
    | TokenUsageUpdated
    | ErrorNoted
    | Warned
    | ContextCompacted
    | McpProgress
    | TerminalInteraction
    | ModelRerouted
    | RateLimitsUpdated
    | ThreadNamed
    | ThreadReverted
    | SettingsChanged
    | QueueChanged
    | ThreadClosed
    | ThreadMoved
    | RequestOpened
    | RequestResolved
)


@dataclass(frozen=True, slots=True)
class Event:
    """One message of a thread. ``seq`` counts from 1 without gaps while the thread is loaded."""

    thread_id: ThreadId
    turn_id: TurnId | None
    seq: int
    at_ms: int
    """Unix time in milliseconds."""

    msg: EventMsg
