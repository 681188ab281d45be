"""What the fake model can answer: small values that are written in tests and rendered as events.

``say``, ``reason``, ``call`` and ``custom_call`` make answers with one output item; ``+`` puts
them into one answer. Methods say how the answer travels::

    reason("**Looking**") + call("shell_command", {"command": "ls"}, call_id="c1")
    say("a long text", deltas=20).hang(after=5)
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

__all__ = [
    "Answer",
    "Events",
    "call",
    "custom_call",
    "failed",
    "garbage",
    "incomplete",
    "raw",
    "reason",
    "say",
    "status",
]

Events = list[dict[str, Any] | bytes]
"""Decoded events in order; bytes are sent as they are."""

Part = Callable[[str, int], Events]
"""Makes the events of one output item from its id and its index."""

USAGE = {"input_tokens": 10, "cached": 0, "output_tokens": 5, "reasoning": 0}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer of the fake. Made by the functions of this module, shaped by its methods."""

    parts: tuple[Part, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    """Sent instead of events."""

    last: dict[str, Any] | None = None
    """Sent instead of ``response.completed``."""

    usage: Mapping[str, int] = field(default_factory=lambda: USAGE)
    ending: Literal["completed", "nothing", "cut", "hang"] = "completed"
    after: int | None = None
    """Number of events before a cut or a hang."""

    delay: float = 0.0
    chat: bool = False
    model: str | None = None

    def __add__(self, other: "Answer") -> "Answer":
        """Return an answer with the items of both; how ``other`` travels and ends wins."""
        return replace(other, parts=self.parts + other.parts)

    def with_usage(
        self, input_tokens: int, output_tokens: int, *, cached: int = 0, reasoning: int = 0
    ) -> "Answer":
        """Report these token counts; without it 10 in, 5 out."""
        usage = {
            "input_tokens": input_tokens,
            "cached": cached,
            "output_tokens": output_tokens,
            "reasoning": reasoning,
        }
        return replace(self, usage=usage)

    def slow(self, delay: float) -> "Answer":
        """Wait ``delay`` seconds before every event."""
        return replace(self, delay=delay)

    def hang(self, after: int = 1) -> "Answer":
        """Send ``after`` events, then nothing until `FakeModel.resume`.

        Events count from ``response.created``, so ``after=1`` hangs before the first item, and
        in `say` the deltas begin with the third event.
        """
        return replace(self, ending="hang", after=after)

    def cut_after(self, n: int) -> "Answer":
        """Send ``n`` events, counted as in `hang`, then reset the connection."""
        return replace(self, ending="cut", after=n)

    def end_without_completed(self) -> "Answer":
        """End the body cleanly after the items, without ``response.completed``."""
        return replace(self, ending="nothing")

    def with_headers(self, headers: Mapping[str, str]) -> "Answer":
        """Send these HTTP headers along."""
        return replace(self, headers={**self.headers, **headers})

    def by_model(self, model: str) -> "Answer":
        """Say that this model answers."""
        return replace(self, model=model)

    def as_chat(self) -> "Answer":
        """Let the answer travel as a stream of Chat Completions."""
        return replace(self, chat=True)

    def events(self, response_id: str, new_id: Callable[[], str]) -> Events:
        """Return everything the stream says, ``response.created`` first."""
        response = {"id": response_id, "object": "response", "status": "in_progress", "output": []}
        if self.model is not None:
            response["model"] = self.model
        events: Events = [{"type": "response.created", "response": response}]
        for index, part in enumerate(self.parts):
            events += part(new_id(), index)
        if self.last is not None:
            events.append(self.last)
        elif self.ending != "nothing":
            events.append(_completed(response, self.usage))
        return _as_chunks(events) if self.chat else events


def say(text: str, *, deltas: int = 1, phase: str | None = None) -> Answer:
    """An assistant message, streamed in ``deltas`` pieces of about the same length."""

    def part(item_id: str, index: int) -> Events:
        item = {"type": "message", "id": item_id, "role": "assistant"}
        if phase is not None:
            item["phase"] = phase
        content = [{"type": "output_text", "text": text, "annotations": []}]
        place = {"item_id": item_id, "output_index": index, "content_index": 0}
        return [
            _added(index, {**item, "status": "in_progress", "content": []}),
            *(
                {"type": "response.output_text.delta", **place, "delta": piece}
                for piece in _pieces(text, deltas)
            ),
            _done(index, {**item, "status": "completed", "content": content}),
        ]

    return Answer((part,))


def reason(*summary: str, raw_text: str = "", encrypted: str | None = None) -> Answer:
    """A reasoning item: each of ``summary`` is one section, ``raw_text`` the bare thoughts."""

    def part(item_id: str, index: int) -> Events:
        item: dict[str, Any] = {"type": "reasoning", "id": item_id}
        events: Events = [_added(index, {**item, "summary": []})]
        for n, section in enumerate(summary):
            place = {"item_id": item_id, "output_index": index, "summary_index": n}
            events += [
                {"type": "response.reasoning_summary_part.added", **place},
                {"type": "response.reasoning_summary_text.delta", **place, "delta": section},
            ]
        if raw_text:
            place = {"item_id": item_id, "output_index": index, "content_index": 0}
            events.append({"type": "response.reasoning_text.delta", **place, "delta": raw_text})
            item["content"] = [{"type": "reasoning_text", "text": raw_text}]
        item["summary"] = [{"type": "summary_text", "text": section} for section in summary]
        item["encrypted_content"] = encrypted
        return [*events, _done(index, item)]

    return Answer((part,))


def call(name: str, arguments: Mapping[str, Any] | str, *, call_id: str | None = None) -> Answer:
    """A function call; ``arguments`` as a string are sent as they are, valid or not."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return _tool_call("function_call", name, "arguments", text, call_id)


def custom_call(name: str, text: str, *, call_id: str | None = None) -> Answer:
    """A call of a free-text tool, such as ``apply_patch``."""
    return _tool_call("custom_tool_call", name, "input", text, call_id)


def raw(*events: dict[str, Any] | bytes) -> Answer:
    """Events, or bytes, that are sent just so among the others."""
    return Answer((lambda item_id, index: list(events),))


def failed(code: str, message: str) -> Answer:
    """A stream that ends with ``response.failed``."""
    error = {"code": code, "message": message}
    response = {"status": "failed", "error": error}
    return Answer(last={"type": "response.failed", "response": response})


def incomplete(reason: str) -> Answer:
    """A stream that ends with ``response.incomplete``."""
    response = {"status": "incomplete", "incomplete_details": {"reason": reason}}
    return Answer(last={"type": "response.incomplete", "response": response})


def status(
    code: int, body: Mapping[str, Any] | str = "", headers: Mapping[str, str] | None = None
) -> Answer:
    """A plain HTTP answer; a mapping is sent as JSON."""
    kind = "text/plain" if isinstance(body, str) else "application/json"
    text = body if isinstance(body, str) else json.dumps(body)
    return Answer(
        status=code, headers={"content-type": kind, **(headers or {})}, body=text.encode()
    )


def garbage(
    text: str = "<html><body>Please log in</body></html>", content_type: str = "text/html"
) -> Answer:
    """A 200 that is no event stream."""
    return status(200, text, {"content-type": content_type})


def _tool_call(kind: str, name: str, member: str, text: str, call_id: str | None) -> Answer:
    delta = f"response.{kind}_{member}.delta"

    def part(item_id: str, index: int) -> Events:
        item = {"type": kind, "id": item_id, "call_id": call_id or f"call_{item_id}", "name": name}
        return [
            _added(index, {**item, "status": "in_progress", member: ""}),
            {"type": delta, "item_id": item_id, "output_index": index, "delta": text},
            _done(index, {**item, "status": "completed", member: text}),
        ]

    return Answer((part,))


def _pieces(text: str, count: int) -> list[str]:
    bounds = [len(text) * n // count for n in range(count + 1)]
    return [text[start:stop] for start, stop in pairwise(bounds)]


def _added(index: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _done(index: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def _completed(response: Mapping[str, Any], usage: Mapping[str, int]) -> dict[str, Any]:
    counts = {
        "input_tokens": usage["input_tokens"],
        "input_tokens_details": {"cached_tokens": usage["cached"]},
        "output_tokens": usage["output_tokens"],
        "output_tokens_details": {"reasoning_tokens": usage["reasoning"]},
        "total_tokens": usage["input_tokens"] + usage["output_tokens"],
    }
    return {
        "type": "response.completed",
        "response": {**response, "status": "completed", "usage": counts},
    }


def _as_chunks(events: Events) -> Events:  # noqa: C901 - one table
    """Tell the same as Chat Completions does: an unnamed object for each piece, then `[DONE]`."""
    chunks: Events = []
    calls = 0
    for event in events:
        if isinstance(event, bytes):
            chunks.append(event)
            continue
        item = event.get("item") or {}
        match event["type"]:
            case "response.output_text.delta":
                chunks.append(_chunk({"content": event["delta"]}))
            case "response.reasoning_text.delta":
                chunks.append(_chunk({"reasoning_content": event["delta"]}))
            case "response.output_item.added" if item["type"] == "function_call":
                function = {"name": item["name"], "arguments": ""}
                first = {"index": calls, "id": item["call_id"], "type": "function"}
                chunks.append(_chunk({"tool_calls": [{**first, "function": function}]}))
            case "response.function_call_arguments.delta":
                text = event["delta"]
                for piece in (text[: len(text) // 2], text[len(text) // 2 :]):
                    call = {"index": calls, "function": {"arguments": piece}}
                    chunks.append(_chunk({"tool_calls": [call]}))
                calls += 1
            case "response.completed":
                chunks += _last_chunks(
                    event["response"]["usage"], "tool_calls" if calls else "stop"
                )
            case "response.incomplete":
                chunks.append(_chunk({}, "length"))
            case "response.failed":
                chunks.append(_data({"error": event["response"]["error"]}))
            case _:
                pass
    return chunks


def _last_chunks(usage: Mapping[str, Any], finish: str) -> Events:
    counts = {
        "prompt_tokens": usage["input_tokens"],
        "prompt_tokens_details": usage["input_tokens_details"],
        "completion_tokens": usage["output_tokens"],
        "completion_tokens_details": usage["output_tokens_details"],
        "total_tokens": usage["total_tokens"],
    }
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "fake-model"}
    return [
        _chunk({}, finish),
        _data({**head, "choices": [], "usage": counts}),
        b"data: [DONE]\n\n",
    ]


def _chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "fake-model"}
    return _data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _data(value: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
