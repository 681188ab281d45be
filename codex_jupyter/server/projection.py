"""From the core's events to the protocol's notifications: a pure translation."""

from typing import Any, Final

from codex_jupyter.protocol.events import (
    ContextCompacted,
    DiffUpdated,
    ErrorNoted,
    Event,
    ItemCompleted,
    ItemStarted,
    McpProgress,
    ModelRerouted,
    PlanUpdated,
    QueueChanged,
    RateLimitsUpdated,
    RequestOpened,
    RequestResolved,
    SettingsChanged,
    StatusChanged,
    SummaryPartAdded,
    TerminalInteraction,
    TextDelta,
    ThreadClosed,
    ThreadMoved,
    ThreadNamed,
    ThreadReverted,
    ThreadStarted,
    TokenUsageUpdated,
    TurnCompleted,
    TurnStarted,
    Warned,
)

__all__ = ["BROADCAST", "notification_of"]

Json = dict[str, Any]

BROADCAST: Final = frozenset(
    {
        "thread/started",
        "thread/status/changed",
        "thread/closed",
        "thread/archived",
        "thread/unarchived",
        "thread/deleted",
    }
)
"""What every initialised connection hears; all else goes to the subscribers of the thread."""

_DELTA_METHODS: Final = {
    "agentMessage": "item/agentMessage/delta",
    "commandOutput": "item/commandExecution/outputDelta",
    "summary": "item/reasoning/summaryTextDelta",
    "reasoning": "item/reasoning/textDelta",
}


def notification_of(event: Event) -> Json | None:
    """Return the notification for ``event``, or ``None`` where none is due.

    A question travels as a request, and a tool call of a client's ends without a notice.
    """
    method, params = _method_and_params(event)
    if method is None:
        return None
    return {"method": method, "params": params, "emittedAtMs": event.at_ms}


def _method_and_params(event: Event) -> tuple[str | None, Json]:  # noqa: C901, PLR0911, PLR0912 - one table
    thread: Json = {"threadId": event.thread_id}
    turn: Json = {"threadId": event.thread_id, "turnId": event.turn_id}
    match event.msg:
        case TextDelta(kind, item_id, delta, index):
            params = {**turn, "itemId": item_id, "delta": delta}
            if kind == "summary":
                params["summaryIndex"] = index
            elif kind == "reasoning":
                params["contentIndex"] = index
            return _DELTA_METHODS[kind], params
        case ItemStarted(item):
            return "item/started", {**turn, "item": item, "startedAtMs": item["startedAtMs"]}
        case ItemCompleted(item):
            return "item/completed", {**turn, "item": item, "completedAtMs": item["completedAtMs"]}
        case TurnStarted(shape):
            return "turn/started", {**thread, "turn": shape}
        case TurnCompleted(shape):
            return "turn/completed", {**thread, "turn": shape}
        case StatusChanged(status):
            return "thread/status/changed", {**thread, "status": status}
        case ThreadStarted(shape):
            return "thread/started", {"thread": shape}
        case SummaryPartAdded(item_id, index):
            params = {**turn, "itemId": item_id, "summaryIndex": index}
            return "item/reasoning/summaryPartAdded", params
        case PlanUpdated(explanation, plan):
            return "turn/plan/updated", {**turn, "explanation": explanation, "plan": plan}
        case DiffUpdated(diff):
            return "turn/diff/updated", {**turn, "diff": diff}
        case TokenUsageUpdated(usage):
            return "thread/tokenUsage/updated", {**turn, "tokenUsage": usage}
        case ErrorNoted(error, will_retry):
            return "error", {**turn, "willRetry": will_retry, "error": error}
        case Warned(message):
            return "warning", {**thread, "message": message}
        case RateLimitsUpdated(limits):
            return "account/rateLimits/updated", {"rateLimits": limits}
        case ModelRerouted(from_model, to_model):
            params = {**turn, "fromModel": from_model, "toModel": to_model, "reason": "provider"}
            return "model/rerouted", params
        case TerminalInteraction(item_id, process_id, stdin):
            params = {**turn, "itemId": item_id, "processId": process_id, "stdin": stdin}
            return "item/commandExecution/terminalInteraction", params
        case McpProgress(item_id, message):
            params = {**turn, "itemId": item_id, "message": message}
            return "item/mcpToolCall/progress", params
        case ContextCompacted():
            return "thread/compacted", turn
        case ThreadNamed(name):
            return "thread/name/updated", {**thread, "threadName": name}
        case ThreadReverted():
            return "thread/reverted", thread
        case SettingsChanged(settings):
            return "thread/settings/updated", {**thread, "threadSettings": settings}
        case QueueChanged():
            return "thread/queue/changed", thread
        case ThreadClosed():
            return "thread/closed", thread
        case ThreadMoved(where):
            return f"thread/{where}", thread
        case RequestResolved(request_id, method, outcome):
            if method == "item/tool/call":
                return None, {}
            return "serverRequest/resolved", {**turn, "requestId": request_id, "outcome": outcome}
        case RequestOpened():
            return None, {}
