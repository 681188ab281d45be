"""One turn: ask the model, run the tools it calls, and again, until it is done."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import anyio

from codex_jupyter.core.compaction import compacted_history, compaction_limit, summarise
from codex_jupyter.core.config import SessionConfig
from codex_jupyter.core.context import context_items, told_of
from codex_jupyter.core.lineage import Lineage
from codex_jupyter.core.sampling import Sampler, is_about_an_image
from codex_jupyter.core.session_state import SessionState, sum_of_tokens
from codex_jupyter.core.spoken import Spoken, spoken_of
from codex_jupyter.core.task_list import TaskList
from codex_jupyter.core.tool_calls import ToolCalls
from codex_jupyter.core.turn_parts import Closes
from codex_jupyter.core.turn_questions import WaitsOn, ask_clients
from codex_jupyter.errors import CodexError, ModelError, RolloutError
from codex_jupyter.flow.bell import Bell
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.flow.requests import Outcome
from codex_jupyter.ids import ItemId, ThreadId, TurnId, new_item_id
from codex_jupyter.model.interface import ModelClient, ModelRequest
from codex_jupyter.model.retry import RetryPolicy
from codex_jupyter.protocol.events import (
    ContextCompacted,
    DeltaKind,
    EventMsg,
    ItemCompleted,
    ItemStarted,
    TextDelta,
    Warned,
)
from codex_jupyter.protocol.ops import (
    Compact,
    DelegateTask,
    Delegation,
    Notice,
    Review,
    TurnOp,
    TurnOverrides,
    UserShell,
    UserTurn,
)
from codex_jupyter.rollout.records import Record
from codex_jupyter.tools.policy import Policy, SessionApprovals
from codex_jupyter.tools.registry import ToolRegistry
from codex_jupyter.tools.turn_diff import TurnDiff

__all__ = ["Turn"]

Json = dict[str, Any]

_MAX_COMPACTIONS: Final = 4
"""Compactions in one turn. One that fills the window more often is not getting anywhere."""

_SUMMED_UP: Final = (
    "The conversation was summed up to make room in the model's context; details may be lost."
)


class Turn:
    """A turn of a session; also what its tools and its sampler see of the session.

    The one way it ends is decided once, by `close`: after that, input and interrupts come too
    late for it.
    """

    def __init__(
        self,
        turn_id: TurnId,
        op: TurnOp,
        config: SessionConfig,
        state: SessionState,
        lineage: Lineage | None = None,
    ) -> None:
        self.op = op
        self.lineage = lineage
        self.state = state
        self.thread_id: ThreadId = state.thread_id
        self.turn_id = turn_id
        self.token = CancelToken() if lineage is None else lineage.token.child()
        self.workspace: Path = config.cwd
        self.approvals: SessionApprovals = state.approvals
        self.turn_diff = TurnDiff(config.cwd)
        self.environment: Mapping[str, str] = state.environment
        self.output_tokens = config.output_tokens
        self.spoken = spoken_of(op) if isinstance(op, UserTurn) else None
        self.opening = _opening(op, self.spoken)
        """The item that is stored and told with its start."""

        self.config = config
        self.accepted = anyio.Event()
        """Set when its start is stored, or refused: input before that might be nowhere."""

        self.ended = anyio.Event()
        self.hard = anyio.CancelScope()
        self.last_text: str | None = None
        self.failure: CodexError | None = None
        """Set when it was stopped because it cannot succeed: it then ends as failed."""

        self.started = time.time()
        self.delegates: set[Closes] = set()
        """Delegates that must have ended before it does."""

        self.tokens: Json = {}
        """What its own responses used, in wire shape."""

        self.item_ids: set[str] = set()
        """Ids of its items so far, which the calls of one answer must not use again."""

        self._steered: list[Spoken] = []
        self._injected: list[Json] = []
        self._beside: list[UserShell] = []
        self._running_beside = 0
        self._heard = False
        self.tasks = TaskList(op, self.token)
        self._news = Bell()
        self._compactions = 0
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether its end is decided."""
        return self._closed

    @property
    def is_leaving(self) -> bool:
        """Whether it was stopped or its end is decided, so that the next turn only has to wait."""
        return self._closed or self.token.reason is not None

    @property
    def policy(self) -> Policy:
        """Who has to agree, at this moment: a delegate may never do what its parent may not."""
        own = self.config.policy
        return own if self.lineage is None else own.meet(self.lineage.ceiling())

    @property
    def kind(self) -> str:
        """What it does, as an error names it."""
        match self.op:
            case UserTurn() | Notice():
                return "regular"
            case Review():
                return "review"
            case Compact():
                return "compact"
            case UserShell():
                return "shell command"
            case Delegation():
                return "delegation"

    @property
    def takes_input(self) -> bool:
        """Whether input can join it: a conversation reads it, a review answers it afterwards."""
        return isinstance(self.op, UserTurn | Notice | Review)

    def change(self, overrides: TurnOverrides) -> bool:
        """Ask the model with other settings from its next request on; ``False`` if it is too late.

        Raises:
            InvalidRequestError: One does not fit; none was changed.
        """
        if self.is_leaving:
            return False
        self.config = self.config.with_overrides(overrides)
        return True

    def steer(self, spoken: Spoken) -> bool:
        """Take more input into the turn; ``False`` if its end is decided already."""
        if self.is_leaving or not self.takes_input:
            return False
        self._steered.append(spoken)
        self.stir()
        return True

    def run_beside(self, op: UserShell) -> None:
        """Run a command of the user's while the turn goes on; the turn ends after it."""
        self._beside.append(op)
        self._running_beside += 1
        self.stir()

    def delegate(self, tasks: Iterable[DelegateTask]) -> bool:
        """Have more delegates work in a turn that delegates; ``False`` if it is too late for it."""
        if self.is_leaving or not isinstance(self.op, Delegation):
            return False
        self.tasks.add(tasks)
        self.stir()
        return True

    def let_go(self) -> None:
        """Let a turn that delegates end with the tasks it has."""
        self.tasks.held = False
        self.stir()

    async def next_beside(self) -> UserShell:
        """Wait for the next command to run beside the turn."""
        while not self._beside:
            await self._news.wait()
        return self._beside.pop(0)

    def beside_ended(self) -> None:
        """Note that a command that ran beside the turn is over."""
        self._running_beside -= 1
        self.stir()

    def inject(self, items: Iterable[Json]) -> None:
        """Let the model know ``items`` before its next answer; call it before `closed`."""
        self._injected.extend(items)

    def hear(self, items: Iterable[Json]) -> bool:
        """Let the model know ``items`` and answer once more; ``False`` if it is too late for it."""
        if self.is_leaving or not self.takes_input:
            return False
        self._injected.extend(items)
        self._heard = True
        self.stir()
        return True

    def stop(self, reason: str) -> None:
        """Stop the turn on behalf of a tool of its own, and the turn it is shown in."""
        if self.lineage is not None and self.lineage.shown_in is not None:
            self.lineage.shown_in.stop(reason)
        if self.token.reason is None:
            self.interrupt(reason)

    def interrupt(self, reason: str) -> None:
        """Stop the turn; a second call no longer waits for tools that wind down."""
        if self.token.reason is not None:
            self.hard.cancel()
        self.token.cancel(reason)

    def close(self) -> tuple[list[Spoken], tuple[Json, ...]]:
        """Decide that the turn is over; return input, and injected items, nobody has seen."""
        self._closed = True
        spoken, self._steered = self._steered, []
        injected, self._injected = tuple(self._injected), []
        return spoken, injected

    async def run(self, client: ModelClient, tools: ToolRegistry, retry: RetryPolicy) -> None:
        """Work until the model is done, or until the token is cancelled.

        Raises:
            ModelError: The model gave no usable answer.
            RolloutError: Something could not be stored.
        """
        calls = ToolCalls(self, tools)
        while self.token.reason is None:
            await self._take_in_waiting()
            if self._is_full(client):
                await self._make_room(client, retry)
                continue
            try:
                sampled = await Sampler(self, client, retry).sample(self._request(client, tools))
            except ModelError as error:
                if not is_about_an_image(error) or not await self.state.drop_images():
                    raise
                continue
            self.last_text = sampled.last_text or self.last_text
            if sampled.usage is not None:
                used = self.state.count_tokens(self.turn_id, sampled.usage, self.config)
                self.tokens = sum_of_tokens(self.tokens, used)
            if sampled.calls:
                await self.state.record()
                await calls.run(sampled.calls)
                continue
            await self.rest()
            if self.close_if_done():
                return

    async def rest(self) -> None:
        """Wait for what runs beside the turn; input to it, or a stop, ends the wait.

        Raises:
            RolloutError: What is shown meanwhile could not be stored.
        """
        if self._running_beside:
            await self.state.record()
        with self.token.scope():
            while self._running_beside and not self._steered and not self._heard:
                await self._news.wait()

    def close_if_done(self) -> bool:
        """Decide that the turn is over if nothing waits to be read; ``False`` if something does.

        No await is between the look and the decision: what comes later comes too late and is told
        so, instead of being taken and never read.
        """
        if self._steered or self._heard or self.tasks.is_open:
            return False
        self._closed = True
        return True

    async def news(self) -> None:
        """Wait until something was put into the turn, or somebody stirred it."""
        await self._news.wait()

    def stir(self) -> None:
        """Wake what waits for `news`."""
        self._news.ring()

    async def _make_room(self, client: ModelClient, retry: RetryPolicy) -> None:
        self._compactions += 1
        if self._compactions <= _MAX_COMPACTIONS:
            await self.compact(client, retry, with_context=True)
        if self.token.reason is None and self._is_full(client):
            raise ModelError(
                "the model's context is full even after the conversation was summed up; ask for "
                "a smaller step, or start a new thread",
                info="contextWindowExceeded",
            )

    async def compact(self, client: ModelClient, retry: RetryPolicy, *, with_context: bool) -> None:
        """Replace the model's memory by a summary of it; the token ends it without a change.

        Args:
            client: Who sums up.
            retry: For the summary's request.
            with_context: Whether the new memory tells the surroundings, because the turn goes on.

        Raises:
            ModelError: There is no summary; the memory is as it was.
            RolloutError: It could not be stored.
        """
        item: Json = {"type": "contextCompaction", "id": new_item_id()}
        self.start_item(item)
        summed: tuple[str, Json] | None = None
        try:
            request = self._request(client, ToolRegistry())
            summed = await summarise(self.token, client, retry, request)
        finally:
            if summed is None:
                self.drop_item({**item, "abandoned": True})
        if summed is None:
            return
        context = context_items(None, self.config) if with_context else ()
        items = compacted_history(self.state.history.items, summed[0], context)
        used = await self.state.replace_history(self.turn_id, items, summed, self.config)
        self.tokens = sum_of_tokens(self.tokens, used)
        self.state.told = told_of(self.config) if with_context else None
        await self.complete_item(item)
        self.publish(ContextCompacted())
        self.publish(Warned(_SUMMED_UP))

    def _is_full(self, client: ModelClient) -> bool:
        if self.state.is_too_long(self.config.model):
            return True
        window = self.config.context_window or client.capabilities.context_window
        limit = compaction_limit(window, self.config.auto_compact_limit)
        return limit is not None and self.state.context_tokens >= limit

    def _request(self, client: ModelClient, tools: ToolRegistry) -> ModelRequest:
        capabilities = client.capabilities
        specs: list[Json] = []
        if capabilities.tools:
            specs = tools.specs(freeform=capabilities.freeform_tools)
            if specs and self.config.web_search != "disabled":
                live = self.config.web_search == "live"
                specs.append({"type": "web_search", "external_web_access": live})
        return ModelRequest(
            model=self.config.model,
            instructions=self.config.base_instructions,
            input=self.state.history.prompt(),
            tools=specs,
            thread_id=self.thread_id,
            effort=self.config.effort,
            summary=self.config.summary,
            output_schema=self.op.output_schema if isinstance(self.op, UserTurn) else None,
        )

    async def _take_in_waiting(self) -> None:
        # What the model is asked next rests on what is staged, so that comes to the disk first.
        await self.state.record()
        self._heard, injected = False, tuple(self._injected)
        await self.remember(injected)
        del self._injected[: len(injected)]
        while self._steered:
            # Taken only when nothing but a write is left to wait for: a hard stop may come before.
            remembered = await self._steered[0].remembered()
            await self._show(self._steered.pop(0), remembered)

    async def take_in(self, spoken: Spoken) -> None:
        """Show and remember input that came while the turn ran."""
        await self._show(spoken, await spoken.remembered())

    async def _show(self, spoken: Spoken, remembered: tuple[Json, ...]) -> None:
        item = spoken.item()
        self.start_item(item)
        try:
            await self.complete_item(item, history=remembered)
        except RolloutError:  # the item is still open, so it ends with the turn
            self._injected.extend(remembered)
            raise

    def start_item(self, item: Json) -> None:
        """Announce an item of this turn."""
        item.setdefault("startedAtMs", _now_ms())
        self.item_ids.add(item["id"])
        self.state.emit(ItemStarted(dict(item)), self.turn_id)

    async def complete_item(self, item: Json, *, history: tuple[Json, ...] = ()) -> None:
        """Store an item, and what the model remembers of it, then announce that it is final.

        In a turn that was stopped that happens with its end, which is near: one write for all.
        """
        if self.lineage is not None and self.lineage.room is not None and not self._closed:
            await self.lineage.room(self.token)
        final = {"startedAtMs": _now_ms(), **item, "completedAtMs": _now_ms()}
        if (started := self.state.started_at(item["id"])) is not None:
            final["startedAtMs"] = started
        records = [*_response_items(history), self._item_record(final)]
        if self.token.reason is not None:
            self.state.stage(self.turn_id, records, [ItemCompleted(final)])
            self.state.history.append(history)
            return
        await self.state.record(records)
        self.state.history.append(history)
        self.state.emit(ItemCompleted(final), self.turn_id)

    def stage_items(self, items: Iterable[Json], *, history: tuple[Json, ...] = ()) -> None:
        """Have items that are final at once stored, and then announced, with what comes next.

        The end of the turn does that at the latest. What the model remembers of them counts now.
        """
        now = _now_ms()
        told: list[EventMsg] = []
        records = _response_items(history)
        for item in items:
            begun = {**item, "startedAtMs": now}
            final = {**begun, "completedAtMs": now}
            self.item_ids.add(item["id"])
            records.append(self._item_record(final))
            told += [ItemStarted(begun), ItemCompleted(final)]
        self.state.stage(self.turn_id, records, told)
        self.state.history.append(history)

    def drop_item(self, item: Json) -> None:
        """Announce that an item will not be finished; it is not stored."""
        self.state.emit(ItemCompleted({**item, "completedAtMs": _now_ms()}), self.turn_id)

    async def remember(self, items: tuple[Json, ...]) -> None:
        """Store what only the model sees."""
        if items:
            await self.state.record(_response_items(items))
            self.state.history.append(items)

    def stage_memory(self, items: tuple[Json, ...]) -> None:
        """Have what only the model sees stored with what comes next; it counts now."""
        if items:
            self.state.stage(self.turn_id, _response_items(items))
            self.state.history.append(items)

    def delta(self, kind: DeltaKind, item_id: ItemId, text: str, index: int = 0) -> None:
        """Announce a piece of an item's text."""
        self.state.emit(TextDelta(kind, item_id, text, index), self.turn_id)

    def publish(self, msg: EventMsg) -> None:
        """Announce anything else of this turn."""
        self.state.emit(msg, self.turn_id)

    async def ask(
        self,
        method: str,
        params: Json,
        item_id: ItemId,
        waits_on: WaitsOn,
    ) -> Outcome:
        """Put a question to the clients; its outcome is stored before anybody acts on it."""
        return await ask_clients(self, self.state, method, params, item_id, waits_on)

    def _item_record(self, item: Json) -> Record:
        payload = {
            "type": "item_completed",
            "thread_id": self.thread_id,
            "turn_id": self.turn_id,
            "item": item,
        }
        return Record("event_msg", payload)


def _opening(op: TurnOp, spoken: Spoken | None) -> Json | None:
    if isinstance(op, Review):
        return {"type": "enteredReviewMode", "id": new_item_id(), "review": op.hint}
    return None if spoken is None else spoken.item()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _response_items(items: tuple[Json, ...]) -> list[Record]:
    return [Record("response_item", item) for item in items]
