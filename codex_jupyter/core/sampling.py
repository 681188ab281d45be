"""One answer of the model: stream it, show it, keep it, and try again when the stream breaks."""

import random
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import anyio

from codex_jupyter.errors import ModelError
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.ids import ItemId, new_item_id
from codex_jupyter.model.interface import ModelClient, ModelEvent, ModelRequest
from codex_jupyter.model.retry import RetryPolicy
from codex_jupyter.protocol.events import (
    DeltaKind,
    ErrorNoted,
    EventMsg,
    ModelRerouted,
    RateLimitsUpdated,
    SummaryPartAdded,
)

__all__ = ["Sampled", "Sampler", "SamplingHost", "is_about_an_image"]

Json = dict[str, Any]

MAX_SERVER_DELAY: Final = 120.0
"""Seconds a server may ask to wait before a retry; a longer wait fails the turn and says so."""

_CALLS: Final = frozenset({"function_call", "custom_tool_call"})


class SamplingHost(Protocol):
    """What the turn lends to its sampler."""

    token: CancelToken

    def start_item(self, item: Json) -> None:
        """Announce an item."""
        ...

    async def complete_item(self, item: Json) -> None:
        """Store an item, then announce it."""
        ...

    def stage_memory(self, items: tuple[Json, ...]) -> None:
        """Have items that only the model sees stored with what comes next."""
        ...

    def drop_item(self, item: Json) -> None:
        """Announce that a half-streamed item is abandoned."""
        ...

    def delta(self, kind: DeltaKind, item_id: ItemId, text: str, index: int = 0) -> None:
        """Announce a piece of text."""
        ...

    def publish(self, msg: EventMsg) -> None:
        """Announce anything else."""
        ...


@dataclass(slots=True)
class Sampled:
    """What one answer held."""

    calls: list[Json] = field(default_factory=list[Json])
    """Response items of the tool calls, in order. None of them has run."""

    memory: list[Json] = field(default_factory=list[Json])
    """All response items, in order: what the model will remember of the answer."""

    last_text: str | None = None
    usage: Json | None = None
    finished: bool = False
    """Whether ``response.completed`` came; if not, the token was cancelled."""


