"""One turn: ask the model, run the tools it calls, and again, until it is done."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread

from codex_jupyter.core.config import SessionConfig
from codex_jupyter.core.history import user_message
from codex_jupyter.core.sampling import Sampled, Sampler
from codex_jupyter.core.session_state import SessionState
from codex_jupyter.errors import CodexError, RolloutError
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.flow.requests import AskedRequest, Outcome, Withdrawn
from codex_jupyter.ids import ItemId, ThreadId, TurnId, new_item_id, new_request_id
from codex_jupyter.model.interface import ModelClient, ModelRequest
from codex_jupyter.model.retry import RetryPolicy
from codex_jupyter.protocol.events import (
    DeltaKind,
    EventMsg,
    ItemCompleted,
    ItemStarted,
    TextDelta,
)
from codex_jupyter.protocol.items import UserInput
from codex_jupyter.rollout.records import Record
from codex_jupyter.tools.policy import Policy, SessionApprovals
from codex_jupyter.tools.registry import (
    ToolArgumentsError,
    ToolCall,
    ToolOutput,
    ToolRegistry,
)
from codex_jupyter.tools.turn_diff import TurnDiff

__all__ = ["Spoken", "Turn"]

Json = dict[str, Any]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Spoken:
    """Input of the user's that a turn takes in, at its start or while it runs."""

    input: tuple[UserInput, ...]
    client_message_id: str | None = None
    item_id: ItemId = field(default_factory=new_item_id)

    def item(self) -> Json:
        """Return the thread item that shows it."""
        content = [entry.wire() for entry in self.input]
        return {
            "type": "userMessage",
            "id": self.item_id,
            "clientId": self.client_message_id,
            "content": content,
        }


