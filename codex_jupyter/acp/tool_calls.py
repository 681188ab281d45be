"""Items of a turn as tool calls of the Agent Client Protocol: a pure translation."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["TAIL_CHARS", "command_output", "is_tool", "text_content", "tool_call"]

Json = dict[str, Any]

TAIL_CHARS: Final = 4_096
"""Characters of a running command's output that are shown: each update carries all of them."""

MAX_SHOWN: Final = 65_536
"""Characters of one result; the middle of a longer one is left out."""

_MAX_TITLE: Final = 200

_STATUS: Final = {
    "inProgress": "in_progress",
    "completed": "completed",
    "failed": "failed",
    "declined": "failed",
}
_TOOLS: Final = frozenset(
    {
        "collabAgentToolCall",
        "commandExecution",
        "dynamicToolCall",
        "fileChange",
        "imageView",
        "mcpToolCall",
        "webSearch",
    }
)
_ACTION_KINDS: Final = {"read": "read", "listFiles": "search", "search": "search"}
_FENCE: Final = re.compile(r"^`{3,}", re.MULTILINE)


def is_tool(item: Json) -> bool:
    """Whether an item is shown as a tool call."""
    return item["type"] in _TOOLS


def tool_call(item: Json, cwd: str) -> Json:
    """Return the members of a tool call, as far as the item has come.

    Args:
        item: One for which `is_tool` holds.
        cwd: Folder that relative paths of patches are relative to.
    """
    title, kind, more = _shown(item, cwd)
    return {
        "toolCallId": item["id"],
        "title": " ".join(title.split())[:_MAX_TITLE] or item["type"],
        "kind": kind,
        "status": _STATUS.get(str(item.get("status", "completed")), "completed"),
        **more,
    }


def text_content(text: str) -> Json:
    """Return text as content of a tool call."""
    return {"type": "content", "content": {"type": "text", "text": text}}


def command_output(output: str) -> list[Json]:
    """Return what a command printed as content; of a longer output the middle is left out."""
    if not output:
        return []
    shown, half = output, MAX_SHOWN // 2
    if len(output) > MAX_SHOWN:
        shown = f"{output[:half]}\n[… {len(output) - 2 * half} characters …]\n{output[-half:]}"
    fences = [len(found[0]) for found in _FENCE.finditer(shown)]
    fence = "`" * max([3, *(length + 1 for length in fences)])
    return [text_content(f"{fence}console\n{shown.rstrip()}\n{fence}")]


def _shown(item: Json, cwd: str) -> tuple[str, str, Json]:
    """Return title, kind and the members that depend on the kind of item."""
    match item["type"]:
        case "commandExecution":
            return _command(item)
        case "fileChange":
            return _patch(item, cwd)
        case "mcpToolCall":
            name = f"{item.get('server')}.{item.get('tool')}"
            return name, "other", _call(item, _mcp_content(item))
        case "dynamicToolCall":
            content = [_part(part) for part in item.get("contentItems") or ()]
            space, tool = item.get("namespace"), str(item.get("tool"))
            return f"{space}.{tool}" if space else tool, "execute", _call(item, content)
        case "webSearch":
            query = str(item.get("query") or "")
            return f"Search the web: {query}", "fetch", {"rawInput": {"query": query}}
        case "imageView":
            path = str(item.get("path") or "")
            return f"Look at {path}", "read", {"locations": [{"path": path}]}
        case _:
            return str(item.get("tool") or item["type"]), "other", {}


def _command(item: Json) -> tuple[str, str, Json]:
    kinds = {str(action.get("type")) for action in item.get("commandActions") or ()}
    kind = _ACTION_KINDS.get(kinds.pop(), "execute") if len(kinds) == 1 else "execute"
    more: Json = {"rawInput": {"command": item.get("command"), "cwd": item.get("cwd")}}
    if content := command_output(item.get("aggregatedOutput") or ""):
        more["content"] = content
    if item.get("exitCode") is not None:
        more["rawOutput"] = {"exitCode": item["exitCode"]}
    return str(item.get("command") or "a command"), kind, more


def _patch(item: Json, cwd: str) -> tuple[str, str, Json]:
    changes: Sequence[Json] = item.get("changes") or ()
    paths = [str(Path(cwd, change["path"])) for change in changes]
    names = ", ".join(dict.fromkeys(Path(path).name for path in paths))
    deletes = bool(changes) and all(change["kind"]["type"] == "delete" for change in changes)
    more: Json = {
        "content": [
            content
            for path, change in zip(paths, changes, strict=True)
            for content in _diffs(path, change)
        ],
        "locations": [{"path": path} for path in paths],
    }
    verb, kind = ("Delete", "delete") if deletes else ("Edit", "edit")
    return f"{verb} {names}", kind, more


def _diffs(path: str, change: Json) -> list[Json]:
    """Return the before and after of one file: the whole of it, or hunk by hunk."""
    kind, diff = change["kind"], str(change["diff"])
    moved = kind.get("move_path") or kind.get("movePath")
    match kind["type"]:
        case "add":
            return [{"type": "diff", "path": path, "oldText": None, "newText": diff}]
        case "delete":
            return [{"type": "diff", "path": path, "oldText": diff, "newText": ""}]
        case _:
            shown = [
                {"type": "diff", "path": path, "oldText": old, "newText": new}
                for old, new in _hunks(diff)
            ]
            note = [text_content(f"Moved to {moved}")] if moved else []
            return [*note, *shown]


def _hunks(diff: str) -> list[tuple[str, str]]:
    """Return each hunk of a unified diff as its text before and after."""
    found: list[tuple[list[str], list[str]]] = []
    for line in diff.splitlines():
        if line.startswith("@@"):
            found.append(([], []))
        elif found and line[:1] in (" ", "", "-", "+"):
            mark, text = line[:1], line[1:]
            if mark != "+":
                found[-1][0].append(text)
            if mark != "-":
                found[-1][1].append(text)
    return [(_lines(old), _lines(new)) for old, new in found]


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _call(item: Json, content: list[Json]) -> Json:
    more: Json = {"rawInput": item.get("arguments")}
    if content:
        more["content"] = content
    return more


def _mcp_content(item: Json) -> list[Json]:
    if (error := item.get("error")) is not None:
        return [text_content(str(error.get("message") or error))]
    result: Json = item.get("result") or {}
    parts: list[Json] = result.get("content") or []
    return [text_content(str(part["text"])[:MAX_SHOWN]) for part in parts if part.get("text")]


def _part(part: Json) -> Json:
    """Return one part of a tool's answer."""
    url = str(part.get("imageUrl") or "")
    head, comma, data = url.partition(";base64,")
    if comma and head.startswith("data:image/"):
        image = {"type": "image", "data": data, "mimeType": head.removeprefix("data:")}
        return {"type": "content", "content": image}
    if part.get("type") == "inputAudio":
        return text_content("[audio]")
    return text_content(str(part.get("text") or url)[:MAX_SHOWN])
