"""Items out of the events that the original program stores instead of items. Pure."""

import re
import shlex
from typing import Any, cast

from codex_jupyter.rollout.core_items import from_core_item

__all__ = ["item_of_event", "turn_error", "wire_item"]


def wire_item(item: dict[str, Any]) -> dict[str, Any] | None:
    """Return a stored item as the wire has it, or ``None`` for a kind that is not known here."""
    kind, item_id = item.get("type"), item.get("id")
    if not isinstance(kind, str) or not isinstance(item_id, str):
        return None
    return from_core_item(item) if kind[:1].isupper() else item


def item_of_event(event: dict[str, Any], item_id: str) -> dict[str, Any] | None:
    """Return the item an event of the original stands for, under the given id, or ``None``."""
    match event:
        case {"type": "user_message", "message": str()}:
            return {"type": "userMessage", "id": item_id, "content": _user_content(event)}
        case {"type": "agent_message", "message": str(text)}:
            return {"type": "agentMessage", "id": item_id, "text": text}
        case {"type": "agent_reasoning", "text": str(text)}:
            return {"type": "reasoning", "id": item_id, "summary": [text], "content": []}
        case {"type": "agent_reasoning_raw_content", "text": str(text)}:
            return {"type": "reasoning", "id": item_id, "summary": [], "content": [text]}
        case {"type": "context_compacted"}:
            return {"type": "contextCompaction", "id": item_id}
        case {"type": "entered_review_mode" | "exited_review_mode" as kind}:
            return _review_mark(event, kind, item_id)
        case {"type": "exec_command_end"}:
            return _command(event, item_id)
        case _:
            return None


def turn_error(event: dict[str, Any]) -> dict[str, Any]:
    """Return the ``TurnError`` for an error event of the original."""
    info: object = event.get("codex_error_info")
    return {
        "message": str(event.get("message", "")),
        "codexErrorInfo": _camel(info) if isinstance(info, str) else info,
        "additionalDetails": None,
    }


def _user_content(event: dict[str, Any]) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    if event["message"]:
        elements: object = event.get("text_elements")
        content.append(
            {
                "type": "text",
                "text": event["message"],
                "text_elements": elements if isinstance(elements, list) else [],
            }
        )
    content += [{"type": "image", "url": url} for url in _texts(event.get("images"))]
    content += [{"type": "localImage", "path": path} for path in _texts(event.get("local_images"))]
    return content


def _review_mark(event: dict[str, Any], kind: str, item_id: str) -> dict[str, Any]:
    if kind == "entered_review_mode":
        hint = event.get("user_facing_hint") or "Review requested."
        return {"type": "enteredReviewMode", "id": item_id, "review": hint}
    output: object = event.get("review_output")
    text: object = "Review was interrupted."
    if isinstance(output, dict):
        text = cast("dict[str, Any]", output).get("overall_explanation", "")
    return {"type": "exitedReviewMode", "id": item_id, "review": text}


def _command(event: dict[str, Any], item_id: str) -> dict[str, Any]:
    exit_code: object = event.get("exit_code")
    call_id: object = event.get("call_id")
    return {
        "type": "commandExecution",
        "id": call_id if isinstance(call_id, str) else item_id,
        "command": shlex.join(_texts(event.get("command"))),
        "cwd": str(event.get("cwd", "")),
        "processId": None,
        "status": "completed" if exit_code == 0 else "failed",
        "commandActions": [],
        "aggregatedOutput": event.get("aggregated_output"),
        "exitCode": exit_code if isinstance(exit_code, int) else None,
        "durationMs": None,
    }


def _texts(values: object) -> list[str]:
    if not isinstance(values, list):
        return []
    return [value for value in cast("list[Any]", values) if isinstance(value, str)]


def _camel(text: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), text)