class Turn:
    """A turn of a session; also what its tools and its sampler see of the session.

    The one way it ends is decided once, by `close`: after that, input and interrupts come too
    late for it.
    """

    def __init__(
        self,
        turn_id: TurnId,
        spoken: Spoken,
        config: SessionConfig,
        state: SessionState,
        *,
        output_schema: Any = None,
    ) -> None:
        self.thread_id: ThreadId = state.thread_id
        self.turn_id = turn_id
        self.token = CancelToken()
        self.workspace: Path = config.cwd
        self.policy: Policy = config.policy
        self.approvals: SessionApprovals = state.approvals
        self.turn_diff = TurnDiff(config.cwd)
        self.environment: Mapping[str, str] = state.environment
        self.output_tokens = config.output_tokens
        self.spoken = spoken
        self.config = config
        self.output_schema = output_schema
        self.ended = anyio.Event()
        self.hard = anyio.CancelScope()
        self.last_text: str | None = None
        self.failure: CodexError | None = None
        """Set when it was stopped because it cannot succeed: it then ends as failed."""

        self.started = time.time()
        self._state = state
        self._steered: list[Spoken] = []
        self._closed = False
        self._call_ids: set[str] = set()

    @property
    def closed(self) -> bool:
        """Whether its end is decided."""
        return self._closed

    @property
    def is_leaving(self) -> bool:
        """Whether it was stopped or its end is decided, so that the next turn only has to wait."""
        return self._closed or self.token.reason is not None

    def steer(self, spoken: Spoken) -> bool:
        """Take more input into the turn; ``False`` if its end is decided already."""
        if self.is_leaving:
            return False
        self._steered.append(spoken)
        return True

    def interrupt(self, reason: str) -> None:
        """Stop the turn; a second call no longer waits for tools that wind down."""
        if self.token.reason is not None:
            self.hard.cancel()
        self.token.cancel(reason)

    def close(self) -> list[Spoken]:
        """Decide that the turn is over and return input that nobody has seen."""
        self._closed = True
        rest, self._steered = self._steered, []
        return rest

    async def run(self, client: ModelClient, tools: ToolRegistry, retry: RetryPolicy) -> None:
        """Work until the model is done, or until the token is cancelled.

        Raises:
            ModelError: The model gave no usable answer.
            RolloutError: Something could not be stored.
        """
        while self.token.reason is None:
            await self._take_in_steered()
            sampled = await Sampler(self, client, retry).sample(self._request(client, tools))
            self.last_text = sampled.last_text or self.last_text
            if sampled.usage is not None:
                await self._state.count_tokens(self.turn_id, sampled.usage, self.config)
            if sampled.calls:
                await self._run_calls(sampled, tools)
            elif not self._steered:
                return

    def _request(self, client: ModelClient, tools: ToolRegistry) -> ModelRequest:
        capabilities = client.capabilities
        specs: Sequence[Json] = ()
        if capabilities.tools:
            specs = tools.specs(freeform=capabilities.freeform_tools)
        return ModelRequest(
            model=self.config.model,
            instructions=self.config.base_instructions,
            input=self._state.history.prompt(),
            tools=specs,
            thread_id=self.thread_id,
            effort=self.config.effort,
            summary=self.config.summary,
            output_schema=self.output_schema,
        )

    async def _take_in_steered(self) -> None:
        spoken, self._steered = self._steered, []
        for entry in spoken:
            await self.take_in(entry)

    async def take_in(self, spoken: Spoken) -> None:
        """Show and remember input that came while the turn ran."""
        message = await anyio.to_thread.run_sync(user_message, spoken.input)
        item = spoken.item()
        self.start_item(item)
        await self.complete_item(item, history=(message,))

    async def _run_calls(self, sampled: Sampled, tools: ToolRegistry) -> None:
        """Run the calls, neighbours that allow it side by side; outputs keep the call order."""
        outputs: dict[str, ToolOutput] = {}
        failures: list[RolloutError] = []
        calls = [self._call_of(item) for item in sampled.calls]
        for group in _groups(calls, tools):
            try:
                async with anyio.create_task_group() as tasks:
                    for call in group:
                        tasks.start_soon(self._run_call, call, tools, outputs, failures)
            finally:
                # Also when a hard stop takes the rest away: what has run must be known.
                known = [call for call in group if call.item_id in outputs]
                await self.remember(tuple(_output_item(c, outputs[c.item_id]) for c in known))
            if failures:
                raise failures[0]

    async def _run_call(
        self,
        call: ToolCall,
        tools: ToolRegistry,
        outputs: dict[str, ToolOutput],
        failures: list[RolloutError],
    ) -> None:
        tool = tools.find(call.name)
        if self.token.reason is not None:
            outputs[call.item_id] = ToolOutput("aborted by user", success=False)
        elif tool is None:
            kind = "custom tool call" if call.freeform else "call"
            outputs[call.item_id] = ToolOutput(f"unsupported {kind}: {call.name}", success=False)
        else:
            try:
                outputs[call.item_id] = await tool.call(call, self)
            except ToolArgumentsError as error:
                outputs[call.item_id] = ToolOutput(str(error), success=False)
            except RolloutError as error:
                failures.append(error)
            except Exception as error:  # noqa: BLE001 - the tool boundary: one bad call, not the turn
                _log.exception("the tool `%s` failed", call.name)
                text = f"execution error: {type(error).__name__}: {error}"
                outputs[call.item_id] = ToolOutput(text, success=False)

    def _call_of(self, item: Json) -> ToolCall:
        call_id = str(item.get("call_id") or "")
        item_id = call_id
        if not call_id or call_id in self._call_ids:
            item_id = new_item_id()
        self._call_ids.add(call_id)
        freeform = item["type"] == "custom_tool_call"
        text = item.get("input" if freeform else "arguments") or ""
        return ToolCall(
            call_id=call_id,
            item_id=ItemId(item_id),
            name=str(item.get("name")),
            text=text if isinstance(text, str) else "",
            freeform=freeform,
        )

    def start_item(self, item: Json) -> None:
        """Announce an item of this turn."""
        item.setdefault("startedAtMs", _now_ms())
        self._state.emit(ItemStarted(dict(item)), self.turn_id)

    async def complete_item(self, item: Json, *, history: tuple[Json, ...] = ()) -> None:
        """Store an item, and what the model remembers of it, then announce that it is final."""
        final = {"startedAtMs": _now_ms(), **item, "completedAtMs": _now_ms()}
        started = self._state.started_at(item["id"])
        if started is not None:
            final["startedAtMs"] = started
        await self._state.record([*_response_items(history), self._item_record(final)])
        self._state.history.append(history)
        self._state.emit(ItemCompleted(final), self.turn_id)

    def drop_item(self, item: Json) -> None:
        """Announce that an item will not be finished; it is not stored."""
        self._state.emit(ItemCompleted({**item, "completedAtMs": _now_ms()}), self.turn_id)

    async def remember(self, items: tuple[Json, ...]) -> None:
        """Store what only the model sees."""
        await self._state.record(_response_items(items))
        self._state.history.append(items)

    def delta(self, kind: DeltaKind, item_id: ItemId, text: str, index: int = 0) -> None:
        """Announce a piece of an item's text."""
        self._state.emit(TextDelta(kind, item_id, text, index), self.turn_id)

    def publish(self, msg: EventMsg) -> None:
        """Announce anything else of this turn."""
        self._state.emit(msg, self.turn_id)

    async def ask(
        self,
        method: str,
        params: Json,
        item_id: ItemId,
        waits_on: Literal["approval", "userInput", "client"],
    ) -> Outcome:
        """Put a question to the clients; its outcome is stored before anybody acts on it."""
        request = AskedRequest(
            id=new_request_id(),
            thread_id=self.thread_id,
            turn_id=self.turn_id,
            item_id=item_id,
            method=method,
            params=_addressed(self, item_id, waits_on, params),
            waits_on=waits_on,
        )
        with self._state.waiting_on(request):
            outcome = await self._state.broker.ask(request, self.token)
        if waits_on != "client":
            await self._state.record([_resolution(request, outcome)])
        self._state.tell_resolved(request, outcome)
        # The user may have pressed "stop" while the answer was being stored.
        if self.token.reason is not None:
            return Withdrawn(self.token.reason)
        return outcome

    def _item_record(self, item: Json) -> Record:
        payload = {
            "type": "item_completed",
            "thread_id": self.thread_id,
            "turn_id": self.turn_id,
            "item": item,
        }
        return Record("event_msg", payload)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _response_items(items: tuple[Json, ...]) -> list[Record]:
    return [Record("response_item", item) for item in items]


