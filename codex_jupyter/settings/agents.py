"""``[agents]``: how many agents a model may start, how deep, and which roles there are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from codex_jupyter.errors import ConfigError
from codex_jupyter.settings.approval import ApprovalPolicy, policy_from
from codex_jupyter.settings.config_file import read_config_file

__all__ = ["BUILT_IN_ROLES", "AgentRole", "AgentSettings", "agents_from"]

_FEATURES: Final = ("multi_agent", "collab")
_IGNORED: Final = frozenset({"job_max_runtime_seconds", "max_spawn_depth"})
_MAX_DESCRIPTION: Final = 2000


@dataclass(frozen=True, slots=True)
class AgentRole:
    """A kind of agent; what is ``None`` is as its parent has it."""

    name: str
    description: str
    """What it is good for: the model chooses by this."""

    instructions: str | None = None
    model: str | None = None
    effort: str | None = None
    approval_policy: ApprovalPolicy | None = None
    """Counts as far as it allows no more than the parent's, as does ``sandbox_mode``."""

    sandbox_mode: str | None = None


BUILT_IN_ROLES: Final = (
    AgentRole("default", "Works as you do, on a part of the task."),
    AgentRole(
        "explorer",
        "Finds things out in files and data and reports them; changes nothing.",
        instructions=(
            "Find out what you are asked and report it briefly, with the files, lines and numbers "
            "that show it. Change nothing."
        ),
        sandbox_mode="read-only",
    ),
    AgentRole(
        "worker",
        "Does one clearly bounded piece of work, such as a change to some files.",
        instructions=(
            "Do exactly the piece of work you are given and say what you did. Others may work in "
            "the same folder: leave what is not yours alone."
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What the model may do with agents."""

    enabled: bool = True
    max_threads: int = 6
    """Agents of one tree that work at the same time (the original's number)."""

    max_depth: int = 1
    """Agents below the user's thread: 1 lets them start none themselves."""

    wake_parent: bool = True
    """Whether the end of an agent's work starts a turn of a parent that is idle."""

    roles: Mapping[str, AgentRole] = field(
        default_factory=lambda: {role.name: role for role in BUILT_IN_ROLES}
    )


def agents_from(table: Mapping[str, Any], features: Any, home: Path) -> AgentSettings:
    """Read ``[agents]`` and the switch in ``[features]``.

    Raises:
        ConfigError: A member has the wrong type or range, or a role's file cannot be read.
    """
    roles = {role.name: role for role in BUILT_IN_ROLES}
    members: dict[str, Any] = {}
    for key, value in table.items():
        if key in ("max_threads", "max_depth"):
            members[key] = _count(key, value)
        elif key == "wake_parent":
            members[key] = _switch(f"agents.{key}", value)
        elif isinstance(value, Mapping):
            roles[key] = _role(key, cast("Mapping[str, Any]", value), roles.get(key), home)
        elif key not in _IGNORED:
            raise _error(f"agents.{key}", "is neither a setting nor the table of a role")
    enabled = True
    if isinstance(features, Mapping):
        switches = cast("Mapping[str, Any]", features)
        for name in _FEATURES:
            if name in switches:
                enabled = _switch(f"features.{name}", switches[name])
    return AgentSettings(enabled=enabled, roles=roles, **members)


def _role(name: str, table: Mapping[str, Any], known: AgentRole | None, home: Path) -> AgentRole:
    description = table.get("description", known.description if known else None)
    if not isinstance(description, str) or not description.strip():
        raise _error(f"agents.{name}.description", "must say what the role is good for")
    file = table.get("config_file")
    if file is None:
        return AgentRole(name, description[:_MAX_DESCRIPTION])
    if not isinstance(file, str):
        raise _error(f"agents.{name}.config_file", "must be the path of a TOML file")
    path = home / Path(file).expanduser()
    if not path.is_file():
        raise _error(f"agents.{name}.config_file", f"{str(path)!r} is not a file")
    layer = read_config_file(path).table
    return AgentRole(
        name,
        description[:_MAX_DESCRIPTION],
        instructions=layer.get("developer_instructions"),
        model=layer.get("model"),
        effort=layer.get("model_reasoning_effort"),
        approval_policy=_approval(path, layer.get("approval_policy")),
        sandbox_mode=layer.get("sandbox_mode"),
    )


def _approval(path: Path, value: Any) -> ApprovalPolicy | None:
    try:
        return None if value is None else policy_from(value)
    except ValueError as error:
        raise ConfigError(path, str(error), key="approval_policy") from None


def _count(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _error(f"agents.{key}", f"must be a whole number of at least 1, found {value!r}")
    return value


def _switch(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _error(key, f"must be true or false, found {value!r}")
    return value


def _error(key: str, problem: str) -> ConfigError:
    return ConfigError("config.toml", problem, key=key)
