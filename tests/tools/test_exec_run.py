"""A client's command and a reader that is slow."""

import os
from pathlib import Path

import anyio
import pytest

from codex_jupyter.tools.exec_run import ExecCommand, ExecRun, Stream

pytestmark = pytest.mark.anyio

LIMIT = 20.0
BEFORE = 1_000_000
TOTAL = 20_000_000


async def test_a_command_waits_for_a_reader_that_lags(tmp_path: Path) -> None:
    told = 0
    stalled, may_go_on = anyio.Event(), anyio.Event()

    def take(_stream: Stream, piece: bytes, capped: bool) -> None:
        nonlocal told
        assert not capped
        told += len(piece)

    async def room() -> None:
        if told >= BEFORE:
            stalled.set()
            await may_go_on.wait()

    command = ExecCommand(
        argv=("head", "-c", str(TOTAL), "/dev/zero"),
        cwd=tmp_path,
        env=dict(os.environ),
        timeout=None,
        cap=None,
        stream=True,
    )
    run = ExecRun(command, take, room)
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run.run)
            await stalled.wait()
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            assert told < 2 * BEFORE
            may_go_on.set()
    assert told == TOTAL
