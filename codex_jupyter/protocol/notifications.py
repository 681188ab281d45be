"""What the server tells subscribed clients."""

from typing import Any, Literal

from pydantic import Field

from codex_jupyter.protocol._wire import WireModel
from codex_jupyter.protocol.items import ThreadItem, TokenUsageBreakdown, TurnError
from codex_jupyter.protocol.requests import OpenRequest
from codex_jupyter.protocol.search_requests import FileMatch
from codex_jupyter.protocol.shapes import ApprovalPolicy, SandboxPolicy, Thread, Turn

__all__ = ["NOTIFICATIONS"]


class ThreadStarted(WireModel):
    """A thread exists now; told to every connection."""

    thread: Thread


class ThreadStatus(WireModel):
    """What a thread is doing; ``activeFlags`` only while ``active``."""

    type: Literal["notLoaded", "idle", "active", "systemError"]
    active_flags: list[Literal["waitingOnApproval", "waitingOnUserInput"]] | None = None


class ThreadStatusChanged(WireModel):
    """Told to every connection, only on change."""

    thread_id: str
    status: ThreadStatus


class TurnNotice(WireModel):
    """`turn/started` and `turn/completed`; the latter exactly once for each announced turn."""

    thread_id: str
    turn: Turn


class _OfTurn(WireModel):
    thread_id: str
    turn_id: str


class ItemStarted(_OfTurn):
    """An item has begun; its deltas follow."""

    item: ThreadItem
    started_at_ms: int


class ItemCompleted(_OfTurn):
    """An item is final, and stored."""

    item: ThreadItem
    completed_at_ms: int


class ItemDelta(_OfTurn):
    """A piece of one item's text; pieces may have been merged on the way, none is lost."""

    item_id: str
    delta: str
    summary_index: int | None = None
    content_index: int | None = None


class SummaryPartAdded(_OfTurn):
    """The next part of a reasoning summary begins."""

    item_id: str
    summary_index: int


class PlanStep(WireModel):
    """One step of the model's plan."""

    step: str
    status: Literal["pending", "inProgress", "completed"]


class PlanUpdated(_OfTurn):
    """The model's plan, whole."""

    explanation: str | None = None
    plan: list[PlanStep]


class DiffUpdated(_OfTurn):
    """All file changes of the turn so far, as one git-style diff."""

    diff: str


class TokenUsage(WireModel):
    """Tokens used by the thread and by the last response."""

    total: TokenUsageBreakdown
    last: TokenUsageBreakdown
    model_context_window: int | None = None


class TokenUsageUpdated(_OfTurn):
    """Told after each response of the model."""

    token_usage: TokenUsage


class RequestResolved(WireModel):
    """A server request is settled or withdrawn."""

    thread_id: str
    request_id: str
    turn_id: str | None = None
    """Ours: the turn that asked."""

    outcome: str | None = None
    """Ours: ``accept``, ``acceptForSession``, ``decline``, ``cancel``, ``answered``, ``refused`` or
    ``withdrawn``."""


class RequestOpened(WireModel):
    """Ours: a question waits for an answer in some thread; told to pages."""

    request: OpenRequest


class TurnOps(_OfTurn):
    """Ours: what changed in a turn that this connection watches (`turn/watch`)."""

    seq: int
    """One more than that of the message before it, or than that of the snapshot."""

    ops: list[dict[str, Any]]
    """In order. ``view/turn_state.py`` folds them into the snapshot."""


class OfThread(WireModel):
    """A thread was closed, archived, unarchived or deleted, or something of it has to be read anew.

    The first four are told to every connection, `thread/reverted` and `thread/queue/changed` to its
    subscribers.
    """

    thread_id: str


class ThreadNameUpdated(OfThread):
    """A thread has another name."""

    thread_name: str | None = None


class ThreadSettings(WireModel):
    """What the next turn of a thread works under."""

    model: str
    model_provider: str
    cwd: str
    approval_policy: ApprovalPolicy
    approvals_reviewer: str
    sandbox_policy: SandboxPolicy
    effort: str | None = None
    summary: str | None = None


class ThreadSettingsUpdated(OfThread):
    """The settings of later turns were changed, by a turn that brought its own or without one."""

    thread_settings: ThreadSettings


class ContextCompacted(_OfTurn):
    """The model's memory was replaced by a summary; the item `contextCompaction` tells it too."""


