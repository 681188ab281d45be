"""What the server asks clients, and what they may answer."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from codex_jupyter.protocol._wire import WireModel

__all__ = [
    "SERVER_REQUESTS",
    "ApprovalAnswer",
    "CommandExecutionRequestApprovalParams",
    "DynamicToolCallAnswer",
    "DynamicToolCallParams",
    "DynamicToolContent",
    "FileChangeRequestApprovalParams",
    "McpServerElicitationAnswer",
    "McpServerElicitationParams",
    "UserInputAnswer",
    "UserInputOption",
    "UserInputQuestion",
    "UserInputRequestParams",
]

Decision = Literal["accept", "acceptForSession", "decline", "cancel"]


class AskingDelegate(WireModel):
    """Ours: the delegate or agent that asks, when it is not the user's own thread."""

    thread_id: str
    """Its own thread; the request's ``threadId`` is where the question is shown."""

    turn_id: str
    parent_thread_id: str
    nickname: str | None = None
    role: str | None = None


class _OfItem(WireModel):
    delegate: AskingDelegate | None = None
    """Ours."""

    thread_id: str
    turn_id: str
    item_id: str
    started_at_ms: int | None = None


class CommandExecutionRequestApprovalParams(_OfItem):
    """Ask whether a command, or code in the user's kernel, may run.

    Sent to every connection subscribed to the thread. The first answer settles it; all are told
    with `serverRequest/resolved`.
    """

    METHOD: ClassVar[str] = "item/commandExecution/requestApproval"

    kind: Literal["command", "dynamicTool"] = "command"
    command: str | None = None
    """For display, in a form in which different commands look different. What runs is what the
    session holds."""

    cwd: str | None = None
    reason: str | None = None
    warning: str | None = None
    """Ours: why this deserves a close look."""

    sandboxing: str | None = None
    """Ours: what holds the command back, e.g. ``not sandboxed``."""

    digest: str | None = None
    """Ours: SHA-256 of what will run. An answer that names another digest does not count."""

    command_actions: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    available_decisions: list[Decision] = Field(
        default_factory=lambda: ["accept", "acceptForSession", "decline", "cancel"]
    )


class FileChangeRequestApprovalParams(_OfItem):
    """Ask whether the patch of ``itemId`` may be applied; its item shows the changes."""

    METHOD: ClassVar[str] = "item/fileChange/requestApproval"

    reason: str | None = None
    grant_root: str | None = None
    warning: str | None = None
    """Ours: why this deserves a close look."""

    sandboxing: str | None = None
    """Ours: what holds the change back, e.g. ``not sandboxed``."""

    digest: str | None = None
    """Ours: SHA-256 of what will be written. An answer that names another does not count."""


class ApprovalAnswer(WireModel):
    """The answer to both kinds of approval request.

    ``accept`` runs it; ``acceptForSession`` also runs the very same again unasked; ``decline``
    tells the model no; ``cancel`` declines and interrupts the turn. Anything else declines.
    """

    decision: Any
    digest: str | None = None
    """Ours: the digest of what the answering page showed; optional."""


class UserInputOption(WireModel):
    """One prepared answer."""

    label: str
    description: str = ""


class UserInputQuestion(WireModel):
    """One question to the user."""

    id: str
    header: str = ""
    question: str
    is_other: bool = True
    is_secret: bool = False
    options: list[UserInputOption] | None = None


class UserInputRequestParams(_OfItem):
    """Ask the user something on behalf of the model."""

    METHOD: ClassVar[str] = "item/tool/requestUserInput"

    questions: list[UserInputQuestion]
    is_blocking: bool = True
    """Whether the turn waits for the answer."""


class QuestionAnswers(WireModel):
    """The chosen labels and typed texts of one question."""

    answers: list[str] = Field(default_factory=list[str])


class UserInputAnswer(WireModel):
    """The answers by question id; a missing question was left open."""

    answers: dict[str, QuestionAnswers] = Field(default_factory=dict[str, QuestionAnswers])


class McpServerElicitationParams(WireModel):
    """Pass on what an MCP server asks the user while one of its tools runs.

    ``mode`` is ``form``, with a ``requestedSchema`` of flat fields, or ``url``, with an address
    that the user is to open. The first answer settles it; all are told with
    `serverRequest/resolved`. It is put under every approval policy: it is a question.
    """

    METHOD: ClassVar[str] = "mcpServer/elicitation/request"

    delegate: AskingDelegate | None = None
    """Ours."""

    thread_id: str
    turn_id: str | None = None
    item_id: str | None = None
    """Ours: the call that the server works on, an item of type ``mcpToolCall``."""

    started_at_ms: int | None = None
    """Ours."""

    server_name: str
    mode: Literal["form", "url"]
    message: str
    requested_schema: dict[str, Any] | None = None
    """The form's JSON schema, as the server sent it."""

    url: str | None = None
    elicitation_id: str | None = None
    meta: Any = Field(default=None, alias="_meta")
    """What the server sent along."""


class McpServerElicitationAnswer(WireModel):
    """The answer to an MCP server's question.

    Whatever cannot be read counts as ``decline``. An error counts as ``decline``, too.
    """

    action: Literal["accept", "decline", "cancel"]
    content: Any = None
    """The fields of the form by name, with ``accept``; nothing for an address."""

    meta: Any = Field(default=None, alias="_meta")


class DynamicToolCallParams(WireModel):
    """Ask the client to run one of its tools. There is no `serverRequest/resolved` for it."""

    METHOD: ClassVar[str] = "item/tool/call"

    delegate: AskingDelegate | None = None
    """Ours."""

    thread_id: str
    turn_id: str
    call_id: str
    namespace: str | None = None
    tool: str
    arguments: Any = None


class DynamicToolText(WireModel):
    """Text that a tool gave back."""

    type: Literal["inputText"]
    text: str


class DynamicToolImage(WireModel):
    """An image that a tool gave back."""

    type: Literal["inputImage"]
    image_url: str


class DynamicToolAudio(WireModel):
    """Audio that a tool gave back. It is kept; the model is told that it cannot be passed on."""

    type: Literal["inputAudio"]
    audio_url: str


DynamicToolContent = Annotated[
    DynamicToolText | DynamicToolImage | DynamicToolAudio, Field(discriminator="type")
]


class DynamicToolCallAnswer(WireModel):
    """What the tool gave back. The model is told of an answer that cannot be read."""

    content_items: list[DynamicToolContent]
    success: bool


SERVER_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "item/commandExecution/requestApproval": (
        CommandExecutionRequestApprovalParams,
        ApprovalAnswer,
    ),
    "item/fileChange/requestApproval": (FileChangeRequestApprovalParams, ApprovalAnswer),
    "item/tool/requestUserInput": (UserInputRequestParams, UserInputAnswer),
    "mcpServer/elicitation/request": (McpServerElicitationParams, McpServerElicitationAnswer),
    "item/tool/call": (DynamicToolCallParams, DynamicToolCallAnswer),
}
"""Every request a client may get, with the shapes of its params and answer."""
