"""Chunks of a Chat Completions stream become events of a Responses API stream. Pure.

Servers differ: some repeat a call's id in each piece, some never send one, some send whole calls,
tokens may come with the last piece or after it, and ``[DONE]`` may be missing.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from codex_jupyter.model.interface import ModelEvent

__all__ = ["ChatTranslator"]

Json = dict[str, Any]

_CUT_OFF: Final = {"length": "max_output_tokens", "max_tokens": "max_output_tokens"}


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list[str])


class ChatTranslator:
    """Translates one answer. Not reused."""

    def __init__(self) -> None:
        self._kind: str | None = None
        self._item_id = ""
        self._text: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._moved: dict[int, int] = {}
        """Where pieces go whose index another call has already."""

        self._finish: str | None = None
        self._usage: Json | None = None
        self._is_over = False
        self._has_begun = False

    def feed(self, chunks: Iterable[ModelEvent]) -> list[ModelEvent]:
        """Return the events of some chunks, the end of the answer included where it is known."""
        events: list[ModelEvent] = []
        for chunk in chunks:
            if not self._is_over:
                self._take(chunk, events)
        return events

    def end(self) -> list[ModelEvent]:
        """Return the events of the end of the body; none if the answer broke off."""
        events: list[ModelEvent] = []
        if self._finish is not None and not self._is_over:
            self._complete(events)
        return events

    def _take(self, chunk: Json, events: list[ModelEvent]) -> None:
        if not self._has_begun:
            self._has_begun = True
            created = {"id": chunk.get("id"), "model": chunk.get("model")}
            events.append({"type": "response.created", "response": created})
        if isinstance(error := chunk.get("error"), dict | str):
            told = cast("Json", error) if isinstance(error, dict) else {"message": error}
            self._fail(events, told)
            return
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = _usage(cast("Json", usage))
        choices: Any = chunk.get("choices")
        for choice in _objects(choices)[:1]:
            self._take_choice(choice, events)
        if not self._is_over and self._finish is not None and self._usage is not None:
            self._complete(events)

    def _take_choice(self, choice: Json, events: list[ModelEvent]) -> None:
        delta = _object(choice.get("delta")) or _object(choice.get("message"))
        for name in ("reasoning_content", "reasoning"):
            if isinstance(text := delta.get(name), str) and text:
                self._say("reasoning", text, events)
                break
        for name in ("content", "refusal"):
            if isinstance(text := delta.get(name), str) and text:
                self._say("message", text, events)
        for piece in _objects(delta.get("tool_calls")):
            self._take_call(piece)
        finish = choice.get("finish_reason")
        if isinstance(finish, str) and finish:
            self._finish = finish
            if finish in _CUT_OFF:
                details = {"reason": _CUT_OFF[finish]}
                response = {"status": "incomplete", "incomplete_details": details}
                self._is_over = True
                events.append({"type": "response.incomplete", "response": response})
            elif finish in ("content_filter", "error"):
                said = "the provider's filter stopped the answer"
                message = said if finish == "content_filter" else "the provider failed"
                self._fail(events, {"code": "invalid_prompt", "message": message})

    def _take_call(self, piece: Json) -> None:
        index = piece.get("index")
        call_id: Any = piece.get("id")
        function = _object(piece.get("function"))
        if not isinstance(index, int):
            # Whole calls come without one; a piece that only goes on has neither id nor name.
            is_new = bool(call_id or function.get("name")) or not self._calls
            index = len(self._calls) if is_new else max(self._calls)
        else:
            index = self._place(index, str(call_id or ""), bool(function.get("name")))
        call = self._calls.setdefault(index, _Call())
        call.id = call.id or str(call_id or "")
        call.name = call.name or str(function.get("name") or "")
        arguments: Any = function.get("arguments")
        if isinstance(arguments, str):
            call.arguments.append(arguments)
        elif isinstance(arguments, dict):
            import json  # noqa: PLC0415 - few servers send objects

            call.arguments.append(json.dumps(arguments))

    def _place(self, stated: int, call_id: str, is_named: bool) -> int:
        """Return where a call is kept: some servers number every call 0.

        An id that changes is not enough: others make up a new one for each piece of a call.
        """
        index = self._moved.get(stated, stated)
        known = self._calls.get(index)
        if known is None or not (is_named and call_id and known.id) or known.id == call_id:
            return index
        same = (n for n, call in self._calls.items() if call.id == call_id)
        place = next(same, max(self._calls) + 1)
        self._moved[stated] = place
        return place

    def _say(self, kind: str, text: str, events: list[ModelEvent]) -> None:
        if self._kind != kind:
            self._close(events)
            self._kind, self._item_id = kind, f"{'msg' if kind == 'message' else 'rs'}_{_new_id()}"
            item: Json = {"type": kind, "id": self._item_id}
            item |= {"role": "assistant", "content": []} if kind == "message" else {"summary": []}
            events.append({"type": "response.output_item.added", "item": item})
        self._text.append(text)
        name = "output_text" if kind == "message" else "reasoning_text"
        delta = {"item_id": self._item_id, "content_index": 0, "delta": text}
        events.append({"type": f"response.{name}.delta", **delta})

    def _close(self, events: list[ModelEvent]) -> None:
        kind, self._kind = self._kind, None
        if kind is None:
            return
        text = "".join(self._text)
        self._text.clear()
        item: Json = {"type": kind, "id": self._item_id}
        if kind == "message":
            content = [{"type": "output_text", "text": text}]
            item |= {"role": "assistant", "content": content}
        else:
            item |= {"summary": [], "content": [{"type": "reasoning_text", "text": text}]}
        events.append({"type": "response.output_item.done", "item": item})

    def _complete(self, events: list[ModelEvent]) -> None:
        self._close(events)
        for _, call in sorted(self._calls.items()):
            item = {
                "type": "function_call",
                "call_id": call.id or f"call_{_new_id()}",
                "name": call.name,
                "arguments": "".join(call.arguments) or "{}",
            }
            events.append({"type": "response.output_item.done", "item": item})
        self._is_over = True
        response: Json = {"status": "completed"}
        if self._usage is not None:
            response["usage"] = self._usage
        events.append({"type": "response.completed", "response": response})

    def _fail(self, events: list[ModelEvent], error: Json) -> None:
        self._is_over = True
        response = {"status": "failed", "error": error}
        events.append({"type": "response.failed", "response": response})


def _usage(usage: Json) -> Json:
    read = _object(usage.get("prompt_tokens_details"))
    written = _object(usage.get("completion_tokens_details"))
    taken, given = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    return {
        "input_tokens": taken,
        "input_tokens_details": {"cached_tokens": _count(read.get("cached_tokens"))},
        "output_tokens": given,
        "output_tokens_details": {"reasoning_tokens": _count(written.get("reasoning_tokens"))},
        "total_tokens": _count(usage.get("total_tokens")) or taken + given,
    }


def _object(value: Any) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Json]:
    """Return the objects of a list; nothing for what is none."""
    elements = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("Json", element) for element in elements if isinstance(element, dict)]


def _count(value: Any) -> int:
    try:
        return int(value or 0)
    except (ValueError, TypeError, OverflowError):
        return 0


def _new_id() -> str:
    return uuid.uuid4().hex
