"""One model client per provider, made when it is first needed."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio

from codex_jupyter.errors import CodexError, ConfigError, InvalidRequestError
from codex_jupyter.model.client import ResponsesClient, ResponsesEndpoint
from codex_jupyter.model.interface import ModelCapabilities, ModelClient
from codex_jupyter.model.offline import OfflineModel
from codex_jupyter.settings import Provider, Settings

__all__ = ["ModelClients", "key_names"]

MODELS_KEPT: Final = 5.0
"""Seconds for which a list of models, or the failure to get one, answers whoever asks again."""


@dataclass(slots=True)
class _Listing:
    """What a provider's client last said of its models."""

    client: ModelClient
    names: Sequence[str] = ()
    problem: CodexError | None = None
    good_until: float = 0.0
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    """Held while the provider is asked: whoever comes meanwhile gets the same answer."""


class ModelClients:
    """The providers in use. Clients are shared by all threads and closed together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: dict[Provider, ModelClient] = {}
        self._retired: list[ModelClient] = []
        self._listings: dict[str, _Listing] = {}

    def use(self, settings: Settings) -> None:
        """Take other defaults; clients in use go on as they are."""
        self._settings = settings

    def client(self, provider: Provider) -> ModelClient:
        """Return the client of ``provider``.

        Raises:
            ConfigError: The provider needs a key and the environment has none.
        """
        known = next((c for p, c in self._clients.items() if p == provider), None)
        if known is None:
            known = self._clients[provider] = self._make(provider)
        return known

    async def models(
        self, provider_id: str | None = None
    ) -> tuple[Sequence[str], str | None, bool]:
        """Return the models of a provider, the one in use, and whether they reason.

        The one in use comes first, also where the provider does not list it; there is none of a
        provider that is not the configured one. What a provider has said, or that it has not,
        answers whoever asks within the next `MODELS_KEPT` seconds.

        Args:
            provider_id: The provider; default: the configured one.

        Raises:
            InvalidRequestError: There is no such provider.
            ModelError: The provider does not say.
            ConfigError: The provider needs something, or no model is stated.
        """
        configured = self._settings.provider
        provider = configured if provider_id is None else self._settings.providers.get(provider_id)
        if provider is None:
            raise InvalidRequestError(f"Model provider `{(provider_id or '')[:100]}` not found")
        client = self.client(provider)
        used = self._settings.require_model() if provider.id == configured.id else None
        listed = await self._listed(provider.id, client)
        names = dict.fromkeys(listed if used is None else [used, *listed])
        return tuple(names), used, client.capabilities.reasoning

    async def _listed(self, provider_id: str, client: ModelClient) -> Sequence[str]:
        listing = self._listings.get(provider_id)
        if listing is None or listing.client is not client:
            listing = self._listings[provider_id] = _Listing(client)
        async with listing.lock:
            if time.monotonic() >= listing.good_until:
                listing.names, listing.problem = (), None
                try:
                    listing.names = tuple(await client.list_models())
                except CodexError as error:
                    listing.problem = error
                listing.good_until = time.monotonic() + MODELS_KEPT
        if listing.problem is not None:
            raise listing.problem.with_traceback(None)
        return listing.names

    def forget(self, provider_id: str) -> None:
        """Make a provider's client anew when it is next needed: its key is another one.

        Requests under way go on to their end.
        """
        for provider in [p for p in self._clients if p.id == provider_id]:
            self._retired.append(self._clients.pop(provider))

    async def aclose(self) -> None:
        """Close all clients; their requests end."""
        clients, self._clients = [*self._clients.values(), *self._retired], {}
        for client in clients:
            await client.aclose()

    def _make(self, provider: Provider) -> ModelClient:
        match provider.kind:
            case "offline":
                plays: list[Path] = [self._settings.home / "plays"]
                return OfflineModel(pace=self._settings.offline_pace, play_dirs=plays)
            case "local":
                from codex_jupyter.model.local import LocalModel  # noqa: PLC0415 - an extra

                return LocalModel(env=self._settings.child_env)
            case "http":
                return ResponsesClient(_endpoint(provider, self._settings))


def key_names(provider: Provider) -> tuple[str, ...]:
    """Return the names under which a provider's key may be kept; ours is the first."""
    return tuple(name for name in (provider.id, provider.env_key) if name)


def _endpoint(provider: Provider, settings: Settings) -> ResponsesEndpoint:
    environment = settings.environment
    headers = dict(provider.http_headers)
    for name, variable in provider.env_http_headers.items():
        if value := environment.get(variable):
            headers[name] = value
    key, missing = None, None
    try:
        key = provider.api_key(environment)
    except ConfigError as error:
        missing = error
    return ResponsesEndpoint(
        name=provider.name,
        base_url=provider.base_url or "",
        wire_api=provider.wire_api,
        api_key=key,
        keyring_names=key_names(provider),
        key_home=settings.home,
        missing_key=missing,
        api_key_name=provider.env_key or "",
        headers=headers,
        query_params=provider.query_params,
        request_max_retries=provider.request_max_retries,
        stream_idle_timeout=provider.stream_idle_timeout,
        capabilities=ModelCapabilities(
            freeform_tools=provider.freeform_tools, reasoning=provider.reasoning
        ),
    )
