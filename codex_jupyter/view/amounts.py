"""Durations and token counts as a person would say them. Mirrored in ``static/dom.js``."""

from typing import Final

__all__ = ["duration", "tokens"]

_SHORT_MS: Final = 950
_ONE_DIGIT: Final = 9.95
"""From here on one decimal would be rounded up to two digits before the point."""

_MANY_THOUSANDS: Final = 999.5
"""From here on no decimal would be rounded up to a fourth digit."""


def duration(ms: float) -> str:
    """Say milliseconds as a person would."""
    if ms < _SHORT_MS:
        return f"{ms:.0f} ms"
    seconds = ms / 1000
    if seconds < _ONE_DIGIT:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes else f"{whole} s"


def tokens(count: int) -> str:
    """Say a number of tokens."""
    thousands = count / 1000
    if thousands < 1:
        return f"{count} tokens"
    if thousands < _MANY_THOUSANDS:
        return f"{thousands:.{1 if thousands < _ONE_DIGIT else 0}f}k tokens"
    return f"{thousands / 1000:.1f}M tokens"
