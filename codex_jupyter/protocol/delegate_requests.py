"""What a client may ask of delegates and reviews."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from codex_jupyter.protocol._wire import Integer, WireModel
from codex_jupyter.protocol.items import UserInput
from codex_jupyter.protocol.shapes import (
    UUID_FORMAT,
    ApprovalPolicy,
    Effort,
    SandboxPolicy,
    Thread,
    Turn,
)

__all__ = [
    "DELEGATE_REQUESTS",
    "DelegateAddParams",
    "DelegateCloseParams",
    "DelegateStartParams",
    "DelegateTaskParams",
    "ReviewStartParams",
    "TurnSnapshotParams",
]


class DelegateTaskParams(WireModel):
    """One task of a delegation; what is absent is as the thread has it."""

    input: list[UserInput]
    name: str | None = None
    """How people see it; default: its number."""

    role: str | None = None
    """One of the roles of the settings."""

    thread_id: str | None = Field(default=None, json_schema_extra=UUID_FORMAT)
    """The id its thread shall have. Duplicates are refused."""

    turn_id: str | None = Field(default=None, json_schema_extra=UUID_FORMAT)
    model: str | None = None
    effort: Effort | None = None
    cwd: str | None = None
    approval_policy: ApprovalPolicy | None = None
    """Counts as far as it allows no more than the thread's, as does ``sandboxPolicy``."""

    sandbox_policy: SandboxPolicy | None = None
    output_schema: Any = None


class StartedTask(WireModel):
    """Where a task is done."""

    item_id: str
    """Of the item in the turn that delegates."""

    thread_id: str
    turn_id: str


class DelegateStartParams(WireModel):
    """Ours: have delegates work for a thread, beside its turns.

    A thread below it is made, whose turn starts them, shows each as one item, and ends with them.
    It is heard by whoever asked; all that it asks goes to whoever hears the thread, too. One of
    them is stopped by turn/interrupt with its own ids, also while it waits for its place.
    """

    METHOD: ClassVar[str] = "delegate/start"
    thread_id: str
    """A loaded thread; its settings are the most that the delegates get."""

    tasks: list[DelegateTaskParams]
    limit: Integer = 8
    """How many work at a time, 1 to 64."""

    host_thread_id: str | None = Field(default=None, json_schema_extra=UUID_FORMAT)
    """The id of the thread that is made; one that was made for this thread before is used again."""

    turn_id: str | None = Field(default=None, json_schema_extra=UUID_FORMAT)
    """The id of its turn. Duplicates are refused, and say how that turn ended."""

    keep_open: bool = False
    """Whether the turn waits for more tasks, which may be none at first, until delegate/close."""


class DelegateStartResult(WireModel):
    """The result of delegate/start."""

    thread: Thread
    turn: Turn
    tasks: list[StartedTask]
    """In the order of the request."""


class DelegateAddParams(WireModel):
    """Ours: have more delegates work in a turn that delegate/start began."""

    METHOD: ClassVar[str] = "delegate/add"
    thread_id: str
    turn_id: str
    tasks: list[DelegateTaskParams]


class DelegateCloseParams(WireModel):
    """Ours: let a turn that was kept open end with the tasks it has."""

    METHOD: ClassVar[str] = "delegate/close"
    thread_id: str
    turn_id: str


class DelegateCloseResult(WireModel):
    """The result of delegate/close."""


class DelegateAddResult(WireModel):
    """The result of delegate/add."""

    tasks: list[StartedTask]


class UncommittedChanges(WireModel):
    """What is not committed: staged, unstaged and untracked files."""

    type: Literal["uncommittedChanges"]


class BaseBranch(WireModel):
    """What would be merged into a branch."""

    type: Literal["baseBranch"]
    branch: str


class Commit(WireModel):
    """What one commit changed."""

    type: Literal["commit"]
    sha: str
    title: str | None = None


class Custom(WireModel):
    """What the instructions say."""

    type: Literal["custom"]
    instructions: str


class ReviewStartParams(WireModel):
    """Have a reviewer of its own look at changes; a running turn is stopped for it."""

    METHOD: ClassVar[str] = "review/start"
    thread_id: str
    target: Annotated[
        UncommittedChanges | BaseBranch | Commit | Custom, Field(discriminator="type")
    ]
    delivery: Literal["inline", "detached"] | None = None
    """``detached`` (dropped by the original since) reviews in a copy of the thread."""

    turn_id: str | None = Field(default=None, json_schema_extra=UUID_FORMAT)
    """Ours: the id of the turn. Duplicates are refused."""

    review_thread_id: str | None = Field(default=None, json_schema_extra=UUID_FORMAT)
    """Ours, for ``detached``: the id the copy shall have. Duplicates are refused."""


class ReviewStartResult(WireModel):
    """The result of review/start."""

    turn: Turn
    review_thread_id: str


class TurnSnapshotParams(WireModel):
    """Ours, for pages: what a turn looks like now, once."""

    METHOD: ClassVar[str] = "turn/snapshot"
    thread_id: str
    turn_id: str


class TurnSnapshotResult(WireModel):
    """The result of turn/snapshot; null if there is no such turn."""

    snapshot: dict[str, Any] | None = None


DELEGATE_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "review/start": (ReviewStartParams, ReviewStartResult),
    "delegate/start": (DelegateStartParams, DelegateStartResult),
    "delegate/add": (DelegateAddParams, DelegateAddResult),
    "delegate/close": (DelegateCloseParams, DelegateCloseResult),
    "turn/snapshot": (TurnSnapshotParams, TurnSnapshotResult),
}
