"""From the core's events to the protocol's notifications: a pure translation."""

from typing import Any, Final, TypeAlias

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


_ItemMsg: TypeAlias = (
    TextDelta | ItemStarted | ItemCompleted | SummaryPartAdded | TerminalInteraction | McpProgress
)
_TurnMsg: TypeAlias = (
    TurnStarted
    | TurnCompleted
    | PlanUpdated
    | DiffUpdated
    | TokenUsageUpdated
    | ErrorNoted
    | ModelRerouted
    | ContextCompacted
    | RequestResolved
    | RequestOpened
)
_ThreadMsg: TypeAlias = (
    StatusChanged
    | ThreadStarted
    | ThreadNamed
    | ThreadReverted
    | SettingsChanged
    | QueueChanged
    | ThreadClosed
    | ThreadMoved
    | Warned
    | RateLimitsUpdated
)


def notification_of(event: Event) -> Json | None:
    """Return the notification for ``event``, or ``None`` where none is due.

    A question travels as a request, and a tool call of a client's ends without a notice.
    """
    method, params = _method_and_params(event)
    if method is None:
        return None
    return {"method": method, "params": params, "emittedAtMs": event.at_ms}


def _method_and_params(event: Event) -> tuple[str | None, Json]:
    thread: Json = {"threadId": event.thread_id}
    turn: Json = {"threadId": event.thread_id, "turnId": event.turn_id}
    msg = event.msg
    if isinstance(msg, _ItemMsg):
        return _of_item(msg, turn)
    if isinstance(msg, _TurnMsg):
        return _of_turn(msg, thread, turn)
    return _of_thread(msg, thread)


def _of_item(msg: _ItemMsg, turn: Json) -> tuple[str, Json]:
    match msg:
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
        case SummaryPartAdded(item_id, index):
            params = {**turn, "itemId": item_id, "summaryIndex": index}
            return "item/reasoning/summaryPartAdded", params
        case TerminalInteraction(item_id, process_id, stdin):
            params = {**turn, "itemId": item_id, "processId": process_id, "stdin": stdin}
            return "item/commandExecution/terminalInteraction", params
        case McpProgress(item_id, message):
            params = {**turn, "itemId": item_id, "message": message}
            return "item/mcpToolCall/progress", params


def _of_turn(  # noqa: C901, PLR0911 - one table
    msg: _TurnMsg, thread: Json, turn: Json
) -> tuple[str | None, Json]:
    match msg:
        case TurnStarted(shape):
            return "turn/started", {**thread, "turn": shape}
        case TurnCompleted(shape):
            return "turn/completed", {**thread, "turn": shape}
        case PlanUpdated(explanation, plan):
            return "turn/plan/updated", {**turn, "explanation": explanation, "plan": plan}
        case DiffUpdated(diff):
            return "turn/diff/updated", {**turn, "diff": diff}
        case TokenUsageUpdated(usage):
            return "thread/tokenUsage/updated", {**turn, "tokenUsage": usage}
        case ErrorNoted(error, will_retry):
            return "error", {**turn, "willRetry": will_retry, "error": error}
        case ModelRerouted(from_model, to_model):
            params = {**turn, "fromModel": from_model, "toModel": to_model, "reason": "provider"}
            return "model/rerouted", params
        case ContextCompacted():
            return "thread/compacted", turn
        case RequestResolved(request_id, method, outcome):
            if method == "item/tool/call":
                return None, {}
            return "serverRequest/resolved", {**turn, "requestId": request_id, "outcome": outcome}
        case RequestOpened():
            return None, {}


def _of_thread(  # noqa: C901, PLR0911 - one table
    msg: _ThreadMsg, thread: Json
) -> tuple[str, Json]:
    match msg:
        case StatusChanged(status):
            return "thread/status/changed", {**thread, "status": status}
        case ThreadStarted(shape):
            return "thread/started", {"thread": shape}
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
        case Warned(message):
            return "warning", {**thread, "message": message}
        case RateLimitsUpdated(limits):
            return "account/rateLimits/updated", {"rateLimits": limits}
