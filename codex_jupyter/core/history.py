"""The prompt memory of a thread: response items in the order in which the model met them."""

import base64
import json
import math
import mimetypes
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from pydantic_core import PydanticSerializationError, to_json

from codex_jupyter.protocol.items import (
    ImageInput,
    LocalImageInput,
    MentionInput,
    SkillInput,
    TextInput,
    UserInput,
)
from codex_jupyter.protocol.ops import ToolMessage
from codex_jupyter.tools.output import NO_AUDIO

__all__ = ["History", "estimated_tokens", "tool_message", "user_message", "without_last_images"]

Json = dict[str, Any]

_OUTPUT_OF: Final = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
}
_OUTPUTS: Final = frozenset(_OUTPUT_OF.values())
_NOT_SENT: Final = frozenset(
    {"id", "status", "internal_chat_message_metadata_passthrough", "metadata"}
)
"""Members of the model's items that are not sent back to it."""

_BYTES_PER_TOKEN: Final = 4
_IMAGE_BYTES: Final = 7373
"""What an image counts as, in bytes of text; the number of the original."""

_MAX_TOOL_NAME: Final = 64
_MAX_IMAGE_BYTES: Final = 20 * 1024 * 1024


class History:
    """What the model is sent, oldest first. Appending is cheap; a prompt is built in one pass.

    Args:
        items: What is remembered already.
        counted: Whether the model has reported how many tokens those are.
    """

    def __init__(self, items: Iterable[Json] = (), *, counted: bool = False) -> None:
        self._items = [_sendable(item) for item in items]
        self._uncounted = 0 if counted else sum(map(estimated_tokens, self._items))

    @property
    def items(self) -> Sequence[Json]:
        """All of them, oldest first."""
        return self._items

    @property
    def uncounted_tokens(self) -> int:
        """Estimated tokens of what came since the model last reported."""
        return self._uncounted

    def counted(self) -> None:
        """Note that the model has reported the tokens of everything so far."""
        self._uncounted = 0

    def __len__(self) -> int:
        return len(self._items)

    def append(self, items: Iterable[Json]) -> None:
        """Add items; members that only the server uses are left out."""
        for item in items:
            sendable = _sendable(item)
            self._items.append(sendable)
            self._uncounted += estimated_tokens(sendable)

    def prompt(self) -> list[Json]:
        """Return the items to send: every call has one output, every output its call."""
        paired = _paired(self._items)
        prompt: list[Json] = []
        for place, item in enumerate(self._items):
            kind = item.get("type")
            if kind in _OUTPUTS and place not in paired:
                continue
            prompt.append(item)
            if kind in _OUTPUT_OF and place not in paired:
                call_id = item.get("call_id", "")
                prompt.append({"type": _OUTPUT_OF[kind], "call_id": call_id, "output": "aborted"})
        return prompt


def without_last_images(items: Sequence[Json]) -> list[Json] | None:
    """Return the items without the images of the last tool output, or ``None`` if it has none."""
    place = next((n for n in range(len(items) - 1, -1, -1) if _has_images(items[n])), None)
    if place is None or items[place].get("type") not in _OUTPUTS:
        return None
    kept: list[Json] = [
        part
        if part.get("type") != "input_image"
        else {"type": "input_text", "text": "[image left out: the model could not read it]"}
        for part in items[place]["output"]
    ]
    return [*items[:place], {**items[place], "output": kept}, *items[place + 1 :]]


def _has_images(item: Json) -> bool:
    content: Any = item.get("output") or item.get("content")
    parts = cast("list[Json]", content) if isinstance(content, list) else []
    return any(part.get("type") == "input_image" for part in parts)


def estimated_tokens(item: Json) -> int:
    """Estimate what an item costs: 4 bytes a token, a fixed sum for each image."""
    size = _encoded_size(item)
    content: Any = item.get("content") or item.get("output")
    for part in cast("list[Any]", content) if isinstance(content, list) else ():
        match part:
            case {"type": "input_image", "image_url": str(url)}:
                size += _IMAGE_BYTES - len(url)
            case _:
                pass
    return math.ceil(size / _BYTES_PER_TOKEN)


