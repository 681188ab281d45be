"""Runs our app server as the program of the official SDK, which is used as it is installed."""

import contextlib
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import anyio
import pytest

from tests.behaviour.talk import write_config
from tests.fake_model import FakeModelInThread

__all__ = ["LIMIT", "Program", "openai_codex", "texts"]

openai_codex: Any = pytest.importorskip(
    "openai_codex", reason="the extra `sdk` is not installed: make sdk"
)

LIMIT = 30.0
"""Seconds a client is open at most; then it is closed, which ends whatever waits in it."""

_OURS = (sys.executable, "-m", "codex_jupyter.cli", "app-server")


@dataclass(frozen=True, slots=True)
class Program:
    """Our program with a home of its own, whose model is the fake."""

    fake: FakeModelInThread
    home: Path
    workspace: Path

    def configure(self, *lines: str) -> None:
        write_config(self.home, self.fake.base_url, *lines)

    def config(self, **changes: Any) -> Any:
        """Return the SDK's configuration: all of our command line, or what ``changes`` says."""
        command = {} if "codex_bin" in changes else {"launch_args_override": _OURS}
        env = {"CODEX_JUPYTER_HOME": str(self.home)}
        return openai_codex.CodexConfig(**{**command, "env": env, **changes})

    @contextlib.contextmanager
    def codex(self, **changes: Any) -> Generator[Any]:
        """Run a `Codex`."""
        with _closed(openai_codex.Codex(self.config(**changes))) as codex:
            yield codex

    @contextlib.contextmanager
    def client(self, on_request: Callable[[str, Any], Any], **changes: Any) -> Generator[Any]:
        """Run the client below `Codex`, which takes a handler for what the server asks."""
        client = openai_codex.client.CodexClient(self.config(**changes), on_request)
        client.start()
        with _closed(client):
            client.initialize()
            yield client

    @contextlib.asynccontextmanager
    async def async_codex(self, **changes: Any) -> AsyncGenerator[Any]:
        """Run an `AsyncCodex`."""
        codex = openai_codex.AsyncCodex(self.config(**changes))
        with anyio.fail_after(LIMIT):
            async with codex:
                process = codex._client._sync._proc
                yield codex
        _put_away(process)


@contextlib.contextmanager
def _closed(client: Any) -> Generator[Any]:
    process = getattr(client, "_client", client)._proc
    bound = Timer(LIMIT, client.close)
    bound.start()
    try:
        yield client
    finally:
        bound.cancel()
        client.close()
        _put_away(process)


def _put_away(process: Any) -> None:
    """Close the pipes, which the SDK leaves to the collector; our program has ended by itself."""
    for pipe in (process.stdout, process.stderr):
        pipe.close()
    assert process.wait(LIMIT) != -9, "it had to be killed"


def texts(request: dict[str, Any]) -> list[str]:
    """Return what the model was told in a request."""
    return [
        part["text"]
        for item in request["input"]
        if item.get("type") == "message"
        for part in item["content"]
        if "text" in part
    ]
