"""What a client may ask for: params, results, and the table of methods."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from codex_jupyter.protocol._wire import Count, Integer, WireModel
from codex_jupyter.protocol.account_requests import ACCOUNT_REQUESTS
from codex_jupyter.protocol.catalogue_requests import CATALOGUE_REQUESTS
from codex_jupyter.protocol.config_requests import CONFIG_REQUESTS
from codex_jupyter.protocol.delegate_requests import DELEGATE_REQUESTS
from codex_jupyter.protocol.dynamic_tools import DynamicToolSpecs
from codex_jupyter.protocol.exec_requests import EXEC_REQUESTS
from codex_jupyter.protocol.fs_requests import FS_REQUESTS
from codex_jupyter.protocol.history_requests import HISTORY_REQUESTS, TurnsPageParams
from codex_jupyter.protocol.item_requests import ITEM_REQUESTS
from codex_jupyter.protocol.items import UserInput
from codex_jupyter.protocol.mcp_requests import MCP_REQUESTS
from codex_jupyter.protocol.model_requests import MODEL_REQUESTS
from codex_jupyter.protocol.notebook_requests import NOTEBOOK_REQUESTS
from codex_jupyter.protocol.queue_requests import QUEUE_REQUESTS
from codex_jupyter.protocol.search_requests import SEARCH_REQUESTS
from codex_jupyter.protocol.shapes import (
    UUID_FORMAT,
    ApprovalPolicy,
    ApprovalsReviewer,
    Effort,
    SandboxMode,
    SandboxPolicy,
    SourceKind,
    Summary,
    Thread,
    ThreadOpened,
    ThreadResumed,
    Turn,
)
from codex_jupyter.protocol.terminal_requests import TERMINAL_REQUESTS
from codex_jupyter.protocol.thread_requests import THREAD_REQUESTS

__all__ = [
    "CLIENT_REQUESTS",
    "InitializeParams",
    "InitializeResult",
    "SandboxPolicy",
    "Thread",
    "ThreadListParams",
    "ThreadListResult",
    "ThreadOpened",
    "ThreadReadParams",
    "ThreadReadResult",
    "ThreadResumeParams",
    "ThreadStartParams",
    "Turn",
    "TurnInterruptParams",
    "TurnInterruptResult",
    "TurnStartParams",
    "TurnStartResult",
    "TurnSteerParams",
    "TurnSteerResult",
]


class ClientInfo(WireModel):
    """Who connects."""

    name: str
    title: str | None = None
    version: str


class InitializeCapabilities(WireModel):
    """What this connection wants to see."""

    experimental_api: bool = False
    event_sequences: bool = False
    """Ours: let each notification of a thread carry its number, as ``seq`` beside ``method``."""

    opt_out_notification_methods: list[str] | None = None


class InitializeParams(WireModel):
    """The first request of every connection."""

    METHOD: ClassVar[str] = "initialize"
    client_info: ClientInfo
    capabilities: InitializeCapabilities | None = None


class InitializeResult(WireModel):
    """Who answers. The version in ``userAgent`` is the protocol's, which clients compare."""

    user_agent: str
    codex_home: str
    platform_family: str
    platform_os: str


class ThreadStartParams(WireModel):
    """Start a conversation."""

    METHOD: ClassVar[str] = "thread/start"
    thread_id: str | None = Field(default=None, json_schema_extra=UUID_FORMAT)
    """Ours: the id the thread shall have. Duplicates are refused."""

    model: str | None = None
    model_provider: str | None = None
    cwd: str | None = None
    approval_policy: ApprovalPolicy | None = None
    approvals_reviewer: ApprovalsReviewer | None = None
    sandbox: SandboxMode | None = None
    config: dict[str, Any] | None = None
    base_instructions: str | None = None
    developer_instructions: str | None = None
    ephemeral: bool | None = None
    dynamic_tools: DynamicToolSpecs | None = None


class EventPlace(WireModel):
    """A place in the events of a thread, as thread/resume and notifications tell it."""

    epoch: str
    sequence: Integer


