"""The words for a turn, shared by its static forms. Mirrors parts of ``static/items.js``."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from codex_jupyter.view.amounts import duration, tokens
from codex_jupyter.view.delegate_words import (
    agent_words,
    delegates_of,
    is_told_by_row,
    with_agents,
)
from codex_jupyter.view.review_words import repeated_message
from codex_jupyter.view.terminal_text import visible

__all__ = [
    "PLAN_MARKS",
    "command_status",
    "command_text",
    "head_facts",
    "is_kernel_python",
    "last_title",
    "outcome_of",
    "quiet_words",
    "reasoning_text",
    "result_text",
    "shown_items",
    "told_items",
    "tool_label",
    "tool_name",
    "tool_source",
    "user_text",
]

Item = dict[str, Any]

_WORTH_SAYING_MS: Final = 100
_TOLD_CHARS: Final = 200

PLAN_MARKS: Final = {"completed": "✓", "inProgress": "●", "pending": "○"}

_SHELL: Final = re.compile(r"(?:\S*/)?(?:ba|da|z|k)?sh -l?c '([^']*)'")
_ENDS: Final = {"inProgress": "still running when this was saved", "interrupted": "stopped"}
_OUTCOMES: Final = {
    "acceptForSession": "allowed for this session",
    "decline": "you said no",
    "cancel": "you stopped here",
    "expired": "nobody answered",
}


def shown_items(snapshot: dict[str, Any]) -> Iterator[Item]:
    """Yield the items to draw: not the prompt, which stands in the cell above."""
    has_prompt = False
    for item in told_items(snapshot):
        if item["type"] == "userMessage" and not has_prompt:
            has_prompt = True
        elif item["type"] != "agentMessage" or item.get("text"):
            yield item


def told_items(snapshot: dict[str, Any]) -> Iterator[Item]:
    """Yield the items, but not those that something else shows already."""
    rows = {row["threadId"]: row for row in delegates_of(snapshot)}
    repeated = repeated_message(snapshot["items"])
    for item in snapshot["items"]:
        if item["type"] != "collabAgentToolCall":
            if repeated is None or item["id"] != repeated:
                yield item
        elif not is_told_by_row(item, rows):
            yield with_agents(item, rows)


def head_facts(snapshot: dict[str, Any], *, live: bool = False) -> str:
    """Say the model, how long it took, how many tokens, and how it ended.

    Where it is ``live``, a turn that runs was not saved.
    """
    usage = snapshot["usage"] or {}
    used = usage.get("inputTokens", 0) + usage.get("outputTokens", 0)
    status = snapshot["status"]
    facts = (
        snapshot["model"] or "Codex",
        "" if snapshot["durationMs"] is None else duration(snapshot["durationMs"]),
        tokens(used) if used else "",
        "" if live or status == "completed" else _ENDS.get(status, status),
    )
    return " · ".join(fact for fact in facts if fact)


def command_text(item: Item) -> str:
    """Return the command as a person typed it would: without the shell around it."""
    full = visible(item.get("command") or "")
    inner = _SHELL.fullmatch(full)
    return inner[1] if inner else full


def command_status(item: Item, outcome: str | None = None) -> tuple[str, str]:
    """Return the kind (``good``, ``bad``, ``warn``, ``muted``) and the words of a command's end."""
    kind, words = _end_of(item)
    took = item.get("durationMs")
    parts = (
        _OUTCOMES.get(outcome or ""),
        words,
        duration(took) if isinstance(took, int | float) and took >= _WORTH_SAYING_MS else "",
    )
    return kind, " · ".join(part for part in parts if part)


def _end_of(item: Item) -> tuple[str, str]:
    exit_code = item.get("exitCode")
    match item.get("status"):
        case "declined":
            return "muted", "not run"
        case "inProgress":
            return "warn", "stopped"
        case _ if isinstance(exit_code, int) and exit_code != 0:
            return "bad", f"exit {exit_code}"
        case "failed":
            return "bad", "failed"
        case _:
            if item.get("success") is False:
                return "bad", "failed"
            return "good", "exit 0" if exit_code == 0 else "done"


