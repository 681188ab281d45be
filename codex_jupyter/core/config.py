"""The settings a session works under, and how a turn changes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from codex_jupyter.core.models import known_window
from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.protocol.ops import TurnOverrides
from codex_jupyter.settings import Provider, Settings, WorkspaceWrite
from codex_jupyter.settings.approval import ApprovalPolicy, Granular, policy_shape
from codex_jupyter.settings.mcp_servers import McpServer
from codex_jupyter.tools.policy import Policy

__all__ = [
    "SessionConfig",
    "ThreadOptions",
    "meet_of_sandboxes",
    "mode_of_sandbox",
    "sandbox_of_mode",
    "stored_sandbox",
]

Json = dict[str, Any]

_SANDBOX_TYPES: Final = {
    "read-only": "readOnly",
    "workspace-write": "workspaceWrite",
    "danger-full-access": "dangerFullAccess",
}

_WIDTHS: Final = ("readOnly", "workspaceWrite", "externalSandbox", "dangerFullAccess")
"""Kinds of sandbox policies, from the narrowest. An external one is all files inside its walls."""


@dataclass(frozen=True, slots=True)
class ThreadOptions:
    """What the caller of thread/start or thread/resume asked for; ``None`` takes the default."""

    model: str | None = None
    model_provider: str | None = None
    cwd: str | None = None
    approval_policy: ApprovalPolicy | None = None
    approvals_reviewer: str | None = None
    sandbox: str | None = None
    config: Mapping[str, Any] | None = None
    base_instructions: str | None = None
    developer_instructions: str | None = None


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """The settings of one session at one moment."""

    model: str
    provider: Provider
    cwd: Path
    approval_policy: ApprovalPolicy
    approvals_reviewer: str
    sandbox: Json
    """A sandbox policy object, as on the wire."""

    effort: str | None
    summary: str | None
    base_instructions: str
    developer_instructions: str | None
    context_window: int | None
    auto_compact_limit: int | None
    """Tokens at which the memory is compacted, if that is stated; see `compaction_limit`."""

    output_tokens: int
    web_search: str = "disabled"
    mcp_servers: Mapping[str, McpServer] = field(default_factory=dict[str, McpServer], hash=False)
    """Those of the settings, with what the thread's ``config`` says of them."""

    @property
    def policy(self) -> Policy:
        """The part that decides who has to agree."""
        return Policy(self.approval_policy, self.sandbox["type"] == "dangerFullAccess")

    @classmethod
    def of(cls, settings: Settings, options: ThreadOptions, base: str) -> "SessionConfig":
        """Merge defaults and wishes.

        Raises:
            ConfigError: A wish, or a config key that came with it, does not fit.
            InvalidRequestError: The working directory is no path.
        """
        wishes: Json = dict(options.config or {})
        stated = options.approval_policy
        for key, value in (
            ("model", options.model),
            ("model_provider", options.model_provider),
            ("approval_policy", stated if isinstance(stated, str) else None),
            ("sandbox_mode", options.sandbox),
        ):
            if value is not None:
                wishes[key] = value
        merged = settings.with_overrides(wishes) if wishes else settings
        model = merged.require_model()
        return cls(
            model=model,
            provider=merged.provider,
            cwd=_folder(options.cwd or ".").absolute(),
            # Flags are not laid over those of the file one by one.
            approval_policy=stated if isinstance(stated, Granular) else merged.approval_policy,
            approvals_reviewer=options.approvals_reviewer or "user",
            sandbox=sandbox_of_mode(merged.sandbox_mode, merged.sandbox_workspace_write),
            effort=merged.model_reasoning_effort,
            summary=merged.model_reasoning_summary,
            base_instructions=options.base_instructions or merged.base_instructions or base,
            developer_instructions=options.developer_instructions or merged.developer_instructions,
            context_window=merged.model_context_window or known_window(model),
            auto_compact_limit=merged.model_auto_compact_token_limit,
            output_tokens=merged.tool_output_token_limit,
            web_search=merged.web_search,
            mcp_servers=merged.mcp_servers,
        )

    def wire(self) -> Json:
        """Return what clients are told of the settings."""
        return {
            "model": self.model,
            "modelProvider": self.provider.id,
            "cwd": str(self.cwd),
            "approvalPolicy": policy_shape(self.approval_policy),
            "approvalsReviewer": self.approvals_reviewer,
            "sandboxPolicy": self.sandbox,
            "effort": self.effort,
            "summary": self.summary,
        }

    def with_overrides(self, overrides: TurnOverrides) -> "SessionConfig":
        """Return the settings after ``overrides``, which are checked but not yet applied.

        Raises:
            InvalidRequestError: The working directory is no absolute path, or the model has no
                name.
        """
        changed: Json = {}
        if overrides.model == "":
            raise InvalidRequestError("model must not be empty")
        if overrides.cwd is not None:
            if not Path(overrides.cwd).is_absolute():
                raise InvalidRequestError(f"cwd must be an absolute path, found {overrides.cwd!r}")
            changed["cwd"] = _folder(overrides.cwd)
        for name in (
            "approval_policy",
            "approvals_reviewer",
            "sandbox",
            "model",
            "effort",
            "summary",
        ):
            if (value := getattr(overrides, name)) is not None:
                changed[name] = dict(value) if name == "sandbox" else value
        return replace(self, **changed) if changed else self


