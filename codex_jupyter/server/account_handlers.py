"""The methods around the key that models are asked with. No answer and no error repeats it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import anyio

from codex_jupyter.core.providers import key_names
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.errors import ConfigError, InvalidRequestError, NotOfferedError
from codex_jupyter.model.keys import forget_keys, store_key, stored_key
from codex_jupyter.protocol.account_requests import (
    AccountReadParams,
    LoginCancelParams,
    LoginStartParams,
    LogoutParams,
)
from codex_jupyter.protocol.out_of_scope import NO_ACCOUNTS
from codex_jupyter.rpc import Reply
from codex_jupyter.server.params import read_params
from codex_jupyter.server.rights import require_owner
from codex_jupyter.server.subscriptions import Connection, Subscriptions
from codex_jupyter.settings import Provider

__all__ = ["AccountHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]

MAX_KEY_CHARS: Final = 4096

_OTHER_WAYS: Final = (
    "chatgpt",
    "chatgptAuthTokens",
    "chatgptDeviceCode",
    "amazonBedrock",
    "amazonBedrockAccessKeys",
)


class AccountHandlers:
    """See whether there is a key, keep one, forget it."""

    def __init__(self, threads: ThreadManager, subscriptions: Subscriptions) -> None:
        self._threads = threads
        self._subscriptions = subscriptions
        self._changing = anyio.Lock()
        self.methods: dict[str, Method] = {
            "account/read": self._read,
            "account/login/start": self._login,
            "account/login/cancel": self._cancel,
            "account/logout": self._logout,
        }

    async def _read(self, _connection: Connection, params: Any) -> Json:
        read_params(AccountReadParams, params)
        provider = self._threads.settings.provider
        known = await self._has_key(provider)
        return {
            "account": {"type": "apiKey"} if known else None,
            "requiresOpenaiAuth": provider.env_key is not None,
        }

    async def _login(self, connection: Connection, params: Any) -> Reply:
        way: Any = cast("Json", params).get("type") if isinstance(params, dict) else None
        if way in _OTHER_WAYS:
            raise NotOfferedError(f"account/login/start with type `{way}`", NO_ACCOUNTS)
        asked = read_params(LoginStartParams, params)
        require_owner(connection.rights, "keep keys")
        key = asked.api_key.strip()
        if not (0 < len(key) <= MAX_KEY_CHARS and key.isascii() and key.isprintable()):
            raise InvalidRequestError(
                f"apiKey must have 1 to {MAX_KEY_CHARS} plain characters; copy it again"
            )
        provider = self._keeper()
        async with self._changing:
            await store_key(self._threads.settings.home, provider.id, key)
            self._threads.clients.forget(provider.id)
        return Reply({"type": "apiKey"}, then=self._tell_login)

    async def _cancel(self, connection: Connection, params: Any) -> Json:
        read_params(LoginCancelParams, params)
        require_owner(connection.rights, "end logins")
        return {"status": "notFound"}

    async def _logout(self, connection: Connection, params: Any) -> Reply:
        read_params(LogoutParams, params)
        require_owner(connection.rights, "forget keys")
        provider = self._keeper()
        async with self._changing:
            await forget_keys(self._threads.settings.home, key_names(provider))
            self._threads.clients.forget(provider.id)
            known = await self._has_key(provider)
        return Reply({}, then=lambda: self._tell(known=known))

    def _keeper(self) -> Provider:
        """Return the provider whose key is meant."""
        settings = self._threads.settings
        needs_one = settings.provider.env_key is not None
        return settings.provider if needs_one else settings.providers["openai"]

    async def _has_key(self, provider: Provider) -> bool:
        settings = self._threads.settings
        if provider.env_key is None:
            return False
        try:
            return provider.api_key(settings.environment) is not None
        except ConfigError:
            return await stored_key(settings.home, key_names(provider)) is not None

    def _tell_login(self) -> None:
        completed: Json = {"loginId": None, "success": True, "error": None}
        self._subscriptions.tell_all("account/login/completed", completed)
        self._tell(known=True)

    def _tell(self, *, known: bool) -> None:
        mode = "apikey" if known else None
        self._subscriptions.tell_all("account/updated", {"authMode": mode, "planType": None})
