"""How a model request went wrong: what a server or the network did becomes one `ModelError`.

The sentences are the ones clients of Codex match on; ``details`` says what a user can do.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

from pydantic_core import from_json

from codex_jupyter.errors import ModelError
from codex_jupyter.model.interface import ModelEvent
from codex_jupyter.model.retry import server_delay, spelled_delay

__all__ = [
    "FAILURE_EVENTS",
    "HttpRefusal",
    "TransportError",
    "client_closed",
    "closed_early",
    "cut_off",
    "event_failure",
    "idle",
    "is_request_level",
    "malformed",
    "not_a_stream",
    "redacted",
    "refused",
    "unreachable",
    "unusable",
]

_UNKNOWN_WORDS: Final = ("not found", "does not exist", "not_found", "unknown model", "no such")
_SHOWN_NAMES: Final = 20
"""Models named in an error; a person picks one of them."""

BODY_CHARS: Final = 1000
"""How much of a server's answer an error repeats."""

FAILURE_EVENTS: Final = frozenset({"response.failed", "response.incomplete", "error", "message"})
"""Types of the events `event_failure` has to look at; one look-up per event, not a match."""

_HIGH_DEMAND: Final = (
    "We\u2019re currently experiencing high demand, which may cause temporary errors."
)
_NO_ROOM: Final = (
    "Codex ran out of room in the model's context window. "
    "Start a new thread or clear earlier history before retrying."
)
_FINAL: Final = {
    "context_length_exceeded": (_NO_ROOM, "contextWindowExceeded"),
    # llama.cpp's word for the same
    "exceed_context_size_error": (_NO_ROOM, "contextWindowExceeded"),
    "insufficient_quota": (
        "Quota exceeded. Check your plan and billing details.",
        "usageLimitExceeded",
    ),
    "usage_limit_reached": (
        "You've hit your usage limit. Check your plan, or try again later.",
        "usageLimitExceeded",
    ),
    "usage_not_included": (
        "Your plan does not include this model. Check your plan, or choose another model.",
        "usageLimitExceeded",
    ),
}
"""Codes after which sending the same request again is of no use: sentence and info."""

_AT_CAPACITY: Final = (
    "Selected model is at capacity. Please try a different model.",
    "serverOverloaded",
)
_OVERLOADED: Final = frozenset({"server_is_overloaded", "slow_down"})
_PASSING: Final = frozenset({408, 409, 425})
"""Client errors that can be gone the next time."""


