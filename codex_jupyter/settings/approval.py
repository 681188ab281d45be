"""Approval policies: three words, and the kind that says for each kind of question if it is put."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, cast

__all__ = [
    "APPROVAL_POLICIES",
    "GRANULAR",
    "ApprovalPolicy",
    "Granular",
    "QuestionKind",
    "base_of",
    "meet_of",
    "policy_from",
    "policy_shape",
    "policy_words",
]

Json = dict[str, Any]

APPROVAL_POLICIES: Final = ("untrusted", "on-request", "never")
"""The policies that are one word."""

GRANULAR: Final = "granular"
"""The one member of a policy that is a table."""

QuestionKind = Literal[
    "sandbox_approval", "rules", "mcp_elicitations", "request_permissions", "skill_approval"
]
"""What a question is about, in the words of the flags."""


Base = Literal["untrusted", "on-request", "never"]


@dataclass(frozen=True, slots=True)
class Granular:
    """Asks as its base does, but refuses at once each kind of question whose flag is false.

    Nothing here asks because of ``rules``, for permissions, or for a skill: these three flags are
    carried, and count as soon as something does. Calls of MCP servers' tools have no flag.
    """

    sandbox_approval: bool
    """Commands, patches, and the tools that a client brings."""

    rules: bool
    mcp_elicitations: bool
    """Forms and addresses that MCP servers show."""

    request_permissions: bool = False
    skill_approval: bool = False
    base: Base = "on-request"
    """Ours: another one is what comes of meeting that policy; see `meet_of`."""

    @property
    def refused(self) -> tuple[QuestionKind, ...]:
        """The kinds of questions that nobody is asked."""
        return tuple(kind for kind in _KINDS if not getattr(self, kind))


ApprovalPolicy = str | Granular
"""One of `APPROVAL_POLICIES`, or flags."""

_KINDS: Final = cast(
    "tuple[QuestionKind, ...]", tuple(f.name for f in fields(Granular) if f.name != "base")
)
_REQUIRED: Final = ("sandbox_approval", "rules", "mcp_elicitations")
_NOTHING: Final = Granular(
    sandbox_approval=False, rules=False, mcp_elicitations=False, base="never"
)
"""What ``never`` is where forms are refused as well."""


def base_of(policy: ApprovalPolicy) -> str:
    """Return how the questions are asked that no flag refuses, as one of `APPROVAL_POLICIES`."""
    return policy.base if isinstance(policy, Granular) else policy


def meet_of(one: ApprovalPolicy, other: ApprovalPolicy, *, silent: bool) -> ApprovalPolicy:
    """Return the policy that asks no more than both, and runs nothing unasked that one asks about.

    Args:
        one: A policy.
        other: Another one.
        silent: Whether one of them, with its sandbox, refuses all that is not harmless.
    """
    asking = {base_of(one), base_of(other)} - {"never"}
    base: Base = "untrusted" if "untrusted" in asking else "on-request" if asking else "never"
    refused = {k for p in (one, other) if isinstance(p, Granular) for k in p.refused}
    if silent:
        return _NOTHING if "mcp_elicitations" in refused else "never"
    if not isinstance(one, Granular) and not isinstance(other, Granular):
        return base
    return Granular(**{kind: kind not in refused for kind in _KINDS}, base=base)


def policy_from(value: Any) -> ApprovalPolicy:
    """Read a policy from what a file or a message has of it; members that nobody knows are none.

    Raises:
        ValueError: It is none; the text says what it must be, as a sentence goes on.
    """
    if isinstance(value, str):
        if value not in APPROVAL_POLICIES:
            raise ValueError(f"must be one of {', '.join(APPROVAL_POLICIES)}; it is {value[:60]!r}")
        return value
    table: Json = cast("Json", value) if isinstance(value, Mapping) else {}
    flags: Any = table.get(GRANULAR)
    if len(table) != 1 or not isinstance(flags, Mapping):
        raise ValueError(f"must be a word, or a table of which `{GRANULAR}` is all, a table too")
    stated = cast("Json", flags)
    known = {kind: stated[kind] for kind in _KINDS if kind in stated}
    unclear = [kind for kind in _REQUIRED if kind not in known]
    unclear += [name for name, flag in known.items() if not isinstance(flag, bool)]
    if unclear:
        raise ValueError(f"must say `{GRANULAR}.{unclear[0]}`: true or false")
    base: Any = stated.get("base", "on-request")
    if base not in APPROVAL_POLICIES:
        raise ValueError(f"must be one of {', '.join(APPROVAL_POLICIES)} as `{GRANULAR}.base`")
    return Granular(**known, base=base)


def policy_shape(policy: ApprovalPolicy) -> str | Json:
    """Return a policy as messages and rollouts have it; `policy_from` reads the same again."""
    if not isinstance(policy, Granular):
        return policy
    flags: Json = {kind: getattr(policy, kind) for kind in _KINDS}
    more = {} if policy.base == "on-request" else {"base": policy.base}
    return {GRANULAR: {**flags, **more}}


def policy_words(shape: Any) -> str:
    """Return a policy in a few words for people, from its shape."""
    try:
        policy = policy_from(shape)
    except ValueError:
        return "unknown"
    if not isinstance(policy, Granular):
        return policy
    refused = ", ".join(policy.refused)
    return f"{policy.base}, refusing {refused}" if refused else policy.base
