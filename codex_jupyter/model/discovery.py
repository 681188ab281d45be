"""Looking for model servers on this machine, on the ports they usually have."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import anyio

from codex_jupyter.settings.providers import LOCAL_SERVERS, built_in_providers

__all__ = ["FetchJson", "FoundServer", "find_local_servers"]

FetchJson = Callable[[str, float], Awaitable[Any]]
"""GET a URL within so many seconds and return the decoded body; raises whatever it likes."""

MAX_MODELS: Final = 200
"""Models kept of one server; more is a proxy for half the internet, not a list to choose from."""

MAX_NAME_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class FoundServer:
    """A server that answered and has something to offer. Nobody agreed to use it yet."""

    provider_id: str
    base_url: str
    models: tuple[str, ...]
    """At least one, in the server's order."""


async def find_local_servers(
    fetch_json: FetchJson,
    *,
    base_urls: Mapping[str, str] | None = None,
    timeout: float = 0.4,  # noqa: ASYNC109 - of each probe, which is then no error
) -> list[FoundServer]:
    """Ask all usual servers at once for their models and return those that list at least one.

    Other programs live on these ports too, so what does not look like a list of models is no
    model server. Never raises, except for cancellation, and takes at most about ``timeout``.

    Args:
        fetch_json: How to ask; gets the URL and the timeout.
        base_urls: Provider id to base URL, in place of the usual ones.
        timeout: Seconds for each server.
    """
    given = _usual_addresses() if base_urls is None else base_urls
    wanted = {provider_id: base_url.rstrip("/") for provider_id, base_url in given.items()}
    models: dict[str, tuple[str, ...]] = {}

    async def probe(provider_id: str, base_url: str) -> None:
        with anyio.move_on_after(timeout):
            try:
                listed = await fetch_json(f"{base_url}/models", timeout)
            except Exception:  # noqa: BLE001 - a boundary: whatever answers there is not ours
                return
            models[provider_id] = model_names(listed)

    async with anyio.create_task_group() as tasks:
        for provider_id, base_url in wanted.items():
            tasks.start_soon(probe, provider_id, base_url)
    return [
        FoundServer(provider_id, base_url, models[provider_id])
        for provider_id, base_url in wanted.items()
        if models.get(provider_id)
    ]


def model_names(listed: object) -> tuple[str, ...]:
    """Return the names in the answer to ``GET /v1/models``; none if it is anything else."""
    if not isinstance(listed, dict):
        return ()
    entries = cast("dict[str, Any]", listed).get("data")
    if not isinstance(entries, list):
        return ()
    names = (_name(entry) for entry in cast("list[object]", entries)[:MAX_MODELS])
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _name(entry: object) -> str | None:
    if not isinstance(entry, dict):
        return None
    name = cast("dict[str, Any]", entry).get("id")
    # Names end up in outputs and requests.
    usable = isinstance(name, str) and 0 < len(name) <= MAX_NAME_CHARS and name.isprintable()
    return cast("str", name) if usable else None


def _usual_addresses() -> dict[str, str]:
    providers = built_in_providers()
    return {name: providers[name].base_url or "" for name in LOCAL_SERVERS}
