"""What a client may ask of the key that models are asked with."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from codex_jupyter.protocol._wire import WireModel

__all__ = [
    "ACCOUNT_REQUESTS",
    "AccountReadParams",
    "LoginCancelParams",
    "LoginStartParams",
    "LogoutParams",
]


class AccountReadParams(WireModel):
    """See whether there is a key for the configured provider; the key itself is never told."""

    METHOD: ClassVar[str] = "account/read"
    refresh_token: bool = False
    """Ignored: keys do not expire by themselves."""


class AccountReadResult(WireModel):
    """The result of account/read."""

    account: dict[str, Any] | None = None
    """``{"type": "apiKey"}`` if there is a key."""

    requires_openai_auth: bool
    """Whether the provider needs one."""


class LoginStartParams(WireModel):
    """Keep a key for the configured provider, or for OpenAI if that one needs none.

    It is kept in the system's keyring, else in a file for the user alone; a variable that holds a
    key outranks it. Refused on connections that may not answer.
    """

    METHOD: ClassVar[str] = "account/login/start"
    type: Literal["apiKey"]
    """The other ways to sign in are not offered."""

    api_key: str = Field(repr=False)


class LoginStartResult(WireModel):
    """The result of account/login/start; `account/login/completed` follows at once."""

    type: Literal["apiKey"]


class LoginCancelParams(WireModel):
    """Give up a login that waits for somebody. None does here."""

    METHOD: ClassVar[str] = "account/login/cancel"
    login_id: str


class LoginCancelResult(WireModel):
    """The result of account/login/cancel."""

    status: Literal["canceled", "notFound"]


class LogoutParams(WireModel):
    """Forget the key that was kept. ``params`` may be left out."""

    METHOD: ClassVar[str] = "account/logout"


class LogoutResult(WireModel):
    """The result of account/logout. A key in a variable stays where it is."""


ACCOUNT_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "account/read": (AccountReadParams, AccountReadResult),
    "account/login/start": (LoginStartParams, LoginStartResult),
    "account/login/cancel": (LoginCancelParams, LoginCancelResult),
    "account/logout": (LogoutParams, LogoutResult),
}
