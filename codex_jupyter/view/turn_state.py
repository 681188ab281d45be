"""What a front end knows about one turn: notifications in, numbered view operations out.

Pure: no clock, no I/O. `fold` is mirrored line for line by ``applyOp`` in
``static/turn_state.js``, so a page that applies the ops holds the same state as the kernel.
"""

from typing import Any, Final, Literal, Required, TypeAlias, TypedDict

from codex_jupyter.view.clean_json import clean
from codex_jupyter.view.delegates import Delegate, DelegateRows
from codex_jupyter.view.snapshot_size import fit

__all__ = [
    "AskedBy",
    "Op",
    "PendingRequest",
    "Question",
    "QuestionOption",
    "TurnState",
    "fold",
]

Op: TypeAlias = dict[str, Any]
"""One change of the view, as JSON: ``op`` names it (``item``, ``append``, ``plan``, ``diff``,
``status``, ``ask``, ``settle``, ``usage``, ``notice``, ``model``, ``hold``, ``delegate``), the
rest is data."""

_DELTAS: Final = {
    "item/agentMessage/delta": ("agentMessage", "text", ""),
    "item/plan/delta": ("plan", "text", ""),
    "item/commandExecution/outputDelta": ("commandExecution", "aggregatedOutput", ""),
    "item/reasoning/summaryPartAdded": ("reasoning", "summary", "summaryIndex"),
    "item/reasoning/summaryTextDelta": ("reasoning", "summary", "summaryIndex"),
    "item/reasoning/textDelta": ("reasoning", "content", "contentIndex"),
}
"""Method -> type of the item it belongs to, field it grows, parameter with the part's index."""

_ENTRIES: Final = {
    "ask": ("requests", "requestId", "request"),
    "delegate": ("delegates", "threadId", "delegate"),
}
"""Op -> the list it writes to, the member that tells entries apart, the op's member with one."""

_MAX_PARTS: Final = 256
"""Parts of one reasoning item; a server that counts further is wrong, and we must not allocate."""

_ADVICE: Final = {
    "contextWindowExceeded": "Start a new thread, or ask for a smaller step.",
    "usageLimitExceeded": "Wait until the limit resets, or choose another model.",
    "rateLimitExceeded": "Wait a little, then run the cell again.",
    "serverOverloaded": "Wait a little or choose another model, then run the cell again.",
    "internalServerError": "The provider failed; run the cell again in a moment.",
    "unauthorized": "Check the API key of this provider, then run the cell again.",
    "badRequest": "The provider refused the request; the message above says why.",
    "sandboxError": "The command could not be confined; see the command's output.",
    "responseStreamDisconnected": "Check the connection, then run the cell again.",
    "responseStreamConnectionFailed": "Check the connection, then run the cell again.",
    "httpConnectionFailed": "Check the address of the provider and the connection.",
    "responseTooManyFailedAttempts": "Check the connection and the quota, then run the cell again.",
}
_RUN_AGAIN: Final = "Run the cell again to make another attempt; the work above is kept."


class QuestionOption(TypedDict, total=False):
    """One answer a question offers."""

    label: str
    description: str


class Question(TypedDict, total=False):
    """One question of a request of kind ``question``."""

    id: str
    header: str
    question: str
    isOptional: bool
    isOther: bool
    isSecret: bool
    options: list[QuestionOption]


class AskedBy(TypedDict):
    """The delegate that wants to know."""

    threadId: str
    name: str
    role: str | None


class PendingRequest(TypedDict, total=False):
    """A question to the person, as the page shows it.

    ``command`` is already in its injective visible form; ``digest`` is what a decision echoes.
    """

    requestId: Required[str]
    kind: Required[Literal["command", "patch", "tool", "question"]]
    itemId: str
    title: str
    command: str
    cwd: str | None
    reason: str | None
    warning: str | None
    changes: list[dict[str, Any]]
    questions: list[Question]
    mayDecline: bool
    """Whether a question may be answered with a no instead."""

    digest: str
    sandbox: str
    choices: list[str]
    delegate: AskedBy
    """Whose question it is, unless it is the turn's own."""


