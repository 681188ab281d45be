"""What a turn is told, at its start or while it runs, as clients see it and as models read it."""

from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread

from codex_jupyter.core.history import tool_message, user_message
from codex_jupyter.ids import ItemId, new_item_id
from codex_jupyter.protocol.items import TextInput, UserInput
from codex_jupyter.protocol.ops import ToolMessage, UserTurn

__all__ = ["Spoken", "spoken_of"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spoken:
    """Input that a turn takes in, at its start or while it runs: the user's, or a tool's."""

    input: tuple[UserInput, ...]
    client_message_id: str | None = None
    delivered: ToolMessage | None = None
    item_id: ItemId = field(default_factory=new_item_id)

    def item(self) -> Json:
        """Return the thread item that shows it."""
        if (told := self.delivered) is not None:
            whose = {"name": told.name, "namespace": told.namespace}
            item = {"type": "functionCallOutput", "id": self.item_id}
            return {**item, **whose, "output": told.output}
        content = [entry.wire() for entry in self.input]
        return {
            "type": "userMessage",
            "id": self.item_id,
            "clientId": self.client_message_id,
            "content": content,
        }

    def for_model(self) -> tuple[Json, ...]:
        """Return what the model remembers of it. Reads local images: call it in a thread."""
        if self.delivered is None:
            return (user_message(self.input),)
        return tool_message(self.delivered, self.item_id)

    async def remembered(self) -> tuple[Json, ...]:
        """Return what the model remembers of it; images are read in a worker thread."""
        if all(isinstance(entry, TextInput) for entry in self.input):
            return self.for_model()
        return await anyio.to_thread.run_sync(self.for_model)


def spoken_of(op: UserTurn) -> Spoken:
    """Return the input that comes with an op."""
    return Spoken(op.input, op.client_message_id, op.delivered)
