"""Which tools a client may bring: the original's rules and texts, and few of our own. Pure."""

import re
from collections.abc import Sequence
from typing import Any, Final, cast

from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.protocol.called_name import called_name
from codex_jupyter.protocol.dynamic_tools import (
    DynamicToolFunction,
    DynamicToolNamespace,
    DynamicToolSpec,
)

__all__ = ["check_dynamic_tools"]

Json = dict[str, Any]

MAX_NAME_CHARS: Final = 128
"""Of a tool's name: what the Responses API takes."""

MAX_NAMESPACE_CHARS: Final = 64
"""Of a namespace's name."""

MAX_DESCRIPTION_CHARS: Final = 1024
"""Of what is said of a namespace; a tool may say more."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]+")
_OF_THE_API: Final = frozenset(
    {
        "api_tool",
        "browser",
        "computer",
        "container",
        "file_search",
        "functions",
        "image_gen",
        "multi_tool_use",
        "python",
        "submodel_delegator",
        "terminal",
        "tool_search",
        "web",
    }
)
"""Namespaces that the Responses API has itself."""


def check_dynamic_tools(specs: Sequence[DynamicToolSpec], builtin: Sequence[str]) -> None:
    """Check the tools a client wants to bring.

    Raises:
        InvalidRequestError: A name is empty, malformed, reserved, taken or repeated, or there is
            another mistake; the texts are the original's where it has one.
    """
    called: set[str] = set()
    spaces: set[str] = set()
    for spec in specs:
        match spec:
            case DynamicToolFunction():
                _check_tool(spec, None, {*builtin}, called)
            case DynamicToolNamespace():
                if (problem := _problem_with_namespace(spec, spaces, builtin)) is not None:
                    raise InvalidRequestError(problem)
                spaces.add(spec.name)
                own: set[str] = set()
                for tool in spec.tools:
                    if tool.name in own:
                        raise InvalidRequestError(
                            f"duplicate dynamic tool name in namespace {spec.name}: {tool.name}"
                        )
                    own.add(tool.name)
                    _check_tool(tool, spec.name, set(), called)


def _check_tool(
    tool: DynamicToolFunction, namespace: str | None, builtin: set[str], called: set[str]
) -> None:
    if (problem := _problem_with("name", tool.name, MAX_NAME_CHARS)) is not None:
        raise InvalidRequestError(problem)
    if tool.name in builtin:
        raise InvalidRequestError(f"dynamic tool name is reserved: {tool.name}")
    if namespace is None and tool.defer_loading:
        raise InvalidRequestError(f"deferred dynamic tool must include a namespace: {tool.name}")
    name = called_name(namespace, tool.name)
    if name in called:
        raise InvalidRequestError(f"duplicate dynamic tool name: {name}")
    called.add(name)
    schema: Any = tool.input_schema
    if not isinstance(schema, dict) or cast("Json", schema).get("type") == "null":
        raise InvalidRequestError(
            f"dynamic tool input schema is not supported for {tool.name}: expected an object"
        )


def _problem_with_namespace(
    space: DynamicToolNamespace, spaces: set[str], builtin: Sequence[str]
) -> str | None:
    name = space.name
    if (problem := _problem_with("namespace", name, MAX_NAMESPACE_CHARS)) is not None:
        return problem
    if name in _OF_THE_API:
        return f"dynamic tool namespace collides with a reserved Responses API namespace: {name}"
    if name in builtin:
        return f"dynamic tool namespace is reserved: {name}"
    if len(space.description) > MAX_DESCRIPTION_CHARS:
        return (
            f"dynamic tool namespace description must be at most {MAX_DESCRIPTION_CHARS} characters"
        )
    if name in spaces:
        return f"duplicate dynamic tool namespace: {name}"
    if not space.tools:
        return f"dynamic tool namespace must contain at least one tool: {name}"
    return None


def _problem_with(what: str, name: str, limit: int) -> str | None:
    """Return what is wrong with any name; it is told cut, since it may be of any length."""
    told = name[:100]
    if not name.strip():
        return f"dynamic tool {what} must not be empty"
    if name != name.strip():
        return f"dynamic tool {what} has leading/trailing whitespace: {told}"
    if not _NAME.fullmatch(name):
        return f"dynamic tool {what} must match ^[a-zA-Z0-9_-]+$ to match Responses API: {told}"
    if len(name) > limit:
        return (
            f"dynamic tool {what} must be at most {limit} characters to match Responses API: {told}"
        )
    if name == "mcp" or name.startswith("mcp__"):
        return f"dynamic tool {what} is reserved: {told}"
    return None
