"""What a turn says, as session updates of the Agent Client Protocol.

Updates are dicts as they go on the wire; `agent` is the one file that knows the library.
"""

from collections.abc import Iterable
from typing import Any, Final, cast

from codex_jupyter.acp.tool_calls import TAIL_CHARS, command_output, is_tool, tool_call

__all__ = ["TurnUpdates", "replayed", "sendable", "thought"]

Json = dict[str, Any]

_PLAN: Final = {"inProgress": "in_progress"}


class TurnUpdates:
    """Translates the notifications of one turn, in order; not thread-safe.

    Args:
        cwd: Folder that relative paths of patches are relative to.
    """

    def __init__(self, cwd: str) -> None:
        self._cwd = cwd
        self.items: dict[str, Json] = {}
        """Every item that was told, as far as it has come, by id."""

        self._told: set[str] = set()
        """Ids of messages and thoughts of which text was told."""

        self._tails: dict[str, str] = {}

    def take(self, method: str, params: Json) -> list[Json]:
        """Return the updates of one notification; often one, for many none."""
        if method.startswith("item/"):
            return self._of_item(method, params)
        match method:
            case "turn/plan/updated":
                return [_plan(params["plan"])]
            case "thread/tokenUsage/updated":
                return _usage(params["tokenUsage"])
            case "error" if params.get("willRetry"):
                return [thought(f"{params['error']['message']}\n")]
            case "warning":
                return [thought(f"Warning: {params['message']}\n")]
            case _:
                return []

    def _of_item(self, method: str, params: Json) -> list[Json]:
        match method:
            case "item/started" | "item/completed":
                return self._item(params["item"], done=method == "item/completed")
            case "item/agentMessage/delta":
                return [self._chunk("agent_message_chunk", params)]
            case "item/reasoning/summaryTextDelta" | "item/reasoning/textDelta":
                return [self._chunk("agent_thought_chunk", params)]
            case "item/reasoning/summaryPartAdded" if params.get("summaryIndex"):
                return [self._chunk("agent_thought_chunk", {**params, "delta": "\n\n"})]
            case "item/commandExecution/outputDelta":
                return self._output(params)
            case _:
                return []

    def _chunk(self, kind: str, params: Json) -> Json:
        self._told.add(params["itemId"])
        return _text(kind, params["delta"], params["itemId"])

    def _output(self, params: Json) -> list[Json]:
        item_id = params["itemId"]
        tail = (self._tails.get(item_id, "") + params["delta"])[-TAIL_CHARS:]
        self._tails[item_id] = tail
        content = command_output(tail)
        update = {"sessionUpdate": "tool_call_update", "toolCallId": item_id}
        return [{**update, "status": "in_progress", "content": content}] if content else []

    def _item(self, item: Json, *, done: bool) -> list[Json]:
        item_id = item["id"]
        is_known = item_id in self.items
        self.items[item_id] = item
        if is_tool(item):
            kind = "tool_call_update" if is_known else "tool_call"
            return [{"sessionUpdate": kind, **tool_call(item, self._cwd)}]
        if not done or item_id in self._told or item["type"] == "userMessage":
            return []
        self._told.add(item_id)
        return list(_item_updates(item))


def replayed(turns: Iterable[Json], cwd: str) -> list[Json]:
    """Return stored turns as updates, for a client that has seen none of them."""
    return [
        update
        for turn in turns
        for item in turn["items"]
        for update in (
            [{"sessionUpdate": "tool_call", **tool_call(item, cwd)}]
            if is_tool(item)
            else _item_updates(item)
        )
    ]


def sendable(value: Any) -> Any:
    """Copy JSON, without the halves of surrogate pairs: strict parsers refuse a line with one."""
    match value:
        case str():
            return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
        case dict():
            members = cast("Json", value)
            return {key: sendable(member) for key, member in members.items()}
        case list():
            return [sendable(entry) for entry in cast("list[Any]", value)]
        case _:
            return value


def thought(text: str) -> Json:
    """Return a remark that is no part of the answer."""
    return _text("agent_thought_chunk", text, None)


def _item_updates(item: Json) -> Iterable[Json]:
    """Return a finished item that is no tool call."""
    match item["type"]:
        case "userMessage":
            for part in item["content"]:
                yield _said(part, item["id"])
        case "agentMessage" | "plan" if item.get("text"):
            yield _text("agent_message_chunk", item["text"], item["id"])
        case "reasoning":
            parts = item.get("summary") or item.get("content") or ()
            if parts:
                yield _text("agent_thought_chunk", "\n\n".join(parts), item["id"])
        case "enteredReviewMode" | "exitedReviewMode" if item.get("review"):
            yield _text("agent_message_chunk", item["review"], item["id"])
        case "contextCompaction":
            yield thought("What no longer fits in the model's memory was summed up.\n")
        case _:
            return


def _said(part: Json, item_id: str) -> Json:
    head, comma, data = str(part.get("url") or "").partition(";base64,")
    if comma and head.startswith("data:image/"):
        image = {"type": "image", "data": data, "mimeType": head.removeprefix("data:")}
        return {"sessionUpdate": "user_message_chunk", "content": image, "messageId": item_id}
    text = part.get("text") or part.get("path") or part.get("url") or ""
    return _text("user_message_chunk", str(text), item_id)


def _text(kind: str, text: str, item_id: str | None) -> Json:
    update: Json = {"sessionUpdate": kind, "content": {"type": "text", "text": text}}
    return update if item_id is None else {**update, "messageId": item_id}


def _plan(steps: Iterable[Json]) -> Json:
    entries = [
        {
            "content": str(step["step"]),
            "priority": "medium",
            "status": _PLAN.get(step["status"], step["status"]),
        }
        for step in steps
    ]
    return {"sessionUpdate": "plan", "entries": entries}


def _usage(reported: Json) -> list[Json]:
    window = reported.get("modelContextWindow")
    last: Json = reported.get("last") or {}
    if not window or "delegated" in reported:
        return []
    used = last.get("totalTokens") or 0
    return [{"sessionUpdate": "usage_update", "used": used, "size": window}]
