"""Names, results and questions of MCP servers as the model and the clients have them. Pure."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

from pydantic_core import to_json

from codex_jupyter.tools.output import truncate_for_model

__all__ = ["answers_of", "for_model", "questions_of", "tool_name"]

Json = dict[str, Any]

MAX_NAME: Final = 64
_HASH_CHARS: Final = 8


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


def questions_of(message: str, schema: Mapping[str, Any]) -> list[Json]:
    """Return the form of a server as questions to the user, one for each field."""
    fields: Mapping[str, Json] = schema.get("properties") or {}
    questions: list[Json] = []
    for name, asked in fields.items():
        values: Sequence[Any] = asked.get("enum") or ()
        if asked.get("type") == "boolean":
            values = ("true", "false")
        described = asked.get("description") or asked.get("title") or name
        questions.append(
            {
                "id": name,
                "header": str(asked.get("title") or name)[:40],
                "question": f"{message}\n{described}" if not questions else str(described),
                "isOther": not values,
                "isSecret": False,
                "options": [{"label": str(value), "description": ""} for value in values] or None,
            }
        )
    return questions or [
        {
            "id": "answer",
            "header": "Allow",
            "question": message,
            "isOther": False,
            "isSecret": False,
            "options": [{"label": "Yes", "description": ""}, {"label": "No", "description": ""}],
        }
    ]


def answers_of(schema: Mapping[str, Any], answers: Mapping[str, Any]) -> Json | None:
    """Return the content of the form, typed as its schema says, or ``None`` for a no."""
    fields: Mapping[str, Json] = schema.get("properties") or {}
    if not fields:
        return {} if _text(answers.get("answer")) == "Yes" else None
    content: Json = {}
    for name, asked in fields.items():
        text = _text(answers.get(name))
        if text is None:
            continue
        try:
            content[name] = _typed(text, asked.get("type"))
        except ValueError:
            return None
    missing = set(cast("Sequence[str]", schema.get("required") or ())) - content.keys()
    return None if missing else content


def _text(answer: Any) -> str | None:
    if isinstance(answer, dict):
        texts = cast("Json", answer).get("answers")
        answer = cast("list[Any]", texts)[0] if isinstance(texts, list) and texts else None
    return answer if isinstance(answer, str) else None


def _typed(text: str, kind: object) -> Any:
    match kind:
        case "integer":
            return int(text)
        case "number":
            return float(text)
        case "boolean":
            return text.lower() in ("true", "yes", "1")
        case _:
            return text
