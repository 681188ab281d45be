"""What a review found, read from its item. Mirrored in ``static/review.js``."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Finding", "Review", "repeated_message", "review_of"]

Item = dict[str, Any]

_TAG: Final = re.compile(r"^\[[Pp]([0-3])\]\s*")
"""A reviewer may write the priority into the title as well."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the reviewer found, in the words that are shown."""

    title: str
    body: str
    priority: int | None
    place: str
    """``path:3-5``, or nothing."""

    sure: str
    """``90 %``, or nothing."""


@dataclass(frozen=True, slots=True)
class Review:
    """The result of a review."""

    verdict: str
    is_good: bool
    explanation: str
    sure: str
    findings: tuple[Finding, ...]


def review_of(item: Item) -> Review | None:
    """Return the structured result in an item; ``None`` if it has none: then the text says it."""
    output = item.get("output")
    if item["type"] != "exitedReviewMode" or not isinstance(output, dict):
        return None
    listed = output.get("findings")
    entries = listed if isinstance(listed, list) else []
    verdict = _text(output.get("overall_correctness"))
    return Review(
        verdict=verdict[:1].upper() + verdict[1:] or "Review",
        is_good=verdict == "patch is correct",
        explanation=_text(output.get("overall_explanation")),
        sure=_percent(output.get("overall_confidence_score")),
        findings=tuple(_finding(entry) for entry in entries if isinstance(entry, dict)),
    )


def repeated_message(items: Iterable[Item]) -> str | None:
    """Return the id of the message that says again what a structured result shows."""
    text = None
    for item in items:
        if item["type"] == "exitedReviewMode":
            text = _text(item.get("review")) if isinstance(item.get("output"), dict) else None
        elif item["type"] == "agentMessage" and text and _text(item.get("text")) == text:
            return item["id"]
    return None


def _finding(entry: Item) -> Finding:
    title, priority = _text(entry.get("title")), _whole(entry.get("priority"))
    if (tag := _TAG.match(title)) is not None:
        title, priority = title[tag.end() :], int(tag[1]) if priority is None else priority
    return Finding(
        title=title or "Finding",
        body=_text(entry.get("body")),
        priority=priority if priority in range(4) else None,
        place=_place(entry.get("code_location")),
        sure=_percent(entry.get("confidence_score")),
    )


def _place(location: Any) -> str:
    place = location if isinstance(location, dict) else {}
    lines = place.get("line_range")
    lines = lines if isinstance(lines, dict) else {}
    path, start = _text(place.get("absolute_file_path")), _whole(lines.get("start"))
    end = _whole(lines.get("end"))
    if not path or start is None:
        return path
    return f"{path}:{start}" if end in {None, start} else f"{path}:{start}-{end}"


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _percent(value: Any) -> str:
    is_share = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return f"{int(100 * value + 0.5)} %" if is_share else ""
