"""The sheets of a turn's look, in their order: later ones win."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["LIVE_SHEETS", "SHEETS", "style"]

_STATIC: Final = Path(__file__).parent / "static"

SHEETS: Final = (
    "turn.css",
    "turn_delegates.css",
    "turn_items.css",
    "turn_review.css",
    "turn_answer.css",
)
"""The look that live and saved turns share."""

LIVE_SHEETS: Final = ("turn_view.css", "turn_view_delegates.css", "turn_view_cards.css")
"""What only a live turn has."""


def style(sheets: Sequence[str]) -> str:
    """Return sheets as one."""
    return "\n".join((_STATIC / name).read_text(encoding="utf-8") for name in sheets)
