"""The questions of a turn, as a page shows them."""

from typing import Any, Final

from codex_jupyter.view.delegates import short_name

__all__ = ["pending_request"]

Json = dict[str, Any]

_TITLES: Final = {
    "command": "Run this command?",
    "tool": "Run this in your kernel?",
    "patch": "Apply this patch?",
    "question": "A question for you",
}
_DECISIONS: Final = ("accept", "acceptForSession", "decline", "cancel")
_KINDS: Final = {
    "item/fileChange/requestApproval": "patch",
    "item/tool/requestUserInput": "question",
}


def pending_request(method: str, params: Json, request_id: str, item: Json | None) -> Json:
    """Return a server request as the view shows it."""
    kind = _KINDS.get(method, "tool" if params.get("kind") == "dynamicTool" else "command")
    shown: Json = item or {}
    request: Json = {
        "requestId": request_id,
        "turnId": params["turnId"],
        "kind": kind,
        "itemId": params["itemId"],
        "title": _TITLES[kind],
        "command": params.get("command") or "",
        "cwd": params.get("cwd"),
        "reason": params.get("reason"),
        "warning": params.get("warning"),
        "changes": shown.get("changes") or [],
        "questions": params.get("questions") or [],
        "sandbox": params.get("sandboxing") or "not sandboxed",
        "choices": _choices(params.get("availableDecisions")),
        "tool": shown.get("tool"),
        "script": shown.get("command"),
    }
    if params.get("digest"):
        request["digest"] = params["digest"]
    if (asking := params.get("delegate")) is not None:
        request["delegate"] = {
            "threadId": asking["threadId"],
            "name": asking.get("nickname") or short_name(asking["threadId"]),
            "role": asking.get("role"),
        }
    return request


def _choices(offered: list[Any] | None) -> list[str]:
    """Return the decisions a person may take.

    The original offers amendments of its rules besides, and leaves out two that it takes.
    """
    if not offered or not all(isinstance(decision, str) for decision in offered):
        return list(_DECISIONS)
    return [decision for decision in offered if decision in _DECISIONS]
