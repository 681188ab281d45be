"""What the small local model is sent: the newest messages that fit, and one instruction."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from codex_jupyter.errors import ModelError
from codex_jupyter.model.interface import ModelRequest

__all__ = ["CONVERSATION_BYTES", "INSTRUCTIONS", "local_request"]

INSTRUCTIONS: Final = "You are a helpful assistant."
"""In place of the real ones, which speak of tools this model does not have. It answers best so."""

CONVERSATION_BYTES: Final = 3000
"""UTF-8 bytes of all messages together, about 700 tokens of English.

No token of this model is shorter than a byte, so that the messages, the instruction and the
longest answer fit into the window of 4096 tokens in every language.
"""

_MESSAGE_BYTES: Final = 16
"""Counted for the marks around each message, which are 5 or 6 tokens."""

_CUT_MARK: Final = "\n[...]\n"
_CONTEXT_MARKS: Final = (
    "<environment_context>",
    "<turn_aborted>",
    "<user_instructions>",
    "<user_shell_command>",
    "<subagent_notification>",
    "<skill>",
)
"""How messages begin that the user did not write."""

_Message = tuple[str, str]
"""Role and text."""


def local_request(request: ModelRequest) -> ModelRequest:
    """Return ``request`` as the small local model can take it.

    Left out are the instructions, tools, calls and their outputs, developer messages, notes
    about the environment, the output schema, and the oldest messages if all of them exceed
    `CONVERSATION_BYTES`. Of a newest message that is too long alone, the beginning and the end
    are kept.

    Raises:
        ModelError: No text is left.
    """
    messages = [message for item in request.input if (message := _message(item))]
    kept = _newest(messages, CONVERSATION_BYTES)
    if not kept:
        raise ModelError(
            "The small local model reads text only, and this conversation has none.",
            info="badRequest",
        )
    return ModelRequest(
        model="local",
        instructions=INSTRUCTIONS,
        input=[_item(*message) for message in kept],
        thread_id=request.thread_id,
    )


def _message(item: Mapping[str, Any]) -> _Message | None:
    role = item.get("role")
    if item.get("type", "message") != "message" or role not in {"user", "assistant"}:
        return None
    text = _text(item.get("content"))
    if not text.strip() or (role == "user" and text.lstrip().startswith(_CONTEXT_MARKS)):
        return None
    return role, text


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = cast("list[Mapping[str, Any]]", content)
    texts = (part.get("text") for part in parts)
    return "\n".join(text for text in texts if isinstance(text, str))


def _newest(messages: Sequence[_Message], room: int) -> list[_Message]:
    kept: list[_Message] = []
    for role, text in reversed(messages):
        size = len(_encoded(text)) + _MESSAGE_BYTES
        if size > room and kept:
            break
        kept.append((role, text if size <= room else _shortened(text, room - _MESSAGE_BYTES)))
        room -= size
    return kept[::-1]


def _shortened(text: str, limit: int) -> str:
    half = (limit - len(_CUT_MARK)) // 2
    encoded = _encoded(text)
    # Half a character at a cut is dropped, which only makes the text shorter.
    start = encoded[:half].decode("utf-8", "ignore")
    return start + _CUT_MARK + encoded[-half:].decode("utf-8", "ignore")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _item(role: str, text: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
