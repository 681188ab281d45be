"""What the headers of an answer tell beside it: limits, and which model really answers. Pure."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from codex_jupyter.model.interface import ModelEvent

__all__ = ["RATE_LIMITS", "SERVER_MODEL", "header_notices", "rerouted"]

RATE_LIMITS: Final = "codex.rate_limits"
SERVER_MODEL: Final = "codex.server_model"
"""Kinds of events that no server sends; they stand first in a stream."""

_WINDOWS: Final = ("primary", "secondary")


def header_notices(headers: Mapping[str, str]) -> list[ModelEvent]:
    """Return an event for the limits that the headers tell, if they tell any.

    Args:
        headers: With lower-case names.
    """
    limits: dict[str, Any] = {}
    for name in _WINDOWS:
        used = _number(headers.get(f"x-codex-{name}-used-percent"))
        if used is not None:
            limits[name] = {
                "usedPercent": round(used),
                "windowDurationMins": _whole(headers.get(f"x-codex-{name}-window-minutes")),
                "resetsAt": _whole(headers.get(f"x-codex-{name}-reset-at")),
            }
    if "primary" not in limits:
        limits |= _from_requests(headers)
    return [{"type": RATE_LIMITS, "rate_limits": limits}] if limits else []


def rerouted(asked: str, event: ModelEvent) -> ModelEvent | None:
    """Return an event if the server says that another model answers; versions do not count."""
    response: Any = event.get("response")
    answers: Any = response.get("model") if isinstance(response, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(answers, str) or not answers or not asked:
        return None
    one, other = sorted((asked.lower(), answers.lower()), key=len)
    return None if one in other else {"type": SERVER_MODEL, "model": answers}


def _from_requests(headers: Mapping[str, str]) -> dict[str, Any]:
    limit = _number(headers.get("x-ratelimit-limit-tokens"))
    left = _number(headers.get("x-ratelimit-remaining-tokens"))
    if not limit or left is None:
        return {}
    used = round(100 * (1 - left / limit))
    return {"primary": {"usedPercent": used, "windowDurationMins": None, "resetsAt": None}}


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if isfinite(number) else None


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return None if number is None else int(number)
