"""Tools that a client brings and runs, such as Python in the user's kernel."""

import re
import time
from collections.abc import Sequence
from typing import Any, Final, cast

from pydantic import ValidationError
from pydantic_core import to_json

from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.flow.requests import Answered, Refused, Withdrawn
from codex_jupyter.protocol.requests import DynamicToolSpec
from codex_jupyter.protocol.server_requests import DynamicToolCallAnswer
from codex_jupyter.tools.approval import Proposal, Rejected, approve, digest_of
from codex_jupyter.tools.output import truncate_for_model
from codex_jupyter.tools.registry import Json, ToolCall, ToolContext, ToolOutput
from codex_jupyter.tools.visible import visible

__all__ = ["DynamicTool", "check_dynamic_tools"]

MAX_NAME_CHARS: Final = 128
"""Of a tool's name: what the Responses API takes."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]+")


def check_dynamic_tools(specs: Sequence[DynamicToolSpec], builtin: Sequence[str]) -> None:
    """Check the tools a client wants to bring.

    Raises:
        InvalidRequestError: A name is empty, malformed, reserved, taken or repeated; the texts
            are the original's where it has one.
    """
    seen: set[str] = set()
    for spec in specs:
        if (problem := _problem_with(spec.name, seen, builtin)) is not None:
            raise InvalidRequestError(problem)
        schema: Any = spec.input_schema
        if not isinstance(schema, dict) or cast("Json", schema).get("type") == "null":
            raise InvalidRequestError(
                f"dynamic tool input schema is not supported for {spec.name}: expected an object"
            )
        seen.add(spec.name)


def _problem_with(name: str, seen: set[str], builtin: Sequence[str]) -> str | None:
    if not name.strip():
        return "dynamic tool name must not be empty"
    if name != name.strip():
        return f"dynamic tool name has leading/trailing whitespace: {name}"
    if not _NAME.fullmatch(name):
        return f"dynamic tool name must match ^[a-zA-Z0-9_-]+$ to match Responses API: {name[:100]}"
    if len(name) > MAX_NAME_CHARS:
        return (
            f"dynamic tool name must be at most {MAX_NAME_CHARS} characters "
            f"to match Responses API: {name[:100]}"
        )
    if name == "mcp" or name.startswith("mcp__") or name in builtin:
        return f"dynamic tool name is reserved: {name}"
    if name in seen:
        return f"duplicate dynamic tool name: {name}"
    return None


class DynamicTool:
    """One tool of a client's, run by `item/tool/call`."""

    parallel = False

    def __init__(self, spec: DynamicToolSpec) -> None:
        self.name = spec.name
        self._spec = spec

    def spec(self, *, freeform: bool) -> Json:  # noqa: ARG002 - every model takes functions
        """Describe the tool to the model."""
        return {
            "type": "function",
            "name": self.name,
            "description": self._spec.description,
            "strict": False,
            "parameters": self._spec.input_schema,
        }

    async def call(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Ask if need be, have the client run it, and return what it gave back."""
        arguments = call.arguments()
        item: Json = {
            "type": "dynamicToolCall",
            "id": call.item_id,
            "namespace": None,
            "tool": self.name,
            "arguments": arguments,
            "status": "inProgress",
            "contentItems": None,
            "success": None,
            "durationMs": None,
        }
        context.start_item(item)
        verdict = await approve(self._proposal(call, arguments, context), context)
        if isinstance(verdict, Rejected):
            await context.complete_item({**item, "status": "declined", "success": False})
            return ToolOutput(f"{self.name} not run: {verdict.reason}", success=False)
        started = time.monotonic()
        content, success = await self._run(call, arguments, context)
        finished = {
            **item,
            "status": "completed" if success else "failed",
            "contentItems": content,
            "success": success,
            "durationMs": round((time.monotonic() - started) * 1000),
        }
        await context.complete_item(finished)
        return ToolOutput(_for_model(content, context.output_tokens), success=success)

    async def _run(
        self, call: ToolCall, arguments: Json, context: ToolContext
    ) -> tuple[list[Json], bool]:
        outcome = await context.ask(
            "item/tool/call",
            {"callId": call.item_id, "namespace": None, "tool": self.name, "arguments": arguments},
            call.item_id,
            "client",
        )
        match outcome:
            case Withdrawn():
                return _text("aborted by user"), False
            case Refused():
                return _text("dynamic tool request failed"), False
            case Answered(result):
                try:
                    answer = DynamicToolCallAnswer.model_validate(result)
                except ValidationError:
                    return _text("dynamic tool response was invalid"), False
                return answer.content_items, answer.success

    def _proposal(self, call: ToolCall, arguments: Json, context: ToolContext) -> Proposal:
        code: Any = arguments.get(self._spec.code_argument or "")
        shown = code if isinstance(code, str) else to_json(arguments, indent=2).decode()
        return Proposal(
            what=f"this call of {self.name}",
            method="item/commandExecution/requestApproval",
            params={
                "kind": "dynamicTool",
                "command": visible(shown),
                "cwd": str(context.workspace),
                "reason": f"{self.name} runs with your full rights in your kernel",
                "availableDecisions": ["accept", "acceptForSession", "decline", "cancel"],
            },
            item_id=call.item_id,
            digest=digest_of("dynamicTool", self.name, arguments),
            session_keys=(("dynamicTool", self.name, digest_of(arguments)),),
            read_only=self._spec.read_only or not self._spec.requires_approval,
        )


def _text(text: str) -> list[Json]:
    return [{"type": "inputText", "text": text}]


def _for_model(content: list[Json], max_tokens: int) -> str | list[Json]:
    texts = [str(entry.get("text", "")) for entry in content if entry.get("type") == "inputText"]
    images = [entry for entry in content if entry.get("type") == "inputImage"]
    text = truncate_for_model("\n".join(texts), max_tokens)
    if not images:
        return text
    shown = [{"type": "input_image", "image_url": entry.get("imageUrl")} for entry in images]
    return [{"type": "input_text", "text": text}, *shown]
