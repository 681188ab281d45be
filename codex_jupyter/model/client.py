"""The Responses API over streaming HTTP: one request in, batches of decoded events out."""

import importlib
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, urlsplit, urlunsplit

import anyio
import anyio.to_thread

from codex_jupyter._version import __version__
from codex_jupyter.errors import ConfigError, ModelError
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.model import failures
from codex_jupyter.model.answer import EventBatches
from codex_jupyter.model.chat_answer import ChatTranslator
from codex_jupyter.model.chat_request import chat_body
from codex_jupyter.model.discovery import model_names
from codex_jupyter.model.interface import ModelCapabilities, ModelEvent, ModelRequest
from codex_jupyter.model.keys import key_from_keyring, stored_key
from codex_jupyter.model.request_body import encode_body, request_body
from codex_jupyter.model.retry import RetryPolicy

if TYPE_CHECKING:
    from codex_jupyter.model.http import HttpAnswer, HttpConnections

__all__ = ["ResponsesClient", "ResponsesEndpoint", "warm"]

PATIENCE: Final = 5.0
"""Longest delay, in seconds, a server may ask for that is waited for without telling anybody."""

REFUSAL_BYTES: Final = 64 * 1024
REFUSAL_TIMEOUT: Final = 5.0
"""How much of the body of a refusal is read, and for how many seconds."""

LIST_LIMIT: Final = 3.0
"""Seconds a server gets to say which models it has."""

_DOORS: Final = ("/responses", "/chat/completions")
"""What people copy along with the address."""

MIN_SECRET_CHARS: Final = 6
"""Header values shorter than this are too common to be cut out of messages."""


@dataclass(frozen=True, slots=True)
class ResponsesEndpoint:
    """Where a provider listens and how it wants to be asked."""

    name: str
    base_url: str
    """Up to and without ``/responses``; often ends in ``/v1``."""

    api_key: str | None = field(default=None, repr=False)
    api_key_name: str = ""
    """Where the key came from, such as ``OPENAI_API_KEY``; named in errors, the key never is."""

    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    query_params: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    request_max_retries: int = 4
    retry_base_delay: float = 0.2
    """Seconds before a request is sent for the second time."""

    wire_api: Literal["responses", "chat"] = "responses"
    """Chat Completions is for servers that have nothing else."""

    keyring_names: Sequence[str] = ()
    """Where the keyring may have the key, if ``api_key`` is not known."""

    key_home: Path | None = None
    """Where a file may have it, if the keyring has not."""

    missing_key: ConfigError | None = field(default=None, repr=False)
    """Raised by the first request if the keyring has no key either."""

    stream_idle_timeout: float = 300.0
    """Seconds without an event after which a stream is given up; also for the first one."""

    capabilities: ModelCapabilities = field(default_factory=ModelCapabilities)


async def warm() -> None:
    """Import the HTTP library in a worker thread, where it does not hold up the event loop.

    Cancelling the caller leaves at once; the import goes on and is not repeated.
    """
    await anyio.to_thread.run_sync(
        importlib.import_module, "codex_jupyter.model.http", abandon_on_cancel=True
    )


