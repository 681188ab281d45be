"""The methods that tell what can be asked for."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from codex_jupyter.core.models import known_window
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.protocol.model_requests import ModelListParams
from codex_jupyter.server.paging import page_of
from codex_jupyter.server.params import read_params
from codex_jupyter.server.subscriptions import Connection

__all__ = ["ModelHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]

_EFFORTS: Final = {
    "low": "Answers quickly.",
    "medium": "Thinks where it pays.",
    "high": "Thinks long; for hard problems.",
}


class ModelHandlers:
    """Models of the configured provider."""

    def __init__(self, threads: ThreadManager) -> None:
        self._threads = threads
        self.methods: dict[str, Method] = {"model/list": self._list}

    async def _list(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(ModelListParams, params)
        names, default, reasoning = await self._threads.clients.models(asked.model_provider)
        page, following = page_of(names, asked.cursor, asked.limit, "models")
        return {
            "data": [_model(name, name == default, reasoning=reasoning) for name in page],
            "nextCursor": following,
        }


def _model(name: str, is_default: bool, *, reasoning: bool) -> Json:
    efforts = _EFFORTS.items() if reasoning else ()
    return {
        "id": name,
        "model": name,
        "displayName": name,
        "description": "",
        "hidden": False,
        "isDefault": is_default,
        "supportedReasoningEfforts": [
            {"reasoningEffort": effort, "description": text} for effort, text in efforts
        ],
        "defaultReasoningEffort": "medium" if reasoning else "none",
        "inputModalities": ["text", "image"],
        "supportsPersonality": False,
        "contextWindow": known_window(name),
    }
