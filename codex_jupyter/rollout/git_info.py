"""What a rollout tells of the repository a thread works in."""

from typing import Any, Final, cast

__all__ = ["GIT_MEMBERS", "git_info_of"]

GIT_MEMBERS: Final = {"sha": "commit_hash", "branch": "branch", "originUrl": "repository_url"}
"""Names on the wire, and in the original's files."""


def git_info_of(payload: dict[str, Any]) -> dict[str, Any] | None:
    """Return the ``git`` of a record as it travels, or ``None`` if it has none."""
    git = payload.get("git")
    if not isinstance(git, dict):
        return None
    members = cast("dict[str, Any]", git)
    told = {wire: members.get(stored) for wire, stored in GIT_MEMBERS.items()}
    found = {name: value if isinstance(value, str) else None for name, value in told.items()}
    return found if any(found.values()) else None
