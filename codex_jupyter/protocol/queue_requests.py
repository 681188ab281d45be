"""What a client may ask of messages that wait for the next turns, and of changed settings."""

from typing import Any, ClassVar, Literal

from codex_jupyter.protocol._wire import Count, WireModel
from codex_jupyter.protocol.items import UserInput
from codex_jupyter.protocol.shapes import ApprovalsReviewer, Effort, Summary, Thread, Turn

__all__ = [
    "QUEUE_REQUESTS",
    "GitInfoChange",
    "QueueAddParams",
    "QueueDeleteParams",
    "QueueListParams",
    "QueueReorderParams",
    "QueueStartParams",
    "QueueUpdateParams",
    "ThreadMetadataParams",
    "TurnSettingsParams",
]


class _OfThread(WireModel):
    thread_id: str


class QueuedSubmission(WireModel):
    """A message that waits."""

    id: str
    input: list[UserInput]
    client_user_message_id: str
    responsesapi_client_metadata: dict[str, Any] | None = None


class QueuedResult(WireModel):
    """The result of thread/queue/add and thread/queue/update."""

    queued_submission: QueuedSubmission


class QueueAddParams(_OfThread):
    """Let a message become a turn as soon as the thread, which must be loaded, is at rest.

    A turn that completes starts the next one; after one that failed or was stopped the others wait
    for thread/queue/start. The queue ends with the loading of the thread.
    """

    METHOD: ClassVar[str] = "thread/queue/add"
    input: list[UserInput]
    client_user_message_id: str
    responsesapi_client_metadata: dict[str, Any] | None = None
    """Kept and shown, and not used."""


class QueueListParams(_OfThread):
    """List the messages that wait."""

    METHOD: ClassVar[str] = "thread/queue/list"
    cursor: str | None = None
    """Index of the next one, as a decimal number."""

    limit: Count | None = None


class QueueListResult(WireModel):
    """The result of thread/queue/list, next first."""

    data: list[QueuedSubmission]
    next_cursor: str | None = None


class QueueUpdateParams(_OfThread):
    """Say something else in a message that waits."""

    METHOD: ClassVar[str] = "thread/queue/update"
    queued_submission_id: str
    input: list[UserInput]
    responsesapi_client_metadata: dict[str, Any] | None = None


class QueueDeleteParams(_OfThread):
    """Take a message back."""

    METHOD: ClassVar[str] = "thread/queue/delete"
    queued_submission_id: str


class QueueDeleteResult(WireModel):
    """The result of thread/queue/delete."""

    deleted: bool
    """Whether it waited."""


class QueueReorderParams(_OfThread):
    """Put the messages into another order."""

    METHOD: ClassVar[str] = "thread/queue/reorder"
    queued_submission_ids: list[str]
    """Each that waits, once."""


class QueueReorderResult(WireModel):
    """The result of thread/queue/reorder."""


class QueueStartParams(_OfThread):
    """Let a message that waits begin now, or join the turn that runs; the next one by default."""

    METHOD: ClassVar[str] = "thread/queue/start"
    queued_submission_id: str | None = None


class QueueStartResult(WireModel):
    """The result of thread/queue/start: the turn that carries it."""

    turn: Turn


class GitInfoChange(WireModel):
    """What changes; absent members stay, and ``null`` is none."""

    sha: str | None = None
    branch: str | None = None
    origin_url: str | None = None


class ThreadMetadataParams(_OfThread):
    """Note which repository a thread, loaded or stored, works in."""

    METHOD: ClassVar[str] = "thread/metadata/update"
    git_info: GitInfoChange | None = None


class ThreadMetadataResult(WireModel):
    """The result of thread/metadata/update."""

    thread: Thread


class TurnSettingsParams(_OfThread):
    """Change what the running turn asks the model with, from its next request on.

    The thread's settings stay.
    """

    METHOD: ClassVar[str] = "turn/settings/update"
    turn_id: str
    model: str | None = None
    effort: Effort | None = None
    summary: Summary | None = None
    approvals_reviewer: ApprovalsReviewer | None = None


class TurnSettingsResult(WireModel):
    """The result of turn/settings/update."""

    status: Literal["applied", "targetUnavailable"]
    """The latter: that turn does not run, or is on its way out."""


QUEUE_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "thread/queue/add": (QueueAddParams, QueuedResult),
    "thread/queue/list": (QueueListParams, QueueListResult),
    "thread/queue/update": (QueueUpdateParams, QueuedResult),
    "thread/queue/delete": (QueueDeleteParams, QueueDeleteResult),
    "thread/queue/reorder": (QueueReorderParams, QueueReorderResult),
    "thread/queue/start": (QueueStartParams, QueueStartResult),
    "thread/metadata/update": (ThreadMetadataParams, ThreadMetadataResult),
    "turn/settings/update": (TurnSettingsParams, TurnSettingsResult),
}
