"""What a map on a cluster says of its delegates, in the words of core/delegation. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from codex_jupyter.ids import new_item_id
from codex_jupyter.protocol.items import input_preview

__all__ = ["begun_item", "ended_item", "ended_turn", "left_over", "problem_text", "tokens_of"]

Json = dict[str, Any]

_STATES: Final = {"completed": "completed", "interrupted": "interrupted", "failed": "errored"}


def begun_item(host_id: str, task: Json) -> Json:
    """Return the item of a task that waits."""
    thread_id = task["threadId"]
    return {
        "type": "collabAgentToolCall",
        "id": new_item_id(),
        "tool": "spawnAgent",
        "status": "inProgress",
        "senderThreadId": host_id,
        "receiverThreadIds": [thread_id],
        "prompt": input_preview(task["input"]),
        "model": task.get("model"),
        "reasoningEffort": task.get("effort"),
        "agentsStates": {thread_id: {"status": "pendingInit", "message": None}},
        "agents": [_agent(task, {})],
    }


def ended_item(item: Json, task: Json, result: Json) -> Json:
    """Return the item of a task with ``result``, the last snapshot of its turn."""
    status, thread_id = str(result["status"]), task["threadId"]
    message = (result.get("error") or {}).get("message") or _last_text(result)
    return {
        **item,
        "status": status,
        "agentsStates": {thread_id: {"status": _STATES[status], "message": message}},
        "agents": [_agent(task, result)],
    }


def ended_turn(result: Json) -> Json:
    """Return the end of a delegate's turn as its thread would tell it."""
    names = ("status", "error", "durationMs", "usage", "plan", "diff")
    return {"id": result.get("turnId"), "items": [], **{n: result.get(n) for n in names}}


def left_over(task: Json, status: str, problem: str | None) -> Json:
    """Return the result of a task of which the cluster gave none."""
    error = None if problem is None else {"message": problem, "details": None, "advice": None}
    ids = {"threadId": task["threadId"], "turnId": task["turnId"]}
    return {**ids, "status": status, "error": error, "items": [], "usage": None}


def tokens_of(usage: Mapping[str, int] | None) -> int | None:
    """Return the tokens in and out of a turn; ``None`` if the model told none."""
    used = usage or {}
    return used.get("inputTokens", 0) + used.get("outputTokens", 0) or None


def problem_text(error: BaseException, *, running: bool) -> str:
    """Say why the cluster gave no result.

    Args:
        error: What Dask raised.
        running: Whether the connection with the scheduler stands.
    """
    match type(error).__name__:
        case "KilledWorker":
            return (
                f"Dask gave up on this delegate: {error.args[2] + 1} workers were lost while they "
                f"did it, at last {error.args[1].address}. Their logs say why; often it is memory. "
                "More tries: `distributed.scheduler.allowed-failures`"
            )
        case "CancelledError" | "FutureCancelledError" | "ClosedClientError" if not running:
            return (
                "the connection with the Dask scheduler was lost. What the delegate did so far is "
                "in its thread, where the workers keep theirs; run the map again with the same ids"
            )
        case "CancelledError" | "FutureCancelledError":
            return (
                f"the delegate was cancelled on the cluster, not from this notebook ({error}); "
                "run the map again with the same ids"
            )
        case name:
            return (
                f"the worker could not do it: {name}: {error}. A worker needs codex-jupyter in the "
                "version of this kernel, and a home folder with the settings"
            )


def _agent(task: Json, result: Json) -> Json:
    return {
        "threadId": task["threadId"],
        "turnId": result.get("turnId"),
        "nickname": task["name"],
        "role": task.get("role"),
        "tokens": tokens_of(result.get("usage")),
        "durationMs": result.get("durationMs"),
    }


def _last_text(result: Json) -> str | None:
    texts = [i.get("text") for i in result.get("items") or () if i["type"] == "agentMessage"]
    return texts[-1] if texts else None
