"""The shapes of tools that a client brings and runs, and their older form."""

from typing import Annotated, Any, Final, Literal, cast

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from codex_jupyter.protocol._wire import WireModel

__all__ = [
    "MIXED_FORMATS",
    "DynamicToolFunction",
    "DynamicToolNamespace",
    "DynamicToolSpec",
    "DynamicToolSpecs",
]

Json = dict[str, Any]

MIXED_FORMATS: Final = "mixed_formats"
"""The kind of the refusal of a list that is neither in today's form nor in the older one."""

_MIXED: Final = "dynamic tools must use either canonical or legacy format consistently"


class DynamicToolFunction(WireModel):
    """A tool that the client of the thread runs when the model calls it."""

    type: Literal["function"] = "function"
    name: str
    description: str
    input_schema: Any
    defer_loading: bool = False
    """In a namespace only. It changes nothing: there is no search for tools here, so that the model
    knows each of them from the beginning."""

    read_only: bool = False
    """Ours: the tool changes nothing, so that no approval is asked for."""

    requires_approval: bool = False
    """Ours: every call is decided like a command, by the thread's approval policy."""

    code_argument: str | None = None
    """Ours: the argument that holds what will run, shown when approval is asked for."""


class DynamicToolNamespace(WireModel):
    """Tools of a client's that belong together; their names need to differ only in here."""

    type: Literal["namespace"]
    name: str
    description: str
    tools: list[DynamicToolFunction]


DynamicToolSpec = Annotated[DynamicToolFunction | DynamicToolNamespace, Field(discriminator="type")]


def _canonical(given: Any) -> Any:
    """Bring tools without a `type`, as older versions have them, into today's form.

    Those may name a namespace each. The place of the first one is that of the namespace.
    """
    entries = _objects(given)
    inner = [tool for e in entries if "type" in e for tool in _objects(e.get("tools"))]
    typed = {"type" in entry for entry in [*entries, *inner]}
    if len(typed) > 1 or (True in typed and any(entry.get("namespace") for entry in entries)):
        raise PydanticCustomError(MIXED_FORMATS, _MIXED)
    if True in typed or not entries or len(entries) < len(given):
        return given
    found: dict[Any, Json] = {}
    for place, entry in enumerate(entries):
        tool = {"type": "function", **entry}
        # What `deferLoading` was before, the other way round.
        if tool.get("deferLoading") is None and tool.pop("exposeToContext", None) is False:
            tool["deferLoading"] = True
        if isinstance(space := entry.get("namespace"), str):
            empty: Json = {"type": "namespace", "name": space, "description": "", "tools": []}
            found.setdefault(space, empty)["tools"].append(tool)
        else:
            found[place] = tool
    return list(found.values())


def _objects(given: Any) -> list[Json]:
    entries = cast("list[Any]", given) if isinstance(given, list) else []
    return [cast("Json", entry) for entry in entries if isinstance(entry, dict)]


DynamicToolSpecs = Annotated[list[DynamicToolSpec], BeforeValidator(_canonical)]
"""All that a client brings, as a request or a rollout has them."""
