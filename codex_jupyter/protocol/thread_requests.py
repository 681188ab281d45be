"""What a client may ask of whole threads: copies, names, the archive, their settings and memory."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from codex_jupyter.protocol._wire import Count, Integer, WireModel
from codex_jupyter.protocol.shapes import (
    UUID_FORMAT,
    ApprovalPolicy,
    ApprovalsReviewer,
    Effort,
    Newest,
    SandboxMode,
    SandboxPolicy,
    Summary,
    Thread,
    ThreadOpened,
)

__all__ = [
    "THREAD_REQUESTS",
    "Nothing",
    "ThreadArchiveParams",
    "ThreadCompactParams",
    "ThreadDeleteParams",
    "ThreadForkParams",
    "ThreadInjectParams",
    "ThreadLoadedListParams",
    "ThreadNameParams",
    "ThreadRevertParams",
    "ThreadRollbackParams",
    "ThreadSettingsParams",
    "ThreadShellParams",
    "ThreadUnarchiveParams",
    "ThreadUndoParams",
    "ThreadUnsubscribeParams",
]


class _OfThread(WireModel):
    thread_id: str


class Nothing(WireModel):
    """The result of what has nothing to tell."""


class ThreadResult(WireModel):
    """The result of what changes a thread."""

    thread: Thread


class ThreadReverted(ThreadResult, Newest):
    """The result of thread/revert."""


class ThreadForkParams(_OfThread):
    """Begin a new thread as a copy of one, whole or up to one of its turns."""

    METHOD: ClassVar[str] = "thread/fork"
    new_thread_id: str | None = Field(default=None, json_schema_extra=UUID_FORMAT)
    """Ours: the id the copy shall have. Duplicates are refused."""

    path: str | None = None
    """Experimental: the rollout to copy, as in thread/resume; ``threadId`` is then ignored."""

    last_turn_id: str | None = None
    """The last turn that is copied."""

    before_turn_id: str | None = None
    """The first turn that is not copied; not beside ``lastTurnId``."""

    model: str | None = None
    model_provider: str | None = None
    cwd: str | None = None
    approval_policy: ApprovalPolicy | None = None
    approvals_reviewer: ApprovalsReviewer | None = None
    sandbox: SandboxMode | None = None
    config: dict[str, Any] | None = None
    base_instructions: str | None = None
    developer_instructions: str | None = None
    ephemeral: bool = False
    exclude_turns: bool = False


class ThreadRollbackParams(_OfThread):
    """Take the last turns back. Files stay as they are."""

    METHOD: ClassVar[str] = "thread/rollback"
    num_turns: Count


class ThreadRevertParams(_OfThread):
    """Take a turn and all later ones back. Files stay as they are, and the ids stay used."""

    METHOD: ClassVar[str] = "thread/revert"
    before_turn_id: str


class ThreadLoadedListParams(WireModel):
    """List the ids of the loaded threads."""

    METHOD: ClassVar[str] = "thread/loaded/list"
    cursor: str | None = None
    """The last id of the page before."""

    limit: Count | None = None
    """Ids on a page, at least 1; default: all."""


class ThreadLoadedListResult(WireModel):
    """The result of thread/loaded/list: sorted ids."""

    data: list[str]
    next_cursor: str | None = None


class ThreadNameParams(_OfThread):
    """Name a thread, loaded or stored."""

    METHOD: ClassVar[str] = "thread/name/set"
    name: str


class ThreadArchiveParams(_OfThread):
    """Put a thread away: it is closed, and only found by who asks for archived ones."""

    METHOD: ClassVar[str] = "thread/archive"


class ThreadUnarchiveParams(_OfThread):
    """Take a thread out of the archive; it is not loaded by that."""

    METHOD: ClassVar[str] = "thread/unarchive"


class ThreadDeleteParams(_OfThread):
    """Remove a thread for good."""

    METHOD: ClassVar[str] = "thread/delete"


class ThreadUnsubscribeParams(_OfThread):
    """Hear no more of a thread; it stays loaded for a while."""

    METHOD: ClassVar[str] = "thread/unsubscribe"
    unload: bool = False
    """Ours: stop its turn and unload it at once, with all that it runs, if nobody else hears it."""


class ThreadUnsubscribeResult(WireModel):
    """The result of thread/unsubscribe."""

    status: Literal["unsubscribed", "notSubscribed", "notLoaded"]


class ThreadCompactParams(_OfThread):
    """Let the model sum up the conversation, and remember only that."""

    METHOD: ClassVar[str] = "thread/compact/start"
    turn_id: str | None = Field(default=None, json_schema_extra=UUID_FORMAT)
    """Ours: the id the turn that does it shall have. Duplicates are refused."""


class ThreadInjectParams(_OfThread):
    """Let the model know something without a turn, such as what a cell printed."""

    METHOD: ClassVar[str] = "thread/inject_items"
    items: list[dict[str, Any]]
    """Items of the Responses API."""


class ThreadSettingsParams(_OfThread):
    """Change the settings of later turns without a turn; what is absent stays."""

    METHOD: ClassVar[str] = "thread/settings/update"
    model: str | None = None
    cwd: str | None = None
    approval_policy: ApprovalPolicy | None = None
    approvals_reviewer: ApprovalsReviewer | None = None
    sandbox_policy: SandboxPolicy | None = None
    effort: Effort | None = None
    summary: Summary | None = None


class ThreadUndoParams(_OfThread):
    """Ours: take back what the newest turn's patches did to files, all or nothing."""

    METHOD: ClassVar[str] = "thread/undo"


class ThreadUndoResult(WireModel):
    """The result of thread/undo."""

    turn_id: str
    files: list[str]
    """Absolute paths; each is as it was before that turn."""


class ThreadShellParams(_OfThread):
    """Run a command of the user's own, unasked and not sandboxed; the model sees it."""

    METHOD: ClassVar[str] = "thread/shellCommand"
    command: str
    timeout_ms: Integer | None = None
    """Default and most: an hour."""


THREAD_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "thread/fork": (ThreadForkParams, ThreadOpened),
    "thread/rollback": (ThreadRollbackParams, ThreadResult),
    "thread/revert": (ThreadRevertParams, ThreadReverted),
    "thread/loaded/list": (ThreadLoadedListParams, ThreadLoadedListResult),
    "thread/name/set": (ThreadNameParams, Nothing),
    "thread/archive": (ThreadArchiveParams, Nothing),
    "thread/unarchive": (ThreadUnarchiveParams, ThreadResult),
    "thread/delete": (ThreadDeleteParams, Nothing),
    "thread/unsubscribe": (ThreadUnsubscribeParams, ThreadUnsubscribeResult),
    "thread/compact/start": (ThreadCompactParams, Nothing),
    "thread/inject_items": (ThreadInjectParams, Nothing),
    "thread/undo": (ThreadUndoParams, ThreadUndoResult),
    "thread/settings/update": (ThreadSettingsParams, Nothing),
    "thread/shellCommand": (ThreadShellParams, Nothing),
}
