"""The turns of a loaded thread as clients see them, down to the half-streamed item."""

from collections.abc import Iterable, Mapping
from typing import Any

from codex_jupyter.ids import TurnId
from codex_jupyter.protocol.events import (
    DiffUpdated,
    Event,
    EventMsg,
    ItemCompleted,
    ItemStarted,
    PlanUpdated,
    SummaryPartAdded,
    TextDelta,
    TokenUsageUpdated,
    TurnCompleted,
    TurnStarted,
)
from codex_jupyter.rollout.packed import unpacked

__all__ = ["Transcript"]

Json = dict[str, Any]


class _OpenItem:
    """An item that still grows; its text is joined only when somebody looks."""

    def __init__(self, item: Json) -> None:
        self.item = item
        self.parts: dict[tuple[str, int], list[str]] = {}

    def add(self, msg: TextDelta) -> None:
        self.parts.setdefault((msg.kind, msg.index), []).append(msg.delta)

    def joined(self) -> Json:
        item = dict(self.item)
        for (kind, index), pieces in sorted(self.parts.items()):
            text = "".join(pieces)
            match kind:
                case "agentMessage":
                    item["text"] = text
                case "commandOutput":
                    item["aggregatedOutput"] = text
                case _:
                    name = "summary" if kind == "summary" else "content"
                    texts = [*item.get(name, [])]
                    texts += [""] * (index + 1 - len(texts))
                    texts[index] = text
                    item[name] = texts
        return item


class Transcript:
    """Folds events into turns.

    Args:
        turns: Wire-shaped turns of the stored thread, oldest first.
    """

    def __init__(self, turns: Iterable[Json] = ()) -> None:
        self._turns: list[Json] = list(turns)
        self._open: dict[str, _OpenItem] = {}
        self._place: dict[str, int] = {}
        self._extras: Json = {}

    def extras(self, coming: Iterable[EventMsg] = ()) -> Json:
        """Return plan, diff and tokens of the newest turn, as its end keeps them, if it has any.

        Args:
            coming: What will be told before that end.
        """
        extras = dict(self._extras)
        for msg in coming:
            extras = _with_extra(extras, msg)
        return extras

    def apply(self, event: Event) -> None:
        """Take one event of the thread; deltas cost one append."""
        msg = event.msg
        if isinstance(msg, TextDelta):
            if (open_item := self._open.get(msg.item_id)) is not None:
                open_item.add(msg)
        elif isinstance(msg, ItemStarted):
            self._open[msg.item["id"]] = _OpenItem(msg.item)
            self._place[msg.item["id"]] = len(self._turns[-1]["items"])
            self._turns[-1]["items"].append(msg.item)
        elif isinstance(msg, ItemCompleted):
            self._complete(msg.item, event.turn_id)
        elif isinstance(msg, SummaryPartAdded):
            if (open_item := self._open.get(msg.item_id)) is not None:
                open_item.parts.setdefault(("summary", msg.index), [])
        elif isinstance(msg, TurnStarted):
            self._turns.append({**msg.turn, "items": []})
            self._extras = {}
        elif isinstance(msg, TurnCompleted):
            items = [i for i in self._turns[-1]["items"] if not i.get("abandoned")]
            # Commands may outlive their turn; what they print is still theirs.
            self._open = {i["id"]: self._open[i["id"]] for i in items if _lasts(i, self._open)}
            self._turns[-1] = {**msg.turn, **self._extras, "items": items}
            self._place.clear()
        else:
            self._extras = _with_extra(self._extras, msg)

    @property
    def turn_ids(self) -> list[TurnId]:
        """Ids of all turns, oldest first."""
        return [TurnId(turn["id"]) for turn in self._turns]

    def turns(self, places: Iterable[int] | None = None) -> list[Json]:
        """Return turns with their items; open items have the text they have so far.

        Args:
            places: Which ones; default: all. Those of long ago take a moment to unpack.
        """
        chosen = range(len(self._turns)) if places is None else places
        last = len(self._turns) - 1
        return [self._shown(self._turns[n], is_last=n == last) for n in chosen]

    def _shown(self, turn: Json, *, is_last: bool) -> Json:
        turn = unpacked(turn)
        items: list[Json] = turn["items"]
        if not self._open and not is_last:
            return {**turn, "itemsView": "full"}
        shown = [
            self._open[item["id"]].joined() if item["id"] in self._open else item
            for item in items
            if not item.get("abandoned")
        ]
        return {**turn, "items": shown, "itemsView": "full"}

    def status_of(self, turn_id: TurnId) -> str | None:
        """Return the status of a turn, or ``None`` for one that is not there."""
        for turn in reversed(self._turns):
            if turn["id"] == turn_id:
                return str(turn["status"])
        return None

    def open_items(self) -> list[Json]:
        """Return what was started and not completed, with its text; not what outlives a turn."""
        return [e.joined() for i, e in self._open.items() if not _lasts({"id": i}, self._open)]

    def _complete(self, item: Json, turn_id: TurnId | None) -> None:
        self._open.pop(item["id"], None)
        place = self._place.pop(item["id"], None)
        if place is not None:
            self._turns[-1]["items"][place] = item
            return
        # It outlived its turn, which may have been taken back since, or never was announced.
        number = self._number_of(turn_id)
        if number is None:
            return
        turn = self._turns[number] = unpacked(self._turns[number])
        items: list[Json] = turn["items"]
        place = next((n for n, known in enumerate(items) if known["id"] == item["id"]), None)
        if place is None:
            items.append(item)
        else:
            items[place] = item

    def _number_of(self, turn_id: TurnId | None) -> int | None:
        numbers = reversed(range(len(self._turns)))
        return next((n for n in numbers if self._turns[n]["id"] == turn_id), None)


def _with_extra(extras: Json, msg: EventMsg) -> Json:
    match msg:
        case PlanUpdated(explanation, plan):
            return {**extras, "plan": {"explanation": explanation, "plan": plan}}
        case DiffUpdated(diff):
            return {**extras, "diff": diff}
        case TokenUsageUpdated(usage):
            return {**extras, "usage": _added(extras.get("usage"), usage)}
        case _:
            return extras


def _added(before: Json | None, reported: Json) -> Json:
    """Add one response to a turn's tokens; the reported total is the whole thread's."""
    last, sums = reported["last"], before or {}
    names = ("inputTokens", "cachedInputTokens", "outputTokens", "reasoningOutputTokens")
    if (delegated := reported.get("delegated")) is not None:
        added = {name: sums.get(name, 0) + (delegated.get(name) or 0) for name in names}
        return {"contextTokens": 0, "contextWindow": 0, **sums, **added}
    usage = {name: sums.get(name, 0) + (last.get(name) or 0) for name in names}
    usage["contextTokens"] = last.get("totalTokens") or 0
    usage["contextWindow"] = reported.get("modelContextWindow") or 0
    return usage


def _lasts(item: Json, opened: Mapping[str, _OpenItem]) -> bool:
    """Whether an open item may go on after its turn: a command of a terminal."""
    entry = opened.get(item["id"])
    return entry is not None and entry.item.get("source") == "unifiedExecStartup"