def _addressed(turn: Turn, item_id: ItemId, waits_on: str, params: Json) -> Json:
    whose: Json = {"threadId": turn.thread_id, "turnId": turn.turn_id}
    if waits_on != "client":
        whose |= {"itemId": item_id, "startedAtMs": _now_ms()}
    return {**whose, **params}


def _resolution(request: AskedRequest, outcome: Outcome) -> Record:
    answer = getattr(outcome, "result", None)
    # What a user typed may be secret; that they answered is not.
    kept = answer if request.waits_on == "approval" else None
    payload = {
        "type": "request_resolved",
        "turn_id": request.turn_id,
        "request_id": request.id,
        "method": request.method,
        "item_id": request.item_id,
        "digest": request.params.get("digest"),
        "outcome": type(outcome).__name__.lower(),
        "answer": kept,
    }
    return Record("event_msg", payload)


def _groups(calls: Sequence[ToolCall], tools: ToolRegistry) -> list[list[ToolCall]]:
    """Cut the calls into runs: neighbours that may run side by side, and each other one alone."""
    groups: list[list[ToolCall]] = []
    previous = False
    for call in calls:
        tool = tools.find(call.name)
        parallel = tool is not None and tool.parallel
        if parallel and previous:
            groups[-1].append(call)
        else:
            groups.append([call])
        previous = parallel
    return groups


def _output_item(call: ToolCall, output: ToolOutput) -> Json:
    kind = "custom_tool_call_output" if call.freeform else "function_call_output"
    return {"type": kind, "call_id": call.call_id, "output": output.output}
