"""A task that another process does: what travels to it, and which attempt it is there. Pure."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from codex_jupyter.errors import UsageError
from codex_jupyter.settings import Settings
from codex_jupyter.settings.agents import AgentRole
from codex_jupyter.settings.approval import policy_from, policy_shape
from codex_jupyter.tools.policy import Policy

__all__ = [
    "FETCH_LIMIT",
    "IDLE_LIMIT",
    "STOP_LIMIT",
    "Attempt",
    "RemoteTask",
    "attempt_id",
    "choose_attempt",
    "thread_params",
]

Json = dict[str, Any]

MAX_ATTEMPTS: Final = 1_000
"""Attempts of one task; each is one hash to look for."""

STOP_LIMIT: Final = 2.0
"""Seconds a worker gets to end a turn that was stopped, before the kernel goes on without it."""

FETCH_LIMIT: Final = 10.0
"""Seconds one try to fetch a result takes; one that was lost with its worker is made anew."""

IDLE_LIMIT: Final = 5.0
"""Seconds after which a worker unloads a thread whose task has ended, for others to have it."""

_MODES: Final = ("read-only", "workspace-write", "danger-full-access")


@dataclass(frozen=True, slots=True)
class RemoteTask:
    """What a worker is told; no key and no setting of the kernel's is in it."""

    host_id: str
    """The thread that stands for the whole map in the kernel's view."""

    thread_id: str
    task: Json
    """As in delegate/start."""

    headless: str
    """How questions are answered there, as `parse_headless` reads it."""

    topic: str
    """Where what the turn says goes."""

    @property
    def key(self) -> str:
        """What the cluster calls it.

        Another map with the same ids has another key: Dask may still have the end of a task that
        was stopped, and would give that.
        """
        return f"codex-delegate-{self.thread_id}-{self.host_id}"

    @property
    def stop_name(self) -> str:
        """Name of the event that stops it; another map that has the same ids has another one."""
        return f"codex-stop-{self.host_id}-{self.thread_id}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What doing a task means now."""

    turn_id: str
    does: Literal["begin", "attach", "show"]


def attempt_id(thread_id: str, number: int) -> str:
    """Return the id of the turn that does a task at its attempt ``number``, from 0."""
    return str(uuid.uuid5(uuid.UUID(thread_id), f"attempt {number}"))


def choose_attempt(thread_id: str, statuses: Mapping[str, str]) -> Attempt:
    """Decide which attempt is due.

    The newest one counts: one that is complete is shown, one that runs is attached to. After one
    that failed or was cut off with its worker the next begins.

    Args:
        thread_id: The task's thread.
        statuses: Of the turns that the thread has, by their ids.
    """
    number = 0
    while number < MAX_ATTEMPTS and attempt_id(thread_id, number + 1) in statuses:
        number += 1
    turn_id = attempt_id(thread_id, number)
    match statuses.get(turn_id):
        case None:
            return Attempt(turn_id, "begin")
        case "completed":
            return Attempt(turn_id, "show")
        case "inProgress":
            return Attempt(turn_id, "attach")
        case _:
            return Attempt(attempt_id(thread_id, number + 1), "begin")


def thread_params(remote: RemoteTask, settings: Settings) -> Json:
    """Return the params of thread/start for a task, under the settings of the process that does it.

    Policies count as far as they allow no more than these settings.

    Raises:
        UsageError: There is no such role here.
    """
    task, role = remote.task, _role(remote.task.get("role"), settings)
    wished = "read-only" if "sandboxPolicy" in task else role.sandbox_mode
    mode = min(wished or settings.sandbox_mode, settings.sandbox_mode, key=_MODES.index)
    asked = task.get("approvalPolicy")
    approval = policy_from(asked) if asked else role.approval_policy or settings.approval_policy
    own = Policy(settings.approval_policy, settings.sandbox_mode == _MODES[-1])
    policy = own.meet(Policy(approval, mode == _MODES[-1]))
    effort = task.get("effort") or role.effort
    told = "\n\n".join(t for t in (settings.developer_instructions, role.instructions) if t)
    named = {
        "model": task.get("model") or role.model,
        "cwd": task.get("cwd"),
        "developerInstructions": told or None,
        "config": None if effort is None else {"model_reasoning_effort": effort},
    }
    return {
        "threadId": remote.thread_id,
        "approvalPolicy": policy_shape(policy.approval),
        "sandbox": mode if policy.full_access else min(mode, _MODES[1], key=_MODES.index),
        **{name: value for name, value in named.items() if value is not None},
    }


def _role(name: str | None, settings: Settings) -> AgentRole:
    roles = settings.agents.roles
    role = roles.get(name or "default")
    if role is None:
        raise UsageError(
            f"the worker knows no role {name!r}; in its settings there are: {', '.join(roles)}"
        )
    return role
