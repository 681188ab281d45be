"""What a tool is, what it gets, what it gives back, and how a call finds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from pydantic_core import from_json, to_json

from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.flow.requests import Outcome
from codex_jupyter.ids import ItemId, ThreadId, TurnId
from codex_jupyter.protocol.events import DeltaKind, EventMsg
from codex_jupyter.tools.policy import Policy, SessionApprovals
from codex_jupyter.tools.turn_diff import TurnDiff

__all__ = [
    "Json",
    "Tool",
    "ToolArgumentsError",
    "ToolCall",
    "ToolContext",
    "ToolOutput",
    "ToolRegistry",
]

Json = dict[str, Any]


class ToolArgumentsError(ValueError):
    """The model called a tool with arguments that do not fit; the text is for the model."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of the model's."""

    call_id: str
    """The model's own id; goes back with the output."""

    item_id: ItemId
    """The id of the item that shows the call; the call id, unless that repeats."""

    name: str
    """As the registry has it, in whichever way the model spelled a tool of a namespace."""

    text: str
    """JSON of the arguments, or the input of a free-form tool."""

    freeform: bool = False

    def arguments(self) -> Json:
        """Decode the arguments.

        Raises:
            ToolArgumentsError: They are not a JSON object.
        """
        try:
            value: Any = from_json(self.text or "{}", allow_inf_nan=False)
            # A number that is too large to be one is no JSON either, once it was read.
            value = from_json(to_json(value, inf_nan_mode="null"))
        except ValueError as error:
            raise ToolArgumentsError(f"failed to parse function arguments: {error}") from None
        if not isinstance(value, dict):
            raise ToolArgumentsError("failed to parse function arguments: expected an object")
        return cast("Json", value)


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What goes back to the model."""

    output: str | list[Json]
    """Text, or content items (``input_text``, ``input_image``)."""

    success: bool = True


class ToolContext(Protocol):
    """What a turn lends to its tools."""

    thread_id: ThreadId
    turn_id: TurnId
    token: CancelToken
    """Cancelled when the turn is to stop."""

    workspace: Path
    """Absolute path; patches stay beneath it."""

    approvals: SessionApprovals
    turn_diff: TurnDiff
    environment: Mapping[str, str]
    """What commands inherit, before secrets are taken out."""

    output_tokens: int
    """How much of an output the model gets, in tokens."""

    @property
    def policy(self) -> Policy:
        """What counts at this moment: a delegate's is narrowed when its parent's is."""
        ...

    def start_item(self, item: Json) -> None:
        """Announce ``item``; the time is added."""
        ...

    async def complete_item(self, item: Json) -> None:
        """Store ``item``, then announce that it is final; the times are added.

        Raises:
            RolloutError: It could not be stored; the turn must end.
        """
        ...

    def delta(self, kind: DeltaKind, item_id: ItemId, text: str) -> None:
        """Announce a piece of an item's text."""
        ...

    def publish(self, msg: EventMsg) -> None:
        """Announce anything else."""
        ...

    async def ask(
        self,
        method: str,
        params: Json,
        item_id: ItemId,
        waits_on: Literal["approval", "userInput", "form", "client"],
    ) -> Outcome:
        """Put a question to the clients and wait for its outcome, which is stored first."""
        ...

    def stop(self, reason: str) -> None:
        """Stop the whole turn, and the one it is shown in."""
        ...


class Tool(Protocol):
    """Something the model may call."""

    name: str
    parallel: bool
    """Whether it may run beside other parallel tools of the same response."""

    def spec(self, *, freeform: bool) -> Json:
        """Describe the tool to the model.

        ``freeform`` tells that the provider knows more than functions: free text tools, and
        namespaces. Of the latter each tool tells its own part, a namespace that holds it alone.
        """
        ...

    async def call(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Run. Cancellation by the turn's token is an output, not an exception."""
        ...


@dataclass(frozen=True, slots=True)
class ToolRegistry:
    """The tools of a thread, by name."""

    tools: Mapping[str, Tool] = field(default_factory=dict[str, Tool])

    @classmethod
    def of(cls, tools: Sequence[Tool]) -> "ToolRegistry":
        """Collect ``tools``; a later one does not replace an earlier one of the same name."""
        named: dict[str, Tool] = {}
        for tool in tools:
            named.setdefault(tool.name, tool)
        return cls(named)

    def find(self, name: str) -> Tool | None:
        """Return the tool of that name, if there is one."""
        return self.tools.get(name)

    def specs(self, *, freeform: bool) -> list[Json]:
        """Describe all tools to the model; a namespace stands where its first tool would."""
        found: dict[tuple[str, str], Json] = {}
        for name, tool in self.tools.items():
            spec = tool.spec(freeform=freeform)
            if spec["type"] != "namespace":
                found["tool", name] = spec
            elif (space := found.setdefault(("namespace", spec["name"]), spec)) is not spec:
                space["tools"] += spec["tools"]
        return list(found.values())
