"""Model providers: who can be asked, where, with which key, and how patiently."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from codex_jupyter.errors import ConfigError

__all__ = [
    "LOCAL_SERVERS",
    "OFFLINE",
    "OPENAI",
    "OPENAI_KEY",
    "Provider",
    "built_in_providers",
    "provider_from_table",
]

OPENAI = "openai"
OFFLINE = "offline"
LOCAL_SERVERS = ("ollama", "lmstudio", "vllm", "llamacpp")
"""Built-in providers that are looked for on this machine, in the order they are offered."""

OPENAI_KEY = "OPENAI_API_KEY"
_ADVICE = "Set it before Jupyter starts, or choose another model with `%codex use`."
_MAX_RETRIES = 100
"""The cap of the Codex core; a larger number in a file means this one."""

_MAX_IDLE_MS = 24 * 3600 * 1000
"""A day; a larger number in a file means this one."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One entry of the provider table. Its text form shows no credential."""

    id: str
    name: str
    """For people."""

    kind: Literal["http", "offline", "local"] = "http"
    """A server; the built-in scripted model; a small model that runs in a child process."""

    base_url: str | None = field(default=None, repr=False)
    """Without a slash at the end; the wire's path (``/responses``) is appended. For ``http`` only.

    Not in the text form, because users write passwords into addresses.
    """

    wire_api: Literal["responses", "chat"] = "responses"
    """Chat Completions is for servers that have nothing else."""

    env_key: str | None = None
    """Variable that holds the key; if stated, requests need it."""

    env_key_instructions: str | None = None
    bearer_token: str | None = field(default=None, repr=False)
    """A key from the file itself; counts when ``env_key`` is not stated."""

    http_headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False, hash=False)
    env_http_headers: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """Header name to the variable that holds its value; left out while that is unset or blank."""

    query_params: Mapping[str, str] = field(default_factory=dict[str, str], repr=False, hash=False)
    request_max_retries: int = 4
    stream_max_retries: int = 5
    stream_idle_timeout: float = 300.0
    """Seconds without a byte after which a stream counts as lost."""

    freeform_tools: bool = False
    """Whether `custom` (free text) tools may be sent; most local servers know functions only."""

    reasoning: bool = False
    """Whether a ``reasoning`` member may be sent."""

    default_model: str | None = None

    def api_key(self, environ: Mapping[str, str]) -> str | None:
        """Return the key to send, or ``None`` if this provider needs none.

        Raises:
            ConfigError: The variable it names is unset or blank, or holds what no header can.
        """
        if self.env_key is None:
            return self.bearer_token
        key = environ.get(self.env_key, "").strip()
        if key and key.isascii() and key.isprintable():
            return key
        variable = f"the environment variable {self.env_key}, which holds the key for {self.name},"
        raise ConfigError(
            f"model provider `{self.id}`",
            f"{variable} contains characters that no key has; copy the key again"
            if key
            else f"{variable} is not set. {self.env_key_instructions or _ADVICE}",
        )


_COPIED = (
    "name",
    "wire_api",
    "env_key",
    "env_key_instructions",
    "http_headers",
    "env_http_headers",
    "query_params",
    "freeform_tools",
    "reasoning",
    "default_model",
)
"""Members of a provider's table that are ours by the same name and meaning."""


def built_in_providers(openai_base_url: str | None = None) -> dict[str, Provider]:
    """Return the providers that need no configuration, by id."""
    openai = Provider(
        OPENAI,
        "OpenAI",
        base_url=(openai_base_url or "https://api.openai.com/v1").rstrip("/"),
        env_key=OPENAI_KEY,
        env_key_instructions=f"Keys are made at https://platform.openai.com/api-keys. {_ADVICE}",
        freeform_tools=True,
        reasoning=True,
        default_model="gpt-5.5",
    )
    servers = (
        ("ollama", "Ollama", 11434),
        ("lmstudio", "LM Studio", 1234),
        ("vllm", "vLLM", 8000),
        ("llamacpp", "llama.cpp", 8080),
    )
    providers = (
        openai,
        *(Provider(i, name, base_url=f"http://127.0.0.1:{port}/v1") for i, name, port in servers),
        Provider("local", "Small local model", kind="local", default_model="local"),
        Provider(OFFLINE, "Built-in offline model", kind="offline", default_model="offline"),
    )
    return {provider.id: provider for provider in providers}


def provider_from_table(
    provider_id: str, table: Mapping[str, Any], built_in: Mapping[str, Provider]
) -> Provider:
    """Return the provider of a checked ``[model_providers.<id>]`` table.

    A table for a built-in server changes only what it states. Any other one without an address is
    OpenAI's API under another name, as in Codex.
    """
    base = built_in.get(provider_id)
    if base is None or base.kind != "http":
        stated = "base_url" in table
        base = Provider("", "") if stated else built_in[OPENAI]
        base = replace(base, id=provider_id, name=provider_id)
    changes: dict[str, Any] = {key: table[key] for key in _COPIED if key in table}
    if "base_url" in table:
        changes["base_url"] = str(table["base_url"]).rstrip("/")
    for key in ("request_max_retries", "stream_max_retries"):
        if key in table:
            changes[key] = min(table[key], _MAX_RETRIES)
    if "stream_idle_timeout_ms" in table:
        changes["stream_idle_timeout"] = min(table["stream_idle_timeout_ms"], _MAX_IDLE_MS) / 1000
    return replace(base, **changes, **_authorization(table))


def _authorization(table: Mapping[str, Any]) -> dict[str, Any]:
    """Decide between a named variable, a key in the file and OpenAI's variable, in this order."""
    if "env_key" in table:
        return {}
    if "experimental_bearer_token" in table:
        return {"env_key": None, "bearer_token": table["experimental_bearer_token"]}
    return {"env_key": OPENAI_KEY} if table.get("requires_openai_auth") else {}
