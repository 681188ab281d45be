"""Tools that a client brings and runs, such as Python in the user's kernel."""

import time
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from codex_jupyter.flow.requests import Answered, Refused, Withdrawn
from codex_jupyter.protocol.called_name import called_name
from codex_jupyter.protocol.dynamic_tools import (
    DynamicToolFunction,
    DynamicToolNamespace,
    DynamicToolSpec,
)
from codex_jupyter.protocol.server_requests import DynamicToolCallAnswer
from codex_jupyter.tools.approval import Proposal, Rejected, approve, digest_of
from codex_jupyter.tools.output import NO_AUDIO, truncate_for_model
from codex_jupyter.tools.registry import Json, Tool, ToolCall, ToolContext, ToolOutput
from codex_jupyter.tools.visible import visible

__all__ = ["DynamicTool", "dynamic_tools"]


def dynamic_tools(specs: Sequence[DynamicToolSpec]) -> list[Tool]:
    """Return what a client brings, a tool for each of its functions."""
    tools: list[Tool] = []
    for spec in specs:
        match spec:
            case DynamicToolFunction():
                tools.append(DynamicTool(spec))
            case DynamicToolNamespace():
                tools += [DynamicTool(tool, spec) for tool in spec.tools]
    return tools


class DynamicTool:
    """One tool of a client's, run by `item/tool/call`.

    A tool in a namespace has two spellings. Where the provider is said to know more than functions
    it is offered as the original offers it, in a namespace, and the model calls it so. That is not
    done on every Responses API, though the original does: many servers that speak it refuse a
    request with a kind of tool that they do not know, and Chat Completions has no namespaces at
    all. They get a function with the name that `called_name` makes of both. Calls are understood in
    either spelling everywhere, since a thread may change its provider, and stay in the thread's
    memory as the model made them.

    Args:
        spec: The function.
        space: The namespace that it is in.
    """

    parallel = False

    def __init__(
        self, spec: DynamicToolFunction, space: DynamicToolNamespace | None = None
    ) -> None:
        self._spec = spec
        self._space = space
        self._namespace = None if space is None else space.name
        self._shown = spec.name if space is None else f"{space.name}.{spec.name}"
        self.name = called_name(self._namespace, spec.name)

    def spec(self, *, freeform: bool) -> Json:
        """Describe the tool to the model, in its namespace if the provider knows those."""
        function: Json = {
            "type": "function",
            "name": self._spec.name,
            "description": self._spec.description,
            "strict": False,
            "parameters": self._spec.input_schema,
        }
        if self._space is None:
            return function
        about = self._space.description
        if not freeform:
            words = f"{self._spec.description}\n\n{about}".strip()
            return {**function, "name": self.name, "description": words}
        if not about.strip():
            about = f"Tools in the {self._space.name} namespace."
        space = {"type": "namespace", "name": self._space.name, "description": about}
        return {**space, "tools": [function]}

    async def call(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Ask if need be, have the client run it, and return what it gave back."""
        arguments = call.arguments()
        item: Json = {
            "type": "dynamicToolCall",
            "id": call.item_id,
            "namespace": self._namespace,
            "tool": self._spec.name,
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
            {
                "callId": call.item_id,
                "namespace": self._namespace,
                "tool": self._spec.name,
                "arguments": arguments,
            },
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
                return [entry.wire() for entry in answer.content_items], answer.success

    def _proposal(self, call: ToolCall, arguments: Json, context: ToolContext) -> Proposal:
        code: Any = arguments.get(self._spec.code_argument or "")
        shown = code if isinstance(code, str) else to_json(arguments, indent=2).decode()
        return Proposal(
            what=f"this call of {self._shown}",
            method="item/commandExecution/requestApproval",
            params={
                "kind": "dynamicTool",
                "command": visible(shown),
                "cwd": str(context.workspace),
                "reason": f"{self._shown} runs with your full rights in your kernel",
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
    """Return what the model gets of an answer: all texts, cut, then the images.

    Audio is passed on to no model: few take it. Where it was, the model reads that, in the
    original's words.
    """
    texts: list[str] = []
    images: list[Json] = []
    for entry in content:
        match entry:
            case {"type": "inputImage", "imageUrl": url}:
                images.append({"type": "input_image", "image_url": url})
            case {"type": "inputAudio"}:
                texts.append(NO_AUDIO)
            case _:
                texts.append(entry["text"])
    text = truncate_for_model("\n".join(texts), max_tokens)
    return [{"type": "input_text", "text": text}, *images] if images else text
