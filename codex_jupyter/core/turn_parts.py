"""What goes into a turn, what comes out of it, and what belongs to it."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import anyio.to_thread

from codex_jupyter.core.history import user_message
from codex_jupyter.ids import ItemId, TurnId, new_item_id
from codex_jupyter.protocol.items import TextInput, UserInput

__all__ = ["Closes", "EndedTurn", "Spoken"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spoken:
    """Input of the user's that a turn takes in, at its start or while it runs."""

    input: tuple[UserInput, ...]
    client_message_id: str | None = None
    item_id: ItemId = field(default_factory=new_item_id)

    def item(self) -> Json:
        """Return the thread item that shows it."""
        content = [entry.wire() for entry in self.input]
        return {
            "type": "userMessage",
            "id": self.item_id,
            "clientId": self.client_message_id,
            "content": content,
        }

    async def message(self) -> Json:
        """Return what the model is told of it; images are read in a worker thread."""
        if all(isinstance(entry, TextInput) for entry in self.input):
            return user_message(self.input)
        return await anyio.to_thread.run_sync(user_message, self.input)


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
