"""Makes room in the model's memory: asks it for a summary and keeps that in place of the rest."""

from collections.abc import Sequence
from typing import Any, Final

from codex_jupyter.core.history import estimated_tokens
from codex_jupyter.core.instructions import SUMMARY_PREFIX, SUMMARY_REQUEST
from codex_jupyter.core.sampling import Sampler
from codex_jupyter.errors import ModelError
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.ids import ItemId
from codex_jupyter.model.interface import ModelClient, ModelRequest
from codex_jupyter.model.retry import RetryPolicy
from codex_jupyter.protocol.events import DeltaKind, ErrorNoted, EventMsg
from codex_jupyter.rollout.fold import user_text
from codex_jupyter.rollout.records import Record
from codex_jupyter.tools.output import truncate_middle

__all__ = ["KEPT_TOKENS", "compacted_history", "compaction_limit", "summarise"]

Json = dict[str, Any]

KEPT_TOKENS: Final = 20_000
"""Tokens of the user's own messages that outlive a compaction; the number of the original."""

_FULL_AT: Final = 0.9
"""Share of the window at which memory is compacted; the number of the original."""

_MAX_HALVINGS: Final = 6
"""How often the oldest half is left out of what is summarised when that itself does not fit."""


def compaction_limit(context_window: int | None, configured: int | None) -> int | None:
    """Return the tokens at which memory is compacted; ``None`` if nobody knows a limit."""
    if context_window is None:
        return configured
    share = int(context_window * _FULL_AT)
    return share if configured is None else min(share, configured)


def compacted_history(items: Sequence[Json], summary: str, context: Sequence[Json]) -> list[Json]:
    """Return the memory after a compaction.

    The newest messages of the user stay, up to `KEPT_TOKENS`, the oldest of them cut if need be,
    with their images; then comes the summary. ``context`` goes before the last message.
    """
    kept: list[Json] = []
    room = KEPT_TOKENS
    for item in reversed(items):
        if room <= 0:
            break
        if item.get("role") != "user" or user_text(Record("response_item", item)) is None:
            continue
        cost = estimated_tokens(item)
        kept.append(item if cost <= room else _cut(item, room))
        room -= cost
    kept.reverse()
    text = f"{SUMMARY_PREFIX}{summary.strip()}\n</context_summary>"
    content = [{"type": "input_text", "text": text}]
    return [
        *kept[:-1],
        *context,
        *kept[-1:],
        {"type": "message", "role": "user", "content": content},
    ]


async def summarise(
    token: CancelToken, client: ModelClient, retry: RetryPolicy, request: ModelRequest
) -> tuple[str, Json] | None:
    """Ask the model to sum up ``request.input``; ``None`` if the token was cancelled.

    Returns the summary and what it cost, as the provider tells it: nothing, if it does not.

    Where the conversation does not fit even for that, its oldest half is left out, again and
    again. Retries and their pauses end with the token.

    Raises:
        ModelError: There is no summary; the memory is as it was.
    """
    asked: Json = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": SUMMARY_REQUEST}],
    }
    items = [dict(item) for item in request.input]
    for _ in range(_MAX_HALVINGS):
        whole = ModelRequest(
            model=request.model,
            instructions=request.instructions,
            input=[*items, asked],
            thread_id=request.thread_id,
            effort=request.effort,
            summary=request.summary,
        )
        try:
            sampled = await Sampler(_Silent(token), client, retry).sample(whole)
        except ModelError as error:
            if error.info != "contextWindowExceeded" or len(items) <= 1:
                raise
            items = _newer_half(items)
            continue
        if token.reason is not None:
            return None
        if not (summary := sampled.last_text or "").strip():
            raise ModelError("the model gave no summary of the conversation; nothing was forgotten")
        return summary, sampled.usage or {}
    raise ModelError(
        "the conversation does not fit into the model's context, not even to be summed up; "
        "start a new thread",
        info="contextWindowExceeded",
    )


def _newer_half(items: Sequence[Json]) -> list[Json]:
    """Drop the oldest items, about half by size; outputs whose call is gone go with it."""
    sizes = [estimated_tokens(item) for item in items]
    rest, place = sum(sizes) / 2, 0
    while rest > 0 and place < len(items) - 1:
        rest -= sizes[place]
        place += 1
    calls = {item.get("call_id") for item in items[place:] if _is_call(item)}
    return [
        item
        for item in items[place:]
        if not str(item.get("type")).endswith("_output") or item.get("call_id") in calls
    ]


def _is_call(item: Json) -> bool:
    return item.get("type") in ("function_call", "custom_tool_call")


def _cut(item: Json, tokens: int) -> Json:
    content = [
        {**part, "text": truncate_middle(str(part.get("text", "")), tokens)}
        if part.get("type") == "input_text"
        else part
        for part in item.get("content") or ()
    ]
    return {**item, "content": content}


class _Silent:
    """Lets a sampler work without anybody seeing the answer grow."""

    def __init__(self, token: CancelToken) -> None:
        self.token = token

    def start_item(self, item: Json) -> None:
        """Show nothing."""

    async def complete_item(self, item: Json) -> None:
        """Store nothing."""

    def stage_memory(self, items: tuple[Json, ...]) -> None:
        """Remember nothing."""

    def drop_item(self, item: Json) -> None:
        """Show nothing."""

    def delta(self, kind: DeltaKind, item_id: ItemId, text: str, index: int = 0) -> None:
        """Show nothing."""

    def publish(self, msg: EventMsg) -> None:
        """Show nothing, not even a retry: the compaction is one step to whoever watches."""
        assert not isinstance(msg, ErrorNoted) or msg.will_retry  # noqa: S101 - a sampler raises
