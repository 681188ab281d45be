"""When a request to a model is sent again, and after how long: data and arithmetic only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Final

__all__ = ["RetryPolicy", "server_delay", "spelled_delay"]

_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}

# "1.5s", "28 ms", "35 seconds", "1m12.5s"
_TRY_AGAIN: Final = re.compile(r"try again in\s+((?:\d+(?:\.\d+)?\s*[a-z]+\s*)+)", re.IGNORECASE)
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often to send a request again, and how long to wait before that.

    The numbers are those of Codex.
    """

    max_retries: int = 4
    """Sends after the first one; 0 never repeats."""

    base_delay: float = 0.2
    """Seconds before the first repeat; each later one waits twice as long."""

    max_delay: float = 30.0
    """Seconds no wait of ours exceeds, however many repeats came before."""

    jitter: float = 0.1
    """Largest relative deviation, up or down: 200 clients must not come back in step."""

    def delay(self, n: int, server_delay: float | None, random: float) -> float:
        """Return the seconds to wait before repeat ``n``, counted from 1.

        Args:
            n: Which repeat.
            server_delay: Seconds the server asked for. If it did, it is taken as it is.
            random: A number in ``[0, 1)``; the caller rolls the dice.
        """
        if server_delay is not None:
            return server_delay
        # Past 2**63 the product could overflow, and max_delay has long decided.
        grown = min(self.base_delay * 2.0 ** min(n - 1, 63), self.max_delay)
        return grown * (1 - self.jitter + 2 * self.jitter * random)


def server_delay(headers: Mapping[str, str], text: str = "", *, now: float) -> float | None:
    """Return the seconds a server asks to wait, or ``None`` if it names no delay.

    Looks at ``retry-after-ms``, then ``retry-after`` (seconds or a date), then for words like
    "try again in 1.5s" in ``text``.

    Args:
        headers: With lower-case names.
        text: The server's message.
        now: Unix seconds, for dates.
    """
    for delay in (
        _scaled(headers.get("retry-after-ms"), 0.001),
        _scaled(headers.get("retry-after"), 1.0),
        _until(headers.get("retry-after"), now),
        spelled_delay(text),
    ):
        if delay is not None:
            return delay
    return None


def spelled_delay(text: str) -> float | None:
    """Return the seconds that words like "try again in 1m12.5s" in ``text`` ask to wait."""
    if not (found := _TRY_AGAIN.search(text)):
        return None
    parts = [(float(number), unit) for number, unit in _PART.findall(found[1].lower())]
    units = [
        0.001 if unit.startswith(("ms", "milli")) else _SECONDS.get(unit[0]) for _, unit in parts
    ]
    total = 0.0
    for (number, _), unit in zip(parts, units, strict=True):
        if unit is None:
            return None
        total += number * unit
    return total if isfinite(total) else None


def _scaled(number: str | None, unit: float) -> float | None:
    try:
        value = float(number or "") * unit
    except ValueError:
        return None
    return value if isfinite(value) and value >= 0 else None


def _until(date: str | None, now: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date or "").timestamp() - now)
    except (ValueError, OverflowError):
        return None
