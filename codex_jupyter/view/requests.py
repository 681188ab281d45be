"""The questions of a turn, as a page shows them."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from codex_jupyter.view.delegates import short_name
from codex_jupyter.view.forms import (
    ELICITATION,
    elicitation_answer,
    is_tool_approval,
    questions_of,
)
from codex_jupyter.view.turn_words import tool_name

__all__ = ["answer_for", "pending_request"]

Json = dict[str, Any]

_TITLES: Final = {
    "command": "Run this command?",
    "tool": "Run this in your kernel?",
    "patch": "Apply this patch?",
    "question": "A question for you",
}
_DECISIONS: Final = ("accept", "acceptForSession", "decline", "cancel")
# Nothing else in quotes: a tool could be named so that the end of the sentence names another.
_NAMED: Final = re.compile(r'[^"]*\btool "([\w.-]+)"\?')
_KINDS: Final = {
    "item/fileChange/requestApproval": "patch",
    "item/tool/requestUserInput": "question",
}


def pending_request(method: str, params: Json, request_id: str, item: Json | None) -> Json:
    """Return a server request as the view shows it; `answer_for` translates what it says."""
    if method == ELICITATION:
        kind, params = _of_mcp(params)
    else:
        kind = _KINDS.get(method, "tool" if params.get("kind") == "dynamicTool" else "command")
    shown: Json = item or {}
    request: Json = {
        "requestId": request_id,
        "turnId": params["turnId"],
        "kind": kind,
        "itemId": params.get("itemId") or "",
        "title": _TITLES[kind],
        "command": params.get("command") or "",
        "cwd": params.get("cwd"),
        "reason": params.get("reason"),
        "warning": params.get("warning"),
        "changes": shown.get("changes") or [],
        "questions": params.get("questions") or [],
        "mayDecline": method == ELICITATION and kind == "question",
        "sandbox": params.get("sandboxing") or "not sandboxed",
        "choices": _choices(params.get("availableDecisions")),
        "tool": tool_name(shown),
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


def answer_for(method: str, params: Mapping[str, Any], answer: Json) -> Json:
    """Return the answer to a server request for what a page said of `pending_request`."""
    return elicitation_answer(params, answer) if method == ELICITATION else answer


def _of_mcp(params: Json) -> tuple[str, Json]:
    """Return how what an MCP server asks, or is asked to do, is shown: its kind and params."""
    server = f"the MCP server `{params.get('serverName')}`"
    if not is_tool_approval(params):
        shown = {"reason": f"{server} asks", "questions": questions_of(params)}
        return "question", {**params, **shown}
    meta: Json = params["_meta"]
    arguments = json.dumps(meta.get("tool_params") or {}, indent=2)
    persist = meta.get("persist")
    for_session = persist == "session" or "session" in (persist or ())
    shown = {
        "command": f"{_tool_name(params, meta)}({arguments})",
        "reason": f"a tool of {server}",
        "availableDecisions": [d for d in _DECISIONS if d != "acceptForSession" or for_session],
    }
    return "command", {**params, **shown}


def _tool_name(params: Json, meta: Json) -> str:
    """Return the name of the tool that wants to run, or whatever its server says of it.

    The original names it apart from its sentence since 0.169 only (0.163 does not).
    """
    said = str(params.get("message") or "")
    name = meta.get("tool_name") or ((found := _NAMED.fullmatch(said)) and found[1]) or said
    return json.dumps(str(name))[1:-1]


def _choices(offered: list[Any] | None) -> list[str]:
    """Return the decisions a person may take.

    The original offers amendments of its rules besides, and leaves out two that it takes.
    """
    if not offered or not all(isinstance(decision, str) for decision in offered):
        return list(_DECISIONS)
    return [decision for decision in offered if decision in _DECISIONS]
