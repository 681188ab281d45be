"""One streamed answer: the bytes of a body become batches of events, or one error."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import anyio

from codex_jupyter.errors import ModelError
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.model import failures
from codex_jupyter.model.chat_answer import ChatTranslator
from codex_jupyter.model.header_notices import header_notices, rerouted
from codex_jupyter.model.interface import ModelEvent
from codex_jupyter.model.sse import SseDecoder, SseError, looks_like_sse

if TYPE_CHECKING:
    from codex_jupyter.model.http import HttpAnswer

__all__ = ["EventBatches"]

LINGER: Final = 0.05
"""Seconds the end of a body may take after the last event, before its connection is given up."""

_ENDS: Final = frozenset({"response.completed", "response.done"})


class EventBatches:
    """Iterates over the events of an answer, as many at a time as one read of the socket gave.

    Ends after ``response.completed``. A `ModelError` is final: every later step raises it again.
    """

    def __init__(  # noqa: PLR0913 - what a stream is read with
        self,
        answer: "HttpAnswer",
        *,
        url: str,
        idle_timeout: float,
        redact: Callable[[str], str],
        closing: CancelToken,
        model: str = "",
        translator: ChatTranslator | None = None,
    ) -> None:
        """Take over reading from ``answer``; closing it stays with the caller.

        Args:
            answer: Accepted by the server, nothing read yet.
            url: Where it came from, for messages.
            idle_timeout: Seconds a step waits for an event.
            redact: Takes secrets out of what the server wrote.
            closing: Ends every wait when the client is closed.
            model: The one that was asked.
            translator: Of an answer of Chat Completions.
        """
        self._answer = answer
        self._url = url
        self._idle_timeout = idle_timeout
        self._redact = redact
        self._closing = closing
        self._model = model
        self._translator = translator
        self._notices = header_notices(answer.headers)
        self._decoder = SseDecoder()
        self._has_started = False
        self._is_complete = False
        self._failure: ModelError | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[ModelEvent]:
        if self._is_complete:
            await self._finish_body()
            raise StopAsyncIteration
        if self._failure is None:
            try:
                if events := self._up_to_the_end(await self._next_events()):
                    return events
            except ModelError as error:
                self._failure = error
        raise self._failure or failures.closed_early()

    async def _next_events(self) -> list[ModelEvent]:
        """Wait for events, in the shape of the Responses API; none at the end of the body."""
        events: list[ModelEvent] = []
        while not events:
            read = await self._read_events()
            events = read
            if self._translator is not None:
                # Some chunks say nothing; the end of the body says what was still open.
                events = self._translator.feed(read) if read else self._translator.end()
            if not read:
                break
        if events and (notices := self._with_notices(events[0])):
            return [*notices, *events]
        return events

    def _with_notices(self, first: ModelEvent) -> list[ModelEvent]:
        """Return, once, what headers and the first event tell beside the answer."""
        notices, self._notices = self._notices, []
        if first["type"] == "response.created" and (other := rerouted(self._model, first)):
            notices.append(other)
        return notices

    async def _read_events(self) -> list[ModelEvent]:
        """Wait for events; none at the end of the body."""
        if self._closing.reason is not None:
            raise failures.client_closed(self._url)
        with self._closing.scope() as scope:
            scope.deadline = anyio.current_time() + self._idle_timeout
            try:
                while chunk := await self._answer.read():
                    if not self._has_started:
                        self._check_start(chunk)
                    # Comments give no events, and so do not put off the idle limit.
                    if events := self._decoder.feed(chunk):
                        return events
            except failures.TransportError as error:
                raise failures.cut_off(self._redact(str(error))) from None
            except SseError as error:
                raise failures.malformed(self._redact(str(error))) from None
            return []
        if self._closing.reason is not None:
            raise failures.client_closed(self._url)
        raise failures.idle(self._idle_timeout)

    def _check_start(self, chunk: bytes) -> None:
        self._has_started = bool(chunk.strip())
        if not looks_like_sse(chunk):
            start = chunk[:800].decode("utf-8", "replace").strip()
            content_type = self._answer.headers.get("content-type", "")
            raise failures.not_a_stream(self._url, content_type, self._redact(start))

    def _up_to_the_end(self, events: list[ModelEvent]) -> list[ModelEvent]:
        """Return the events that count, and note what comes after them: success or failure.

        A failure is known as soon as its event is decoded, however long the server then keeps
        the connection open.
        """
        for n, event in enumerate(events):
            kind = event["type"]
            if kind in _ENDS:
                self._is_complete = True
                return events[: n + 1]
            if kind in failures.FAILURE_EVENTS:
                self._failure = failures.event_failure(event)
                if self._failure is not None:
                    return events[:n]
        return events

    async def _finish_body(self) -> None:
        """Read the few bytes that end the body, so that the connection can be used again."""
        with anyio.move_on_after(LINGER), suppress(failures.TransportError):
            while await self._answer.read():
                pass
