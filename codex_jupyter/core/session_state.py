"""What a session and its turns share: memory, events, records, open questions."""

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

import anyio

from codex_jupyter.core.config import SessionConfig
from codex_jupyter.core.context import Told
from codex_jupyter.core.event_log import EventLog
from codex_jupyter.core.history import History, without_last_images
from codex_jupyter.core.transcript import Transcript
from codex_jupyter.errors import RolloutError
from codex_jupyter.flow.requests import Answered, AskedRequest, Outcome, Refused, RequestBroker
from codex_jupyter.ids import ItemId, ThreadId, TurnId
from codex_jupyter.protocol.events import (
    Event,
    EventMsg,
    ItemCompleted,
    ItemStarted,
    RequestOpened,
    RequestResolved,
    StatusChanged,
    TextDelta,
    TokenUsageUpdated,
    TurnCompleted,
)
from codex_jupyter.protocol.jsonrpc import MAX_DELTA_CHARS
from codex_jupyter.rollout.fold import StoredThread
from codex_jupyter.rollout.late import LateRecorder
from codex_jupyter.rollout.memory import MemoryRecorder
from codex_jupyter.rollout.recorder import WRITE_LIMIT, Recorder
from codex_jupyter.rollout.records import Record
from codex_jupyter.tools.policy import SessionApprovals

__all__ = ["SessionState", "sum_of_tokens"]

Json = dict[str, Any]
_log = logging.getLogger(__name__)
Publish = Callable[[Event], None]

_DECISIONS: Final = frozenset({"accept", "acceptForSession", "decline", "cancel"})
_FLAGS: Final = {
    "approval": "waitingOnApproval",
    "form": "waitingOnApproval",
    "userInput": "waitingOnUserInput",
}
_USAGE: Final = (
    "totalTokens",
    "inputTokens",
    "cachedInputTokens",
    "outputTokens",
    "reasoningOutputTokens",
)


@dataclass(frozen=True, slots=True, eq=False)
class _Staged:
    """Records that are written with the next ones, and what is told when they are."""

    number: int
    """Counts them."""

    records: Sequence[Record]
    told: Sequence[EventMsg]
    turn_id: TurnId