class TurnState:
    """One turn as a front end knows it; not thread-safe.

    Every method returns the ops it caused, already folded into this state; the caller passes
    them on (`TurnView.push`). Notifications of other turns cause none, but those of threads that
    the turn started, and that these started, change their row.
    """

    def __init__(
        self,
        thread_id: str,
        turn_id: str,
        *,
        notice: str | None = None,
        model: str | None = None,
        sandbox: str = "not sandboxed",
    ) -> None:
        self._state: dict[str, Any] = {
            "schema": 1,
            "threadId": thread_id,
            "turnId": turn_id,
            "status": "inProgress",
            "model": model,
            "sandbox": sandbox,
            "items": [],
            "delegates": [],
            "plan": None,
            "diff": None,
            "requests": [],
            "notices": [],
            "usage": None,
            "error": None,
            "hold": None,
            "startedAtMs": None,
            "durationMs": None,
            "truncated": False,
        }
        self._thread_id = thread_id
        self._turn_id = turn_id
        self._delegates = DelegateRows(thread_id)
        self._completed: set[str] = set()
        self._tails: dict[tuple[str, str, int], list[str]] = {}
        if notice is not None:
            self.notice(notice)

    @property
    def turn_id(self) -> str:
        """Whose state it is."""
        return self._turn_id

    @property
    def status(self) -> str:
        """``inProgress``, ``completed``, ``interrupted`` or ``failed``."""
        return self._state["status"]

    def follow(self, turn_id: str) -> None:
        """Go by another id: the server did not take the one the turn was begun with."""
        self._turn_id = self._state["turnId"] = turn_id

    def apply(self, method: str, params: dict[str, Any]) -> list[Op]:
        """Return the ops of one app-server notification; none when nothing here changes by it."""
        if self._is_ours(method, params):
            return self._do(*self._translate(method, params))
        unshown = self._delegates.unshown
        rows = self._delegates.hear(method, params, may_begin=self.status == "inProgress")
        return self._do(*self._row_ops(rows, unshown))

    @property
    def has_delegates(self) -> bool:
        """Whether it has started threads."""
        return bool(self._state["delegates"])

    def knows_delegate(self, thread_id: str) -> bool:
        """Whether notifications of this thread can change what is shown: it has a row."""
        return self._delegates.get(thread_id) is not None

    def delegate(self, thread_id: str) -> Delegate | None:
        """Return the row of a delegate, ``None`` if there is none; a copy."""
        return self._delegates.get(thread_id)

    def ask(self, request: PendingRequest) -> list[Op]:
        """Show a question that waits for the person; the same id again replaces it."""
        return self._do({"op": "ask", "request": clean({**request, "outcome": None})})

    def settle(self, request_id: str, outcome: str) -> list[Op]:
        """Close a question: ``outcome`` is the decision, ``answered``, ``expired`` or the like."""
        asked = [entry for entry in self._state["requests"] if entry["requestId"] == request_id]
        if not asked or asked[0]["outcome"] is not None:
            return []
        return self._do({"op": "settle", "requestId": request_id, "outcome": outcome})

    def notice(self, text: str, level: str = "info") -> list[Op]:
        """Show one line beside the turn; ``level`` is ``info``, ``warning`` or ``retry``.

        A ``retry`` is forgotten when the turn goes on.
        """
        return self._do({"op": "notice", "level": level, "text": clean(text)})

    def hold(self, code: str | None) -> list[Op]:
        """Name the code that keeps the kernel busy after a stop; ``None`` when it let go."""
        return self._do({"op": "hold", "code": clean(code)})

    def snapshot(self, *, max_bytes: int = 262_144) -> dict[str, Any]:
        """Return the whole state as JSON of at most ``max_bytes`` UTF-8 bytes.

        Long texts lose their middle first, then items in the middle go; ``truncated`` says so.
        The result shares nothing with this state.
        """
        self._join_tails()
        return fit(self._state, max_bytes)

    def _do(self, *ops: Op) -> list[Op]:
        for op in ops:
            if op["op"] == "append":
                self._grow(op)
            else:
                self._join_tails(op["item"]["id"] if op["op"] == "item" else None)
                fold(self._state, op)
        return list(ops)

    def _grow(self, op: Op) -> None:
        """Keep a delta aside: joining at every delta would copy the text each time."""
        if self._state["notices"]:
            _drop_retries(self._state)
        self._tails.setdefault((op["id"], op["field"], op["index"]), []).append(op["delta"])

    def _join_tails(self, replaced: str | None = None) -> None:
        for (item_id, field, index), deltas in self._tails.items():
            if item_id != replaced:
                delta = "".join(deltas)
                op = {"op": "append", "id": item_id, "field": field, "index": index, "delta": delta}
                fold(self._state, op)
        self._tails.clear()

    def _is_ours(self, method: str, params: dict[str, Any]) -> bool:
        if params.get("threadId") != self._thread_id:
            return False
        turn_id = params.get("turnId") or (params.get("turn") or {}).get("id")
        return turn_id == self._turn_id or (method == "warning" and turn_id is None)

    def _translate(self, method: str, params: dict[str, Any]) -> list[Op]:
        match method:
            case "turn/started" | "turn/completed":
                return self._turn_ops(params["turn"])
            case "item/started" | "item/completed":
                return self._item_ops(params["item"], done=method == "item/completed")
            case _ if method in _DELTAS:
                return self._delta_ops(method, params)
            case _:
                return _other_ops(method, params, self._state)

    def _turn_ops(self, turn: dict[str, Any]) -> list[Op]:
        known = {item["id"] for item in self._state["items"]}
        late = [item for item in turn.get("items") or () if item["id"] not in known]
        ops = [op for item in late for op in self._item_ops(item, done=True)]
        started = turn.get("startedAt")
        return [
            *ops,
            *self._extra_ops(turn),
            {
                "op": "status",
                "status": turn["status"],
                "error": _error(turn.get("error")) or self._state["error"],
                "startedAtMs": self._state["startedAtMs"] if started is None else started * 1000,
                "durationMs": turn.get("durationMs"),
            },
        ]

    def _extra_ops(self, turn: dict[str, Any]) -> list[Op]:
        """Take what a stored turn tells beside its items, where nobody has told it before."""
        state, ops = self._state, list[Op]()
        plan, diff, usage = turn.get("plan"), turn.get("diff"), turn.get("usage")
        if plan is not None and state["plan"] is None:
            ops.append({"op": "plan", **clean(plan)})
        if diff is not None and state["diff"] is None:
            ops.append({"op": "diff", "diff": clean(diff)})
        if usage is not None and state["usage"] is None:
            ops.append({"op": "usage", "usage": dict(usage)})
        return ops

    def _item_ops(self, item: dict[str, Any], *, done: bool) -> list[Op]:
        if item["id"] in self._completed:
            return []
        if done:
            self._completed.add(item["id"])
        ops: list[Op] = [{"op": "item", "item": clean(item)}]
        if item["type"] == "collabAgentToolCall":
            unshown = self._delegates.unshown
            ops += self._row_ops(self._delegates.see(item, done=done), unshown)
        return ops

    def _row_ops(self, rows: list[Delegate], unshown: int) -> list[Op]:
        """Return the ops for changed rows; ``unshown`` is how many had no room before."""
        ops: list[Op] = [{"op": "delegate", "delegate": row} for row in rows]
        if self._delegates.unshown > unshown:
            text = f"{self._delegates.unshown:,} more delegates are not shown."
            ops.append({"op": "notice", "level": "delegates", "text": text})
        return ops

    def _delta_ops(self, method: str, params: dict[str, Any]) -> list[Op]:
        kind, field, index_name = _DELTAS[method]
        item_id, index = params["itemId"], params.get(index_name, 0)
        if item_id in self._completed or not 0 <= index < _MAX_PARTS:
            return []
        delta = clean(params.get("delta", ""))
        ops = [{"op": "append", "id": item_id, "field": field, "index": index, "delta": delta}]
        if not any(item["id"] == item_id for item in self._state["items"]):
            empty: Any = [] if field in {"summary", "content"} else ""
            ops.insert(0, {"op": "item", "item": {"type": kind, "id": item_id, field: empty}})
        return ops