class ThreadResumeParams(WireModel):
    """Open a stored thread, or join one that is loaded."""

    METHOD: ClassVar[str] = "thread/resume"
    thread_id: str
    """Ignored beside ``history`` and ``path``."""

    history: list[dict[str, Any]] | None = None
    """Experimental: items of the Responses API, with which a new thread begins."""

    path: str | None = None
    """Experimental: the thread's rollout below ``sessions`` of the home, which may be left out."""

    model: str | None = None
    model_provider: str | None = None
    cwd: str | None = None
    approval_policy: ApprovalPolicy | None = None
    approvals_reviewer: ApprovalsReviewer | None = None
    sandbox: SandboxMode | None = None
    config: dict[str, Any] | None = None
    base_instructions: str | None = None
    developer_instructions: str | None = None
    exclude_turns: bool = False
    initial_turns_page: TurnsPageParams | None = None
    """Experimental: what `thread/turns/list` would tell, in the same result."""

    after: EventPlace | None = None
    """Ours: the last event this client has seen, after a lost connection.

    What came since follows the result as notifications, each once, and the result has no turns.
    Where that is no longer kept the result has the turns instead, and ``replayed`` is false.
    """


class ThreadReadParams(WireModel):
    """Look at a thread without loading it."""

    METHOD: ClassVar[str] = "thread/read"
    thread_id: str
    include_turns: bool = False


class ThreadListParams(WireModel):
    """List stored threads, newest first."""

    METHOD: ClassVar[str] = "thread/list"
    cursor: str | None = None
    limit: Count | None = None
    sort_key: Literal["created_at", "updated_at", "recency_at"] | None = None
    sort_direction: Literal["asc", "desc"] | None = None
    """Newest first by default."""

    model_providers: list[str] | None = None
    source_kinds: list[SourceKind] | None = None
    """Default: ``cli`` and ``vscode``."""

    parent_thread_id: str | None = None
    """Only threads right below this one, of every kind."""

    ancestor_thread_id: str | None = None
    """Only threads below this one, however far, of every kind."""

    archived: bool | None = None
    cwd: str | list[str] | None = None
    search_term: str | None = None


class TurnToolOutput(WireModel):
    """What a tool outside of the conversation, such as another agent or program, delivers.

    The model reads it as a tool's output: it is nobody's order and nobody's consent.
    """

    name: str
    namespace: str | None = None
    output: str | list[dict[str, Any]]
    """Text, or content items as the model's service takes them (``input_text``,
    ``input_image``)."""

    retain: bool | None = None
    """Accepted; all that is delivered is kept like the rest of the conversation."""


class TurnStartParams(WireModel):
    """Say something, and let the model work on it."""

    METHOD: ClassVar[str] = "turn/start"
    thread_id: str
    turn_id: str | None = Field(default=None, json_schema_extra=UUID_FORMAT)
    """Ours: the id the turn shall have. Duplicates within the thread are refused."""

    input: list[UserInput]
    client_user_message_id: str | None = None
    cwd: str | None = None
    approval_policy: ApprovalPolicy | None = None
    approvals_reviewer: ApprovalsReviewer | None = None
    sandbox_policy: SandboxPolicy | None = None
    model: str | None = None
    effort: Effort | None = None
    summary: Summary | None = None
    output_schema: Any = None
    tool_output: TurnToolOutput | None = None
    """Instead of ``input``, which is then empty; it joins a running turn as input does."""

    turn_trigger: str | None = None
    """What started the turn, in words of the caller's; accepted, without any authority."""

    service_tier_for_turn: str | None = None
    """Accepted; no provider has tiers here."""


class TurnSteerParams(WireModel):
    """Say something more to the running turn."""

    METHOD: ClassVar[str] = "turn/steer"
    thread_id: str
    expected_turn_id: str
    input: list[UserInput]
    client_user_message_id: str | None = None


class TurnInterruptParams(WireModel):
    """Stop the running turn, or a delegate that waits for its place."""

    METHOD: ClassVar[str] = "turn/interrupt"
    thread_id: str
    turn_id: str


class ThreadReadResult(WireModel):
    """The result of thread/read."""

    thread: Thread


class ThreadListResult(WireModel):
    """The result of thread/list; ``nextCursor`` is absent on the last page."""

    data: list[Thread]
    next_cursor: str | None = None


class TurnStartResult(WireModel):
    """The result of turn/start: the turn that will carry the input."""

    turn: Turn


class TurnSteerResult(WireModel):
    """The result of turn/steer."""

    turn_id: str


class TurnInterruptResult(WireModel):
    """The result of turn/interrupt: the turn is on its way out."""


