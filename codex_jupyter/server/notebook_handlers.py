"""Which notebook belongs to which kernel: pages say it, kernels ask."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import anyio

from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.flow.bell import Bell
from codex_jupyter.protocol.notebook_requests import (
    NotebookIdentifyParams,
    NotebookIdentityParams,
)
from codex_jupyter.server.params import read_params
from codex_jupyter.server.subscriptions import Connection, Subscriptions

__all__ = ["NotebookHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]

PAGE_LIMIT: Final = 3.0
"""Seconds a page that is connected, or is known to be there, gets to say which notebook a kernel
runs."""

_MAX_KERNELS: Final = 1_000
"""Kernels that are remembered; the oldest go first."""

_MAX_CHARS: Final = 4_096


@dataclass(frozen=True, slots=True)
class _Notebook:
    notebook_id: str
    path: str


class NotebookHandlers:
    """The methods around notebooks. Only pages are believed: a kernel could name any notebook."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self._notebooks: dict[str, _Notebook] = {}
        self._news = Bell()
        self.methods: dict[str, Method] = {
            "notebook/identify": self._identify,
            "notebook/identity": self._identity,
        }

    async def _identify(self, connection: Connection, params: Any) -> Json:
        asked = read_params(NotebookIdentifyParams, params)
        if connection.rights.label != "page":
            raise InvalidRequestError("only a page may say which notebook a kernel runs")
        for name, text in (("notebookId", asked.notebook_id), ("path", asked.path)):
            if not 0 < len(text) <= _MAX_CHARS:
                raise InvalidRequestError(f"{name} must have 1 to {_MAX_CHARS} characters")
        found = _Notebook(asked.notebook_id, asked.path)
        before = self._notebooks.pop(asked.kernel_id, None)
        if asked.is_new and before is not None and before.path == found.path:
            found = before
        self._notebooks[asked.kernel_id] = found
        if len(self._notebooks) > _MAX_KERNELS:
            del self._notebooks[next(iter(self._notebooks))]
        self._news.ring()
        return {"notebookId": found.notebook_id}

    async def _identity(self, connection: Connection, params: Any) -> Json:
        asked = read_params(NotebookIdentityParams, params)
        kernel_id = connection.rights.kernel_id
        if kernel_id is None:
            raise InvalidRequestError("only a kernel has a notebook")
        with anyio.move_on_after(PAGE_LIMIT):
            while kernel_id not in self._notebooks and (asked.expects_page or self._has_page()):
                await self._news.wait()
        found = self._notebooks.get(kernel_id)
        if found is None:
            return {"notebookId": None, "path": None}
        return {"notebookId": found.notebook_id, "path": found.path}

    def _has_page(self) -> bool:
        return self._subscriptions.count(lambda rights: rights.label == "page") > 0
