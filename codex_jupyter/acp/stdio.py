"""The agent on standard input and output, until the input ends or a signal comes."""

import os
import signal
from contextlib import redirect_stdout
from typing import cast

import acp
import anyio
from acp.core import DEFAULT_STDIO_BUFFER_LIMIT_BYTES, AgentSideConnection
from acp.stdio import stdio_streams

from codex_jupyter.acp.agent import CodexAgent, open_agent
from codex_jupyter.settings import Settings

__all__ = ["serve_acp"]


async def serve_acp(settings: Settings, write_fd: int) -> None:
    """Serve one client on standard input and ``write_fd``.

    The end of the input, SIGTERM and SIGINT interrupt what runs, then this returns.
    """
    async with open_agent(settings) as agent, anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_signal, tasks.cancel_scope)
        await _listen(agent, write_fd)
        tasks.cancel_scope.cancel()


async def _listen(agent: CodexAgent, write_fd: int) -> None:
    # The library takes its streams from `sys`; whoever prints later must not reach the client.
    with redirect_stdout(os.fdopen(write_fd, "w")):
        reader, writer = await stdio_streams(limit=DEFAULT_STDIO_BUFFER_LIMIT_BYTES)
    # The library answers for the methods that an agent lacks; session/close counts as unstable.
    connection = AgentSideConnection(
        cast("acp.Agent", agent), writer, reader, listening=False, use_unstable_protocol=True
    )
    try:
        await connection.listen()
    finally:
        with anyio.CancelScope(shield=True):
            await connection.close()


async def _stop_on_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return