class _OfOneTurn(WireModel):
    thread_id: str
    turn_id: str


class TurnWatchParams(_OfOneTurn):
    """Ours: see a turn as a page draws it, from a snapshot on, by `turn/ops`.

    A turn that runs is live; one that has ended, or is only stored, is just a snapshot. Watching
    again starts from a new snapshot.
    """

    METHOD: ClassVar[str] = "turn/watch"


class TurnWatchResult(WireModel):
    """The result of turn/watch."""

    known: bool
    """Whether there is such a turn; if not, the rest is empty."""

    snapshot: dict[str, Any] | None = None
    """At most 256 KiB; the state that ``view/turn_state.py`` describes."""

    seq: int = 0
    """Number of the last `turn/ops` that the snapshot contains."""

    running: bool = False
    open: list[str] = Field(default_factory=list[str])
    """Ids of the questions that can be answered now."""


class TurnUnwatchParams(_OfOneTurn):
    """Ours: hear no more of a turn."""

    METHOD: ClassVar[str] = "turn/unwatch"


class TurnUnwatchResult(WireModel):
    """The result of turn/unwatch."""


class TurnOutputParams(_OfOneTurn):
    """Ours: the forms in which a turn is kept in a notebook."""

    METHOD: ClassVar[str] = "turn/output"


class TurnOutputResult(WireModel):
    """The result of turn/output: one display of a notebook's format."""

    data: dict[str, Any]
    metadata: dict[str, Any]


class ServerRequestAnswerParams(WireModel):
    """Ours: answer a question, and learn whether the answer counted.

    Give ``decision`` for an approval, ``answers`` for questions. Refused on connections that may
    not answer, such as a kernel's.
    """

    METHOD: ClassVar[str] = "serverRequest/answer"

    request_id: str
    decision: Literal["accept", "acceptForSession", "decline", "cancel"] | None = None
    digest: str | None = None
    """The digest of what was shown; it must be the one that was asked with."""

    answers: dict[str, Any] | None = None


class ServerRequestAnswerResult(WireModel):
    """The result of serverRequest/answer."""

    status: Literal["ok", "gone"]
    """``gone``: it is unknown, settled, or was shown differently."""


class ServerRequestListParams(WireModel):
    """Ours: every question that waits for an answer, in all threads."""

    METHOD: ClassVar[str] = "serverRequest/list"


class OpenRequest(WireModel):
    """A question as a page shows it; other members are those of its kind."""

    request_id: str
    thread_id: str
    turn_id: str
    item_id: str
    kind: Literal["command", "patch", "tool", "question"]
    title: str


class ServerRequestListResult(WireModel):
    """The result of serverRequest/list, oldest first."""

    data: list[OpenRequest]


CLIENT_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "initialize": (InitializeParams, InitializeResult),
    "thread/start": (ThreadStartParams, ThreadOpened),
    "thread/resume": (ThreadResumeParams, ThreadResumed),
    "thread/read": (ThreadReadParams, ThreadReadResult),
    "thread/list": (ThreadListParams, ThreadListResult),
    **THREAD_REQUESTS,
    **DELEGATE_REQUESTS,
    **HISTORY_REQUESTS,
    **NOTEBOOK_REQUESTS,
    **MCP_REQUESTS,
    **MODEL_REQUESTS,
    **TERMINAL_REQUESTS,
    **CONFIG_REQUESTS,
    **CATALOGUE_REQUESTS,
    **EXEC_REQUESTS,
    **FS_REQUESTS,
    **ITEM_REQUESTS,
    **QUEUE_REQUESTS,
    **ACCOUNT_REQUESTS,
    **SEARCH_REQUESTS,
    "turn/start": (TurnStartParams, TurnStartResult),
    "turn/steer": (TurnSteerParams, TurnSteerResult),
    "turn/interrupt": (TurnInterruptParams, TurnInterruptResult),
    "turn/watch": (TurnWatchParams, TurnWatchResult),
    "turn/unwatch": (TurnUnwatchParams, TurnUnwatchResult),
    "turn/output": (TurnOutputParams, TurnOutputResult),
    "serverRequest/answer": (ServerRequestAnswerParams, ServerRequestAnswerResult),
    "serverRequest/list": (ServerRequestListParams, ServerRequestListResult),
}
"""Every method of this version, with the shapes of its params and result."""
