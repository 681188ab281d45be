"""User input and thread items: the shapes a turn is made of."""

from typing import Annotated, Any, Literal

from pydantic import Field

from codex_jupyter.protocol._wire import WireModel

__all__ = [
    "AgentMessageItem",
    "CommandExecutionItem",
    "ContextCompactionItem",
    "DynamicToolCallItem",
    "FileChangeItem",
    "FileUpdateChange",
    "ImageInput",
    "LocalImageInput",
    "McpToolCallItem",
    "MentionInput",
    "PatchKind",
    "ReasoningItem",
    "SkillInput",
    "TextInput",
    "ThreadItem",
    "TokenUsageBreakdown",
    "TurnError",
    "UserInput",
    "UserMessageItem",
    "WebSearchItem",
    "input_chars",
    "input_preview",
]


class ByteRange(WireModel):
    """A part of a text, in bytes of its UTF-8 form; ``end`` is the first that is outside."""

    start: int = Field(ge=0)
    end: int = Field(ge=0)


class TextElement(WireModel):
    """A part of a text that stands for something, e.g. a file that is mentioned."""

    byte_range: ByteRange
    placeholder: str | None = None


class TextInput(WireModel):
    """What a person typed."""

    type: Literal["text"] = "text"
    text: str
    text_elements: list[TextElement] = Field(
        default_factory=list[TextElement], alias="text_elements"
    )
    """Kept in snake_case on the wire, as the original does."""


class ImageInput(WireModel):
    """An image by address; a ``data:`` URL carries the bytes themselves."""

    type: Literal["image"] = "image"
    url: str


class LocalImageInput(WireModel):
    """An image file on the server's machine; a missing file becomes a text for the model."""

    type: Literal["localImage"] = "localImage"
    path: str


class SkillInput(WireModel):
    """A skill named by the user."""

    type: Literal["skill"] = "skill"
    name: str
    path: str


class MentionInput(WireModel):
    """A file or other thing the user pointed at."""

    type: Literal["mention"] = "mention"
    name: str
    path: str


UserInput = Annotated[
    TextInput | ImageInput | LocalImageInput | SkillInput | MentionInput,
    Field(discriminator="type"),
]


class TurnError(WireModel):
    """Why a turn failed."""

    message: str
    codex_error_info: Any = None
    """A word such as ``unauthorized``, or one member that carries an ``httpStatusCode``."""

    additional_details: str | None = None


class TokenUsageBreakdown(WireModel):
    """Tokens of one response, or of all responses of a thread."""

    total_tokens: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0


class _Timed(WireModel):
    id: str
    started_at_ms: int | None = None
    completed_at_ms: int | None = None


class UserMessageItem(_Timed):
    """What the user said; started and completed at once."""

    type: Literal["userMessage"] = "userMessage"
    client_id: str | None = None
    content: list[UserInput]


class FunctionCallOutputItem(_Timed):
    """What a tool outside of the conversation delivered; started and completed at once."""

    type: Literal["functionCallOutput"] = "functionCallOutput"
    name: str
    namespace: str | None = None
    output: str | list[dict[str, Any]]
    """Text, or content items (``input_text``, ``input_image``)."""


class AgentMessageItem(_Timed):
    """What the model says."""

    type: Literal["agentMessage"] = "agentMessage"
    text: str
    phase: str | None = None
    abandoned: bool | None = None
    """Ours: the stream broke here and the answer starts again in a later item."""


class ReasoningItem(_Timed):
    """How the model got there, as far as it tells."""

    type: Literal["reasoning"] = "reasoning"
    summary: list[str] = Field(default_factory=list[str])
    content: list[str] = Field(default_factory=list[str])
    abandoned: bool | None = None


ItemStatus = Literal["inProgress", "completed", "failed", "declined"]


class CommandExecutionItem(_Timed):
    """A command of the model's and what it printed."""

    type: Literal["commandExecution"] = "commandExecution"
    command: str
    cwd: str
    process_id: str | None = None
    source: str = "agent"
    status: ItemStatus
    command_actions: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    aggregated_output: str | None = None
    exit_code: int | None = None
    duration_ms: int | None = None


class PatchKind(WireModel):
    """What happens to one file."""

    type: Literal["add", "delete", "update"]
    move_path: str | None = None


class FileUpdateChange(WireModel):
    """One file of a patch. ``diff`` is the whole text for add and delete, hunks for update."""

    path: str
    kind: PatchKind
    diff: str


class FileChangeItem(_Timed):
    """A patch of the model's."""

    type: Literal["fileChange"] = "fileChange"
    changes: list[FileUpdateChange]
    status: ItemStatus


