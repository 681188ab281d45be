"""What the model of a recorded talk answered, as answers of our fake."""

from collections.abc import Sequence
from typing import Any

from tests.fake_model import (
    Answer,
    call,
    custom_call,
    failed,
    incomplete,
    raw,
    reason,
    say,
    status,
)
from tests.replay.normalise import Json

BEFORE_DELTAS = 2
"""Events of an answer before the first piece of its text."""


def answer_of(recorded: Sequence[Json] | Json) -> Answer:
    """Return an answer from its parts, or from the HTTP failure that it was."""
    if isinstance(recorded, dict):
        return status(recorded["status"], recorded["body"], recorded.get("headers"))
    answer = Answer()
    hang: int | None = None
    for part in recorded:
        if "gate" in part:
            hang = BEFORE_DELTAS + part["gate_after"]
        if "failed" in part:
            answer = failed(part["failed"]["code"], part["failed"]["message"])
        elif "incomplete" in part:
            answer = incomplete(part["incomplete"])
        elif "cut" in part:
            answer = answer.cut_after(BEFORE_DELTAS + _pieces(recorded[0]))
        else:
            answer += _item(part)
    return answer if hang is None else answer.hang(after=hang)


def _item(part: Json) -> Answer:
    if "text" in part:
        return say(part["text"], deltas=_pieces(part), phase=part.get("phase"))
    if "flood" in part:
        return say(part["delta"] * part["flood"], deltas=part["flood"])
    if "call" in part:
        return call(part["call"], part["args"], call_id=part["call_id"])
    if "custom" in part:
        return custom_call(part["custom"], part["input"], call_id=part["call_id"])
    if "reasoning" in part:
        return reason(*part["reasoning"], raw_text="".join(part.get("raw", ())))
    sent: Any = part["event"] if "event" in part else part["bytes"].encode()
    return raw(sent)


def _pieces(part: Json) -> int:
    size = part.get("chunk", len(part["text"]))
    return -(-len(part["text"]) // size)
