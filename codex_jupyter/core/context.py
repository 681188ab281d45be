"""What the model is told of its surroundings, and when it has to be told again. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codex_jupyter.core.config import SessionConfig, mode_of_sandbox
from codex_jupyter.core.instructions import developer_message, environment_context, permissions
from codex_jupyter.settings.approval import policy_from
from codex_jupyter.tools.policy import Policy

__all__ = ["Told", "context_items", "told_by_history", "told_of"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What the model was told last."""

    cwd: str
    policy: Policy
    developer_instructions: str | None = None


def told_of(config: SessionConfig) -> Told:
    """Return what a turn with these settings tells."""
    return Told(str(config.cwd), config.policy, config.developer_instructions)


def context_items(told: Told | None, config: SessionConfig) -> tuple[Json, ...]:
    """Return the messages that go before a turn's input: all of them, or what has changed."""
    now = told_of(config)
    items: list[Json] = []
    developer = config.developer_instructions
    if developer and (told is None or told.developer_instructions != developer):
        items.append(developer_message(developer))
    if told is None or told.policy != now.policy:
        items.append(permissions(now.policy))
    if told is None or told.cwd != now.cwd:
        items.append(environment_context(config.cwd))
    return tuple(items)


def told_by_history(
    history: Sequence[Json], turn_context: Mapping[str, Any] | None, config: SessionConfig
) -> Told | None:
    """Return what a stored conversation was told; ``None`` if it must be told everything again.

    Args:
        history: What the model remembers. A summary forgets the surroundings.
        turn_context: The settings of its last turn.
        config: Whose developer instructions count as told, because they are not stored.
    """
    if turn_context is None or not any(_is_environment(item) for item in history):
        return None
    cwd = turn_context.get("cwd")
    try:
        approval = policy_from(turn_context.get("approval_policy"))
    except ValueError:
        return None
    if not isinstance(cwd, str):
        return None
    mode = mode_of_sandbox(turn_context.get("sandbox_policy"))
    policy = Policy(approval, mode == "danger-full-access")
    return Told(cwd, policy, config.developer_instructions)


def _is_environment(item: Json) -> bool:
    match item:
        case {"role": "user", "content": [{"text": str(text)}, *_]}:
            return text.startswith("<environment_context>")
        case _:
            return False