class DynamicToolCallItem(_Timed):
    """A call of a tool that a client runs."""

    type: Literal["dynamicToolCall"] = "dynamicToolCall"
    namespace: str | None = None
    tool: str
    arguments: Any = None
    status: ItemStatus
    content_items: list[dict[str, Any]] | None = None
    success: bool | None = None
    duration_ms: int | None = None


class McpToolCallItem(_Timed):
    """A call of a tool of an MCP server."""

    type: Literal["mcpToolCall"] = "mcpToolCall"
    server: str
    tool: str
    arguments: Any = None
    status: ItemStatus
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    duration_ms: int | None = None


class WebSearchItem(_Timed):
    """The provider searched the web by itself."""

    type: Literal["webSearch"] = "webSearch"
    query: str
    action: dict[str, Any] | None = None


class ContextCompactionItem(_Timed):
    """The model's memory was replaced by a summary."""

    type: Literal["contextCompaction"] = "contextCompaction"
    abandoned: bool | None = None


class AgentState(WireModel):
    """What an agent's newest work is doing."""

    status: Literal[
        "pendingInit", "running", "interrupted", "completed", "errored", "shutdown", "notFound"
    ]
    message: str | None = None
    """What it said last, or why it failed."""


class AgentFacts(WireModel):
    """Ours: who an agent is, and what it used."""

    thread_id: str
    turn_id: str | None = None
    nickname: str | None = None
    role: str | None = None
    tokens: int | None = None
    """Into and out of the model, for its own answers."""

    duration_ms: int | None = None


class CollabAgentToolCallItem(_Timed):
    """Work with other threads: agents of the model's, or delegates of the user's."""

    type: Literal["collabAgentToolCall"] = "collabAgentToolCall"
    tool: Literal["spawnAgent", "sendInput", "resumeAgent", "wait", "closeAgent"]
    status: Literal["inProgress", "completed", "failed", "interrupted"]
    sender_thread_id: str
    receiver_thread_ids: list[str]
    prompt: str | None = None
    model: str | None = None
    reasoning_effort: str | None = None
    agents_states: dict[str, AgentState]
    agents: list[AgentFacts] = Field(default_factory=list[AgentFacts])


class EnteredReviewModeItem(_Timed):
    """A review began."""

    type: Literal["enteredReviewMode"] = "enteredReviewMode"
    review: str
    """What is looked at, in words."""


class ReviewLines(WireModel):
    """A range of lines, both ends included, from 1."""

    start: int | None = None
    end: int | None = None


class ReviewPlace(WireModel):
    """Where a finding is."""

    absolute_file_path: str = Field(alias="absolute_file_path")
    line_range: ReviewLines = Field(alias="line_range")


class ReviewFinding(WireModel):
    """One thing a reviewer found; these members are spelt as the reviewer does."""

    title: str
    body: str
    priority: int | None = None
    """0 (everything stops) to 3 (would be nice)."""

    confidence_score: float | None = Field(default=None, alias="confidence_score")
    code_location: ReviewPlace | None = Field(default=None, alias="code_location")


class ReviewResult(WireModel):
    """Ours: what a review found, for programs."""

    findings: list[ReviewFinding]
    overall_correctness: str = Field(default="", alias="overall_correctness")
    overall_explanation: str = Field(default="", alias="overall_explanation")
    overall_confidence_score: float | None = Field(default=None, alias="overall_confidence_score")


class ExitedReviewModeItem(_Timed):
    """A review is over."""

    type: Literal["exitedReviewMode"] = "exitedReviewMode"
    review: str
    """What was found, as text."""

    output: ReviewResult | None = None
    """Null if the reviewer did not answer in the form it was asked for."""


ThreadItem = Annotated[
    UserMessageItem
    | FunctionCallOutputItem
    | AgentMessageItem
    | ReasoningItem
    | CommandExecutionItem
    | FileChangeItem
    | DynamicToolCallItem
    | McpToolCallItem
    | WebSearchItem
    | ContextCompactionItem
    | CollabAgentToolCallItem
    | EnteredReviewModeItem
    | ExitedReviewModeItem,
    Field(discriminator="type"),
]


def input_chars(items: list[UserInput]) -> int:
    """Count the characters of text in ``items``."""
    return sum(len(item.text) for item in items if isinstance(item, TextInput))


def input_preview(items: list[UserInput]) -> str:
    """Return the text of ``items``, as lists of threads show it."""
    return "\n".join(item.text for item in items if isinstance(item, TextInput))
