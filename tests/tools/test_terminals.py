"""Commands that outlive their call, where the session ends or the turn stops as they begin."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.ids import ItemId, TurnId
from codex_jupyter.tools import terminals as terminals_module
from codex_jupyter.tools.terminals import Terminal, Terminals

pytestmark = pytest.mark.anyio


class Host:
    """Takes what terminals say; the end of one is stored when the test lets it be."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self.gate = anyio.Event()

    def terminal_output(self, turn_id: TurnId, item_id: ItemId, text: str) -> None:
        pass

    async def terminal_done(self, turn_id: TurnId, item: dict[str, Any]) -> None:
        self.reached.set()
        await self.gate.wait()


async def start(terminals: Terminals, folder: Path, line: str, token: CancelToken) -> Any:
    return await terminals.start(
        terminals.reserve(),
        TurnId("turn"),
        {"id": "item"},
        argv=("/bin/sh", "-c", line),
        cwd=folder,
        env=dict(os.environ),
        tty=False,
        token=token,
    )


@asynccontextmanager
async def full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[Terminals, Host]]:
    """Give terminals that have no room for another one."""
    monkeypatch.setattr(terminals_module, "MAX_TERMINALS", 1)
    host = Host()
    terminals = Terminals(host)
    async with anyio.create_task_group() as tasks:
        terminals.own(tasks)
        try:
            assert isinstance(await start(terminals, tmp_path, "sleep 60", CancelToken()), Terminal)
            yield terminals, host
        finally:
            host.gate.set()
            await terminals.aclose()


async def test_a_session_that_ends_while_room_is_made_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems: list[BaseException] = []

    async def begin(terminals: Terminals) -> None:
        try:
            await start(terminals, tmp_path, "echo >> made; sleep 60", CancelToken())
        except Exception as problem:  # noqa: BLE001 - looked at below
            problems.append(problem)

    with anyio.fail_after(30):
        async with full(tmp_path, monkeypatch) as (terminals, host):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(begin, terminals)
                await host.reached.wait()
                tasks.start_soon(terminals.aclose)
                await anyio.wait_all_tasks_blocked()
                host.gate.set()
            assert [type(problem) for problem in problems] == [RuntimeError]
            assert not terminals.live


async def test_a_turn_that_is_stopped_while_room_is_made_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, begun = CancelToken(), list[Any]()

    async def begin(terminals: Terminals) -> None:
        begun.append(await start(terminals, tmp_path, "echo >> made; sleep 60", token))

    with anyio.fail_after(30):
        async with full(tmp_path, monkeypatch) as (terminals, host):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(begin, terminals)
                await host.reached.wait()
                token.cancel("stopped")
                host.gate.set()
            assert begun == [None]
            assert not terminals.live
            assert not terminals.reserved