class ResponsesClient:
    """A `ModelClient` for one `ResponsesEndpoint`.

    Belongs to the event loop of its first request. Connections are kept and shared; any number
    of requests may be under way.
    """

    def __init__(self, endpoint: ResponsesEndpoint) -> None:
        self._endpoint = endpoint
        self._is_chat = endpoint.wire_api == "chat"
        self._url = _url(endpoint, "/chat/completions" if self._is_chat else "/responses")
        self._key = (endpoint.api_key or "").strip()
        self._shown_url = _without_credentials(self._url)
        self._redact = partial(failures.redacted, secrets=_secrets(endpoint))
        self._retry = RetryPolicy(endpoint.request_max_retries, endpoint.retry_base_delay)
        self._connections: HttpConnections | None = None
        self._closing = CancelToken()

    @property
    def capabilities(self) -> ModelCapabilities:
        """What may be asked of this provider."""
        capabilities = self._endpoint.capabilities
        return replace(capabilities, freeform_tools=False) if self._is_chat else capabilities

    async def list_models(self, limit: float = LIST_LIMIT) -> list[str]:
        """Return the names of the models the server offers, at most `MAX_MODELS` of them.

        Raises:
            ModelError: It does not say, within ``limit`` seconds.
            ConfigError: There is no key.
        """
        await self._find_key()
        from codex_jupyter.model.http import fetch_json  # noqa: PLC0415 - heavy

        url = _url(self._endpoint, "/models")
        try:
            listed = await fetch_json(url, limit, headers=self._headers({}))
        except failures.TransportError as error:
            reason = self._redact(str(error))
            raise failures.unreachable(_without_credentials(url), reason) from None
        return list(model_names(listed))

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncGenerator[AsyncIterator[list[ModelEvent]], None]:
        """Send ``request`` and iterate over what comes back; see `ModelClient.stream`.

        Entering returns when the server has accepted the request. Until then, failures to connect
        and 5xx answers are repeated with growing pauses, ``request_max_retries`` times, except
        when the server asks for a pause longer than `PATIENCE`. Cancellation ends every wait at
        once.

        Raises:
            ModelError: From entering or from any step.
        """
        make_body = chat_body if self._is_chat else request_body
        body = encode_body(make_body(request, self.capabilities))
        await self._find_key()
        try:
            answer = await self._send_until_accepted(body, self._headers(request.headers))
        except ModelError as error:
            raise await self._explained(error, request.model) from None
        with answer:
            yield EventBatches(
                answer,
                url=self._shown_url,
                idle_timeout=self._endpoint.stream_idle_timeout,
                redact=self._redact,
                closing=self._closing,
                model=request.model,
                translator=ChatTranslator() if self._is_chat else None,
            )

    async def _explained(self, error: ModelError, model: str) -> ModelError:
        """Say what the server offers, where it does not know the model or the address."""
        if not failures.is_not_found(error):
            return error
        names: list[str] = []
        with suppress(ModelError):
            names = await self.list_models()
        return failures.with_offer(error, model, names, is_chat=self._is_chat)

    async def _find_key(self) -> None:
        """Look for the key where it is kept, once, if it is needed and not known.

        Raises:
            ConfigError: It is not there either.
        """
        if self._key or self._endpoint.missing_key is None:
            return
        names, home = self._endpoint.keyring_names, self._endpoint.key_home
        found = await (key_from_keyring(names) if home is None else stored_key(home, names))
        if found is None:
            raise self._endpoint.missing_key
        self._key = found
        secrets = _secrets(self._endpoint) | {found}
        self._redact = partial(failures.redacted, secrets=secrets)

    async def aclose(self) -> None:
        """Close all connections. Requests and streams under way end with a `ModelError`."""
        self._closing.cancel("the client was closed")
        if self._connections is not None:
            await self._connections.aclose()

    async def _send_until_accepted(self, body: bytes, headers: Mapping[str, str]) -> "HttpAnswer":
        for attempt in range(1, self._retry.max_retries + 2):
            try:
                return await self._send(body, headers)
            except ModelError as error:
                is_passing = failures.is_request_level(error) and (
                    error.retry_after is None or error.retry_after <= PATIENCE
                )
                if attempt > self._retry.max_retries or not is_passing:
                    raise
                pause = self._retry.delay(attempt, error.retry_after, random.random())  # noqa: S311
            with self._closing.scope():
                await anyio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _send(self, body: bytes, headers: Mapping[str, str]) -> "HttpAnswer":
        connections = await self._open_connections()
        try:
            with self._closing.scope() as scope:
                scope.deadline = anyio.current_time() + self._endpoint.stream_idle_timeout
                answer = await connections.post(
                    body, headers=headers, params=self._endpoint.query_params
                )
                if answer.status == HTTPStatus.OK:
                    return answer
                with answer:
                    raise await self._refusal(answer)
        except failures.TransportError as error:
            reason = self._redact(str(error))
            failure = failures.unusable if error.hopeless else failures.unreachable
            raise failure(self._shown_url, reason) from None
        if self._closing.reason is not None:
            raise failures.client_closed(self._shown_url)
        raise failures.idle(self._endpoint.stream_idle_timeout)

    async def _open_connections(self) -> "HttpConnections":
        if self._connections is None:
            await warm()
        if self._closing.reason is not None:
            raise failures.client_closed(self._shown_url)
        # Looked at again: another request may have come first while the library was imported.
        if self._connections is None:
            from codex_jupyter.model.http import HttpConnections  # noqa: PLC0415

            self._connections = HttpConnections(self._url)
        return self._connections

    async def _refusal(self, answer: "HttpAnswer") -> ModelError:
        body = bytearray()
        # What has come is told even if the rest does not come.
        with anyio.move_on_after(REFUSAL_TIMEOUT), suppress(failures.TransportError):
            while len(body) < REFUSAL_BYTES and (chunk := await answer.read()):
                body += chunk
        text = body[:REFUSAL_BYTES].decode("utf-8", "replace")
        key_name = self._endpoint.api_key_name or f"model provider {self._endpoint.name}"
        return failures.refused(
            failures.HttpRefusal(
                status=answer.status,
                url=self._shown_url,
                # A redirect repeats the whole address, query and all.
                headers={name: self._redact(value) for name, value in answer.headers.items()},
                body=self._redact(text),
                received_at=time.time(),
                key_name=key_name if self._key else "",
            )
        )

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        headers = {
            "accept": "text/event-stream",
            # Compression would hold deltas back until a block is full.
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": f"codex-jupyter/{__version__}",
        }
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        for extra in (self._endpoint.headers, more):
            headers |= {name.lower(): value for name, value in extra.items()}
        return headers


def _url(endpoint: ResponsesEndpoint, door: str) -> str:
    parts = _split(endpoint)
    path = parts.path.rstrip("/")
    for known in _DOORS:
        path = path.removesuffix(known)
    return urlunsplit(parts._replace(path=path + door, fragment=""))


def _split(endpoint: ResponsesEndpoint) -> SplitResult:
    try:
        parts = urlsplit(endpoint.base_url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    else:
        if is_usable:
            return parts
    shown = "" if "@" in endpoint.base_url else f" {endpoint.base_url!r}"
    raise ConfigError(
        f"model provider {endpoint.name}",
        f"the address{shown} is none; it must look like http://host:port/v1",
        key="base_url",
    )


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=netloc, query=""))


def _secrets(endpoint: ResponsesEndpoint) -> frozenset[str]:
    """Return what must not appear in a message: keys may stand in any of these places."""
    address = urlsplit(endpoint.base_url)
    held = {
        (endpoint.api_key or "").strip(),
        address.password or "",
        *(value for _, value in parse_qsl(address.query)),
        *endpoint.headers.values(),
        *endpoint.query_params.values(),
    }
    # "Bearer KEY" in a header is found by KEY too.
    held |= {word for value in held for word in value.split()}
    # In addresses they are written with escapes, in one of two ways.
    held |= {form for v in held for form in (quote(v, safe=""), quote_plus(v, safe="?/:@"))}
    return frozenset(value for value in held if len(value) >= MIN_SECRET_CHARS)
