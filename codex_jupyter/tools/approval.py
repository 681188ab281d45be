"""From a proposal to a yes or a no: policy, what was accepted before, then a person."""

import hashlib
import json
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal, cast

from codex_jupyter.flow.requests import Answered, Refused, Withdrawn
from codex_jupyter.ids import ItemId
from codex_jupyter.settings.approval import QuestionKind
from codex_jupyter.tools.policy import NOT_SANDBOXED, Allow, Ask, Refuse, decide
from codex_jupyter.tools.registry import Json, ToolContext

__all__ = ["Approved", "Proposal", "Rejected", "approve", "digest_of"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What wants to run."""

    what: str
    """Names it in sentences, e.g. ``"this command"``."""

    method: str
    """The server request that asks for it."""

    params: Json
    """Members of that request, beside the ids."""

    item_id: ItemId
    digest: str
    session_keys: tuple[Hashable, ...]
    """What "for this session" would cover, exactly."""

    read_only: bool = False
    kind: QuestionKind | None = "sandbox_approval"
    """Which flag of a granular policy says whether somebody is asked, if one does."""


@dataclass(frozen=True, slots=True)
class Approved:
    """It may run."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """It must not run."""

    reason: str
    """For the model."""

    by: Literal["policy", "user", "interrupt"]


async def approve(proposal: Proposal, context: ToolContext) -> Approved | Rejected:
    """Decide about ``proposal``, asking the clients if the policy says so.

    A ``cancel`` decision interrupts the turn before this returns. An answer that cannot be read,
    is an error, or names another digest than the one that was shown, declines.
    """
    decision = decide(
        context.policy, read_only=proposal.read_only, what=proposal.what, kind=proposal.kind
    )
    match decision:
        case Allow():
            return Approved()
        case Refuse(reason):
            return Rejected(reason, "policy")
        case Ask():
            pass
    if context.approvals.covers(proposal.session_keys):
        return Approved()
    params = {**proposal.params, "sandboxing": NOT_SANDBOXED, "digest": proposal.digest}
    outcome = await context.ask(proposal.method, params, proposal.item_id, "approval")
    match outcome:
        case Withdrawn():
            return Rejected(f"{proposal.what} was aborted by the user", "interrupt")
        case Refused(message):
            return Rejected(f"{proposal.what} was rejected by user ({message})", "user")
        case Answered(result):
            return _judge(_decision(result, proposal.digest), proposal, context)


def _judge(decision: str, proposal: Proposal, context: ToolContext) -> Approved | Rejected:
    match decision:
        case "accept":
            return Approved()
        case "acceptForSession":
            context.approvals.remember(proposal.session_keys)
            return Approved()
        case "cancel":
            context.stop("the user stopped the turn at an approval")
            return Rejected(f"{proposal.what} was rejected by user, who stopped the turn", "user")
        case _:
            return Rejected(f"{proposal.what} was rejected by user", "user")


def _decision(result: Any, digest: str) -> str:
    if not isinstance(result, dict):
        return "decline"
    answer = cast("Json", result)
    if answer.get("digest") not in (None, digest):
        return "decline"
    decision = answer.get("decision")
    return decision if isinstance(decision, str) else "decline"


def digest_of(*parts: object) -> str:
    """Return the SHA-256 of ``parts`` in one unambiguous spelling."""
    spelled = json.dumps(parts, ensure_ascii=True, sort_keys=True, default=str)
    return hashlib.sha256(spelled.encode()).hexdigest()
