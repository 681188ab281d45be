"""Items in the shape of the original's core, whose type names are capitalised.

Newer versions of the original store every finished item so; older ones only plans. Pure.
"""

import shlex
from typing import Any, Final, cast
from urllib.parse import unquote, urlsplit

__all__ = ["from_core_item"]

Json = dict[str, Any]

_SOURCES: Final = {
    "agent": "agent",
    "user_shell": "userShell",
    "unified_exec_startup": "unifiedExecStartup",
    "unified_exec_interaction": "unifiedExecInteraction",
}


def from_core_item(item: Json) -> Json | None:
    """Return the wire's form of a stored item, or ``None`` for a kind that is not known here."""
    match item:
        case {"type": "UserMessage", "id": str(item_id), "content": content}:
            parts = [_input(part) for part in _objects(content)]
            return {"type": "userMessage", "id": item_id, "content": parts}
        case {"type": "AgentMessage", "id": str(item_id), "content": content}:
            texts = [part.get("text") for part in _objects(content)]
            text = "".join(text for text in texts if isinstance(text, str))
            return {
                "type": "agentMessage",
                "id": item_id,
                "text": text,
                "phase": item.get("phase"),
            }
        case {"type": "Reasoning", "id": str(item_id)}:
            summary, content = _texts(item.get("summary_text")), _texts(item.get("raw_content"))
            return {"type": "reasoning", "id": item_id, "summary": summary, "content": content}
        case {"type": "CommandExecution", "id": str(item_id)}:
            return _command(item, item_id)
        case {"type": "DynamicToolCall", "id": str(item_id)}:
            return _dynamic_call(item, item_id)
        case {"type": "ContextCompaction", "id": str(item_id)}:
            return {"type": "contextCompaction", "id": item_id}
        case {"type": "Plan", "id": str(item_id)}:
            return {"type": "plan", "id": item_id, "text": str(item.get("text", ""))}
        case _:
            return None


def _input(part: Json) -> Json:
    match part:
        case {"type": "image", "image_url": str(url)}:
            return {"type": "image", "url": url}
        case {"type": "local_image", "path": str(path)}:
            return {"type": "localImage", "path": path}
        case _:
            return part


def _command(item: Json, item_id: str) -> Json:
    command, cwd = item.get("command"), str(item.get("cwd") or "")
    if cwd.startswith("file://"):
        cwd = unquote(urlsplit(cwd).path)
    shown = command if isinstance(command, str) else shlex.join(_texts(command))
    status = item.get("status")
    return {
        "type": "commandExecution",
        "id": item_id,
        "command": shown,
        "cwd": cwd,
        "processId": item.get("process_id"),
        "source": _SOURCES.get(str(item.get("source")), "agent"),
        "status": status if status in ("completed", "failed", "declined") else "failed",
        "commandActions": [],
        "aggregatedOutput": item.get("aggregated_output"),
        "exitCode": item.get("exit_code"),
        "durationMs": _milliseconds(item.get("duration")),
    }


def _dynamic_call(item: Json, item_id: str) -> Json:
    space: Any = item.get("namespace")
    content: Any = item.get("content_items")
    status = item.get("status")
    return {
        "type": "dynamicToolCall",
        "id": item_id,
        "namespace": space if isinstance(space, str) else None,
        "tool": str(item.get("tool") or ""),
        "arguments": item.get("arguments"),
        "status": status if status in ("completed", "failed") else "failed",
        "contentItems": None if content is None else _objects(content),
        "success": item.get("success") is True,
        "durationMs": _milliseconds(item.get("duration")),
    }


def _milliseconds(duration: object) -> int | None:
    match duration:
        case {"secs": int(seconds), "nanos": int(nanoseconds)}:
            return seconds * 1000 + nanoseconds // 1_000_000
        case _:
            return None


def _objects(values: object) -> list[Json]:
    if not isinstance(values, list):
        return []
    return [cast("Json", value) for value in cast("list[Any]", values) if isinstance(value, dict)]


def _texts(values: object) -> list[str]:
    if not isinstance(values, list):
        return []
    return [value for value in cast("list[Any]", values) if isinstance(value, str)]
