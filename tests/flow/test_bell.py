"""A bell wakes those who wait, and nobody who comes later."""

import anyio
import pytest

from codex_jupyter.flow.bell import Bell

pytestmark = pytest.mark.anyio


async def waiting(bell: Bell, woken: list[str], name: str) -> None:
    await bell.wait()
    woken.append(name)


async def test_a_ring_wakes_all_who_wait_and_is_over(anyio_backend: str) -> None:
    bell, woken = Bell(), list[str]()
    bell.ring()
    async with anyio.create_task_group() as tasks:
        for name in ("a", "b"):
            tasks.start_soon(waiting, bell, woken, name)
        await anyio.wait_all_tasks_blocked()
        assert woken == []  # the ring before does not count
        bell.ring()
        await anyio.wait_all_tasks_blocked()
        assert sorted(woken) == ["a", "b"]
        tasks.start_soon(waiting, bell, woken, "late")
        await anyio.wait_all_tasks_blocked()
        assert "late" not in woken
        bell.ring()


async def test_one_that_gives_up_waiting_takes_nothing_from_the_others() -> None:
    bell, woken = Bell(), list[str]()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiting, bell, woken, "stays")
        with anyio.CancelScope() as scope:
            tasks.start_soon(anyio.lowlevel.checkpoint)
            scope.cancel()
            await bell.wait()
        assert scope.cancelled_caught
        await anyio.wait_all_tasks_blocked()
        bell.ring()
    assert woken == ["stays"]
