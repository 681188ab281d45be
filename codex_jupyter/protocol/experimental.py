"""What needs `experimentalApi`: methods and members that may still change."""

from collections.abc import Mapping
from typing import Any, Final, cast

__all__ = ["EXPERIMENTAL_MEMBERS", "EXPERIMENTAL_METHODS", "gated"]

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

EXPERIMENTAL_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "thread/start": frozenset({"dynamicTools", "experimentalRawEvents", "mockExperimentalField"}),
    "thread/resume": frozenset({"history", "path"}),
    "thread/fork": frozenset({"path"}),
    "turn/start": frozenset({"collaborationMode"}),
}
"""By method, as they are called on the wire."""


def gated(method: str, params: Any) -> str | None:
    """Name what of a request needs the capability, e.g. ``thread/start.dynamicTools``.

    A member counts if it carries information: ``null`` and ``false`` do not.
    """
    if method in EXPERIMENTAL_METHODS:
        return method
    if not isinstance(params, dict):
        return None
    given = cast("dict[str, Any]", params)
    if method == "account/login/start" and given.get("type") == "chatgptAuthTokens":
        return "account/login/start.chatgptAuthTokens"
    for name in sorted(EXPERIMENTAL_MEMBERS.get(method, ())):
        if given.get(name) not in (None, False):
            return f"{method}.{name}"
    return None
