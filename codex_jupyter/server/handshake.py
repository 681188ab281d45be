"""The first request of a connection, answered before any heavy model is built.

The checks here are those of `InitializeParams`; a test holds the two together. Plain code, because
building the first pydantic validator costs more than everything else a fresh process does.
"""

import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from codex_jupyter.errors import InvalidRequestError

__all__ = ["Greeting", "greet", "initialize_result"]

Json = dict[str, Any]

PROTOCOL_VERSION: Final = "0.169.0"
"""Announced in ``userAgent``: the version of the original whose shapes these are."""

_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\uffff]*")


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a connection said about itself."""

    client_name: str
    client_version: str
    experimental: bool
    opted_out: frozenset[str]
    """Notification methods this connection does not want."""

    sequences: bool = False
    """Whether each notification of a thread shall carry its number."""


def greet(params: Any) -> Greeting:
    """Read the params of `initialize`.

    Raises:
        InvalidRequestError: A member is missing or has the wrong type.
    """
    members = _object(params, "params")
    info = _object(members.get("clientInfo"), "clientInfo")
    name, version = _text(info, "name"), _text(info, "version")
    if info.get("title") is not None:
        _text(info, "title")
    if not _HEADER_VALUE.fullmatch(name):
        raise InvalidRequestError(
            f"Invalid clientInfo.name: '{name[:100]!r}'. Must be a valid HTTP header value."
        )
    wanted = members.get("capabilities")
    capabilities: Json = {} if wanted is None else _object(wanted, "capabilities")
    experimental = capabilities.get("experimentalApi", False)
    if not isinstance(experimental, bool):
        raise _wrong_type("experimentalApi", experimental, "a boolean")
    opted_out: Any = capabilities.get("optOutNotificationMethods")
    opted_out = [] if opted_out is None else opted_out
    if not isinstance(opted_out, list):
        raise _wrong_type("optOutNotificationMethods", opted_out, "a list of method names")
    methods = cast("list[Any]", opted_out)
    for method in methods:
        if not isinstance(method, str):
            raise _wrong_type("optOutNotificationMethods", method, "method names")
    sequences = capabilities.get("eventSequences", False)
    if not isinstance(sequences, bool):
        raise _wrong_type("eventSequences", sequences, "a boolean")
    return Greeting(name, version, experimental, frozenset(methods), sequences)


def initialize_result(greeting: Greeting, home: Path) -> Json:
    """Return the answer to `initialize`."""
    system = f"{platform.system()} {platform.release()}; {platform.machine()}"
    client = f"{greeting.client_name}; {greeting.client_version}"
    return {
        "userAgent": f"codex_jupyter/{PROTOCOL_VERSION} ({system}) python ({client})",
        "codexHome": str(home),
        "platformFamily": "windows" if sys.platform == "win32" else "unix",
        "platformOs": "macos" if sys.platform == "darwin" else sys.platform,
    }


def _object(value: Any, name: str) -> Json:
    if value is None:
        raise InvalidRequestError(f"Invalid request: missing field `{name}`")
    if not isinstance(value, dict):
        raise _wrong_type(name, value, "an object")
    return cast("Json", value)


def _text(members: Json, name: str) -> str:
    value = members.get(name)
    if value is None:
        raise InvalidRequestError(f"Invalid request: missing field `{name}`")
    if not isinstance(value, str):
        raise _wrong_type(name, value, "a string")
    return value


def _wrong_type(name: str, value: object, expected: str) -> InvalidRequestError:
    found = type(value).__name__
    return InvalidRequestError(
        f"Invalid request: invalid type: {found}, expected {expected} in `{name}`"
    )
