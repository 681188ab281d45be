"""What a client wants a thread or a turn to be like, in the words of the core."""

from codex_jupyter.core.config import ThreadOptions
from codex_jupyter.protocol.ops import TurnOverrides
from codex_jupyter.protocol.requests import ThreadResumeParams, ThreadStartParams, TurnStartParams
from codex_jupyter.protocol.shapes import GranularPolicy
from codex_jupyter.protocol.thread_requests import ThreadForkParams, ThreadSettingsParams
from codex_jupyter.settings.approval import ApprovalPolicy, policy_from

__all__ = ["options_of", "overrides_of", "policy_of"]


def options_of(asked: ThreadStartParams | ThreadResumeParams | ThreadForkParams) -> ThreadOptions:
    """Return how a thread shall be opened."""
    return ThreadOptions(
        model=asked.model,
        model_provider=asked.model_provider,
        cwd=asked.cwd,
        approval_policy=policy_of(asked.approval_policy),
        approvals_reviewer=asked.approvals_reviewer,
        sandbox=asked.sandbox,
        config=asked.config,
        base_instructions=asked.base_instructions,
        developer_instructions=asked.developer_instructions,
    )


def overrides_of(asked: TurnStartParams | ThreadSettingsParams) -> TurnOverrides:
    """Return which settings of a thread shall change."""
    sandbox = asked.sandbox_policy
    return TurnOverrides(
        cwd=asked.cwd,
        approval_policy=policy_of(asked.approval_policy),
        approvals_reviewer=asked.approvals_reviewer,
        sandbox=sandbox.wire() if sandbox is not None else None,
        model=asked.model,
        effort=asked.effort,
        summary=asked.summary,
    )


def policy_of(asked: GranularPolicy | str | None) -> ApprovalPolicy | None:
    """Return the approval policy that is asked for, if one is."""
    return policy_from(asked.wire()) if isinstance(asked, GranularPolicy) else asked
