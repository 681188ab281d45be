"""The app server on standard input and output, until the input ends or a signal comes."""

import os
import signal

import anyio
import anyio.abc

from codex_jupyter.errors import CodexError
from codex_jupyter.server.app import AppServer
from codex_jupyter.settings import Settings
from codex_jupyter.transports.stdio import StdioStreams

__all__ = ["claim_stdio", "serve_stdio"]


def claim_stdio() -> tuple[int, int]:
    """Keep standard input and output for the protocol, and return descriptors of both.

    Whatever else this process or its children read from standard input is empty from now on, and
    what they print to standard output goes to standard error, or nowhere if that is closed.

    Raises:
        CodexError: Standard input or output is closed.
    """
    try:
        # Looked at before anything is opened, which would take the number of what is closed.
        os.fstat(0)
        os.fstat(1)
    except OSError:
        raise CodexError(
            "standard input and output must be open: they carry the protocol"
        ) from None
    protocol_in, protocol_out = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    try:
        os.dup2(2, 1)
    except OSError:
        os.dup2(nowhere, 1)
    os.close(nowhere)
    return protocol_in, protocol_out


async def serve_stdio(settings: Settings, read_fd: int, write_fd: int) -> None:
    """Serve one connection until its end, SIGTERM or SIGINT, which interrupt what runs.

    After a signal the client is told how its turns ended; a second signal ends it at once.
    """
    async with AppServer.open(settings) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_signal, server, tasks)
        await server.serve(StdioStreams(read_fd, write_fd))
        tasks.cancel_scope.cancel()


async def _stop_on_signal(server: AppServer, tasks: anyio.abc.TaskGroup) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            tasks.start_soon(server.stop)
            break
        async for _ in signals:
            tasks.cancel_scope.cancel()
