"""The end of the thread manager: every turn has one end, and nothing is left behind."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from codex_jupyter.core.config import ThreadOptions
from codex_jupyter.core.session import Accepted, Session
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.ids import new_turn_id
from codex_jupyter.protocol.events import Event, TurnCompleted
from codex_jupyter.protocol.items import TextInput
from codex_jupyter.protocol.ops import Submission, UserTurn
from codex_jupyter.rollout.store import ThreadStore
from codex_jupyter.settings import Settings

pytestmark = pytest.mark.anyio


def submission(words: str = "hi") -> Submission:
    return Submission(new_turn_id(), UserTurn((TextInput(text=words),)), chosen_by_caller=False)


@asynccontextmanager
async def managed(home: Path, events: list[Event]) -> AsyncGenerator[ThreadManager]:
    """Run a manager with the offline model; leaving cancels it, as the server does."""
    environ = {"CODEX_JUPYTER_HOME": str(home), "PATH": "/usr/bin:/bin"}
    settings = Settings.load(environ=environ, overrides=["model_provider=offline"])
    manager = ThreadManager(settings, ThreadStore(home), events.append)
    started = anyio.Event()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(manager.run, started)
            await started.wait()
            yield manager
            tasks.cancel_scope.cancel()


async def begun(manager: ThreadManager, folder: Path) -> tuple[Session, Accepted]:
    session = await manager.start(ThreadOptions(cwd=str(folder)))
    return session, await session.submit(submission())


def statuses(events: list[Event]) -> list[Any]:
    return [e.msg.turn["status"] for e in events if isinstance(e.msg, TurnCompleted)]


async def test_a_turn_that_was_just_accepted_ends_as_interrupted(tmp_path: Path) -> None:
    events: list[Event] = []
    async with managed(tmp_path / "home", events) as manager:
        _, accepted = await begun(manager, tmp_path)
        accepted.start()
    assert statuses(events) == ["interrupted"]


async def test_all_running_turns_end_as_interrupted(tmp_path: Path) -> None:
    events: list[Event] = []
    async with managed(tmp_path / "home", events) as manager:
        for _ in range(3):
            _, accepted = await begun(manager, tmp_path)
            accepted.start()
        while len([e for e in events if type(e.msg).__name__ == "TurnStarted"]) < 3:
            await anyio.lowlevel.checkpoint()
    assert statuses(events) == ["interrupted"] * 3


async def test_nothing_stays_open_after_the_end(tmp_path: Path) -> None:
    counts: list[int] = []
    for _ in range(3):
        async with managed(tmp_path / "home", []) as manager:
            session, accepted = await begun(manager, tmp_path)
            accepted.start()
            assert session.thread_id in manager.loaded
        counts.append(psutil.Process().num_fds())
    assert counts[1] == counts[2]
    names = [path.name for path in (tmp_path / "home" / "owners").iterdir()]
    assert names == ["entries.lock"]


async def test_events_are_numbered_without_gaps(tmp_path: Path) -> None:
    events: list[Event] = []
    async with managed(tmp_path / "home", events) as manager:
        _, accepted = await begun(manager, tmp_path)
        accepted.start()
        while not events:
            await anyio.lowlevel.checkpoint()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