def outcome_of(snapshot: dict[str, Any], item: Item) -> str | None:
    """Return what became of the question about this item, if there was one."""
    outcomes = [
        request["outcome"]
        for request in snapshot["requests"]
        if request.get("itemId") == item["id"]
    ]
    return outcomes[-1] if outcomes else None


def is_kernel_python(item: Item) -> bool:
    """Whether this tool call ran Python in the user's kernel."""
    arguments = item.get("arguments")
    is_code = isinstance(arguments, dict) and isinstance(arguments.get("code"), str)
    return item.get("tool") == "run_python" and not item.get("namespace") and is_code


def tool_name(item: Item) -> str | None:
    """Name the tool of a call; one in a namespace is ``namespace.tool``."""
    space, tool = item.get("namespace"), item.get("tool")
    return f"{space}.{tool}" if space else tool


def tool_label(item: Item) -> str:
    """Name a tool call."""
    if is_kernel_python(item):
        return "Python in your kernel"
    server = item.get("server")
    return visible(f"{server} · {item['tool']}" if server else str(tool_name(item)))


def tool_source(item: Item) -> str:
    """Return what a tool was called with: source, or JSON, or nothing."""
    given = item.get("arguments")
    if is_kernel_python(item):
        return visible(item["arguments"]["code"])
    if given in (None, {}, []):
        return ""
    return visible(
        given if isinstance(given, str) else json.dumps(given, indent=2, ensure_ascii=False)
    )


def result_text(item: Item) -> str:
    """Return the text a tool gave back; images and sounds are named, not shown."""
    parts = item.get("contentItems") or (item.get("result") or {}).get("content") or []
    texts = [part["text"] if isinstance(part.get("text"), str) else _named(part) for part in parts]
    error = item.get("error") or {}
    return "\n".join([*texts, *([error["message"]] if error.get("message") else [])])


def _named(part: Item) -> str:
    # An MCP server says `audio`, a client `inputAudio`.
    return "[audio]" if part.get("type") in ("audio", "inputAudio") else "[image]"


def reasoning_text(item: Item) -> str:
    """Return the thinking as markdown."""
    parts = [*(item.get("summary") or []), *(item.get("content") or [])]
    return "\n\n".join(part for part in parts if part.strip())


def last_title(item: Item) -> str:
    """Return the last bold heading of the thinking's summary, or nothing."""
    titles = re.findall(r"^\s*\*\*([^*\n]+)\*\*", "\n".join(item.get("summary") or []), re.M)
    return titles[-1].strip() if titles else ""


def user_text(item: Item) -> str:
    """Return what the person wrote."""
    parts = item.get("content") or []
    return visible("\n".join(part.get("text") or f"[{part.get('type')}]" for part in parts))


def _told(output: Any) -> str:
    parts: list[Any] = [output] if isinstance(output, str) else output or []
    texts = [part if isinstance(part, str) else part.get("text") or "[image]" for part in parts]
    text = " ".join(" ".join(texts).split())
    return text if len(text) <= _TOLD_CHARS else f"{text[:_TOLD_CHARS]}…"


def quiet_words(item: Item) -> str:
    """Return one line for items that need no more."""
    match item["type"]:
        case "contextCompaction":
            words = "Earlier conversation was summarised to make room."
        case "webSearch":
            words = f"Searched the web: {item.get('query') or ''}"
        case "imageView":
            words = f"Looked at {item.get('path') or 'an image'}"
        case "functionCallOutput":
            words = f"Told by {item.get('name') or 'a tool'}: {_told(item.get('output'))}"
        case "enteredReviewMode":
            words = "Review started."
        case "exitedReviewMode":
            words = "Review finished."
        case "collabAgentToolCall":
            words = agent_words(item)
        case kind:
            words = f"{kind} ({item['status']})" if item.get("status") else str(kind)
    return visible(words)
