"""Threads that somebody wants while all of them are being closed."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from codex_jupyter.core.config import ThreadOptions
from codex_jupyter.core.session import Session
from codex_jupyter.errors import CodexError
from codex_jupyter.ids import ThreadId
from codex_jupyter.protocol.events import Event, TurnCompleted
from codex_jupyter.rollout.store import ThreadStore
from tests.core.agency import busy
from tests.core.tree import growing

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("how", ["start", "resume", "fork"])
async def test_no_thread_is_opened_that_nobody_would_close(tmp_path: Path, how: str) -> None:
    came: list[Any] = []
    thread_ids: list[ThreadId] = []

    async with anyio.create_task_group() as outer:
        async with growing(tmp_path) as tree:
            stored = await tree.root()
            thread_ids.append(stored.thread_id)
            await tree.turn(stored, "#stored")
            await tree.manager.close(stored.thread_id)
            await busy(tree, await tree.root())

            async def late() -> None:
                threads, options = tree.manager, ThreadOptions(cwd=str(tree.workspace))
                try:
                    match how:
                        case "start":
                            came.append(await threads.start(options))
                        case "resume":
                            came.append((await threads.resume(stored.thread_id, options))[0])
                        case _:
                            came.append(await threads.fork(stored.thread_id, options))
                except CodexError as problem:
                    came.append(problem)

            def hear(event: Event) -> None:
                if isinstance(event.msg, TurnCompleted):
                    outer.start_soon(late)

            tree.also = hear
    (found,) = came
    assert isinstance(found, CodexError) or (isinstance(found, Session) and found.closed.is_set())
    other = ThreadStore(tmp_path / "home")
    await other.open(thread_ids[0])
    await other.aclose()
