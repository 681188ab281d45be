"""The shapes that requests, results and notifications share: threads, turns, policies, tools."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from codex_jupyter.protocol._wire import WireModel
from codex_jupyter.settings.approval import policy_from

__all__ = [
    "UUID_FORMAT",
    "ApprovalPolicy",
    "ApprovalsReviewer",
    "Effort",
    "GranularFlags",
    "GranularPolicy",
    "Newest",
    "SandboxMode",
    "SandboxPolicy",
    "SourceKind",
    "Summary",
    "Thread",
    "ThreadOpened",
    "ThreadResumed",
    "Turn",
    "TurnsPage",
]

SandboxMode = Literal["read-only", "workspace-write", "danger-full-access"]
Effort = Annotated[str, Field(min_length=1, max_length=100)]
"""How long a model thinks, in the provider's word: usually ``none``, ``minimal``, ``low``,
``medium``, ``high`` or ``xhigh``; models bring new ones."""

ApprovalsReviewer = Literal["user", "auto_review", "guardian_subagent"]
"""The last is what `auto_review` was called before. Here the user decides in any case."""

SourceKind = Literal[
    "cli",
    "vscode",
    "exec",
    "appServer",
    "subAgent",
    "subAgentReview",
    "subAgentCompact",
    "subAgentThreadSpawn",
    "subAgentOther",
    "unknown",
]
Summary = Literal["auto", "concise", "detailed", "none"]

UUID_FORMAT: dict[str, Any] = {"format": "uuid"}


class GranularFlags(WireModel):
    """Which kinds of questions are put to somebody; the others are refused at once."""

    model_config = ConfigDict(alias_generator=None)

    sandbox_approval: bool
    """For commands, patches, and the tools that a client brings."""

    rules: bool
    """Carried: nothing here asks because of a rule."""

    mcp_elicitations: bool
    """For the forms and addresses that MCP servers show. Calls of their tools have no flag."""

    request_permissions: bool = False
    """Carried: nothing here asks for permissions."""

    skill_approval: bool = False
    """Carried: nothing here asks before a skill is used."""

    base: Literal["untrusted", "on-request", "never"] | None = None
    """Ours: present if another policy than `on-request` says what is asked that no flag refuses: so
    it is in a thread below one whose policy is another one than its own."""


class GranularPolicy(WireModel):
    """Ask as under `on-request`, but only what the flags say.

    As the value of a request's member it needs `experimentalApi`.
    """

    model_config = ConfigDict(alias_generator=None)

    granular: GranularFlags


def _is_policy(value: Any) -> Any:
    if not isinstance(value, GranularPolicy):
        try:
            policy_from(value)
        except ValueError as error:
            raise PydanticCustomError("approval_policy", "{why}", {"why": str(error)}) from None
    return value


ApprovalPolicy = Annotated[
    Literal["untrusted", "on-request", "never"] | GranularPolicy, BeforeValidator(_is_policy)
]
"""Who has to agree. A mistake in it is reported as one, of the type ``approval_policy``."""


class SandboxPolicy(WireModel):
    """What commands may touch, as asked for. Nothing is enforced in this version: see cards."""

    type: Literal["readOnly", "workspaceWrite", "dangerFullAccess", "externalSandbox"]
    writable_roots: list[str] | None = None
    network_access: bool | str | None = None
    exclude_tmpdir_env_var: bool | None = None
    exclude_slash_tmp: bool | None = None


class Turn(WireModel):
    """One turn, with as many items as the message at hand shows."""

    id: str
    root_turn_id: str | None = None
    items: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    items_view: Literal["notLoaded", "summary", "full"] = "notLoaded"
    status: Literal["inProgress", "completed", "interrupted", "failed"]
    error: dict[str, Any] | None = None
    started_at: int | None = None
    """Unix seconds."""

    completed_at: int | None = None
    duration_ms: int | None = None
    plan: dict[str, Any] | None = None
    """Ours, of ended turns: the last plan."""

    diff: str | None = None
    """Ours, of ended turns: all file changes."""

    usage: dict[str, Any] | None = None
    """Ours, of ended turns: the tokens of this turn."""


class Thread(WireModel):
    """A conversation, with as many turns as the message at hand shows."""

    id: str
    session_id: str
    preview: str
    ephemeral: bool
    model_provider: str
    model: str | None = None
    created_at: int
    updated_at: int
    status: dict[str, Any]
    path: str | None = None
    cwd: str
    cli_version: str
    source: Any = "vscode"
    forked_from_id: str | None = None
    parent_thread_id: str | None = None
    agent_nickname: str | None = None
    agent_role: str | None = None
    git_info: dict[str, Any] | None = None
    name: str | None = None
    project_id: str | None = None
    turns: list[Turn] = Field(default_factory=list[Turn])


class Notice(WireModel):
    """One remark for whoever begins a thread."""

    level: Literal["info", "warning"]
    text: str


class ThreadOpened(WireModel):
    """The result of thread/start and thread/fork."""

    thread: Thread
    model: str
    model_provider: str
    cwd: str
    approval_policy: ApprovalPolicy
    approvals_reviewer: ApprovalsReviewer
    sandbox: SandboxPolicy
    reasoning_effort: Effort | None = None
    sandboxing: str
    """Ours: what holds commands back on this machine, in words for a card."""

    notices: list[Notice] = Field(default_factory=list[Notice])
    """Ours: which model answers and why, and what the settings warn of."""

    epoch: str | None = None
    """Ours: names this loading of the thread, in which its events are numbered."""

    sequence: int | None = None
    """Ours: the number of the last event that the result contains."""


class TurnsPage(WireModel):
    """Some turns of a thread."""

    data: list[Turn]
    next_cursor: str | None = None
    """Goes on in the same direction; absent on the last page."""

    backwards_cursor: str | None = None
    """Goes back, asked for with the other direction, from the first entry of this page on, which is
    told again as it is then; absent on an empty page."""


class Newest(WireModel):
    """From where the past of a thread is read backwards."""

    turns_backwards_cursor: str | None = None
    """For `thread/turns/list`, newest first: its page begins with the last turn."""

    items_backwards_cursor: str | None = None
    """For `thread/items/list` with ``sortDirection: desc``: its page begins with the last item."""


class ThreadResumed(ThreadOpened, Newest):
    """The result of thread/resume."""

    initial_turns_page: TurnsPage | None = None
    """The page that was asked for; its cursors are those of `thread/turns/list`."""

    replayed: bool = False
    """Ours: whether the events after those that were asked for follow, instead of the turns."""