class TransportError(Exception):
    """No answer over HTTP, or only a part of one. ``str(error)`` is the system's reason.

    Attributes:
        hopeless: The address, a header or the certificate is wrong: trying again is of no use.
    """

    def __init__(self, reason: str, *, hopeless: bool = False) -> None:
        super().__init__(reason)
        self.hopeless = hopeless


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """An HTTP answer other than 200, with nothing secret in it."""

    status: int
    url: str
    headers: Mapping[str, str]
    """With lower-case names."""

    body: str
    received_at: float
    """Unix seconds, for a `retry-after` that is a date."""

    key_name: str = ""
    """Where the API key came from, such as ``OPENAI_API_KEY``; empty if none was sent."""

    @property
    def status_line(self) -> str:
        """The status with its standard phrase; what the server wrote there may be anything."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"{self.status} <unknown status code>"


def refused(refusal: HttpRefusal) -> ModelError:
    """Return the error for a request that was answered with an HTTP status other than 200."""
    error = _error_member(refusal.body)
    codes, message = _codes(error), _message(error)
    details = message or _cut(refusal.body) or None
    if (final := _final(codes, details)) is not None:
        return final
    match refusal.status:
        case 429:
            return ModelError(
                f"exceeded retry limit, last status: {refusal.status_line}",
                info=_info("responseTooManyFailedAttempts", 429),
                retryable=True,
                retry_after=server_delay(refusal.headers, message, now=refusal.received_at),
                details=details,
            )
        case 503 if codes & _OVERLOADED:
            sentence, info = _AT_CAPACITY
            return ModelError(sentence, info=info, details=details)
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return ModelError(
                _HIGH_DEMAND,
                info="internalServerError",
                retryable=True,
                retry_after=server_delay(refusal.headers, message, now=refusal.received_at),
                details=f"{refusal.url} answered {refusal.status_line}: {_cut(refusal.body)}",
            )
        case 400 if refusal.body.strip():
            return ModelError(refusal.body, details=f"{refusal.url} answered 400 Bad Request")
        case _:
            return _unexpected(refusal)


def event_failure(event: ModelEvent) -> ModelError | None:
    """Return the error a stream event announces, or ``None`` for an event that is none.

    Besides ``response.failed`` and ``response.incomplete`` these are ``error`` events and bare
    ``{"error": …}`` objects, which servers send when they fail after the status line has gone.
    """
    match event.get("type"):
        case "response.failed":
            return _failed(_member(event, "response", "error"))
        case "response.incomplete":
            reason = _member(event, "response", "incomplete_details").get("reason")
            # Not sent again: it would be cut at the same length, or filtered again, for money.
            return ModelError(f"Incomplete response returned, reason: {reason or 'unknown'}")
        case "error":
            return _failed(_member(event, "error") or event)
        case "message" if error := _member(event, "error"):
            return _failed(error)
        case _:
            return None


def client_closed(url: str) -> ModelError:
    """Return the error for a request through a client that was closed on our side."""
    return ModelError(f"the connections to {url} were closed here; nothing more can be asked")


def closed_early() -> ModelError:
    """Return the error for a stream that ended, cleanly but without ``response.completed``."""
    return _disconnected("stream closed before response.completed")


def cut_off(text: str) -> ModelError:
    """Return the error for a connection that broke in the middle of an answer."""
    return _disconnected(
        "Transport error: network error: error decoding response body", details=text
    )


def idle(seconds: float) -> ModelError:
    """Return the error for a stream on which nothing came for ``seconds``."""
    return _disconnected(
        "idle timeout waiting for SSE", details=f"no event came for {seconds:g} seconds"
    )


def malformed(text: str) -> ModelError:
    """Return the error for a stream that stopped being JSON events."""
    return _disconnected(text)


def not_a_stream(url: str, content_type: str, start: str) -> ModelError:
    """Return the error for a server that says 200 and then sends something else than events."""
    return ModelError(
        f"{url} did not answer with an event stream but with "
        f"{content_type or 'no content type'}: {start[:200]}",
        info=_info("httpConnectionFailed", 200),
        details="Check that base_url names a server of the Responses API (it often ends in /v1), "
        "and not a web page or a proxy's login.",
    )


def unreachable(url: str, text: str) -> ModelError:
    """Return the error for a connection that could not be made, or broke before any answer."""
    return ModelError(
        f"cannot reach {url} ({text}): the server may not be running",
        info=_info("httpConnectionFailed", None),
        retryable=True,
        details="Start the server, or check base_url of the model provider.",
    )


def unusable(url: str, text: str) -> ModelError:
    """Return the error for an address or a certificate with which no request can be made."""
    return ModelError(
        f"cannot send a request to {url}: {text}",
        info=_info("httpConnectionFailed", None),
        details="Check base_url, the API key and the headers of the provider, "
        "and for https the certificate of the server.",
    )


def is_request_level(error: ModelError) -> bool:
    """Tell whether ``error`` is a failure to reach the server or a 5xx that may pass.

    Only these are repeated before anybody is told; everything else is the turn's to repeat.
    """
    return error.retryable and error.info in (
        "internalServerError",
        _info("httpConnectionFailed", None),
    )


def is_not_found(error: ModelError) -> bool:
    """Tell whether the server does not know the address, or the model."""
    text = str(error).lower()
    is_model = "model" in text and any(word in text for word in _UNKNOWN_WORDS)
    return error.info == _info("httpConnectionFailed", 404) or is_model


def with_offer(error: ModelError, model: str, names: Sequence[str], *, is_chat: bool) -> ModelError:
    """Return the error with what the server offers, as far as it has told.

    Args:
        error: One of `is_not_found`.
        model: What was asked for.
        names: Names of models; empty if it did not tell.
        is_chat: Whether it was asked for Chat Completions.
    """
    advice = [error.details] if error.details else []
    if names and model not in names:
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        offered = ", ".join(names[:_SHOWN_NAMES])
        advice = [f"The server does not offer the model `{model}`. It offers: {offered}{more}."]
    elif names and not is_chat:
        advice = [
            f"The server has the model `{model}` but no Responses API there. If it only speaks "
            'Chat Completions, set wire_api = "chat" in its table of model_providers.'
        ]
    return ModelError(
        str(error),
        info=error.info,
        retryable=error.retryable,
        retry_after=error.retry_after,
        details=" ".join(advice) or None,
    )


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` without ``secrets``: some servers repeat the key they were sent."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "[redacted]")
    return text


def _failed(error: Mapping[str, Any]) -> ModelError:
    codes, message = _codes(error), _message(error)
    if (final := _final(codes, message or None)) is not None:
        return final
    if codes & _OVERLOADED:
        sentence, info = _AT_CAPACITY
        return ModelError(sentence, info=info, details=message or None)
    if "invalid_prompt" in codes:
        return ModelError(message or "The model refused the prompt as invalid.")
    if "rate_limit_exceeded" in codes:
        return ModelError(
            f"rate limit exceeded: {message}",
            info="rateLimitExceeded",
            retryable=True,
            retry_after=spelled_delay(message),
        )
    reason = message or f"the model failed ({', '.join(sorted(codes)) or 'no code given'})"
    return ModelError(f"stream disconnected before completion: {reason}", retryable=True)


def _final(codes: frozenset[str], details: str | None) -> ModelError | None:
    for code in codes & _FINAL.keys():
        sentence, info = _FINAL[code]
        return ModelError(sentence, info=info, details=details)
    return None


def _unexpected(refusal: HttpRefusal) -> ModelError:
    return ModelError(
        f"unexpected status {refusal.status_line}: {_cut(refusal.body) or '(no text)'}, "
        f"url: {refusal.url}",
        info=_info("httpConnectionFailed", refusal.status),
        retryable=refusal.status in _PASSING,
        details=_advice(refusal),
    )


def _advice(refusal: HttpRefusal) -> str | None:
    key = f"the API key from {refusal.key_name}" if refusal.key_name else ""
    match refusal.status:
        case 401 if key:
            return f"The server did not accept {key}. Check that it is set to a valid key."
        case 401:
            return "The server wants an API key and none was sent. Set one for this provider."
        case 403:
            return f"The server knows {key or 'the request'} but does not allow this model to it."
        case 404:
            return (
                "Check the model's name, and that base_url names a server of the Responses API "
                "(it often ends in /v1)."
            )
        case 301 | 302 | 303 | 307 | 308:
            return f"The server moved to {refusal.headers.get('location', '?')}; change base_url."
        case _:
            return None


def _disconnected(reason: str, *, details: str | None = None) -> ModelError:
    return ModelError(
        f"stream disconnected before completion: {reason}",
        info=_info("responseStreamDisconnected", None),
        retryable=True,
        details=details,
    )


def _info(kind: str, status: int | None) -> dict[str, Any]:
    return {kind: {"httpStatusCode": status}}


def _error_member(body: str) -> Mapping[str, Any]:
    try:
        answer = from_json(body)
    except ValueError:
        return {}
    return _member({"body": answer}, "body", "error")


def _member(holder: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return the object at ``path``, or an empty one if anything else, or nothing, is there."""
    for name in path:
        member = holder.get(name)
        holder = cast("Mapping[str, Any]", member) if isinstance(member, dict) else {}
    return holder


def _codes(error: Mapping[str, Any]) -> frozenset[str]:
    """Servers put the word into either member; numbers in them say nothing new."""
    return frozenset(
        code for code in (error.get("code"), error.get("type")) if isinstance(code, str)
    )


def _message(error: Mapping[str, Any]) -> str:
    message = error.get("message")
    return _cut(message) if isinstance(message, str) else ""


def _cut(body: str) -> str:
    return body.strip()[:BODY_CHARS]
