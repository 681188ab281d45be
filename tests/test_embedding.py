"""Work for a core in another thread: what its callers give up, and what its end cuts off."""

from collections.abc import AsyncGenerator, Generator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from codex_jupyter.client.aio import CodexClient
from codex_jupyter.embedding import CoreThread
from codex_jupyter.errors import PeerClosedError

CLIENT = cast("CodexClient", object())
"""Nothing here asks it for anything."""

LIMIT = 30.0


@asynccontextmanager
async def connect() -> AsyncGenerator[CodexClient]:
    yield CLIENT


@contextmanager
def core_thread(connect: Any = connect) -> Generator[CoreThread]:
    core = CoreThread(connect)
    try:
        yield core
    finally:
        core.close()


@pytest.mark.parametrize("fails", [False, True])
def test_work_whose_result_nobody_wants_any_more_does_not_end_the_core(fails: bool) -> None:
    waiting = Future[anyio.Event]()

    async def work(_client: CodexClient) -> None:
        given_up = anyio.Event()
        waiting.set_result(given_up)
        await given_up.wait()
        if fails:
            raise ValueError("too late")

    async def let_it_end(_client: CodexClient) -> str:
        waiting.result().set()
        await anyio.wait_all_tasks_blocked()
        return "still here"

    with core_thread() as core:
        unwanted = core.post(work)
        waiting.result(LIMIT)
        assert unwanted.cancel()
        assert core.post(let_it_end).result(LIMIT) == "still here"
        # By now the end of the unwanted work has had its effect.
        assert core.post(let_it_end).result(LIMIT) == "still here"


def test_work_that_waits_when_the_core_ends_is_told_so() -> None:
    late: list[Future[None]] = []

    async def work(_client: CodexClient) -> None:
        await anyio.sleep_forever()

    @asynccontextmanager
    async def connect() -> AsyncGenerator[CodexClient]:
        yield CLIENT
        late.extend(core.post(work) for _ in range(5))
        await anyio.lowlevel.checkpoint()

    with core_thread(connect) as core:
        pass
    assert len(late) == 5
    for future in late:
        assert isinstance(future.exception(LIMIT / 6), PeerClosedError)
