"""The keys of `config.toml`: which are read, what each may hold, which are only let through."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from codex_jupyter.settings.approval import APPROVAL_POLICIES, GRANULAR

__all__ = [
    "CONFIG",
    "PROFILE",
    "REASONING_EFFORTS",
    "SANDBOX_MODES",
    "SECRET_KEYS",
    "Key",
    "Table",
]

SANDBOX_MODES = ("read-only", "workspace-write", "danger-full-access")
REASONING_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
"""Efforts that today's models know. The set is open: models bring new ones."""

SECRET_KEYS = frozenset({"experimental_bearer_token", "http_headers", "query_params"})
"""Keys whose values may be credentials and are never repeated in a message."""


@dataclass(frozen=True, slots=True)
class Key:
    """What one key may hold."""

    kind: Literal[
        "string",
        "string or table",
        "integer",
        "number",
        "boolean",
        "strings",
        "string table",
        "table",
        "tables",
    ]
    """``tables`` is a table of tables, each under a name the user picks."""

    allowed: tuple[str, ...] = ()
    """The values a string may have; empty for any."""

    usual: tuple[str, ...] = ()
    """The values a string normally has; another one is passed on with a warning."""

    advice: Mapping[str, str] = field(default_factory=dict[str, str])
    """For a value that is refused although users have good reason to try it: what to do."""

    minimum: float | None = None
    """Smallest number; for a string, its smallest length in characters."""

    form: Literal["any", "address", "variable", "headless"] = "any"
    """What a string is: any text, a base URL, the *name* of a variable, a policy without people."""

    members: "Table | None" = None


@dataclass(frozen=True, slots=True)
class Table:
    """What may stand in one table."""

    keys: Mapping[str, Key]
    let_through: frozenset[str] = frozenset()
    """Keys of the Codex command line that mean nothing here; neither read nor warned about."""

    unsupported: Mapping[str, str] = field(default_factory=dict[str, str])
    """Codex keys whose absence here a user must know of, and what to use instead."""


_NAME = Key("string", minimum=1)
_COUNT = Key("integer", minimum=0)
_POSITIVE = Key("integer", minimum=1)
_SWITCH = Key("boolean")

_PROVIDER = Table(
    keys={
        "name": _NAME,
        "base_url": Key("string", form="address"),
        "wire_api": Key("string", allowed=("responses", "chat")),
        "env_key": Key("string", form="variable"),
        "env_key_instructions": Key("string"),
        "experimental_bearer_token": Key("string", minimum=1),
        "requires_openai_auth": _SWITCH,
        "http_headers": Key("string table"),
        "env_http_headers": Key("string table"),
        "query_params": Key("string table"),
        "request_max_retries": _COUNT,
        "stream_max_retries": _COUNT,
        "stream_idle_timeout_ms": _POSITIVE,
        "freeform_tools": _SWITCH,
        "reasoning": _SWITCH,
        "default_model": _NAME,
    },
    let_through=frozenset({"supports_websockets", "websocket_connect_timeout_ms"}),
    unsupported={
        "auth": "keys from a command are not supported; put the key into a variable and name it "
        "with `env_key`",
        "aws": "AWS signing is not supported; put a gateway before it that takes a key",
    },
)

_SECONDS = Key("number", minimum=0)
_MCP_SERVER = Table(
    keys={
        "command": _NAME,
        "args": Key("strings"),
        "env": Key("string table"),
        "env_vars": Key("strings"),
        "cwd": _NAME,
        "url": Key("string", form="address"),
        "bearer_token_env_var": Key("string", form="variable"),
        "http_headers": Key("string table"),
        "env_http_headers": Key("string table"),
        "enabled": _SWITCH,
        "required": _SWITCH,
        "startup_timeout_sec": _SECONDS,
        "tool_timeout_sec": _SECONDS,
        "enabled_tools": Key("strings"),
        "disabled_tools": Key("strings"),
    },
    let_through=frozenset({"startup_timeout_ms", "scopes", "oauth_resource"}),
)

_SANDBOX = Table(
    keys={
        "writable_roots": Key("strings"),
        "network_access": _SWITCH,
        "exclude_tmpdir_env_var": _SWITCH,
        "exclude_slash_tmp": _SWITCH,
    }
)

_APPROVAL = Table(
    keys={
        GRANULAR: Key(
            "table",
            members=Table(
                keys={
                    "sandbox_approval": _SWITCH,
                    "rules": _SWITCH,
                    "mcp_elicitations": _SWITCH,
                    "request_permissions": _SWITCH,
                    "skill_approval": _SWITCH,
                    "base": Key("string", allowed=APPROVAL_POLICIES),
                }
            ),
        )
    }
)
"""Which of the flags must be there is seen when all places that state some are put together."""

