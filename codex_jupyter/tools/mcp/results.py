"""Names, results and forms of MCP servers as the model and the clients have them. Pure."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

from pydantic_core import to_json

from codex_jupyter.tools.output import truncate_for_model

__all__ = ["for_model", "form_schema", "tool_name"]

Json = dict[str, Any]

MAX_NAME: Final = 64
_HASH_CHARS: Final = 8
_OF_ALL: Final = ("type", "title", "description", "default")
_OF_TYPE: Final[Mapping[str, Sequence[str]]] = {
    "string": ("minLength", "maxLength", "format", "enum", "enumNames", "oneOf"),
    "number": ("minimum", "maximum"),
    "integer": ("minimum", "maximum"),
    "boolean": (),
    "array": ("minItems", "maxItems", "items"),
}
"""What a field of a form may say of itself, by its type; clients refuse more."""

_FORMATS: Final = ("email", "uri", "date", "date-time")


def tool_name(server: str, tool: str, taken: Collection[str]) -> str:
    """Return the name under which the model calls a tool: letters, digits, ``_`` and ``-``.

    What would be too long, or is taken, ends with a hash of the real name.
    """
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", f"mcp__{server}__{tool}")
    if len(plain) <= MAX_NAME and plain not in taken:
        return plain
    mark = hashlib.sha256(f"{server}\0{tool}".encode()).hexdigest()[:_HASH_CHARS]
    return f"{plain[: MAX_NAME - _HASH_CHARS - 1]}_{mark}"


def for_model(result: Mapping[str, Any], max_tokens: int) -> str | list[Json]:
    """Return what the model gets of a result, cut to about ``max_tokens``; images are kept."""
    texts: list[str] = []
    images: list[Json] = []
    for part in cast("Sequence[Json]", result.get("content") or ()):
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "image", "data": str(data), "mimeType": str(kind)}:
                images.append({"type": "input_image", "image_url": f"data:{kind};base64,{data}"})
            case _:
                texts.append(to_json(part, serialize_unknown=True).decode())
    structured = result.get("structuredContent")
    if structured is not None and not texts:
        texts.append(to_json(structured, serialize_unknown=True).decode())
    text = truncate_for_model("\n".join(texts), max_tokens)
    return [{"type": "input_text", "text": text}, *images] if images else text


def form_schema(schema: Mapping[str, Any]) -> Json:
    """Return the schema of a form without what the protocol has no place for.

    Libraries write more than the standard of MCP allows, such as a title of the whole or a pattern;
    the server checks the answer by its own schema anyway.
    """
    fields: Mapping[str, Json] = schema.get("properties") or {}
    form: Json = {
        "type": "object",
        "properties": {name: _field_schema(asked) for name, asked in fields.items()},
    }
    return {**form, "required": list(schema["required"])} if schema.get("required") else form


def _field_schema(asked: Json) -> Json:
    nullable: Sequence[Json] = asked.get("anyOf") or ()
    if "type" not in asked and nullable:
        asked |= next((a for a in nullable if a.get("type") != "null"), asked)
    kind = asked.get("type")
    kind = kind if isinstance(kind, str) and kind in _OF_TYPE else "string"
    known = (*_OF_ALL, *_OF_TYPE[kind])
    field = {name: asked[name] for name in known if asked.get(name) is not None}
    if field.get("format") not in _FORMATS:
        field.pop("format", None)
    return {**field, "type": kind}
