"""What a person says of a delegate's task, as a task of delegate/start."""

import mimetypes
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from codex_jupyter.notebook.outcome import refusal

__all__ = ["POLICIES", "delegate_task", "policy_members"]

Json = dict[str, Any]

POLICIES: Final[dict[str, Json]] = {
    "untrusted": {"approvalPolicy": "untrusted"},
    "on-request": {"approvalPolicy": "on-request"},
    "never": {"approvalPolicy": "never"},
    "read-only": {"approvalPolicy": "never", "sandboxPolicy": {"type": "readOnly"}},
}
"""The policies of `delegate`, by name; each counts as far as it allows no more than the thread."""


def delegate_task(  # noqa: PLR0913 - what can be said of a task
    prompt: str,
    *,
    files: Iterable[str | Path] | str | Path | None = None,
    name: str | None = None,
    role: str | None = None,
    model: str | None = None,
    effort: str | None = None,
    policy: str | None = None,
    cwd: str | Path | None = None,
) -> Json:
    """Return a task; paths are made absolute, so that it means the same everywhere.

    Raises:
        UsageError: The prompt is empty, a file does not exist, or the policy is unknown.
    """
    if not prompt.strip():
        raise refusal("there is nothing to do: the prompt is empty")
    listed = [files] if isinstance(files, str | Path) else list(files or ())
    named: Json = {"name": name, "role": role, "model": model, "effort": effort}
    return {
        "input": [{"type": "text", "text": prompt}, *(_file(path) for path in listed)],
        **{key: value for key, value in named.items() if value is not None},
        **policy_members(policy),
        **({} if cwd is None else {"cwd": _folder(Path(cwd))}),
    }


def policy_members(policy: str | None) -> Json:
    """Return the members of a task that a policy stands for.

    Raises:
        UsageError: There is no such policy.
    """
    if policy is None:
        return {}
    if policy not in POLICIES:
        raise refusal(f"policy must be one of {', '.join(POLICIES)}, not {policy!r}")
    return POLICIES[policy]


def _file(path: str | Path) -> Json:
    found = Path(path).expanduser().absolute()
    if not found.exists():
        raise refusal(f"there is no file {str(path)!r} to give to a delegate (looked for {found})")
    kind = mimetypes.guess_type(found.name)[0] or ""
    if kind.startswith("image/"):
        return {"type": "localImage", "path": str(found)}
    return {"type": "mention", "name": found.name, "path": str(found)}


def _folder(path: Path) -> str:
    found = path.expanduser().absolute()
    if not found.is_dir():
        raise refusal(f"there is no folder {str(path)!r} to work in (looked for {found})")
    return str(found)
