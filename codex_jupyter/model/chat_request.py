"""A request as Chat Completions has it: response items become messages. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from codex_jupyter.model.interface import ModelCapabilities, ModelRequest
from codex_jupyter.protocol.called_name import called_name

__all__ = ["chat_body"]

Json = dict[str, Any]

_ROLES: Final = {"developer": "system", "system": "system", "assistant": "assistant"}
_CALLS: Final = ("function_call", "custom_tool_call")
_OUTPUTS: Final = ("function_call_output", "custom_tool_call_output")


def chat_body(request: ModelRequest, capabilities: ModelCapabilities) -> Json:
    """Return the body for ``POST …/chat/completions``.

    Reasoning items are left out, because no server of this API takes them back. Free text tools
    are not sent; calls of such tools in the history become calls with one argument, and calls of
    tools in namespaces get the plain names under which those are offered here.
    """
    body: Json = {
        "model": request.model,
        "messages": _messages(request.instructions, request.input),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    tools = [_tool(tool) for tool in request.tools if tool.get("type") == "function"]
    if tools and capabilities.tools:
        body |= {"tools": tools, "tool_choice": "auto"}
    if capabilities.reasoning and request.effort is not None:
        body["reasoning_effort"] = request.effort
    if request.output_schema is not None:
        schema = {"name": "codex_output_schema", "strict": True, "schema": request.output_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _messages(instructions: str, items: Sequence[Mapping[str, Any]]) -> list[Json]:
    messages: list[Json] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    pictures: list[Json] = []
    for item in items:
        kind = item.get("type")
        if kind in _OUTPUTS:
            text, seen = _output(item.get("output"))
            call_id = str(item.get("call_id") or "")
            messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
            pictures += seen
            continue
        if pictures:
            # Tool messages hold text only; what was seen follows as if the user showed it.
            messages.append({"role": "user", "content": pictures})
            pictures = []
        if kind in _CALLS:
            _add_call(messages, item)
        elif kind == "message":
            messages.append(_message(item))
    if pictures:
        messages.append({"role": "user", "content": pictures})
    return messages


def _message(item: Mapping[str, Any]) -> Json:
    role = _ROLES.get(str(item.get("role")), "user")
    parts = _parts(item.get("content"))
    if all(part["type"] == "text" for part in parts):
        return {"role": role, "content": "\n".join(part["text"] for part in parts)}
    return {"role": role, "content": parts}


def _add_call(messages: list[Json], item: Mapping[str, Any]) -> None:
    """Add a call to the assistant's message before it, or to one of its own."""
    text = item.get("arguments")
    if item.get("type") == "custom_tool_call":
        text = _as_arguments(item.get("input"))
    name = called_name(item.get("namespace"), str(item.get("name") or ""))
    call = {
        "id": str(item.get("call_id") or ""),
        "type": "function",
        "function": {"name": name, "arguments": str(text or "{}")},
    }
    last = messages[-1] if messages else {}
    if last.get("role") == "assistant":
        last.setdefault("tool_calls", []).append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _as_arguments(text: object) -> str:
    import json  # noqa: PLC0415 - only histories that another provider wrote have these

    return json.dumps({"input": text})


def _output(output: object) -> tuple[str, list[Json]]:
    if isinstance(output, str):
        return output, []
    parts = _parts(output)
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    return text or "(see the image)", [part for part in parts if part["type"] != "text"]


def _parts(content: object) -> list[Json]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    parts: list[Json] = []
    for part in cast("list[Any]", content) if isinstance(content, list) else ():
        match part:
            case {"type": "input_image", "image_url": str(url)}:
                parts.append({"type": "image_url", "image_url": {"url": url}})
            case {"text": str(text)}:
                parts.append({"type": "text", "text": text})
            case {"refusal": str(text)}:
                parts.append({"type": "text", "text": text})
            case _:
                pass
    return parts


def _tool(tool: Mapping[str, Any]) -> Json:
    known = ("name", "description", "parameters")
    return {"type": "function", "function": {name: tool[name] for name in known if name in tool}}
