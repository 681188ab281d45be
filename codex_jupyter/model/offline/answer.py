"""Turns moves into the events of a Responses API stream, in the portions a reader gets them."""

import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final

from codex_jupyter.model.interface import ModelEvent
from codex_jupyter.model.offline.moves import CallTool, End, Move, Reason, Say

__all__ = ["answer_batches", "tokens_of"]

_WORD: Final = re.compile(r"\S+\s*|\s+")
_BYTES_PER_TOKEN: Final = 4
"""The usual estimate; there is no tokenizer behind a script."""


def tokens_of(text: str) -> int:
    """Estimate how many tokens ``text`` would be."""
    return -(-len(text.encode(errors="surrogatepass")) // _BYTES_PER_TOKEN)


def answer_batches(
    moves: Sequence[Move], *, model: str, input_tokens: int, word_by_word: bool
) -> Iterator[list[ModelEvent]]:
    """Yield the events of one answer, from ``response.created`` to ``response.completed``.

    Every portion is one word if ``word_by_word``, else one move. All ids are new each time.
    """
    response_id = _new_id("resp")
    response = {"id": response_id, "object": "response", "model": model}
    yield [{"type": "response.created", "response": {**response, "status": "in_progress"}}]
    for index, move in enumerate(moves):
        match move:
            case Say(text):
                yield from _message(text, index, word_by_word=word_by_word)
            case Reason(text):
                yield from _reasoning(text, index, word_by_word=word_by_word)
            case CallTool():
                yield _call(move, index)
            case End():
                break
    usage = _usage(moves, input_tokens)
    completed: dict[str, Any] = {**response, "status": "completed", "output": [], "usage": usage}
    yield [{"type": "response.completed", "response": completed}]


def _message(text: str, index: int, *, word_by_word: bool) -> Iterator[list[ModelEvent]]:
    item: dict[str, Any] = {"type": "message", "id": _new_id("msg"), "role": "assistant"}
    first = [_added({**item, "status": "in_progress", "content": []}, index)]
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    deltas = [
        {"type": "response.output_text.delta", **where, "delta": part}
        for part in _parts(text, word_by_word=word_by_word)
    ]
    content: list[dict[str, Any]] = [{"type": "output_text", "text": text, "annotations": []}]
    last = [_done({**item, "status": "completed", "content": content}, index)]
    return _portions(first, deltas, last)


def _reasoning(text: str, index: int, *, word_by_word: bool) -> Iterator[list[ModelEvent]]:
    item = {"type": "reasoning", "id": _new_id("rs")}
    where = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    part: dict[str, Any] = {"type": "summary_text", "text": ""}
    first = [
        _added({**item, "summary": []}, index),
        {"type": "response.reasoning_summary_part.added", **where, "part": part},
    ]
    deltas = [
        {"type": "response.reasoning_summary_text.delta", **where, "delta": word}
        for word in _parts(text, word_by_word=word_by_word)
    ]
    last = [_done({**item, "summary": [{**part, "text": text}]}, index)]
    return _portions(first, deltas, last)


def _call(move: CallTool, index: int) -> list[ModelEvent]:
    custom = move.kind == "custom"
    item = {
        "type": "custom_tool_call" if custom else "function_call",
        "id": _new_id("ctc" if custom else "fc"),
        "call_id": _new_id("call"),
        "name": move.name,
    }
    member = "input" if custom else "arguments"
    return [
        _added({**item, "status": "in_progress", member: ""}, index),
        _done({**item, "status": "completed", member: move.payload}, index),
    ]


def _portions(
    first: list[ModelEvent], deltas: list[ModelEvent], last: list[ModelEvent]
) -> Iterator[list[ModelEvent]]:
    """One delta a portion; the item opens with the first and closes with the last."""
    for number, delta in enumerate(deltas):
        opening = first if number == 0 else []
        closing = last if number == len(deltas) - 1 else []
        yield [*opening, delta, *closing]
    if not deltas:
        yield [*first, *last]


def _parts(text: str, *, word_by_word: bool) -> list[str]:
    if not word_by_word:
        return [text] if text else []
    return _WORD.findall(text)


def _usage(moves: Sequence[Move], input_tokens: int) -> dict[str, Any]:
    reasoning = sum(tokens_of(move.text) for move in moves if isinstance(move, Reason))
    said = sum(tokens_of(move.text) for move in moves if isinstance(move, Say))
    called = sum(tokens_of(move.payload) for move in moves if isinstance(move, CallTool))
    output_tokens = reasoning + said + called
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": input_tokens + output_tokens,
    }


def _added(item: dict[str, Any], index: int) -> ModelEvent:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _done(item: dict[str, Any], index: int) -> ModelEvent:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def _new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex}"
