"""What is sent to a Responses API: a request and a provider's capabilities become one JSON body."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from codex_jupyter.model.interface import ModelCapabilities, ModelRequest

__all__ = ["encode_body", "request_body"]


def request_body(request: ModelRequest, capabilities: ModelCapabilities) -> dict[str, Any]:
    """Return the body for ``POST …/responses``.

    Members the provider cannot take are left out rather than sent as null: servers that follow
    the API loosely trip over members they do not know. The lists of ``request`` are shared with
    the result, not copied.
    """
    body: dict[str, Any] = {
        "model": request.model,
        "instructions": request.instructions,
        "input": list(request.input),
        "store": False,
        "stream": True,
    }
    if tools := _tools(request, capabilities):
        body |= {"tools": tools, "tool_choice": "auto", "parallel_tool_calls": True}
    if capabilities.reasoning:
        body |= {
            "reasoning": _reasoning(request),
            # With store off, the only way a model sees its own earlier reasoning again.
            "include": ["reasoning.encrypted_content"],
        }
    if request.thread_id:
        body["prompt_cache_key"] = request.thread_id
    if request.output_schema is not None:
        body["text"] = {
            "format": {
                "type": "json_schema",
                "name": "codex_output_schema",
                "strict": True,
                "schema": request.output_schema,
            }
        }
    return body


def encode_body(body: Mapping[str, Any]) -> bytes:
    """Encode ``body`` as UTF-8 JSON.

    Half of a surrogate pair (Python's stand-in for an undecodable byte of a file name) has no
    UTF-8 form and is sent as ``?``.
    """
    try:
        return to_json(body)
    except PydanticSerializationError:
        return json.dumps(body, ensure_ascii=False, default=dict).encode("utf-8", "replace")


def _tools(request: ModelRequest, capabilities: ModelCapabilities) -> list[Mapping[str, Any]]:
    if not capabilities.tools:
        return []
    if capabilities.freeform_tools:
        return list(request.tools)
    return [tool for tool in request.tools if tool.get("type") != "custom"]


def _reasoning(request: ModelRequest) -> dict[str, str]:
    wanted = {"effort": request.effort, "summary": request.summary}
    return {name: value for name, value in wanted.items() if value is not None}
