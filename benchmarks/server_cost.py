"""What the extension costs a Jupyter server: its start, its idle memory, and its neighbours.

Run ``python -m benchmarks.server_cost``. Starts and memory are of servers with and without the
extension, in turn. The neighbour is a kernel of another notebook that is asked for ``1+1`` through
the server, idle and while eight turns stream 200 deltas a second each; it is asked from a process
of its own, because the model and the pages of the turns keep this one busy.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import psutil
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.behaviour.talk import Talk
from tests.extension.conftest import configure
from tests.extension.jupyter import TOKEN, Jupyter, jupyter_server
from tests.fake_answers import say
from tests.fake_model import run_in_thread

ROUNDS: Final = 5
TURNS: Final = 8
DELTAS_PER_SECOND: Final = 200
SECONDS: Final = 20
ASKED: Final = 60

Json = dict[str, Any]


@contextmanager
def _started(folder: Path, *, enabled: bool) -> Generator[tuple[float, psutil.Process]]:
    """Start a bare server; yields the seconds until it answered, and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
        *(f"--ServerApp.port={port}", f"--ServerApp.root_dir={folder}"),
        "--IdentityProvider.token=",
        f"--ServerApp.jpserver_extensions={{'codex_jupyter': {enabled}}}",
    ]
    begun = time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            while True:
                try:
                    opener.open(f"http://127.0.0.1:{port}/api", timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.01)
            yield time.perf_counter() - begun, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(20)


def start_and_memory(folder: Path) -> None:
    """Print the start and the idle memory with and without the extension."""
    took: dict[bool, list[float]] = {True: [], False: []}
    held: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(ROUNDS):
        for enabled in (False, True):
            with _started(folder, enabled=enabled) as (seconds, process):
                took[enabled].append(seconds)
                held[enabled].append(process.memory_full_info().uss / 2**20)
    for name, values, unit in (("start", took, "s"), ("idle memory", held, "MiB")):
        without, with_it = statistics.median(values[False]), statistics.median(values[True])
        change = 100 * (with_it / without - 1)
        print(f"{name:24} {without:8.2f} -> {with_it:8.2f} {unit}   ({change:+.1f} %)")


def _acknowledge_at_once(line: WebSocketClientConnection) -> None:
    """Keep the 40 ms of a delayed acknowledgement out of the round trip, or they hide all else."""
    protocol: Any = line.protocol
    protocol.stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


async def _round_trips(line: WebSocketClientConnection, count: int) -> list[float]:
    """Ask the kernel behind ``line`` for ``1+1`` so many times; milliseconds each."""
    took: list[float] = []
    for _ in range(count):
        asked = uuid.uuid4().hex
        header = {
            "msg_id": asked,
            "msg_type": "execute_request",
            "session": "bench",
            "username": "",
            "version": "5.3",
            "date": "2026-01-01T00:00:00Z",
        }
        content = {"code": "1+1", "silent": False, "store_history": False, "allow_stdin": False}
        message: Json = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        begun = time.perf_counter()
        await line.write_message(json.dumps({**message, "channel": "shell", "buffers": []}))
        while True:
            _acknowledge_at_once(line)
            said = await line.read_message()
            assert isinstance(said, str)
            reply = json.loads(said)
            if reply["msg_type"] == "execute_reply" and reply["parent_header"]["msg_id"] == asked:
                break
        took.append((time.perf_counter() - begun) * 1000)
        await anyio.sleep(0.02)
    return took


async def probe(url: str) -> None:
    """Print the round trips of one kernel's channels as JSON; runs in a process of its own."""
    line = await websocket_connect(url)
    await _round_trips(line, 20)
    print(json.dumps(await _round_trips(line, ASKED)))
    line.close()


async def _probed(url: str) -> list[float]:
    ran = await anyio.run_process([sys.executable, "-m", "benchmarks.server_cost", "--probe", url])
    return json.loads(ran.stdout)


@asynccontextmanager
async def _streaming(server: Jupyter) -> AsyncGenerator[None]:
    """Have the turns stream to a page each meanwhile; they are stopped at the end."""
    async with AsyncExitStack() as stack:
        running: list[tuple[Talk, Json]] = []
        for _ in range(TURNS):
            page = await stack.enter_async_context(server.page())
            thread_id = await page.start_thread(server.workspace)
            turn = {"threadId": thread_id, "turnId": await page.start_turn(thread_id)}
            await page.ask("turn/watch", turn)
            running.append((page, turn))
        yield
        for page, turn in running:
            await page.ask("turn/interrupt", turn)


async def neighbour(server: Jupyter) -> None:
    """Print another kernel's round trip, idle and beside eight streaming turns."""
    kernel_id = server.start_kernel()
    url = f"ws://{server.host}{server.base_url}api/kernels/{kernel_id}/channels?token={TOKEN}"
    idle: list[float] = []
    busy: list[float] = []
    for _ in range(ROUNDS):
        idle += await _probed(url)
        async with _streaming(server):
            busy += await _probed(url)
    calm, streaming = statistics.median(idle), statistics.median(busy)
    ratio = streaming / calm
    print(f"{'round trip of 1+1':24} {calm:8.2f} -> {streaming:8.2f} ms   (x {ratio:.2f})")


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["--probe"]:
        anyio.run(probe, sys.argv[2])
        return
    print(f"load average {os.getloadavg()[0]:.1f}; medians of {ROUNDS}; without -> with")
    top = Path(tempfile.mkdtemp(prefix="codex-server-cost-"))
    (top / "bare").mkdir()
    start_and_memory(top / "bare")
    count = DELTAS_PER_SECOND * SECONDS
    slow = say("word " * count, deltas=count).slow(1 / DELTAS_PER_SECOND)
    with run_in_thread(lambda _: slow) as fake:
        configure(top, fake)
        with jupyter_server(top) as server:
            anyio.run(neighbour, server)


if __name__ == "__main__":
    main()
