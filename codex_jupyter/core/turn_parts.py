"""What comes out of a turn, and what belongs to it."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from codex_jupyter.ids import TurnId

__all__ = ["Closes", "EndedTurn"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EndedTurn:
    """How a turn ended."""

    turn_id: TurnId
    status: Literal["completed", "interrupted", "failed"]
    text: str | None
    """The model's last words."""

    error: Json | None
    """In wire shape, if it failed."""

    tokens: Json = field(default_factory=dict[str, Any])
    """What its own responses used, in wire shape."""

    duration_ms: int = 0


class Closes(Protocol):
    """Something that a turn started and that ends with it."""

    @property
    def is_over(self) -> bool:
        """Whether its work has ended, so that it only has to close."""
        ...

    async def aclose(self) -> None:
        """End it and wait for its end."""
        ...
