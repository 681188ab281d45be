"""The one interface behind which every model provider stands."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["ModelCapabilities", "ModelClient", "ModelEvent", "ModelRequest"]

ModelEvent = dict[str, Any]
"""One event of a Responses API stream, as it was decoded: ``{"type": "response.…", …}``."""


@dataclass(frozen=True, slots=True)
class ModelCapabilities:
    """What a provider's models can be asked for."""

    tools: bool = True
    """Whether tool definitions may be sent at all; the small local model has no use for them."""

    freeform_tools: bool = False
    """Whether `custom` (free text) tools and namespaces of tools are understood; most local servers
    know functions only."""

    reasoning: bool = False
    """Whether a `reasoning` member may be sent."""

    context_window: int | None = None
    """Tokens that fit into one request and its answer, if known."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One sampling request, in the provider's vocabulary but before any transport."""

    model: str
    instructions: str
    input: Sequence[Mapping[str, Any]]
    """Response items, oldest first."""

    tools: Sequence[Mapping[str, Any]] = ()
    thread_id: str = ""
    """Also the prompt cache key."""

    effort: str | None = None
    summary: str | None = None
    output_schema: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class ModelClient(Protocol):
    """A provider: streams one answer at a time per request, any number of requests at once."""

    @property
    def capabilities(self) -> ModelCapabilities:
        """What may be asked of this provider."""
        ...

    def stream(
        self, request: ModelRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[list[ModelEvent]]]:
        """Send ``request`` and iterate over what comes back.

        Each step yields all the events that arrived together, never an empty list. The iterator
        ends normally only after ``response.completed``; every other end raises. Leaving the
        context closes the connection at once, also by cancellation.

        Raises:
            ModelError: From entering or from any step: refused, cut off, idle for too long,
                malformed, or failed by the model.
        """
        ...

    async def list_models(self) -> list[str]:
        """Return the names of the models that can be asked for.

        Raises:
            ModelError: The provider does not say.
        """
        ...

    async def aclose(self) -> None:
        """Close pooled connections and stop what the provider started."""
        ...
