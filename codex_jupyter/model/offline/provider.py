"""The offline model as a provider: reads the prompt, finds the play, streams the next moves."""

import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread

from codex_jupyter.model.interface import ModelCapabilities, ModelEvent, ModelRequest
from codex_jupyter.model.offline.answer import answer_batches, tokens_of
from codex_jupyter.model.offline.moves import End, Move, Offer, Say, next_moves
from codex_jupyter.model.offline.repertoire import Repertoire, load_repertoire
from codex_jupyter.model.offline.transcript import Prompt, last_prompt, tool_results

__all__ = ["OfflineModel"]

_DEFAULT_PACE: Final = 40.0
"""Words a second: quick to read along, slow enough to see that it streams."""

_STEERED: Final = (
    "You wrote while I was still at work. I leave that task where it is and take your new message."
)


class OfflineModel:
    """A provider without network, key or weights, which plays scripts and drives real tools.

    It keeps nothing between requests: like a Responses server that stores nothing, it reads from
    each request how far the play has got. Plays are read again for every request, so that an
    edited file counts at once. Safe for any number of requests at once.
    """

    def __init__(self, *, pace: float = _DEFAULT_PACE, play_dirs: Sequence[Path] = ()) -> None:
        """Take the pace and the user's folders; nothing is read yet.

        Args:
            pace: Words a second; 0 sends whole moves without waiting.
            play_dirs: Folders with the user's plays, the most important first. They win over the
                shipped plays and need not exist.

        Raises:
            ValueError: ``pace`` is negative or not finite.
        """
        if not (math.isfinite(pace) and pace >= 0):
            raise ValueError(f"pace must be 0 or a positive number of words a second, not {pace}")
        self._pause = 1 / pace if pace else 0.0
        self._play_dirs = tuple(play_dirs)

    @property
    def capabilities(self) -> ModelCapabilities:
        """Everything a play can use; a script has no context window."""
        return ModelCapabilities(tools=True, freeform_tools=True, reasoning=True)

    def stream(
        self, request: ModelRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[list[ModelEvent]]]:
        """Stream the play's next moves, one word a step, up to its next tool call or its end.

        A prompt without a play is answered too, with what this provider is and how to connect a
        model; nothing here raises `ModelError`. Cancelling leaves at once.
        """
        return self._answer(request)

    async def list_models(self) -> list[str]:
        """Return the one model there is."""
        return ["offline"]

    async def aclose(self) -> None:
        """Do nothing: there is nothing open between requests."""

    @asynccontextmanager
    async def _answer(
        self, request: ModelRequest
    ) -> AsyncGenerator[AsyncIterator[list[ModelEvent]]]:
        repertoire = await anyio.to_thread.run_sync(load_repertoire, self._play_dirs)
        async with aclosing(self._batches(request, _moves(request, repertoire))) as batches:
            yield batches

    async def _batches(
        self, request: ModelRequest, moves: Sequence[Move]
    ) -> AsyncGenerator[list[ModelEvent]]:
        batches = answer_batches(
            moves,
            model=request.model,
            input_tokens=_input_tokens(request),
            word_by_word=self._pause > 0,
        )
        for number, batch in enumerate(batches):
            # Without a pace the sleep is a bare checkpoint, so that cancelling is noticed.
            await anyio.sleep(self._pause if number else 0)
            yield batch


def _moves(request: ModelRequest, repertoire: Repertoire) -> tuple[Move, ...]:
    prompt = last_prompt(request.input) or Prompt("", (), steered=False)
    play = repertoire.find(prompt.text)
    if play is None:
        moves: tuple[Move, ...] = (Say(repertoire.stranger()), End())
        results = ()
    else:
        results = tool_results(prompt.since)
        moves = next_moves(play, results, _offer(request.tools), repertoire.values())
    return (Say(_STEERED), *moves) if prompt.steered and not results else moves


def _offer(tools: Sequence[Mapping[str, Any]]) -> Offer:
    return {
        str(tool["name"]): "custom" if tool.get("type") == "custom" else "function"
        for tool in tools
        if tool.get("type") in ("function", "custom") and "name" in tool
    }


def _input_tokens(request: ModelRequest) -> int:
    items = json.dumps(list(request.input), ensure_ascii=False, default=_plain)
    return tokens_of(request.instructions) + tokens_of(items)


def _plain(value: object) -> object:
    """Let read-only views of JSON through `json.dumps`."""
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return str(value)
