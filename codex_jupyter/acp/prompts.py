"""What a client says in a prompt, as input of a turn."""

from collections.abc import Sequence
from typing import Any

from codex_jupyter.errors import UsageError

__all__ = ["user_input"]

Json = dict[str, Any]


def user_input(blocks: Sequence[Json]) -> list[Json]:
    """Return the content blocks of a prompt as input of turn/start.

    Neighbouring text becomes one part, because a model reads it as one message.

    Raises:
        UsageError: There is nothing to say, or a block is of a kind that no model here takes.
    """
    parts: list[Json] = []
    for block in blocks:
        part = _part(block)
        if part["type"] == "text" and parts and parts[-1]["type"] == "text":
            parts[-1] = {"type": "text", "text": f"{parts[-1]['text']}\n{part['text']}"}
        else:
            parts.append(part)
    if all(part["type"] == "text" and not part["text"].strip() for part in parts):
        raise UsageError("there is nothing to say: the prompt is empty")
    return parts


def _part(block: Json) -> Json:
    match block:
        case {"type": "text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "image", "data": str(data), "mimeType": str(kind)}:
            return {"type": "image", "url": f"data:{kind};base64,{data}"}
        case {"type": "resource_link", "uri": str(uri)}:
            name = block.get("title") or block.get("name") or uri
            return {"type": "text", "text": f"[{name}]({uri})"}
        case {"type": "resource", "resource": {"text": str(text), "uri": str(uri)}}:
            return {"type": "text", "text": f'<resource uri="{uri}">\n{text}\n</resource>'}
        case {"type": str(kind)}:
            raise UsageError(f"the prompt has a part of kind {kind!r}; text and images are taken")
        case _:
            raise UsageError("the prompt has a part without a kind")
