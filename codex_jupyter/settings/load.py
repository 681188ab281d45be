"""`Settings`: everything a user configured, put together and checked, once and cheaply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from codex_jupyter.errors import ConfigError
from codex_jupyter.settings import environment as process
from codex_jupyter.settings.agents import AgentSettings, agents_from
from codex_jupyter.settings.approval import ApprovalPolicy, policy_from
from codex_jupyter.settings.choice import Choice, read_choice
from codex_jupyter.settings.config_file import ConfigFile, read_config_file
from codex_jupyter.settings.mcp_servers import McpServer, mcp_servers_from
from codex_jupyter.settings.overrides import (
    Override,
    merge_tables,
    overrides_from_environment,
    overrides_from_request,
    parse_option,
)
from codex_jupyter.settings.providers import (
    LOCAL_SERVERS,
    OFFLINE,
    Provider,
    built_in_providers,
    provider_from_table,
)
from codex_jupyter.settings.selection import Layer, layers_of, select_provider

__all__ = ["Settings", "Sources", "WorkspaceWrite"]

_OPENAI_BASE_URL = "OPENAI_BASE_URL"
_MAX_INSTRUCTIONS_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class WorkspaceWrite:
    """``[sandbox_workspace_write]``: what the sandbox of that mode allows beyond its defaults."""

    writable_roots: tuple[str, ...] = ()
    """As written; relative ones mean the thread's working directory."""

    network_access: bool = False
    exclude_tmpdir_env_var: bool = False
    exclude_slash_tmp: bool = False


