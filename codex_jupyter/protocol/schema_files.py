"""The schema and the TypeScript of the protocol as files, laid out as the original does.

Shapes of version 2 have a folder, and a place of their own in the bundle; what the server asks, the
first request, the search for files and the messages themselves stand outside of it.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

from codex_jupyter.protocol.method_names import notification_name, params_name, result_name
from codex_jupyter.protocol.schema import bundle, definition_of, method_of, names_below
from codex_jupyter.protocol.typescript import typescript

__all__ = ["BUNDLE_NAME", "FLAT_BUNDLE_NAME", "json_schema_files", "typescript_files"]

Json = dict[str, Any]

BUNDLE_NAME: Final = "codex_app_server_protocol.schemas.json"
FLAT_BUNDLE_NAME: Final = "codex_app_server_protocol.v2.schemas.json"

_MESSAGES: Final = ("ClientRequest", "ClientNotification", "ServerRequest", "ServerNotification")
_FIRST: Final = "initialize"
_UNVERSIONED: Final = "fuzzyFileSearch"
_WITHOUT_PARAMS: Final = (
    "account/logout",
    "config/mcpServer/reload",
    "configRequirements/read",
)
_REF: Final = "#/definitions/"
_ID: Final = {"$ref": f"{_REF}RequestId"}
_FRAMES: Final[Json] = {
    "JSONRPCMessage": {
        "anyOf": [
            {"$ref": f"{_REF}{name}"}
            for name in ("JSONRPCRequest", "JSONRPCNotification", "JSONRPCResponse", "JSONRPCError")
        ]
    },
    "JSONRPCRequest": {
        "type": "object",
        "properties": {"id": _ID, "method": {"type": "string"}, "params": True},
        "required": ["id", "method"],
    },
    "JSONRPCNotification": {
        "type": "object",
        "properties": {"method": {"type": "string"}, "params": True},
        "required": ["method"],
    },
    "JSONRPCResponse": {
        "type": "object",
        "properties": {"id": _ID, "result": True},
        "required": ["id", "result"],
    },
    "JSONRPCError": {
        "type": "object",
        "properties": {"id": _ID, "error": {"$ref": f"{_REF}JSONRPCErrorError"}},
        "required": ["id", "error"],
    },
    "JSONRPCErrorError": {
        "type": "object",
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}, "data": True},
        "required": ["code", "message"],
    },
}
"""The frames of all messages."""


def json_schema_files(*, experimental: bool) -> dict[str, str]:
    """Return the text of each file by its path: two bundles, the messages, one for each shape.

    Args:
        experimental: Whether to keep what needs `experimentalApi`.
    """
    whole = bundle(experimental=experimental)
    whole["definitions"] |= _FRAMES
    shapes = dict(_shape_files(whole["definitions"]))
    versioned = [name for path, name in shapes.items() if path.startswith("v2/")]
    files = {BUNDLE_NAME: _nested(whole, versioned), FLAT_BUNDLE_NAME: _flat(whole, versioned)}
    files |= {
        f"{name}.json": definition_of(whole, name) for name in (*_MESSAGES, *_FRAMES, "RequestId")
    }
    files |= {path: definition_of(whole, name) for path, name in shapes.items()}
    return {path: json.dumps(schema, indent=2) + "\n" for path, schema in files.items()}


def typescript_files(*, experimental: bool) -> dict[str, str]:
    """Return the text of each TypeScript file by its path."""
    return {
        "index.ts": "export * from './protocol';\n",
        "protocol.ts": typescript(bundle(experimental=experimental)),
    }


def _shape_files(definitions: Json) -> Iterator[tuple[str, str]]:
    """Yield the file and the name of each shape of a message."""
    for message in definitions["ClientRequest"]["oneOf"]:
        method = method_of(message)
        folder = "v1/" if method == _FIRST else _folder(method)
        if method not in _WITHOUT_PARAMS:
            yield f"{folder}{params_name(method)}.json", params_name(method)
        yield f"{folder}{result_name(method)}.json", result_name(method)
    for message in definitions["ServerNotification"]["oneOf"]:
        method = method_of(message)
        name = notification_name(method)
        yield f"{_folder(method)}{name}.json", name
    for message in definitions["ServerRequest"]["oneOf"]:
        method = method_of(message)
        for name in (params_name(method), result_name(method)):
            yield f"{name}.json", name


def _folder(method: str) -> str:
    return "" if method.partition("/")[0] == _UNVERSIONED else "v2/"


def _nested(whole: Json, versioned: Iterable[str]) -> Json:
    """Return the bundle with the shapes of version 2, and all that they name, below ``v2``."""
    definitions = cast("Json", whole["definitions"])
    below = {*names_below(whole, versioned), "RequestId"}
    outside = {name: shape for name, shape in definitions.items() if name not in below}
    inside = {name: definitions[name] for name in sorted(below)}
    moved: Json = {**outside, "v2": inside}
    return {**whole, "definitions": _with_refs(moved, below)}


def _flat(whole: Json, versioned: Iterable[str]) -> Json:
    """Return the shapes of version 2 and the messages that carry them, all side by side."""
    definitions = cast("Json", whole["definitions"])
    names = names_below(whole, (*versioned, "ClientRequest", "ServerNotification"))
    return {
        **whole,
        "title": f"{whole['title']}V2",
        "definitions": {name: definitions[name] for name in sorted(names)},
    }


def _with_refs(node: Any, below: set[str]) -> Any:
    """Return a schema whose references lead to where the shapes have gone."""
    if isinstance(node, list):
        return [_with_refs(element, below) for element in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    return {
        key: f"{_REF}v2/{name}"
        if key == "$ref" and (name := str(value).removeprefix(_REF)) in below
        else _with_refs(value, below)
        for key, value in cast("Json", node).items()
    }
