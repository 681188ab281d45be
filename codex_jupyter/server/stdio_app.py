"""The app server on standard input and output, until the input ends or a signal comes."""

import signal

import anyio

from codex_jupyter.server.app import AppServer
from codex_jupyter.settings import Settings
from codex_jupyter.transports.stdio import StdioStreams

__all__ = ["serve_stdio"]


async def serve_stdio(settings: Settings, read_fd: int, write_fd: int) -> None:
    """Serve one connection; its end, SIGTERM and SIGINT interrupt what runs, then return."""
    async with AppServer.open(settings) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_signal, tasks.cancel_scope)
        await server.serve(StdioStreams(read_fd, write_fd))
        tasks.cancel_scope.cancel()


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return
