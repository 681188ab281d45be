"""Where the core of this kernel is: in the Jupyter server, else in the kernel itself."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio.to_thread

from codex_jupyter.client.aio import AnswerRequest, CodexClient
from codex_jupyter.embedding import open_by_link, open_in_process
from codex_jupyter.errors import CodexError, PeerClosedError
from codex_jupyter.notebook.server_link import (
    CORE,
    LinkFile,
    own_connection_file,
    stated_core,
    take_link,
)

if TYPE_CHECKING:
    from codex_jupyter.settings import Settings

__all__ = ["CorePlace"]


class CorePlace:
    """Finds the core, once for each start of it.

    Args:
        load_settings: Reads the settings of an embedded core; called in a worker thread.
        answer: Answers what the core asks of this kernel, on the core's loop.
    """

    def __init__(self, load_settings: "Callable[[], Settings]", answer: AnswerRequest) -> None:
        self._load_settings = load_settings
        self._answer = answer
        self._link: LinkFile | None
        self._link, self._why_not = take_link(own_connection_file())
        self.takes_ids = True
        """Whether threads and turns may be given ids, as ours may."""

        self.is_served = False
        """Whether the Jupyter server has the core; known once a core was connected."""

        self.home: str | None = None
        """Where the server keeps its files; ``None`` while it is not the server's core."""

        self.words = "" if self._link else _embedded(self._why_not)
        """Where the core is, in words, and why."""

    @property
    def may_be_served(self) -> bool:
        """Whether a server may be found; without one nothing has to be asked to know."""
        return self._link is not None

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[CodexClient]:
        """Connect with the server, or embed a core where there is none to be had.

        Raises:
            ConfigError: `CODEX_JUPYTER_CORE` or the settings of an embedded core have a mistake.
            PeerClosedError: The server is demanded and cannot be had.
        """
        async with AsyncExitStack() as stack:
            client, why_not = await self._reach_server(stack)
            if client is None:
                settings = await anyio.to_thread.run_sync(self._load_settings)
                embedded = open_in_process(settings, answer=self._answer)
                client = await stack.enter_async_context(embedded)
                self._note(None, _embedded(why_not))
            yield client

    async def _reach_server(self, stack: AsyncExitStack) -> tuple[CodexClient | None, str]:
        stated = stated_core()
        if stated == "embedded":
            return None, f"{CORE}=embedded says so"
        why_not = self._why_not
        if self._link is not None:
            try:
                served = open_by_link(self._link.read, answer=self._answer)
                client = await stack.enter_async_context(served)
            except CodexError as error:
                why_not = f"the Jupyter server cannot be used: {error}"
            else:
                self._note(client, f"Jupyter server at {_address(self._link.read().url)}")
                return client, ""
        if stated == "server":
            raise PeerClosedError(f"{CORE}=server demands the Jupyter server, but {why_not}")
        return None, why_not

    def _note(self, client: CodexClient | None, words: str) -> None:
        self.is_served = client is not None
        self.home = None if client is None else client.server.get("codexHome")
        self.words = words


def _embedded(why_not: str) -> str:
    return f"embedded in this kernel, because {why_not}"


def _address(url: str) -> str:
    """Return the server's own address, as a person knows it."""
    return url.replace("ws", "http", 1).removesuffix("codex/kernel")
