"""Choosing a model server on this machine: what was found, and what the user agreed to."""

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from codex_jupyter.errors import UsageError
from codex_jupyter.model.discovery import FoundServer, find_local_servers
from codex_jupyter.settings import LOCAL_SERVERS, Settings, forget_choice, remember_choice

__all__ = ["choose", "found_servers"]

_MAX_BYTES: Final = 1_000_000


async def found_servers(settings: Settings) -> list[str]:
    """Return what to type for each model server that answers on this machine."""
    return [f"{server.provider_id} {server.models[0]}" for server in await _find(settings)]


async def choose(
    settings: Settings, words: Sequence[str], when: str = "From the next cell on"
) -> str:
    """Remember the provider, and model, the user names; return what to tell them.

    Args:
        settings: Say what there is to choose from, and where the choice is kept.
        words: The provider and perhaps the model, or ``auto``.
        when: From when on the choice counts.

    Raises:
        UsageError: There is no such provider, it does not answer, or it has no such model.
    """
    home: Path = settings.home
    name, *rest = words
    if len(rest) > 1:
        raise UsageError("%codex use takes a provider and perhaps a model, e.g. `ollama llama3.2`")
    if name == "auto":
        forget_choice(home)
        return f"Forgotten. {when}: chosen by itself again, a key, else offline."
    own = [known for known in settings.providers if known not in LOCAL_SERVERS]
    if name in own:
        remember_choice(home, name, model=rest[0] if rest else None)
        return f"{when}: {name}."
    if name not in LOCAL_SERVERS:
        known = ", ".join([*LOCAL_SERVERS, *own, "auto"])
        raise UsageError(f"%codex use does not know {name!r}. It knows: {known}")
    server = next((found for found in await _find(settings) if found.provider_id == name), None)
    if server is None:
        raise UsageError(f"{name} does not answer on its usual port, or lists no model. Start it")
    model = rest[0] if rest else server.models[0]
    if model not in server.models:
        offered = ", ".join(server.models[:10])
        raise UsageError(f"{name} has no model {model!r}. It lists: {offered}")
    remember_choice(home, name, model=model, base_url=server.base_url)
    return f"{when}: {model} at {server.base_url}."


async def _find(settings: Settings) -> list[FoundServer]:
    addresses = {name: settings.providers[name].base_url or "" for name in LOCAL_SERVERS}
    return await find_local_servers(_fetch_json, base_urls=addresses)


async def _fetch_json(url: str, timeout: float) -> Any:  # noqa: ASYNC109 - of the one request
    def fetch() -> Any:
        # No proxy gets to see what runs on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=timeout) as answer:
            return json.loads(answer.read(_MAX_BYTES))

    return await anyio.to_thread.run_sync(fetch, abandon_on_cancel=True)