class SessionState:
    """The state of one loaded thread, on the core's loop only.

    Args:
        thread_id: The thread.
        publish: Takes every event, in order; must not block.
        environment: What commands inherit, before secrets are taken out.
        broker, approvals: Of the root of the thread's tree; default: it is the root.
    """

    def __init__(  # noqa: PLR0913 - what is known of a stored thread
        self,
        thread_id: ThreadId,
        publish: Publish,
        environment: Mapping[str, str],
        *,
        history: History | None = None,
        turns: Sequence[Json] = (),
        usage: Json | None = None,
        told: Told | None = None,
        broker: RequestBroker | None = None,
        approvals: SessionApprovals | None = None,
    ) -> None:
        self.thread_id = thread_id
        self.environment = environment
        self.history = history or History()
        self.transcript = Transcript(turns)
        self.approvals = approvals or SessionApprovals()
        self.broker = broker or RequestBroker()
        self.recorder: Recorder | LateRecorder | MemoryRecorder | None = None
        self.told = told
        """What the model was told of its surroundings; ``None`` tells it all at the next turn."""

        self.status: Json = {"type": "idle"}
        self.updated_at = time.time()
        self.last_event = time.monotonic()
        known: Json = usage or {}
        last: Json = known.get("last") or {}
        self._total: Json = dict.fromkeys(_USAGE, 0) | dict(known.get("total") or {})
        self._last_tokens = int(last.get("totalTokens") or 0)
        self._last: Json = dict(last)
        self._too_long_for: str | None = None
        self.log = EventLog()
        self._publish = publish
        self._seq = 0
        self._waits: list[str] = []
        self._asked: set[str] = set()
        self._started_at: dict[str, int] = {}
        self._stagings = count()
        self._staged: list[_Staged] = []
        self._being_stored: list[_Staged] = []

    def emit(self, msg: EventMsg, turn_id: TurnId | None = None) -> None:
        """Number a message, fold it into the transcript, and publish it.

        A long piece of text becomes several messages, each with a number of its own: who loses the
        connection between two of them goes on at the right one.
        """
        if isinstance(msg, TextDelta) and len(msg.delta) > MAX_DELTA_CHARS:
            for start in range(0, len(msg.delta), MAX_DELTA_CHARS):
                piece = msg.delta[start : start + MAX_DELTA_CHARS]
                self.emit(replace(msg, delta=piece), turn_id)
            return
        self._seq += 1
        self.last_event = time.monotonic()
        event = Event(self.thread_id, turn_id, self._seq, time.time_ns() // 1_000_000, msg)
        if isinstance(msg, ItemStarted):
            self._started_at[msg.item["id"]] = msg.item.get("startedAtMs", event.at_ms)
        elif isinstance(msg, ItemCompleted):
            self._started_at.pop(msg.item["id"], None)
        self.transcript.apply(event)
        self.log.append(event)
        self._publish(event)
        if isinstance(msg, TurnCompleted):
            self.log.rest()

    def started_at(self, item_id: str) -> int | None:
        """Return when an open item began, in Unix milliseconds."""
        return self._started_at.get(item_id)

    def stage(
        self, turn_id: TurnId, records: Sequence[Record], told: Sequence[EventMsg] = ()
    ) -> None:
        """Have ``records`` written with the next ones, so that both cost one sync.

        ``told`` is told when they are stored, before whoever wrote goes on. Only for a turn that
        runs: its end writes what is still staged.
        """
        self._staged.append(_Staged(next(self._stagings), records, told, turn_id))

    def unstage(self) -> None:
        """Forget what is staged and cannot be stored: it is told to nobody."""
        self._staged = []

    def open_items(self) -> list[Json]:
        """Return what was begun in the running turn and is not finished, stored or staged."""
        finished = {msg.item["id"] for msg in self._coming() if isinstance(msg, ItemCompleted)}
        return [i for i in self.transcript.open_items() if i["id"] not in finished]

    @property
    def extras(self) -> Json:
        """Plan, diff and tokens of the newest turn, with what is staged."""
        return self.transcript.extras(self._coming())

    def _coming(self) -> Iterator[EventMsg]:
        """Iterate over what will be told of records that are not stored yet."""
        for staged in (*self._being_stored, *self._staged):
            yield from staged.told

    async def record(self, records: Sequence[Record] = ()) -> None:
        """Make what is staged and ``records`` durable, in this order, and tell what is due then.

        A cancellation waits until it is known whether they are.

        Raises:
            RolloutError: They could not be written; what was staged still is.
        """
        if self.recorder is None:
            return  # there is no rollout yet: what is staged waits for it
        staged, self._staged = self._staged, []
        self._being_stored += staged
        try:
            await self._write([*(r for entry in staged for r in entry.records), *records])
        except RolloutError:
            # Another may have come back before, or not yet.
            self._staged = sorted([*staged, *self._staged], key=lambda entry: entry.number)
            raise
        finally:
            self._being_stored = [entry for entry in self._being_stored if entry not in staged]
        for entry in staged:
            for msg in entry.told:
                self.emit(msg, entry.turn_id)

    async def _write(self, records: Sequence[Record]) -> None:
        if self.recorder is None or not records:
            return
        try:
            with anyio.fail_after(WRITE_LIMIT, shield=True):
                await self.recorder.write(records)
        except TimeoutError:
            raise RolloutError(
                f"{self.recorder.path} did not take a record within {WRITE_LIMIT:.0f} s; "
                "check the disk"
            ) from None

    def terminal_output(self, turn_id: TurnId, item_id: ItemId, text: str) -> None:
        """Announce what a command printed that may outlive its turn."""
        self.emit(TextDelta("commandOutput", item_id, text), turn_id)

    async def terminal_done(self, turn_id: TurnId, item: Json) -> None:
        """Store the item of such a command, then announce that it is final."""
        final = {**item, "completedAtMs": time.time_ns() // 1_000_000}
        started = self.started_at(item["id"])
        if started is not None:
            final["startedAtMs"] = started
        payload: Json = {
            "type": "item_completed",
            "thread_id": self.thread_id,
            "turn_id": turn_id,
            "item": final,
        }
        try:
            await self.record([Record("event_msg", payload)])
        except RolloutError:
            _log.exception("the end of command %s could not be stored", item["id"])
        self.emit(ItemCompleted(final), turn_id)

    def set_status(self, status: Json) -> None:
        """Announce what the thread does now, if that is a change."""
        if status != self.status:
            self.status = status
            self.emit(StatusChanged(status))

    @contextmanager
    def waiting_on(self, request: AskedRequest) -> Generator[None, None, None]:
        """Show in the thread's status that a person is waited for."""
        flag = _FLAGS.get(request.waits_on)
        if flag is None:
            yield
            return
        self._waits.append(flag)
        self._show_waits()
        try:
            yield
        finally:
            self._waits.remove(flag)
            self._show_waits()

    @property
    def total_tokens(self) -> int:
        """Tokens the thread has used so far, with its delegates."""
        return int(self._total.get("totalTokens", 0))

    @property
    def context_tokens(self) -> int:
        """Tokens the next request takes: what the model reported, and an estimate of the rest."""
        return self._last_tokens + self.history.uncounted_tokens

    def note_too_long(self, model: str) -> None:
        """Note that ``model`` refused a request as too long, so that the next turn makes room."""
        self._too_long_for = model

    def is_too_long(self, model: str) -> bool:
        """Tell whether ``model`` refused the memory as it is now, however large its window is."""
        return self._too_long_for == model

    async def replace_history(
        self,
        turn_id: TurnId,
        items: Sequence[Json],
        summed: tuple[str, Json],
        config: SessionConfig,
    ) -> Json:
        """Let the model remember ``items`` instead of everything so far.

        ``summed`` is the summary, and the usage of the response that gave it. That is added to
        the totals and returned in wire shape.

        Raises:
            RolloutError: It could not be stored; the memory is as it was.
        """
        summary, used = summed[0], _breakdown(summed[1])
        payload = {"message": summary, "replacement_history": list(items)}
        await self.record([Record("compacted", payload)])
        self.history = History(items)
        self.told = None
        self._too_long_for = None
        self._last_tokens = self.history.uncounted_tokens
        self.history.counted()
        self._total = sum_of_tokens(self._total, used)
        last = dict.fromkeys(_USAGE, 0) | {"totalTokens": self._last_tokens}
        self._stage_usage(turn_id, last, config)
        return used

    async def drop_images(self) -> bool:
        """Replace the images of the last tool output, which the model refused, by a word.

        It is stored, so that they are not back after a restart; ``False`` if there are none.

        Raises:
            RolloutError: It could not be stored; the memory is as it was.
        """
        items = without_last_images(self.history.items)
        if items is None:
            return False
        payload = {"message": "", "replacement_history": items}
        await self.record([Record("compacted", payload)])
        self.history = History(items, counted=True)
        return True

    def restore(self, stored: StoredThread) -> None:
        """Take over what the records say after turns were taken back."""
        self.history = History(stored.history)
        self.transcript = Transcript(stored.turns)
        self.told = None
        self._too_long_for = None
        self._last_tokens = 0

    def count_tokens(self, turn_id: TurnId, usage: Json, config: SessionConfig) -> Json:
        """Add the usage of one response to the totals, stage it to be told, and return it."""
        last = _breakdown(usage)
        self._total = sum_of_tokens(self._total, last)
        self._last_tokens = last["totalTokens"]
        self._too_long_for = None
        self.history.counted()
        self._stage_usage(turn_id, last, config)
        return last

    def count_delegated(self, turn_id: TurnId | None, tokens: Json, config: SessionConfig) -> None:
        """Add what a delegate used to the totals and stage it to be told; call `record` after it.

        The model's context here is as it was.

        Args:
            turn_id: The turn that is charged: the running one, or the last. Without one the next
                turn tells the totals.
            tokens: A breakdown in wire shape.
            config: Names the context window.
        """
        self._total = sum_of_tokens(self._total, tokens)
        if turn_id is None:
            return
        last = self._last or dict.fromkeys(_USAGE, 0)
        self._stage_usage(turn_id, last, config, {"delegated": tokens})

    def _stage_usage(
        self, turn_id: TurnId, last: Json, config: SessionConfig, more: Json | None = None
    ) -> None:
        self._last = last
        shown = {
            "total": self._total,
            "last": last,
            "modelContextWindow": config.context_window,
            **(more or {}),
        }
        count = Record("event_msg", {"type": "token_count", "info": shown})
        self.stage(turn_id, [count], [TokenUsageUpdated(shown)])

    def _show_waits(self) -> None:
        if self.status["type"] == "active":
            self.set_status({"type": "active", "activeFlags": sorted(set(self._waits))})

    def tell_resolved(self, request: AskedRequest, outcome: Outcome) -> None:
        """Tell that a question is settled, if anybody was told of it."""
        if request.id in self._asked:
            self._asked.discard(request.id)
            word = _outcome_word(outcome)
            self.emit(RequestResolved(request.id, request.method, word), request.turn_id)

    def announce(self, request: AskedRequest) -> None:
        """Tell that a question waits for an answer."""
        self._asked.add(request.id)
        self.emit(RequestOpened(request.id, request.method, request.params), request.turn_id)


def sum_of_tokens(one: Json, other: Json) -> Json:
    """Add two breakdowns."""
    return {name: int(one.get(name, 0)) + int(other.get(name, 0)) for name in _USAGE}


def _outcome_word(outcome: Outcome) -> str:
    """Say in one word how a question ended, for those who did not answer it."""
    match outcome:
        case Answered({"decision": str(decision)}):
            return decision if decision in _DECISIONS else "decline"
        case Answered():
            return "answered"
        case Refused():
            return "refused"
        case _:
            return "withdrawn"


def _breakdown(usage: Json) -> Json:
    """Translate a Responses API ``usage`` into the protocol's breakdown."""
    read: Json = usage.get("input_tokens_details") or {}
    written: Json = usage.get("output_tokens_details") or {}
    taken, given = int(usage.get("input_tokens") or 0), int(usage.get("output_tokens") or 0)
    return {
        "totalTokens": int(usage.get("total_tokens") or taken + given),
        "inputTokens": taken,
        "cachedInputTokens": int(read.get("cached_tokens") or 0),
        "outputTokens": given,
        "reasoningOutputTokens": int(written.get("reasoning_tokens") or 0),
    }
