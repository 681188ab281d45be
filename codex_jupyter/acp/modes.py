"""Approval policies as the modes of a session, models as an option of it: pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from codex_jupyter.errors import UsageError

__all__ = ["MODEL", "mode_of", "mode_state", "model_option", "settings_of"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Mode:
    id: str
    name: str
    description: str


MODEL: Final = "model"
"""Id of the option that chooses the model."""

_FULL: Final = "full-access"
_MODES: Final = (
    _Mode("on-request", "Ask", "Asks before everything that is not provably read-only."),
    _Mode("untrusted", "Ask, trust nothing", "Asks as well where a sandbox would hold it back."),
    _Mode("never", "Read only", "Asks nobody: what is not provably read-only does not run."),
    _Mode(_FULL, "Full access", "Asks nobody: everything runs, and nothing is sandboxed."),
)


def mode_of(opened: Json) -> str:
    """Return the mode of a thread from the answer to thread/start or thread/resume.

    Flags for each kind of question have no mode: they are shown as the one that is nearest.
    """
    policy: Any = opened.get("approvalPolicy")
    sandbox: Json = opened.get("sandbox") or {}
    if policy == "never" and sandbox.get("type") == "dangerFullAccess":
        return _FULL
    match policy:
        case str():
            return policy
        case {"granular": {"sandbox_approval": False}}:
            return "never"
        case _:
            return "on-request"


def mode_state(current: str) -> Json:
    """Return the modes there are and which one it is."""
    modes = [{"id": m.id, "name": m.name, "description": m.description} for m in _MODES]
    return {"currentModeId": current, "availableModes": modes}


def model_option(current: str, models: Sequence[Json]) -> Json:
    """Return the choice of models.

    Args:
        current: The model of the thread, which may be one that no list has.
        models: As `model/list` tells them.
    """
    names = {str(model["model"]): str(model["displayName"]) for model in models}
    options = [
        {"value": name, "name": shown} for name, shown in {current: current, **names}.items()
    ]
    return {
        "type": "select",
        "id": MODEL,
        "name": "Model",
        "category": "model",
        "currentValue": current,
        "options": options,
    }


def settings_of(mode: str, sandbox: Json) -> Json:
    """Return what thread/settings/update takes to enter a mode.

    Args:
        mode: The id of a mode.
        sandbox: The policy object of the thread outside of full access.

    Raises:
        UsageError: There is no such mode.
    """
    known = [m.id for m in _MODES]
    if mode not in known:
        raise UsageError(f"there is no mode {mode!r}; there are {', '.join(known)}")
    if mode == _FULL:
        return {"approvalPolicy": "never", "sandboxPolicy": {"type": "dangerFullAccess"}}
    kept = {"type": "workspaceWrite"} if sandbox.get("type") == "dangerFullAccess" else sandbox
    return {"approvalPolicy": mode, "sandboxPolicy": kept}
