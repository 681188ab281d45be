"""What kind of thread a spawned one is: its role, as the settings have it, and its name."""

from collections.abc import Mapping
from typing import Final

from codex_jupyter.core.config import sandbox_of_mode
from codex_jupyter.core.delegate import DelegateWish
from codex_jupyter.core.session import Session
from codex_jupyter.errors import AgentError
from codex_jupyter.settings import WorkspaceWrite
from codex_jupyter.settings.agents import AgentRole

__all__ = ["role_named", "spawn_wish"]

_DEFAULT: Final = "default"


def role_named(roles: Mapping[str, AgentRole], name: str | None) -> AgentRole:
    """Return a role; the default one if none is named.

    Raises:
        AgentError: There is no such role.
    """
    known = roles.get(name or _DEFAULT)
    if known is None:
        raise AgentError(f"unknown agent_type {name!r}; there are: {', '.join(roles)}")
    return known


def spawn_wish(parent: Session, role: AgentRole, nickname: str) -> DelegateWish:
    """Return how a thread of this role below ``parent`` differs from it."""
    above = parent.lineage
    named = None if role.name == _DEFAULT else role.name
    spawned = {
        "parent_thread_id": parent.thread_id,
        "depth": 1 if above is None else above.depth + 1,
        "agent_nickname": nickname,
        "agent_role": named,
    }
    own, shared = role.instructions, parent.config.developer_instructions
    mode = role.sandbox_mode
    return DelegateWish(
        source={"subagent": {"thread_spawn": spawned}},
        nickname=nickname,
        role=named,
        model=role.model,
        effort=role.effort,
        approval_policy=role.approval_policy,
        sandbox=None if mode is None else sandbox_of_mode(mode, WorkspaceWrite()),
        developer_instructions="\n\n".join(t for t in (shared, own) if t),
    )
