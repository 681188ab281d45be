"""How requests that do not parse are refused: in the original's words, which clients match on.

Light, because the first request of a connection is refused before pydantic is loaded.
"""

import json
from collections.abc import Sequence
from typing import Any, Final, cast

__all__ = ["invalid_type", "invalid_value", "missing_field", "unfit_policy", "unknown_variant"]

_POLICIES: Final = ("untrusted", "on-request", "granular", "never")
_FLAGS: Final = ("sandbox_approval", "rules", "mcp_elicitations")
_OTHER_FLAGS: Final = ("skill_approval", "request_permissions")

_MAX_SHOWN: Final = 100
"""Characters of a refused value that come back to whoever sent it."""


def missing_field(name: str) -> str:
    """Say that a member is not there."""
    return f"Invalid request: missing field `{name}`"


def invalid_type(value: Any, expected: str) -> str:
    """Say that a member is of another type than the ``expected`` one, e.g. ``a string``."""
    return f"Invalid request: invalid type: {_shown(value)}, expected {expected}"


def invalid_value(value: Any, expected: str) -> str:
    """Say that a member is of the right kind, but not among the ``expected`` ones, e.g. ``u32``."""
    return f"Invalid request: invalid value: {_shown(value)}, expected {expected}"


def unknown_variant(value: str, known: Sequence[str]) -> str:
    """Say that a word is none of the ``known`` ones, of which there is at least one."""
    names = [f"`{name}`" for name in known]
    match names:
        case [only]:
            expected = only
        case [one, other]:
            expected = f"{one} or {other}"
        case _:
            expected = f"one of {', '.join(names)}"
    shown = value.encode(errors="replace").decode()[:_MAX_SHOWN]
    return f"Invalid request: unknown variant `{shown}`, expected {expected}"


def unfit_policy(value: Any) -> str:
    """Say why something is no approval policy, which it is not."""
    match value:
        case "granular":
            return "Invalid request: invalid type: unit variant, expected struct variant"
        case str():
            return unknown_variant(value, _POLICIES)
        case {"granular": flags} if len(value) == 1:
            return _unfit_flags(flags)
        case dict() if len(cast("dict[str, Any]", value)) == 1:
            ((name, inner),) = cast("dict[str, Any]", value).items()
            if name in _POLICIES:
                return invalid_type(inner, "unit")
            return unknown_variant(name, _POLICIES)
        case dict():
            return "Invalid request: invalid value: map, expected map with a single key"
        case _:
            return invalid_type(value, "string or map")


def _unfit_flags(flags: Any) -> str:
    if flags == []:
        return (
            "Invalid request: invalid length 0, expected struct variant AskForApproval::Granular "
            "with 5 elements"
        )
    if not isinstance(flags, dict):
        return invalid_type(flags, "struct variant")
    given = cast("dict[str, Any]", flags)
    for name, flag in given.items():
        if name in (*_FLAGS, *_OTHER_FLAGS) and not isinstance(flag, bool):
            return invalid_type(flag, "a boolean")
    missing = [name for name in _FLAGS if name not in given]
    return missing_field(missing[0]) if missing else invalid_type(given, "struct variant")


def _shown(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return f"boolean `{json.dumps(value)}`"
        case int():
            # More digits than Python likes to print are no number that anybody can use.
            return f"integer `{value}`" if value.bit_length() <= _MAX_SHOWN else "integer"
        case float():
            return f"floating point `{value}`"
        case str():
            return f"string {json.dumps(value[:_MAX_SHOWN], ensure_ascii=False)}"
        case list():
            return "sequence"
        case _:
            return "map"