def fold(state: dict[str, Any], op: Op) -> None:
    """Change ``state`` (the shape of a snapshot) by one op; unknown ops change nothing."""
    match op["op"]:
        case "item":
            _drop_retries(state)
            _upsert(state["items"], "id", op["item"])
        case "append":
            _drop_retries(state)
            _append(state["items"], op)
        case "plan":
            state["plan"] = {"explanation": op["explanation"], "plan": op["plan"]}
        case "diff" | "usage" | "model":
            state[op["op"]] = op[op["op"]]
        case "hold":
            state["hold"] = op["code"]
        case "status":
            _set_status(state, op)
        case "ask" | "delegate":
            entries, key, entry = _ENTRIES[op["op"]]
            _upsert(state[entries], key, op[entry])
        case "settle":
            _settle(state["requests"], op["requestId"], op["outcome"])
        case "notice":
            _add_notice(state, op)
        case _:
            pass


def _upsert(entries: list[dict[str, Any]], key: str, entry: dict[str, Any]) -> None:
    for position, known in enumerate(entries):
        if known[key] == entry[key]:
            entries[position] = dict(entry)
            return
    entries.append(dict(entry))


def _append(items: list[dict[str, Any]], op: Op) -> None:
    item = next((item for item in items if item["id"] == op["id"]), None)
    if item is None:
        return
    field = op["field"]
    if field in {"summary", "content"}:
        parts = list(item.get(field) or [])
        parts.extend([""] * (op["index"] + 1 - len(parts)))
        parts[op["index"]] += op["delta"]
        item[field] = parts
    else:
        item[field] = (item.get(field) or "") + op["delta"]


