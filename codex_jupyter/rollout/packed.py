"""Items of old turns, kept small: most of what a long thread holds is looked at once, if ever."""

import zlib
from typing import Any, Final

from pydantic_core import from_json, to_json

__all__ = ["PACKED", "pack", "unpacked"]

Json = dict[str, Any]

PACKED: Final = "packedItems"
"""Stands in a turn instead of ``items``; travels on no wire."""

_LEVEL: Final = 1
"""Fast: a thread is loaded while somebody waits."""


def pack(items: list[Json]) -> bytes:
    """Return the items in a form that takes a fraction of their memory."""
    return zlib.compress(to_json(items), _LEVEL)


def unpacked(turn: Json) -> Json:
    """Return a turn with its items; one that has them is returned as it is."""
    packed = turn.get(PACKED)
    if packed is None:
        return turn
    rest = {name: value for name, value in turn.items() if name != PACKED}
    return {**rest, "items": from_json(zlib.decompress(packed))}
