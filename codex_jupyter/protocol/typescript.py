"""The protocol as TypeScript types, written from its JSON Schema.

`python -m codex_jupyter.protocol.typescript` writes the pages' copy to standard output.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any, Final, cast

from codex_jupyter.protocol.method_names import notification_name, params_name, result_name
from codex_jupyter.protocol.schema import EXTENSION, bundle, method_of

__all__ = ["typescript"]

Json = dict[str, Any]

_HEAD: Final = """\
// The messages of the protocol. Generated from codex_jupyter/protocol by `make docs`; do not edit.
"""
_PLAIN: Final = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*")


def typescript(whole: Json) -> str:
    """Return the text of a module with a type for each definition of a bundle.

    `ClientRequests`, `ServerRequests` and `ServerNotifications` find the types of a method by its
    name.
    """
    definitions = cast("dict[str, Json]", whole["definitions"])
    parts = [_HEAD]
    parts += [_declaration(name, schema) for name, schema in definitions.items()]
    parts.append(_table("ClientRequests", _requests(definitions["ClientRequest"])))
    parts.append(_table("ServerRequests", _requests(definitions["ServerRequest"])))
    parts.append(_table("ServerNotifications", _notifications(definitions["ServerNotification"])))
    return "\n".join(parts)


def _declaration(name: str, schema: Json) -> str:
    comment = _comment(schema, "")
    members = cast("dict[str, Json]", schema.get("properties", {}))
    if schema.get("type") == "object" and members:
        return f"{comment}export interface {name} {_object(schema, '')}\n"
    return f"{comment}export type {name} = {_type(schema, '')};\n"


def _object(schema: Json, indent: str) -> str:
    required = schema.get("required", ())
    inner = indent + "  "
    lines = [
        f"{_comment(member, inner)}{inner}{_key(name)}{'' if name in required else '?'}: "
        f"{_type(member, inner)};"
        for name, member in cast("dict[str, Json]", schema["properties"]).items()
    ]
    return "\n".join(["{", *lines, f"{indent}}}"])


def _type(schema: Json, indent: str) -> str:
    kinds = cast("list[Json] | None", schema.get("anyOf", schema.get("oneOf")))
    if kinds is not None:
        return _union([_type(kind, indent) for kind in kinds])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return _union([_literal(value) for value in cast("list[Any]", schema["enum"])])
    named: Any = schema.get("type")
    if isinstance(named, list):
        return _union([_PLAIN[name] for name in cast("list[str]", named)])
    if named == "array":
        return f"Array<{_type(schema.get('items', {}), indent)}>"
    return _record(schema, indent) if named == "object" else _PLAIN.get(named, "unknown")


def _record(schema: Json, indent: str) -> str:
    if "properties" in schema:
        return _object(schema, indent)
    values: Any = schema.get("additionalProperties")
    kind = _type(cast("Json", values), indent) if isinstance(values, dict) else "unknown"
    return f"Record<string, {kind}>"


def _requests(messages: Json) -> Iterator[tuple[str, str]]:
    for message in messages["oneOf"]:
        method = method_of(message)
        yield method, f"{{ params: {params_name(method)}; result: {result_name(method)} }}"


def _notifications(messages: Json) -> Iterator[tuple[str, str]]:
    for message in messages["oneOf"]:
        method = method_of(message)
        yield method, notification_name(method)


def _table(name: str, rows: Iterator[tuple[str, str]]) -> str:
    lines = [f"  {_literal(method)}: {kind};" for method, kind in rows]
    return "\n".join([f"export interface {name} {{", *lines, "}", ""])


def _comment(schema: Json, indent: str) -> str:
    words = str(schema.get("description", "")).replace("*/", "* /")
    if schema.get(EXTENSION):
        words = f"Ours. {words}".strip()
    return f"{indent}/** {words} */\n" if words else ""


def _union(kinds: list[str]) -> str:
    return " | ".join(dict.fromkeys(kinds)) or "never"


def _key(name: str) -> str:
    return name if _IDENTIFIER.fullmatch(name) else _literal(name)


def _literal(value: Any) -> str:
    """Write a value as TypeScript; strings in single quotes, as in the rest of the pages."""
    if not isinstance(value, str):
        return json.dumps(value)
    inner = json.dumps(value)[1:-1].replace("'", "\\'").replace('\\"', '"')
    return f"'{inner}'"


if __name__ == "__main__":
    sys.stdout.write(typescript(bundle(experimental=True)))
