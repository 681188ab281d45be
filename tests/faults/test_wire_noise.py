"""Ten thousand messages that no client should send: one answer each, and nothing else happens."""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import islice

import anyio
import psutil
import pytest

from tests.behaviour.conftest import Lab, lab
from tests.behaviour.talk import Talk
from tests.behaviour.test_websocket import listening, raw
from tests.faults.wire_noise import answered_id, noise

__all__ = ["lab"]

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(500)]

SEED = 20_261_128
MESSAGES = 10_000
WARM_UP = 2_000
BATCH = 250
MAX_GROWTH = 30 * 1024 * 1024

Say = Callable[[bytes], Awaitable[None]]


@asynccontextmanager
async def over_stdio(lab: Lab) -> AsyncGenerator[tuple[Talk, Say, int]]:
    async with lab.stdio(experimentalApi=True) as server:
        stdin = server.process.stdin
        assert stdin is not None

        async def say(line: bytes) -> None:
            await anyio.to_thread.run_sync(stdin.write, line + b"\n")

        yield server.talk, say, server.process.pid


@asynccontextmanager
async def over_websocket(lab: Lab) -> AsyncGenerator[tuple[Talk, Say, int]]:
    async with listening(lab) as server, server.connect() as talk:
        await talk.greet(experimentalApi=True)

        async def say(line: bytes) -> None:
            try:
                await raw(talk).write_message(line.decode())
            except UnicodeDecodeError:
                # Such a text frame would have to end the connection; a binary one is dropped.
                await raw(talk).write_message(line, binary=True)

        yield talk, say, server.process.pid


@pytest.mark.parametrize("way", [over_stdio, over_websocket], ids=lambda way: way.__name__)
async def test_noise_is_answered_and_leaves_nothing(
    lab: Lab, way: Callable[[Lab], AbstractAsyncContextManager[tuple[Talk, Say, int]]]
) -> None:
    async with way(lab) as (talk, say, pid):
        lines = noise(SEED)
        sizes: list[int] = []
        sent = 0
        while sent < MESSAGES + WARM_UP:
            batch = list(islice(lines, BATCH))
            expected = Counter(i for line in batch if (i := answered_id(line)) is not None)
            before = len(talk.heard)
            for line in batch:
                await say(line)
            await answered(talk, before, expected)
            sent += BATCH
            if sent >= WARM_UP:
                sizes.append(psutil.Process(pid).memory_info().rss)
        before = len(talk.heard)  # the noise has used all kinds of ids
        last = await talk.request("thread/list", {})
        told = await talk.until(lambda m: m.get("id") == last and "method" not in m, after=before)
        assert "data" in told["result"]
        # A thread that is deleted while it is read may fail with a sentence, never with a riddle.
        errors = [m["error"]["message"] for m in talk.heard if "error" in m]
        assert [words for words in errors if words.startswith("internal error")] == []
        assert sizes[-1] - sizes[0] < MAX_GROWTH


async def answered(talk: Talk, before: int, expected: Counter[str | int]) -> None:
    """Wait for one answer for each of these ids, after position ``before``, and for no other."""
    with anyio.fail_after(60):
        while True:
            answers = [m for m in talk.heard[before:] if "method" not in m and m["id"] is not None]
            found = Counter(message["id"] for message in answers)
            assert found <= expected, found - expected
            if found == expected:
                return
            await talk.until(lambda _: True, after=len(talk.heard))
