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

from codex_jupyter.errors import InvalidRequestError, MalformedParamsError
from codex_jupyter.server.wording import invalid_type, missing_field

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
    members = _object(params, "params", "InitializeParams")
    info = _object(members.get("clientInfo"), "clientInfo", "ClientInfo")
    name, version = _text(info, "name"), _text(info, "version")
    if info.get("title") is not None:
        _text(info, "title")
    if not _HEADER_VALUE.fullmatch(name):
        raise InvalidRequestError(
            f"Invalid clientInfo.name: '{name[:100]!r}'. Must be a valid HTTP header value."
        )
    wanted = members.get("capabilities")
    capabilities: Json = (
        {} if wanted is None else _object(wanted, "capabilities", "InitializeCapabilities")
    )
    return Greeting(
        name,
        version,
        experimental=_flag(capabilities, "experimentalApi"),
        opted_out=_texts(capabilities, "optOutNotificationMethods"),
        sequences=_flag(capabilities, "eventSequences"),
    )


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


def _object(value: Any, name: str, shape: str) -> Json:
    if value is None:
        raise MalformedParamsError(missing_field(name), name)
    if not isinstance(value, dict):
        raise MalformedParamsError(invalid_type(value, f"struct {shape}"), name)
    return cast("Json", value)


def _text(members: Json, name: str) -> str:
    if name not in members:
        raise MalformedParamsError(missing_field(name), name)
    value = members[name]
    if not isinstance(value, str):
        raise MalformedParamsError(invalid_type(value, "a string"), name)
    return value


def _flag(members: Json, name: str) -> bool:
    value = members.get(name, False)
    if not isinstance(value, bool):
        raise MalformedParamsError(invalid_type(value, "a boolean"), name)
    return value


def _texts(members: Json, name: str) -> frozenset[str]:
    value = members.get(name)
    if value is None:
        return frozenset()
    if not isinstance(value, list):
        raise MalformedParamsError(invalid_type(value, "a sequence"), name)
    words = cast("list[Any]", value)
    for word in words:
        if not isinstance(word, str):
            raise MalformedParamsError(invalid_type(word, "a string"), name)
    return frozenset(words)