@dataclass(frozen=True, slots=True)
class Sources:
    """What settings are made from; kept so that overrides can be laid on top later."""

    home: Path
    environ: Mapping[str, str] = field(repr=False)
    file: ConfigFile
    overrides: tuple[Override, ...] = ()
    choice: Choice | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything configured. Its text form shows no credential and no environment."""

    home: Path
    """Where ``config.toml``, ``use.json`` and the rollouts are. May not exist yet."""

    model: str | None
    """As stated; see `require_model` for the one to use."""

    model_provider: str
    provider: Provider
    providers: Mapping[str, Provider] = field(repr=False)
    why_provider: str
    """One sentence for the first output: who answers, and what made it so."""

    nothing_stated: bool
    """Whether the offline model answers only because nothing else was stated or found."""

    sources: Sources = field(repr=False)
    child_env: Mapping[str, str] = field(repr=False)
    """The environment without the variables that providers take keys and headers from.

    Other secrets are dropped where commands get their environment.
    """

    approval_policy: ApprovalPolicy = "on-request"
    sandbox_mode: Literal["read-only", "workspace-write", "danger-full-access"] = "workspace-write"
    sandbox_workspace_write: WorkspaceWrite = WorkspaceWrite()
    model_reasoning_effort: str | None = None
    """Usually one of ``REASONING_EFFORTS``; models bring new ones."""

    model_reasoning_summary: Literal["auto", "concise", "detailed", "none"] | None = None
    model_verbosity: Literal["low", "medium", "high"] | None = None
    model_context_window: int | None = None
    """Tokens."""

    model_auto_compact_token_limit: int | None = None
    review_model: str | None = None
    base_instructions: str | None = field(default=None, repr=False)
    """Text of ``model_instructions_file``, in place of the built-in instructions."""

    developer_instructions: str | None = field(default=None, repr=False)
    tool_output_token_limit: int = 10_000
    """Tokens of one tool's output that the model gets; the core's own default."""

    mcp_servers: Mapping[str, McpServer] = field(default_factory=dict[str, McpServer])
    """Those that are enabled, by name."""

    agents: AgentSettings = field(default_factory=AgentSettings)
    """What models may do with agents."""

    web_search: Literal["disabled", "cached", "live"] = "disabled"
    """Whether a provider that can search the web may do so."""

    thread_idle_limit: float = 1800.0
    """Seconds after which a loaded thread that nobody hears is unloaded; the original's number."""

    offline_pace: float = 40.0
    """Words a second of the offline model; 0 is without delay."""

    headless: str | None = None
    """The policy where nobody can answer: ``deny``, ``allow RULES`` or ``fail``."""

    warnings: tuple[str, ...] = ()
    """Sentences to show once: unknown keys with the nearest known name, damaged choices."""

    @property
    def notices(self) -> list[dict[str, str]]:
        """What to tell whoever begins a thread: ``level`` is ``info`` or ``warning``."""
        warnings = [{"level": "warning", "text": warning} for warning in self.warnings]
        return [{"level": "info", "text": self.why_provider}, *warnings]

    @classmethod
    def load(
        cls, *, environ: Mapping[str, str] | None = None, overrides: Sequence[str] = ()
    ) -> "Settings":
        """Read the environment, ``config.toml`` and the remembered choice.

        Args:
            environ: In place of the environment of this process.
            overrides: ``key=value`` as given to ``-c``; the last one of a key counts.

        Raises:
            ConfigError: A file, variable or option has a mistake. A missing file is none.
        """
        env = process.snapshot() if environ is None else dict(environ)
        home = process.home_dir(env)
        file = read_config_file(home / "config.toml")
        choice, warning = read_choice(home)
        stated = (*overrides_from_environment(env), *map(parse_option, overrides))
        return _derive(
            Sources(home, env, file, stated, choice, (warning,) if warning is not None else ())
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment as it was when the settings were loaded."""
        return self.sources.environ

    def with_overrides(self, overrides: Mapping[str, Any]) -> "Settings":
        """Return these settings with ``overrides`` on top: dotted keys or nested tables.

        This is the ``config`` of ``thread/start``. Files and the environment are not read again,
        except for a ``model_instructions_file``.

        Raises:
            ConfigError: A key refuses its value, or names a provider or profile that is not there.
        """
        if not overrides:
            return self
        more = overrides_from_request(overrides)
        return _derive(replace(self.sources, overrides=(*self.sources.overrides, *more)))

    def with_file(self, file: ConfigFile) -> "Settings":
        """Return these settings as they would be with another `config.toml`.

        The environment, the options and the remembered choice are those of `load`.

        Raises:
            ConfigError: The file names a provider or profile that is not there.
        """
        return _derive(replace(self.sources, file=file))

    def require_model(self) -> str:
        """Return the model to ask: the stated one, else the provider's default.

        Raises:
            ConfigError: There is neither.
        """
        model = self.model or self.provider.default_model
        if model is None:
            raise ConfigError(
                f"model provider `{self.provider.id}`",
                f"{self.provider.name} offers several models and none is chosen; write "
                'model = "NAME" in config.toml, pass -c model=NAME, or run `%codex use`',
                key="model",
            )
        return model


def _derive(sources: Sources) -> Settings:
    layers = layers_of(sources.file, sources.overrides)
    table = merge_tables(layer.table for layer in layers)
    choice, warnings = sources.choice, [*sources.file.warnings, *sources.warnings]
    providers = _providers(layers, table, sources.environ)
    if choice is not None and choice.provider not in providers:
        warnings.append(
            f"the provider `{choice.provider}`, chosen with `%codex use`, is no longer configured; "
            "the choice is ignored"
        )
        choice = None
    elif choice is not None:
        providers[choice.provider] = _where_found(choice, providers[choice.provider], table)
    selection = select_provider(layers, providers, choice, sources.environ)
    provider = _reasoning(selection.provider, table)
    warnings += [w for override in sources.overrides for w in override.warnings]
    return Settings(
        home=sources.home,
        model=selection.model,
        model_provider=provider.id,
        provider=provider,
        providers=providers | {provider.id: provider},
        why_provider=selection.why,
        nothing_stated=selection.nothing_stated,
        sources=sources,
        child_env=_child_env(sources.environ, providers),
        approval_policy=_approval(layers, table),
        sandbox_workspace_write=_workspace_write(table.get("sandbox_workspace_write", {})),
        base_instructions=_base_instructions(layers, sources.home),
        mcp_servers=mcp_servers_from(table.get("mcp_servers", {}), "config.toml"),
        agents=agents_from(table.get("agents", {}), table.get("features"), sources.home),
        warnings=tuple(dict.fromkeys(warnings)),
        **{key: table[key] for key in _COPIED if key in table},
    )


_COPIED = (
    "sandbox_mode",
    "model_reasoning_effort",
    "model_reasoning_summary",
    "model_verbosity",
    "model_context_window",
    "model_auto_compact_token_limit",
    "review_model",
    "developer_instructions",
    "tool_output_token_limit",
    "offline_pace",
    "thread_idle_limit",
    "web_search",
    "headless",
)


def _providers(
    layers: Sequence[Layer], table: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, Provider]:
    address: str | None = table.get("openai_base_url")
    if address is None:
        address = environ.get(_OPENAI_BASE_URL, "").strip() or None
        if address is not None and not address.startswith(("http://", "https://")):
            raise ConfigError(_OPENAI_BASE_URL, "must start with http:// or https://")
    providers = built_in_providers(address)
    tables: Mapping[str, Any] = table.get("model_providers", {})
    if OFFLINE in tables:
        layer = next(x for x in reversed(layers) if OFFLINE in x.table.get("model_providers", {}))
        problem = "is the id of the built-in model, which takes no settings; choose another id"
        raise layer.error(problem, "model_providers", OFFLINE)
    stated = {name: provider_from_table(name, tables[name], providers) for name in tables}
    return providers | stated


def _where_found(choice: Choice, provider: Provider, table: Mapping[str, Any]) -> Provider:
    """Apply the address that a search found, unless one was configured since.

    Only to servers without a key: a key never follows a remembered address.
    """
    stated = table.get("model_providers", {}).get(provider.id, {})
    if not choice.base_url or provider.id not in LOCAL_SERVERS or "base_url" in stated:
        return provider
    return replace(provider, base_url=choice.base_url.rstrip("/"))


def _reasoning(provider: Provider, table: Mapping[str, Any]) -> Provider:
    """Let a stated effort or summary reach a server that may or may not know of such."""
    stated = table.get("model_providers", {}).get(provider.id, {})
    if provider.kind != "http" or "reasoning" in stated:
        return provider
    wanted = table.get("model_supports_reasoning_summaries", False) or any(
        key in table for key in ("model_reasoning_effort", "model_reasoning_summary")
    )
    return replace(provider, reasoning=True) if wanted else provider


def _approval(layers: Sequence[Layer], table: Mapping[str, Any]) -> ApprovalPolicy:
    key = "approval_policy"
    try:
        return policy_from(table.get(key, "on-request"))
    except ValueError as error:
        layer = next(layer for layer in reversed(layers) if key in layer.table)
        raise layer.error(str(error), key) from None


def _child_env(environ: Mapping[str, str], providers: Mapping[str, Provider]) -> Mapping[str, str]:
    taken = {p.env_key for p in providers.values()}
    taken |= {variable for p in providers.values() for variable in p.env_http_headers.values()}
    return {name: value for name, value in environ.items() if name not in taken}


def _workspace_write(table: Mapping[str, Any]) -> WorkspaceWrite:
    return WorkspaceWrite(
        writable_roots=tuple(table.get("writable_roots", ())),
        network_access=table.get("network_access", False),
        exclude_tmpdir_env_var=table.get("exclude_tmpdir_env_var", False),
        exclude_slash_tmp=table.get("exclude_slash_tmp", False),
    )


def _base_instructions(layers: Sequence[Layer], home: Path) -> str | None:
    key = "model_instructions_file"
    layer = next((layer for layer in reversed(layers) if key in layer.table), None)
    if layer is None:
        return None
    path = home / Path(layer.table[key]).expanduser()
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_INSTRUCTIONS_BYTES + 1)
        if len(raw) > _MAX_INSTRUCTIONS_BYTES:
            raise layer.error(f"{str(path)!r} is longer than {_MAX_INSTRUCTIONS_BYTES} bytes", key)
        return raw.decode("utf-8")
    except (OSError, ValueError, RuntimeError) as error:
        raise layer.error(f"{str(path)!r} cannot be read as UTF-8 text: {error}", key) from error
