"""Threads between processes: refused while the owner lives, taken over once it was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from codex_jupyter.errors import DuplicateIdError, ThreadOwnedElsewhereError
from codex_jupyter.ids import ThreadId, new_thread_id
from codex_jupyter.rollout.store import ThreadStore
from tests.rollout.notes import note, notes

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

THREAD = ThreadId("0199a213-81c0-7800-8aa1-bbab2a035a53")


CHILD = """
import sys, anyio
from pathlib import Path
from codex_jupyter.errors import DuplicateIdError
from codex_jupyter.rollout.records import Record
from codex_jupyter.rollout.store import ThreadStore

async def hold(store, thread_id):
    await store.reserve(thread_id)
    recorder = await store.create(thread_id, {"cwd": "/child"})
    await recorder.write([Record("event_msg", {"type": "note", "text": "from the child"})])
    await store.reserve(sys.argv[4])
    print("ready", flush=True)
    await anyio.sleep_forever()

async def race(store, thread_ids):
    print("ready", flush=True)
    sys.stdin.readline()
    for thread_id in thread_ids.split(","):
        try:
            await store.reserve(thread_id)
            print(thread_id)
        except DuplicateIdError:
            pass
    print("end", flush=True)
    sys.stdin.readline()

anyio.run({"hold": hold, "race": race}[sys.argv[1]], ThreadStore(Path(sys.argv[2])), sys.argv[3])
"""


def start_child(*arguments: Any) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


async def test_a_thread_of_a_living_process_is_refused_and_of_a_killed_one_taken_over(
    store: ThreadStore, tmp_path: Path
) -> None:
    reserved = new_thread_id()
    with start_child("hold", tmp_path, THREAD, reserved) as child:
        with pytest.raises(
            ThreadOwnedElsewhereError, match=rf"pid {child.pid} on {os.uname().nodename}"
        ):
            await store.open(THREAD)
        with pytest.raises(ThreadOwnedElsewhereError):
            await store.create(reserved, {})
        await store.release(THREAD)
        with pytest.raises(DuplicateIdError) as caught:
            await store.reserve(reserved)
        assert caught.value.status == "reserved"
        child.send_signal(signal.SIGKILL)
    recorder, thread = await store.open(THREAD)
    await recorder.write([note("from the parent")])
    assert thread.meta["cwd"] == "/child"
    assert notes(recorder.path) == ["from the child", "from the parent"]
    await store.reserve(reserved)


async def test_of_several_processes_exactly_one_reserves_an_id(tmp_path: Path) -> None:
    thread_ids = [new_thread_id() for _ in range(100)]
    children = [start_child("race", tmp_path, ",".join(thread_ids)) for _ in range(3)]
    won: list[str] = []
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        assert child.stdout is not None
        won += [line.strip() for line in iter(child.stdout.readline, "end\n")]
    for child in children:
        child.communicate("end\n", timeout=5)
    assert sorted(won) == sorted(thread_ids)
