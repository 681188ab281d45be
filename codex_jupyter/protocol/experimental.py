"""What only a connection may use that said so: methods and members that may still change."""

from collections.abc import Mapping
from typing import Any, Final, cast

__all__ = ["EXPERIMENTAL_METHODS", "experimental_part"]

EXPERIMENTAL_METHODS: Final = frozenset(
    {
        "collaborationMode/list",
        "fuzzyFileSearch/sessionStart",
        "fuzzyFileSearch/sessionStop",
        "fuzzyFileSearch/sessionUpdate",
        "mock/experimentalMethod",
        "thread/backgroundTerminals/clean",
    }
)
"""Those that the original refuses without the capability."""

_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "thread/start": ("dynamicTools", "mockExperimentalField", "experimentalRawEvents"),
    "thread/resume": ("history", "path"),
    "thread/fork": ("path",),
    "turn/start": ("collaborationMode",),
}


def experimental_part(method: str, params: Any) -> str | None:
    """Return the part of a request that needs the capability, as the original names it.

    A member counts when it says something: ``null`` and ``false`` do not, an empty list does.
    """
    if method in EXPERIMENTAL_METHODS:
        return method
    if not isinstance(params, dict):
        return None
    members = cast("dict[str, Any]", params)
    if method == "account/login/start" and members.get("type") == "chatgptAuthTokens":
        return "account/login/start.chatgptAuthTokens"
    used = (n for n in _MEMBERS.get(method, ()) if members.get(n) not in (None, False))
    name = next(used, None)
    return None if name is None else f"{method}.{name}"
