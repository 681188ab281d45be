"""Which provider and model answer when several places may say so, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codex_jupyter.errors import ConfigError
from codex_jupyter.settings.choice import Choice
from codex_jupyter.settings.config_file import ConfigFile, find_key_line
from codex_jupyter.settings.known_keys import PROFILE
from codex_jupyter.settings.overrides import Override, merge_tables
from codex_jupyter.settings.providers import OFFLINE, OPENAI, OPENAI_KEY, Provider

__all__ = ["Layer", "Selection", "layers_of", "select_provider"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One place that states settings; later layers outrank earlier ones."""

    source: str | Path
    table: Mapping[str, Any] = field(repr=False)
    prefix: tuple[str, ...] = ()
    text: str = field(default="", repr=False)
    """The file it comes from, for finding lines; empty for an option."""

    @property
    def words(self) -> str:
        """The place, as a sentence names it."""
        return f"profile `{self.prefix[-1]}` in {self.source}" if self.prefix else f"{self.source}"

    def error(self, problem: str, *path: str) -> ConfigError:
        """Return the error for a value that this layer states at ``path``."""
        full = (*self.prefix, *path)
        line = find_key_line(self.text, full) if self.text else None
        return ConfigError(self.source, problem, line=line, key=".".join(full))


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen."""

    provider: Provider
    model: str | None
    why: str
    """One sentence for the first output."""

    nothing_stated: bool = False
    """Whether the offline model only steps in, so that a server found nearby is worth naming."""


def layers_of(file: ConfigFile, overrides: Sequence[Override]) -> list[Layer]:
    """Return the file, its profile in use, and the overrides, lowest rank first.

    Raises:
        ConfigError: The profile in use does not exist.
    """
    layers = [Layer(file.path, file.table, text=file.text)]
    layers += [Layer(override.source, override.table) for override in overrides]
    naming = next((layer for layer in reversed(layers) if "profile" in layer.table), None)
    if naming is None:
        return layers
    name: str = naming.table["profile"]
    profiles = merge_tables(layer.table for layer in layers).get("profiles", {})
    if name not in profiles:
        known = ", ".join(profiles) or "none"
        problem = f"profile `{name}` not found in {file.path}; known: {known}"
        raise naming.error(problem, "profile")
    # Only what was checked as a profile's: the rest must not pass for a top-level key.
    profile = {key: value for key, value in profiles[name].items() if key in PROFILE.keys}
    layers.insert(1, Layer(file.path, profile, ("profiles", name), file.text))
    return layers


def select_provider(
    layers: Sequence[Layer],
    providers: Mapping[str, Provider],
    choice: Choice | None,
    environ: Mapping[str, str],
) -> Selection:
    """Choose the provider: stated, else agreed to earlier, else OpenAI's key, else offline.

    A model belongs to the provider it was stated for: when a higher layer names another provider,
    a lower layer's model is not taken along.

    Raises:
        ConfigError: A stated provider does not exist.
    """
    stated = _stated(layers, providers)
    model = _last(layers, "model")
    if stated is not None:
        return stated
    if choice is not None:
        provider = providers[choice.provider]
        # The file's model was written for whatever answered before `%codex use`.
        model = _last(layers[1:], "model") or choice.model or model
        return Selection(provider, model, _why(provider, model, "it was chosen with `%codex use`"))
    if environ.get(OPENAI_KEY, "").strip():
        provider = providers[OPENAI]
        return Selection(provider, model, _why(provider, model, f"{OPENAI_KEY} is set"))
    return Selection(providers[OFFLINE], None, _why_offline(model), nothing_stated=True)


def _stated(layers: Sequence[Layer], providers: Mapping[str, Provider]) -> Selection | None:
    naming: Layer | None = None
    provider: Provider | None = None
    model: str | None = None
    for layer in layers:
        name: str | None = layer.table.get("model_provider")
        if name is not None and (provider is None or name != provider.id):
            if provider is not None or providers.get(name, _UNKNOWN).kind != "http":
                model = None
            provider = providers.get(name, Provider(name, name))
            naming = layer
        model = layer.table.get("model", model)
    if provider is None or naming is None:
        return None
    if provider.id not in providers:
        known = ", ".join(f"`{known}`" for known in providers)
        problem = f"Model provider `{provider.id}` not found; known: {known}"
        raise naming.error(problem, "model_provider")
    reason = f"{naming.words} says so"
    return Selection(provider, model, _why(provider, model, reason))


_UNKNOWN = Provider("", "")


def _last(layers: Sequence[Layer], key: str) -> Any:
    return next((layer.table[key] for layer in reversed(layers) if key in layer.table), None)


def _why(provider: Provider, model: str | None, reason: str) -> str:
    shown = model or provider.default_model
    if provider.kind != "http":
        name = f"The {provider.name[0].lower()}{provider.name[1:]}"
    else:
        name = f"{provider.name} ({shown})" if shown else provider.name
    return f"{name} answers, because {reason}."


def _why_offline(model: str | None) -> str:
    if model is None:
        start = "The built-in offline model answers, because no other model is configured"
    else:
        start = (
            f"The built-in offline model answers, not `{model}`: no provider is named for it "
            f"and {OPENAI_KEY} is not set"
        )
    return f"{start}. Set {OPENAI_KEY}, run `%codex use`, or write a config.toml."
