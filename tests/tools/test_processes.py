import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import anyio
import psutil
import pytest

from codex_jupyter.tools.child_env import TAG_VARIABLE
from codex_jupyter.tools.processes import ProcessGroup, kill_tagged

pytestmark = pytest.mark.anyio

ENV = {"PATH": "/usr/bin:/bin", TAG_VARIABLE: "outer"}

THREE_SLEEPS = "for n in 1 2 3; do sleep 300 & echo $!; done; "
DAEMON = "(setsid sh -c 'echo $$; exec sleep 300 </dev/null >/dev/null 2>&1' &); "


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def read_pids(group: ProcessGroup, count: int) -> list[int]:
    text = b""
    with anyio.fail_after(30):
        while text.count(b"\n") < count:
            await group.wait_readable()
            text += group.read_nowait() or b""
    pids = [int(line) for line in text.split()]
    assert all(map(is_alive, pids))
    return pids


def shell(script: str) -> ProcessGroup:
    return ProcessGroup(["sh", "-c", script], cwd=Path("/"), env=ENV)


@pytest.mark.parametrize(
    ("script", "count"),
    [
        (THREE_SLEEPS + "wait", 3),
        (THREE_SLEEPS + "exit 0", 3),
        (DAEMON + "sleep 300", 1),
        (DAEMON + "exit 0", 1),
        ("trap '' TERM; " + THREE_SLEEPS + "while :; do sleep 1; done", 3),
        (THREE_SLEEPS + "exec >/dev/null 2>&1; kill -STOP $$", 3),
    ],
)
async def test_nothing_of_a_group_is_left_after_its_end(script: str, count: int) -> None:
    with shell(script) as group:
        pids = await read_pids(group, count)
        with anyio.fail_after(30):
            await group.end(age=None)
    assert not any(map(is_alive, [group.pid, *pids]))


async def test_the_cheap_search_finds_a_daemon_that_closed_its_output() -> None:
    with shell(DAEMON) as group:
        [pid] = await read_pids(group, 1)
        with anyio.fail_after(30):
            assert await group.wait_exit() == 0
            await group.end(age=0.01)
    assert not is_alive(pid)


async def test_the_end_of_a_group_is_not_cut_short_by_cancellation() -> None:
    with shell(THREE_SLEEPS + "wait") as group:
        pids = await read_pids(group, 3)
        with anyio.fail_after(30), anyio.CancelScope() as scope:
            scope.cancel()
            await group.end(age=None)
    assert not any(map(is_alive, pids))


async def test_a_polite_program_may_clean_up(tmp_path: Path) -> None:
    with shell(
        f"trap 'echo bye > {tmp_path}/bye; exit' TERM; echo 1; while :; do :; done"
    ) as group:
        await read_pids(group, 0)
        with anyio.fail_after(30):
            await group.wait_readable()
            await group.end(age=None)
    assert (tmp_path / "bye").read_text() == "bye\n"


async def test_a_neighbour_with_the_same_outer_tag_lives_on() -> None:
    with shell("exec sleep 300") as neighbour, shell(THREE_SLEEPS) as group:
        await read_pids(group, 3)
        with anyio.fail_after(30):
            await group.end(age=None)
        assert is_alive(neighbour.pid)
        assert kill_tagged(["outer"]) == 1
        with anyio.fail_after(30):
            assert await neighbour.wait_exit() == -9


async def test_those_that_end_in_one_moment_are_all_looked_for() -> None:
    with ExitStack() as stack:
        groups = [stack.enter_context(shell(DAEMON + "sleep 300")) for _ in range(6)]
        pids = [await read_pids(group, 1) for group in groups]
        with anyio.fail_after(30):
            async with anyio.create_task_group() as ending:
                for group in groups:
                    ending.start_soon(partial(group.end, age=None))
        assert not [pid for members in pids for pid in members if is_alive(pid)]


async def test_the_search_looks_everywhere_once_process_ids_started_over() -> None:
    with shell("exec sleep 300") as group:
        assert kill_tagged(["outer"], newer_than=2**31) == 1
        with anyio.fail_after(30):
            assert await group.wait_exit() == -9


async def test_a_control_character_is_a_signal_even_if_this_process_ignores_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        script = ["sh", "-c", "echo ready; exec sleep 300"]
        with ProcessGroup(script, cwd=Path("/"), env=ENV, tty=True) as group:
            with anyio.fail_after(30):
                await group.wait_readable()
                await group.write(b"\x03")
                assert await group.wait_exit() == -signal.SIGINT
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_tag_is_not_found_inside_another() -> None:
    child = subprocess.Popen(["sleep", "300"], env={**ENV, TAG_VARIABLE: "abcdef:x"})
    try:
        assert kill_tagged(["abc"]) == 0
        assert child.poll() is None
        assert kill_tagged(["abcdef"]) == 1
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("has_pidfd", [True, False])
async def test_the_exit_code_arrives_with_and_without_pidfd(
    monkeypatch: pytest.MonkeyPatch, has_pidfd: bool
) -> None:
    if not has_pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    with shell("exit 7") as group, anyio.fail_after(30):
        assert await group.wait_exit() == 7
        await group.end(age=0.0)
    with shell(THREE_SLEEPS + "wait") as group:
        pids = await read_pids(group, 3)
        with anyio.move_on_after(0):
            await group.wait_exit()
        assert is_alive(group.pid)
        with anyio.fail_after(30):
            await group.end(age=None)
    assert not any(map(is_alive, [group.pid, *pids]))


def open_descriptors() -> int:
    return psutil.Process().num_fds()


@pytest.mark.parametrize(
    "start", [lambda: shell("exit 0"), lambda: ProcessGroup(["/nowhere"], cwd=Path("/"), env=ENV)]
)
async def test_no_descriptor_is_leaked(start: Callable[[], ProcessGroup]) -> None:
    await anyio.to_thread.run_sync(lambda: None)
    before = open_descriptors()
    for _ in range(3):
        try:
            with start() as group, anyio.fail_after(30):
                await group.wait_exit()
                await group.end(age=0.0)
        except FileNotFoundError:
            continue
    assert open_descriptors() == before
