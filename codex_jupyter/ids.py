"""Identifiers: one type per kind, minted and parsed in one place."""

import os
import re
import secrets
import time
import uuid
from typing import Final, NewType

from codex_jupyter.errors import InvalidIdError

__all__ = [
    "ItemId",
    "RequestId",
    "ThreadId",
    "TurnId",
    "new_item_id",
    "new_request_id",
    "new_thread_id",
    "new_turn_id",
    "parse_thread_id",
    "parse_turn_id",
    "same_turn_id",
    "uuid7",
]

ThreadId = NewType("ThreadId", str)
TurnId = NewType("TurnId", str)
"""Canonical UUID text for every turn made here; stored turns of older files may be any string."""

ItemId = NewType("ItemId", str)
RequestId = NewType("RequestId", str)
"""A question of ours to a client. Never a provider's call id: those repeat."""

_MAX_ID_CHARS: Final = 64
"""The longest accepted spelling, ``urn:uuid:`` and 36 characters, is 45; more is refused unread."""

_HEX: Final = "[0-9a-fA-F]"
_HYPHENATED: Final = f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}"
_SPELLING: Final = re.compile(
    rf"(?:{_HEX}{{32}}|{_HYPHENATED}|\{{{_HYPHENATED}\}}|urn:uuid:{_HYPHENATED})", re.ASCII
)
_NIL: Final = "00000000-0000-0000-0000-000000000000"
_GROUP_LENGTHS: Final = (8, 4, 4, 4, 12)


def parse_thread_id(text: str) -> ThreadId:
    """Return the canonical form of a caller's thread id.

    Raises:
        InvalidIdError: ``text`` is none of the four UUID spellings, or is the nil UUID.
    """
    return ThreadId(_canonical("thread", text))


def parse_turn_id(text: str) -> TurnId:
    """Return the canonical form of a caller's turn id.

    Raises:
        InvalidIdError: ``text`` is none of the four UUID spellings, or is the nil UUID.
    """
    return TurnId(_canonical("turn", text))


def same_turn_id(asked: str, actual: TurnId) -> bool:
    """Tell whether a caller's spelling names ``actual``; legacy ids compare as plain strings."""
    if asked == actual:
        return True
    try:
        return parse_turn_id(asked) == actual
    except InvalidIdError:
        return False


def new_thread_id() -> ThreadId:
    """Mint a thread id; like the original's, it is a version 7 UUID."""
    return ThreadId(uuid7())


def new_turn_id() -> TurnId:
    """Mint a turn id; like the original's, it is a version 7 UUID."""
    return TurnId(uuid7())


def new_item_id() -> ItemId:
    """Mint an id for an item that the model did not name."""
    return ItemId(uuid7())


def new_request_id() -> RequestId:
    """Mint an id that nobody can guess and no other thread, parent or child will use."""
    return RequestId(f"req_{secrets.token_hex(16)}")


def uuid7() -> str:
    """Return a version 7 UUID (RFC 9562): 48 bits of Unix milliseconds, then randomness."""
    value = int.from_bytes(os.urandom(16))
    value = (time.time_ns() // 1_000_000 & 0xFFFF_FFFF_FFFF) << 80 | value & (1 << 80) - 1
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def _canonical(kind: str, text: str) -> str:
    if len(text) > _MAX_ID_CHARS:
        raise InvalidIdError(kind, f"invalid length: {len(text)} characters")
    if not _SPELLING.fullmatch(text):
        raise InvalidIdError(kind, _what_is_wrong(text))
    canonical = str(uuid.UUID(text))
    if canonical == _NIL:
        raise InvalidIdError(kind, "must not be the nil UUID")
    return canonical


def _what_is_wrong(text: str) -> str:
    """Word the complaint as the original does; clients match on these texts."""
    inner, offset = text, 0
    if text.startswith("urn:uuid:"):
        inner, offset = text[9:], 9
    elif text.startswith("{") and text.endswith("}") and len(text) > 1:
        inner, offset = text[1:-1], 1
    for position, character in enumerate(inner, start=offset + 1):
        if not re.fullmatch(f"{_HEX}|-", character, re.ASCII):
            return (
                "invalid character: expected an optional prefix of `urn:uuid:` followed by "
                f"[0-9a-fA-F-], found `{character}` at {position}"
            )
    groups = inner.split("-")
    if len(groups) == 1:
        return f"invalid length: expected length 32 for simple format, found {len(inner)}"
    if len(groups) != len(_GROUP_LENGTHS):
        return f"invalid group count: expected 5, found {len(groups)}"
    for index, (group, length) in enumerate(zip(groups, _GROUP_LENGTHS, strict=True)):
        if len(group) != length:
            return f"invalid group length in group {index}: expected {length}, found {len(group)}"
    return "invalid format: braces and `urn:uuid:` go around the hyphenated form only"
