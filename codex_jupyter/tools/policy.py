"""Who has to agree before something runs: pure decisions."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final

from codex_jupyter.settings.approval import ApprovalPolicy, Granular, QuestionKind, base_of, meet_of

__all__ = ["NOT_SANDBOXED", "Allow", "Ask", "Policy", "Refuse", "SessionApprovals", "decide"]

NOT_SANDBOXED: Final = "not sandboxed"
"""Said in thread/start's answer and on each card, because it is so on every machine."""

_MAX_REMEMBERED: Final = 512
"""Approvals for the session that are kept; the least recently used one is asked again."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The two settings that decide."""

    approval: ApprovalPolicy
    """``untrusted``, ``on-request``, ``never``, or flags for each kind of question."""

    full_access: bool
    """Whether the user chose ``danger-full-access``."""

    def meet(self, other: "Policy") -> "Policy":
        """Return the policy that allows nothing that one of the two does not.

        Where one refuses, nobody is asked; where one asks, somebody is.
        """
        silent = self.refuses or other.refuses
        full = self.full_access and other.full_access and not silent
        return Policy(meet_of(self.approval, other.approval, silent=silent), full)

    @property
    def refuses(self) -> bool:
        """Whether it allows only what is provably harmless, and asks nobody."""
        return base_of(self.approval) == "never" and not self.full_access

    @property
    def shows_forms(self) -> bool:
        """Whether the forms and addresses of MCP servers are put to somebody."""
        return not isinstance(self.approval, Granular) or self.approval.mcp_elicitations


@dataclass(frozen=True, slots=True)
class Allow:
    """It may run, nobody is asked."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody has to agree first."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """It must not run, and nobody may be asked; ``reason`` is written for the model."""

    reason: str


def decide(
    policy: Policy, *, read_only: bool, what: str, kind: QuestionKind | None = "sandbox_approval"
) -> Allow | Ask | Refuse:
    """Decide about one command, patch or tool call.

    As long as nothing is sandboxed, everything that is not provably read-only asks, whatever the
    sandbox mode says; under ``never`` there is nobody to ask, so it runs only with full access. A
    kind of question that flags refuse is refused with full access too, because it would be asked.

    Args:
        policy: The thread's settings.
        read_only: Whether it provably changes nothing and reads nothing secret.
        what: Names the thing in the refusal, e.g. ``"this command"``.
        kind: Which flag of a granular policy says whether somebody is asked, if one does.
    """
    if read_only:
        return Allow()
    if isinstance(policy.approval, Granular) and kind in policy.approval.refused:
        return Refuse(
            f"{what} was not run: rejected by the approval policy, in which `{kind}` is false, so "
            "nobody is asked. Work without it, or tell the user that it needs that flag or another "
            "approval policy."
        )
    if base_of(policy.approval) != "never":
        return Ask()
    if policy.full_access:
        return Allow()
    return Refuse(
        f"{what} was not run: rejected by policy. The approval policy is `never` and nothing is "
        "sandboxed here, so only provably read-only commands run. Work without it, or tell the "
        "user that it needs `danger-full-access` or another approval policy."
    )


class SessionApprovals:
    """What was accepted "for this session": exact commands and exact paths, never patterns."""

    def __init__(self) -> None:
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def covers(self, keys: Iterable[Hashable]) -> bool:
        """Tell whether every one of ``keys`` was accepted; no keys are never covered."""
        wanted = list(keys)
        if not wanted or not all(key in self._keys for key in wanted):
            return False
        for key in wanted:
            self._keys.move_to_end(key)
        return True

    def remember(self, keys: Iterable[Hashable]) -> None:
        """Accept ``keys`` for the rest of the session."""
        for key in keys:
            self._keys[key] = None
            self._keys.move_to_end(key)
        while len(self._keys) > _MAX_REMEMBERED:
            self._keys.popitem(last=False)