def _encoded_size(item: Json) -> int:
    try:
        return len(to_json(item, serialize_unknown=True))
    except PydanticSerializationError:
        # Half a surrogate pair, as in the name of a folder that is no UTF-8.
        text = json.dumps(item, ensure_ascii=False, default=str)
        return len(text.encode("utf-8", "surrogatepass"))


def _paired(items: Sequence[Json]) -> set[int]:
    """Return the places of the calls that have an output, and of those outputs.

    Some servers name the calls of every answer alike, so an output belongs to the oldest call of
    its name that still waits, but not to one from before the user last spoke.
    """
    paired: set[int] = set()
    waiting: dict[tuple[str, Any], list[tuple[int, int]]] = {}
    spoken = 0
    for place, item in enumerate(items):
        kind = item.get("type", "")
        if kind in _OUTPUT_OF:
            name = _OUTPUT_OF[kind], item.get("call_id")
            fresh = [call for call in waiting.get(name, ()) if call[0] == spoken]
            waiting[name] = [*fresh, (spoken, place)]
        elif kind in _OUTPUTS:
            if calls := waiting.get((kind, item.get("call_id"))):
                paired |= {calls.pop(0)[1], place}
        elif item.get("role") == "user":
            spoken += 1
    return paired


def user_message(items: Sequence[UserInput]) -> Json:
    """Return the response item for what a user said. Reads local images: call it in a thread."""
    content: list[Json] = []
    for item in items:
        match item:
            case TextInput(text=text):
                content.append({"type": "input_text", "text": text})
            case ImageInput(url=url):
                content.append({"type": "input_image", "image_url": url})
            case LocalImageInput(path=path):
                content.append(_local_image(Path(path)))
            case SkillInput(name=name, path=path) | MentionInput(name=name, path=path):
                content.append({"type": "input_text", "text": f"[{name}]({path})"})
    return {"type": "message", "role": "user", "content": content}


def tool_message(told: ToolMessage, item_id: str) -> tuple[Json, Json]:
    """Return what a model remembers of a message of a tool's: a call, and its output.

    The original stores an output without a call, which only its own service takes.
    """
    name = told.name if told.namespace is None else f"{told.namespace}__{told.name}"
    call_id = f"call_{item_id}"
    call = {
        "type": "function_call",
        "name": re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:_MAX_TOOL_NAME],
        "arguments": "{}",
        "call_id": call_id,
    }
    return call, {"type": "function_call_output", "call_id": call_id, "output": told.output}


def _local_image(path: Path) -> Json:
    kind = mimetypes.guess_type(path.name)[0] or ""
    try:
        if not kind.startswith("image/"):
            raise OSError("not an image by its name")  # noqa: TRY301 - one wording for both
        # A pipe or device may carry the name of an image, and would never end.
        if path.exists() and not path.is_file():
            raise OSError("not a regular file")  # noqa: TRY301
        if path.stat().st_size > _MAX_IMAGE_BYTES:
            raise OSError(f"larger than {_MAX_IMAGE_BYTES} bytes")  # noqa: TRY301
        encoded = base64.b64encode(path.read_bytes()).decode("ascii")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return {"type": "input_text", "text": f"[image {path} could not be read: {reason}]"}
    return {"type": "input_image", "image_url": f"data:{kind};base64,{encoded}"}


def _sendable(item: Json) -> Json:
    if not _NOT_SENT.isdisjoint(item):
        item = {name: value for name, value in item.items() if name not in _NOT_SENT}
    for name in ("content", "output"):
        parts: Any = item.get(name)
        if isinstance(parts, list) and any(map(_is_audio, cast("list[Any]", parts))):
            # The original stores what a tool gave back, and replaces it as it is sent.
            said = {"type": "input_text", "text": NO_AUDIO}
            kept = [said if _is_audio(part) else part for part in cast("list[Any]", parts)]
            item = {**item, name: kept}
    return item


def _is_audio(part: Any) -> bool:
    return isinstance(part, dict) and cast("Json", part).get("type") == "input_audio"