def _set_status(state: dict[str, Any], op: Op) -> None:
    _drop_retries(state)
    for name in ("status", "error", "startedAtMs", "durationMs"):
        state[name] = op[name]
    if state["status"] != "inProgress":
        for request in list(state["requests"]):
            _settle(state["requests"], request["requestId"], "closed")


def _settle(requests: list[dict[str, Any]], request_id: str, outcome: str) -> None:
    for position, request in enumerate(requests):
        if request["requestId"] == request_id and request["outcome"] is None:
            kept = ("requestId", "kind", "itemId", "title")
            requests[position] = {name: request[name] for name in kept if name in request}
            requests[position]["outcome"] = outcome


def _add_notice(state: dict[str, Any], op: Op) -> None:
    if op["level"] in {"retry", "delegates"}:  # of these the last one counts
        state["notices"] = [n for n in state["notices"] if n["level"] != op["level"]]
    state["notices"].append({"level": op["level"], "text": op["text"]})


def _drop_retries(state: dict[str, Any]) -> None:
    state["notices"] = [notice for notice in state["notices"] if notice["level"] != "retry"]


def _other_ops(method: str, params: dict[str, Any], state: dict[str, Any]) -> list[Op]:
    match method:
        case "turn/plan/updated":
            plan = clean(params["plan"])
            return [{"op": "plan", "explanation": clean(params.get("explanation")), "plan": plan}]
        case "turn/diff/updated":
            return [{"op": "diff", "diff": clean(params["diff"])}]
        case "thread/tokenUsage/updated":
            return [{"op": "usage", "usage": _usage(state["usage"], params["tokenUsage"])}]
        case "model/rerouted":
            return [{"op": "model", "model": clean(params["toModel"])}]
        case "warning":
            return [{"op": "notice", "level": "warning", "text": clean(params["message"])}]
        case "error" if params.get("willRetry"):
            return [{"op": "notice", "level": "retry", "text": clean(params["error"]["message"])}]
        case "error":
            kept = {name: state[name] for name in ("status", "startedAtMs", "durationMs")}
            return [{"op": "status", **kept, "error": _error(params["error"])}]
        case _:
            return []


def _usage(before: dict[str, int] | None, reported: dict[str, Any]) -> dict[str, int]:
    """Add the last response to this turn's tokens: the reported total is the whole thread's."""
    last, sums = reported["last"], before or {}
    names = ("inputTokens", "cachedInputTokens", "outputTokens", "reasoningOutputTokens")
    if (delegated := reported.get("delegated")) is not None:
        added = {name: sums.get(name, 0) + (delegated.get(name) or 0) for name in names}
        return {"contextTokens": 0, "contextWindow": 0, **sums, **added}
    usage = {name: sums.get(name, 0) + (last.get(name) or 0) for name in names}
    usage["contextTokens"] = last.get("totalTokens") or 0
    usage["contextWindow"] = reported.get("modelContextWindow") or 0
    return usage


def _error(error: dict[str, Any] | None) -> dict[str, Any] | None:
    if error is None:
        return None
    info = error.get("codexErrorInfo")
    name = next(iter(info), "") if isinstance(info, dict) else str(info)
    return {
        "message": clean(error.get("message") or "the turn failed without a message"),
        "details": clean(error.get("additionalDetails")),
        "advice": _ADVICE.get(name, _RUN_AGAIN),
    }