def meet_of_sandboxes(one: Json, other: Json) -> Json:
    """Return the sandbox policy that allows nothing that one of the two does not."""
    narrow, wide = sorted((one, other), key=lambda policy: _WIDTHS.index(policy["type"]))
    if narrow["type"] == "dangerFullAccess":
        return dict(narrow)
    network = _has_network(narrow) and _has_network(wide)
    if narrow["type"] == "externalSandbox":
        return {**narrow, "networkAccess": "enabled" if network else "restricted"}
    if narrow["type"] == "readOnly" or wide["type"] != "workspaceWrite":
        return {**narrow, "networkAccess": network}
    roots = set(wide.get("writableRoots") or ())
    return {
        "type": "workspaceWrite",
        "writableRoots": [r for r in narrow.get("writableRoots") or () if r in roots],
        "networkAccess": network,
        **{
            name: bool(narrow.get(name)) or bool(wide.get(name))
            for name in ("excludeTmpdirEnvVar", "excludeSlashTmp")
        },
    }


def _has_network(policy: Json) -> bool:
    # An external sandbox says it in a word, the others as a truth value.
    said = policy.get("networkAccess")
    return policy["type"] == "dangerFullAccess" or said is True or said == "enabled"


def sandbox_of_mode(mode: str, write: WorkspaceWrite) -> Json:
    """Return the policy object of a sandbox mode; ``write`` counts for ``workspace-write``."""
    kind = _SANDBOX_TYPES[mode]
    if kind == "readOnly":
        return {"type": kind, "networkAccess": False}
    if kind == "workspaceWrite":
        return {
            "type": kind,
            "writableRoots": list(write.writable_roots),
            "networkAccess": write.network_access,
            "excludeTmpdirEnvVar": write.exclude_tmpdir_env_var,
            "excludeSlashTmp": write.exclude_slash_tmp,
        }
    return {"type": kind}


def mode_of_sandbox(policy: Any) -> str | None:
    """Return the mode a stored policy object came from, or ``None`` if it came from none.

    The original stores the mode itself where ours has the type.
    """
    kind: Any = cast("Json", policy).get("type") if isinstance(policy, dict) else None
    return next((mode for mode, name in _SANDBOX_TYPES.items() if kind in (mode, name)), None)


def stored_sandbox(policy: Any) -> Json | None:
    """Return a stored policy object as a session has it, or ``None`` if it is none of ours."""
    if not isinstance(policy, dict):
        return None
    known = cast("Json", policy)
    return dict(known) if known.get("type") in _WIDTHS else None


def _folder(cwd: str) -> Path:
    """Return a path that the system takes, whether something is there or not.

    Raises:
        InvalidRequestError: No path can have a NUL in it.
    """
    if "\0" in cwd:
        raise InvalidRequestError(f"cwd must not contain a NUL, found {cwd[:200]!r}")
    return Path(cwd)