_PROFILE_KEYS: dict[str, Key] = {
    "model": _NAME,
    "model_provider": _NAME,
    "approval_policy": Key(
        "string or table",
        allowed=APPROVAL_POLICIES,
        members=_APPROVAL,
        advice={"on-failure": "it was removed; use on-request"},
    ),
    "sandbox_mode": Key("string", allowed=SANDBOX_MODES),
    "sandbox_workspace_write": Key("table", members=_SANDBOX),
    "model_reasoning_effort": Key("string", usual=REASONING_EFFORTS, minimum=1),
    "model_reasoning_summary": Key("string", allowed=("auto", "concise", "detailed", "none")),
    "model_supports_reasoning_summaries": _SWITCH,
    "model_verbosity": Key("string", allowed=("low", "medium", "high")),
    "model_context_window": _POSITIVE,
    "model_auto_compact_token_limit": _POSITIVE,
    "model_instructions_file": _NAME,
    "developer_instructions": Key("string"),
    "review_model": _NAME,
    "tool_output_token_limit": _COUNT,
    "web_search": Key("string", allowed=("disabled", "cached", "live")),
    "thread_idle_limit": Key("number", minimum=0),
    "offline_pace": Key("number", minimum=0),
    "headless": Key("string", form="headless"),
}

# What a Codex file may also hold: its screens, its accounts, its feature flags.
_CODEX_ONLY = frozenset(
    {
        "agents",
        "allow_login_shell",
        "analytics",
        "approvals_reviewer",
        "apps",
        "apps_mcp_product_sku",
        "audio",
        "auto_review",
        "background_terminal_max_timeout",
        "chatgpt_base_url",
        "check_for_update_on_startup",
        "cli_auth_credentials_store",
        "commit_attribution",
        "compact_prompt",
        "debug",
        "default_permissions",
        "desktop",
        "disable_paste_burst",
        "disable_response_storage",
        "experimental_compact_prompt_file",
        "experimental_instructions_file",
        "experimental_realtime_start_instructions",
        "experimental_realtime_ws_backend_prompt",
        "experimental_realtime_ws_base_url",
        "experimental_realtime_ws_model",
        "experimental_realtime_ws_startup_context",
        "experimental_thread_config_endpoint",
        "experimental_thread_store",
        "experimental_use_freeform_apply_patch",
        "experimental_use_unified_exec_tool",
        "features",
        "feedback",
        "file_opener",
        "forced_chatgpt_workspace_id",
        "forced_login_method",
        "ghost_snapshot",
        "hide_agent_reasoning",
        "history",
        "hooks",
        "include_apply_patch_tool",
        "include_apps_instructions",
        "include_collaboration_mode_instructions",
        "include_environment_context",
        "include_permissions_instructions",
        "instructions",
        "js_repl_node_module_dirs",
        "js_repl_node_path",
        "log_dir",
        "marketplaces",
        "mcp_oauth_callback_port",
        "mcp_oauth_callback_url",
        "mcp_oauth_credentials_store",
        "memories",
        "model_auto_compact_token_limit_scope",
        "model_catalog_json",
        "model_max_output_tokens",
        "notice",
        "notify",
        "oss_provider",
        "otel",
        "permissions",
        "personality",
        "plan_mode_reasoning_effort",
        "plugins",
        "preferred_auth_method",
        "project_doc_fallback_filenames",
        "project_doc_max_bytes",
        "project_root_markers",
        "projects",
        "realtime",
        "service_tier",
        "shell_environment_policy",
        "show_raw_agent_reasoning",
        "skills",
        "sqlite_home",
        "suppress_unstable_features_warning",
        "tool_suggest",
        "tools",
        "tools_view_image",
        "tui",
        "windows",
        "windows_wsl_setup_acknowledged",
        "zsh_path",
    }
)

PROFILE = Table(keys=_PROFILE_KEYS, let_through=_CODEX_ONLY)
"""One `[profiles.<name>]`: a config without providers and further profiles."""

CONFIG = Table(
    keys={
        **_PROFILE_KEYS,
        "openai_base_url": Key("string", form="address"),
        "model_providers": Key("tables", members=_PROVIDER),
        "mcp_servers": Key("tables", members=_MCP_SERVER),
        "profile": _NAME,
        "profiles": Key("tables", members=PROFILE),
    },
    let_through=_CODEX_ONLY,
)
"""A whole `config.toml`."""