class RateLimits(WireModel):
    """How much of the provider's limits this key has used."""

    primary: dict[str, Any] | None = None
    secondary: dict[str, Any] | None = None


class RateLimitsUpdated(WireModel):
    """Told to the subscribers of a thread after an answer whose headers tell it."""

    rate_limits: RateLimits


class ModelRerouted(_OfTurn):
    """The provider answers with another model than the one that was asked."""

    from_model: str
    to_model: str
    reason: str


class TerminalInteraction(_OfTurn):
    """The model typed into a running command."""

    item_id: str
    process_id: str
    stdin: str


class McpProgress(_OfTurn):
    """A tool of an MCP server says how far it is."""

    item_id: str
    message: str


class ErrorNotice(_OfTurn):
    """Something went wrong; with ``willRetry`` the turn goes on."""

    will_retry: bool
    error: TurnError


class Warned(WireModel):
    """Something the user should know."""

    message: str
    thread_id: str | None = None


class ConfigWarned(WireModel):
    """A configuration file has something unusual."""

    summary: str
    details: str | None = None
    path: str | None = None
    range: dict[str, Any] | None = Field(default=None)


class CommandExecOutputDelta(WireModel):
    """Output of a command/exec of this connection, in order for each stream."""

    process_id: str
    stream: Literal["stdout", "stderr"]
    delta_base64: str
    """At most 32 KiB of bytes."""

    cap_reached: bool
    """Whether what follows is dropped."""


class FsChanged(WireModel):
    """Something changed at a path that this connection watches."""

    watch_id: str
    changed_paths: list[str]
    """What came, went or was written, sorted."""


class AccountUpdated(WireModel):
    """There is a key now, or none any more; told to every connection."""

    auth_mode: Literal["apikey"] | None = None
    plan_type: str | None = None


class AccountLoginCompleted(WireModel):
    """A login has ended; told to every connection."""

    login_id: str | None = None
    success: bool
    error: str | None = None


class SearchUpdated(WireModel):
    """What the newest query of a search session finds.

    Programs that own the server hear each other's; a page and a kernel hear their own only.
    """

    session_id: str
    query: str
    files: list[FileMatch]
    """The best 50, best first."""


class SearchCompleted(WireModel):
    """That search is over; the session goes on."""

    session_id: str


NOTIFICATIONS: dict[str, type[WireModel]] = {
    "thread/started": ThreadStarted,
    "thread/status/changed": ThreadStatusChanged,
    "account/rateLimits/updated": RateLimitsUpdated,
    "model/rerouted": ModelRerouted,
    "thread/closed": OfThread,
    "thread/archived": OfThread,
    "thread/unarchived": OfThread,
    "thread/deleted": OfThread,
    "thread/reverted": OfThread,
    "thread/queue/changed": OfThread,
    "thread/name/updated": ThreadNameUpdated,
    "thread/settings/updated": ThreadSettingsUpdated,
    "thread/compacted": ContextCompacted,
    "thread/tokenUsage/updated": TokenUsageUpdated,
    "turn/started": TurnNotice,
    "turn/completed": TurnNotice,
    "turn/plan/updated": PlanUpdated,
    "turn/diff/updated": DiffUpdated,
    "item/started": ItemStarted,
    "item/completed": ItemCompleted,
    "item/agentMessage/delta": ItemDelta,
    "item/reasoning/summaryPartAdded": SummaryPartAdded,
    "item/reasoning/summaryTextDelta": ItemDelta,
    "item/reasoning/textDelta": ItemDelta,
    "item/commandExecution/outputDelta": ItemDelta,
    "item/mcpToolCall/progress": McpProgress,
    "item/commandExecution/terminalInteraction": TerminalInteraction,
    "serverRequest/opened": RequestOpened,
    "serverRequest/resolved": RequestResolved,
    "turn/ops": TurnOps,
    "command/exec/outputDelta": CommandExecOutputDelta,
    "fs/changed": FsChanged,
    "fuzzyFileSearch/sessionUpdated": SearchUpdated,
    "fuzzyFileSearch/sessionCompleted": SearchCompleted,
    "account/updated": AccountUpdated,
    "account/login/completed": AccountLoginCompleted,
    "error": ErrorNotice,
    "warning": Warned,
    "configWarning": ConfigWarned,
}
"""Every notification of this version, with the shape of its params."""