class Sampler:
    """Asks the model once. Not reused.

    Tool calls are only collected: they run after the answer is complete, so that an answer that
    is streamed again never runs one twice. For the same reason the model's memory takes the
    answer whole, at its end: of an attempt that is repeated nothing is remembered.
    """

    def __init__(self, host: SamplingHost, client: ModelClient, retry: RetryPolicy) -> None:
        self._host = host
        self._client = client
        self._retry = retry
        self._asked_model = ""
        self._open: Json | None = None
        self._open_id = ItemId("")
        self._parts: dict[tuple[DeltaKind, int], list[str]] = {}

    async def sample(self, request: ModelRequest) -> Sampled:
        """Stream one answer, again if the stream breaks and the policy allows.

        Cancelling the turn's token ends it quietly: the text so far is kept as an item.

        Raises:
            ModelError: No answer, for good.
            RolloutError: Something could not be stored.
        """
        attempt = 0
        self._asked_model = request.model
        while True:
            sampled = Sampled()
            try:
                with self._host.token.scope():
                    await self._attempt(request, sampled)
                await self._keep(sampled)
            except ModelError as error:
                attempt += 1
                if not await self._may_retry(error, attempt):
                    await self._keep(sampled)
                    raise
                if self._host.token.reason is not None:
                    return Sampled()
            else:
                return sampled

    async def _may_retry(self, error: ModelError, attempt: int) -> bool:
        """Announce the retry and wait before it; a cancelled wait ends at once."""
        limit = self._retry.max_retries
        too_long = (error.retry_after or 0) > MAX_SERVER_DELAY
        if not error.retryable or attempt > limit or too_long:
            return False
        self._abandon()
        self._host.publish(
            ErrorNoted(
                {
                    "message": f"Reconnecting... {attempt}/{limit}",
                    "codexErrorInfo": error.info,
                    "additionalDetails": str(error),
                },
                will_retry=True,
            )
        )
        with self._host.token.scope():
            await anyio.sleep(self._retry.delay(attempt, error.retry_after, random.random()))  # noqa: S311
        return True

    async def _attempt(self, request: ModelRequest, sampled: Sampled) -> None:
        async with self._client.stream(request) as batches:
            async for batch in batches:
                await self._take(batch, sampled)

    async def _take(self, batch: list[ModelEvent], sampled: Sampled) -> None:
        """Take what arrived together; neighbouring deltas of one part become one event."""
        pieces: list[str] = []
        part: tuple[DeltaKind, int] = ("agentMessage", 0)
        for event in batch:
            kind = event["type"]
            if kind == "response.output_text.delta":
                if pieces and part != ("agentMessage", 0):
                    self._flush(part, pieces)
                if self._open is None:
                    self._begin({"type": "message", "id": event.get("item_id")})
                part = ("agentMessage", 0)
                pieces.append(event["delta"])
                continue
            if (found := _reasoning_part(kind, event)) is not None:
                if pieces and part != found:
                    self._flush(part, pieces)
                if self._open is None:
                    self._begin({"type": "reasoning", "id": event.get("item_id")})
                part = found
                pieces.append(event["delta"])
                continue
            if pieces:
                self._flush(part, pieces)
            await self._take_other(kind, event, sampled)
        if pieces:
            self._flush(part, pieces)

    async def _take_other(self, kind: str, event: ModelEvent, sampled: Sampled) -> None:
        match kind:
            case "codex.rate_limits":
                self._host.publish(RateLimitsUpdated(event["rate_limits"]))
            case "codex.server_model":
                self._host.publish(ModelRerouted(self._asked_model, event["model"]))
            case "response.output_item.added":
                if event["item"].get("type") in ("message", "reasoning"):
                    self._begin(event["item"])
                elif event["item"].get("type") == "web_search_call":
                    self._host.start_item(_web_search(event["item"]))
            case "response.reasoning_summary_part.added":
                if self._open is not None:
                    index = int(event.get("summary_index", 0))
                    self._host.publish(SummaryPartAdded(self._open_id, index))
            case "response.output_item.done":
                await self._done(event["item"], sampled)
            case "response.completed" | "response.done":
                sampled.usage = event.get("response", {}).get("usage")
                sampled.finished = True
            case _:
                pass

    def _begin(self, item: Json) -> None:
        self._open_id = ItemId(item.get("id") or new_item_id())
        self._parts.clear()
        if item["type"] == "message":
            self._open = {"type": "agentMessage", "id": self._open_id, "text": "", "phase": None}
        else:
            self._open = {"type": "reasoning", "id": self._open_id, "summary": [], "content": []}
        self._host.start_item(self._open)

    def _flush(self, part: tuple[DeltaKind, int], pieces: list[str]) -> None:
        text = "".join(pieces)
        pieces.clear()
        self._parts.setdefault(part, []).append(text)
        self._host.delta(part[0], self._open_id, text, part[1])

    async def _done(self, item: Json, sampled: Sampled) -> None:
        kind = item.get("type")
        if kind in _CALLS:
            # Its output needs something to name, or no later request would be accepted.
            item = item if item.get("call_id") else {**item, "call_id": new_item_id()}
            sampled.calls.append(item)
        sampled.memory.append(item)
        if kind == "web_search_call":
            await self._host.complete_item(_web_search(item))
        if kind not in ("message", "reasoning"):
            return
        if self._open is None:
            self._begin(item)
        shown, self._open = self._final(item), None
        if shown["type"] == "agentMessage":
            sampled.last_text = shown["text"]
        await self._host.complete_item(shown)

    def _final(self, item: Json) -> Json:
        if item["type"] == "message":
            parts: list[Json] = item.get("content") or []
            text = "".join(part.get("text", part.get("refusal", "")) for part in parts)
            phase = item.get("phase")
            return {"type": "agentMessage", "id": self._open_id, "text": text, "phase": phase}
        summaries: list[Json] = item.get("summary") or []
        contents: list[Json] = item.get("content") or []
        summary = [part.get("text", "") for part in summaries]
        content = [part.get("text", "") for part in contents]
        return {"type": "reasoning", "id": self._open_id, "summary": summary, "content": content}

    def _partial(self) -> Json | None:
        """Return the open item with the text so far, and open nothing any more."""
        item, self._open = self._open, None
        if item is None:
            return None
        texts = {part: "".join(pieces) for part, pieces in self._parts.items()}
        if item["type"] == "agentMessage":
            return {**item, "text": texts.get(("agentMessage", 0), "")}
        return {
            **item,
            "summary": [text for (kind, _), text in sorted(texts.items()) if kind == "summary"],
            "content": [text for (kind, _), text in sorted(texts.items()) if kind == "reasoning"],
        }

    async def _keep(self, sampled: Sampled) -> None:
        """Remember the answer; an item that is still open ends with what came of it."""
        if (item := self._partial()) is not None:
            if item["type"] == "agentMessage" and item["text"]:
                content = [{"type": "output_text", "text": item["text"]}]
                said = {"type": "message", "role": "assistant", "content": content}
                sampled.memory.append(said)
                sampled.last_text = item["text"]
            await self._host.complete_item(item)
        self._host.stage_memory(tuple(sampled.memory))

    def _abandon(self) -> None:
        if (item := self._partial()) is not None:
            self._host.drop_item({**item, "abandoned": True})


def _web_search(item: Json) -> Json:
    """Return the item that shows a search, which the provider does by itself."""
    action: Json = item.get("action") or {}
    return {
        "type": "webSearch",
        "id": item.get("id") or new_item_id(),
        "query": str(action.get("query") or ""),
        "action": action or None,
    }


def _reasoning_part(kind: str, event: ModelEvent) -> tuple[DeltaKind, int] | None:
    if kind == "response.reasoning_summary_text.delta":
        return "summary", int(event.get("summary_index", 0))
    if kind == "response.reasoning_text.delta":
        return "reasoning", int(event.get("content_index", 0))
    return None


def is_about_an_image(error: ModelError) -> bool:
    """Tell whether the model refused a request for an image in it."""
    text = f"{error} {error.details or ''}".lower()
    return "image" in text and any(word in text for word in ("invalid", "unsupported", "decode"))
