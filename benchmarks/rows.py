"""The rows of the app-server benchmark: what each one does to a server, and what it must hear."""

import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import anyio

from benchmarks.client import AppServer, Launch, RefusedError, Turn
from benchmarks.model import TOKEN

__all__ = ["FULL", "QUICK", "UNITS", "Counts", "Samples", "WrongAnswerError", "run_round"]

UNITS = {
    "cold_start": "ms",
    "thread_start": "ms",
    "turn_first_delta": "ms",
    "turn_total": "ms",
    "stream20k": "s",
    "stream20k_notifications": "count",
    "shell_turn": "ms",
    "interrupt_stream": "ms",
    "interrupt_command": "ms",
    "review_inline": "ms",
    "fanout100": "s",
    "delegates100": "s",
    "interrupt_delegates20": "ms",
    "rss_idle": "MiB",
    "rss_120_threads": "MiB",
}
"""The rows in the order in which they are shown."""

_SETTLE = 0.3
"""Seconds a fresh server gets before its memory is read."""

_UNDER_WAY = 0.1
"""Seconds between the first sign of work and the interrupt."""


class WrongAnswerError(Exception):
    """A server lost or changed what the model said, or ended a turn in another way than asked."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How often a round does what."""

    cold_starts: int = 3
    threads: int = 20
    turns: int = 15
    streams: int = 2
    stream_deltas: int = 20_000
    shell_turns: int = 6
    stream_interrupts: int = 6
    command_interrupts: int = 4
    reviews: int = 4
    fanout_threads: int = 100
    fanout_deltas: int = 100
    delegates: int = 100
    delegate_rounds: int = 3
    stopped_delegates: int = 20


FULL = Counts()
QUICK = Counts(
    cold_starts=1,
    threads=8,
    turns=2,
    streams=1,
    stream_deltas=500,
    shell_turns=1,
    stream_interrupts=1,
    command_interrupts=1,
    reviews=1,
    fanout_threads=5,
    fanout_deltas=20,
    delegates=4,
    delegate_rounds=1,
    stopped_delegates=2,
)


@dataclass(slots=True)
class Samples:
    """The readings of one implementation, by row, in the unit of the row."""

    readings: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    missing: set[str] = field(default_factory=set[str])
    """Rows whose method the implementation does not know."""

    def add(self, row: str, value: float) -> None:
        self.readings.setdefault(row, []).append(value)

    def add_seconds(self, row: str, seconds: float) -> None:
        self.add(row, seconds * 1e3 if UNITS[row] == "ms" else seconds)


@dataclass(slots=True)
class _Round:
    """One running server, its threads that no row has used yet, and where readings go."""

    server: AppServer
    launch: Launch
    counts: Counts
    samples: Samples
    fresh: list[str] = field(default_factory=list[str])

    async def say(self, thread_id: str, text: str) -> Turn:
        return await self.server.wait_end(await self.server.start_turn(thread_id, text))


async def run_round(launch: Launch, counts: Counts, samples: Samples) -> None:
    """Take every row once with servers of their own.

    Raises:
        WrongAnswerError: A turn did not end or read as it must. May come in a group, as may what
            `AppServer` raises.
    """
    for _ in range(counts.cold_starts):
        async with AppServer.open(launch) as server:
            samples.add_seconds("cold_start", server.cold_start)
    rows: tuple[Callable[[_Round], Awaitable[None]], ...] = (
        _thread_start,
        _short_turns,
        _long_streams,
        _shell_turns,
        _stream_interrupts,
        _command_interrupts,
        _reviews,
        _fan_out,
        _delegates,
        _delegate_interrupts,
    )
    async with AppServer.open(launch) as server:
        await anyio.sleep(_SETTLE)
        samples.add("rss_idle", server.resident_mib())
        running = _Round(server, launch, counts, samples)
        for row in rows:
            await row(running)
        samples.add("rss_120_threads", server.resident_mib())


async def _thread_start(running: _Round) -> None:
    for _ in range(running.counts.threads):
        begun = time.perf_counter()
        running.fresh.append(await running.server.start_thread(running.launch.folder))
        running.samples.add_seconds("thread_start", time.perf_counter() - begun)


async def _short_turns(running: _Round) -> None:
    thread_id = running.fresh.pop()
    # The first turn of a process opens the connection to the model: not what this row is about.
    _check(await running.say(thread_id, "deltas=1"), deltas=1)
    for _ in range(running.counts.turns):
        turn = await running.say(thread_id, "deltas=1")
        _check(turn, deltas=1)
        running.samples.add_seconds("turn_first_delta", turn.seconds_to_delta)
        running.samples.add_seconds("turn_total", turn.seconds)


async def _long_streams(running: _Round) -> None:
    deltas = running.counts.stream_deltas
    for _ in range(running.counts.streams):
        turn = await running.say(running.fresh.pop(), f"deltas={deltas}")
        _check(turn, deltas=deltas)
        running.samples.add_seconds("stream20k", turn.seconds)
        running.samples.add("stream20k_notifications", len(turn.texts))


async def _shell_turns(running: _Round) -> None:
    thread_id = running.fresh.pop()
    for _ in range(running.counts.shell_turns):
        turn = await running.say(thread_id, "shell=true;;")
        _check(turn, deltas=1)
        if not turn.has_command:
            raise WrongAnswerError("shell_turn: no command was run")
        running.samples.add_seconds("shell_turn", turn.seconds)


async def _stream_interrupts(running: _Round) -> None:
    interrupt = partial(_interrupt, running, running.fresh.pop(), "interrupt_stream")
    for _ in range(running.counts.stream_interrupts):
        turn = await interrupt("deltas=100000 delay=0.005")
        if not turn.text or turn.text != TOKEN * len(turn.text.split()):
            raise WrongAnswerError(f"interrupt_stream: the text is {turn.text[:80]!r}")


async def _command_interrupts(running: _Round) -> None:
    thread_id = running.fresh.pop()
    for _ in range(running.counts.command_interrupts):
        await _interrupt(running, thread_id, "interrupt_command", "shell=sleep 30;;")


async def _interrupt(running: _Round, thread_id: str, row: str, text: str) -> Turn:
    server = running.server
    turn = await server.start_turn(thread_id, text)
    await server.wait_busy(turn)
    await anyio.sleep(_UNDER_WAY)
    asked_at = time.perf_counter()
    await server.call("turn/interrupt", {"threadId": thread_id, "turnId": turn.id})
    await server.wait_end(turn)
    _check_status(turn, "interrupted")
    assert turn.ended_at is not None
    running.samples.add_seconds(row, turn.ended_at - asked_at)
    return turn


async def _reviews(running: _Round) -> None:
    thread_id = running.fresh.pop()
    target = {"type": "custom", "instructions": "deltas=1"}
    wish = {"threadId": thread_id, "target": target, "delivery": "inline"}
    for _ in range(running.counts.reviews):
        try:
            turn = await running.server.begin("review/start", wish)
        except RefusedError as error:
            if not error.is_unknown_method:
                raise
            running.samples.missing.add("review_inline")
            return
        _check_status(await running.server.wait_end(turn), "completed")
        running.samples.add_seconds("review_inline", turn.seconds)


async def _fan_out(running: _Round) -> None:
    server, counts = running.server, running.counts
    folder = running.launch.folder
    threads = [await server.start_thread(folder) for _ in range(counts.fanout_threads)]

    async def say(thread_id: str) -> None:
        turn = await running.say(thread_id, f"deltas={counts.fanout_deltas}")
        _check(turn, deltas=counts.fanout_deltas)

    begun = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for thread_id in threads:
            tasks.start_soon(say, thread_id)
    running.samples.add_seconds("fanout100", time.perf_counter() - begun)


async def _delegates(running: _Round) -> None:
    """Have one turn start that many one-shot delegates, all of them at once where it may."""
    for _ in range(running.counts.delegate_rounds):
        prompts = ["deltas=1"] * running.counts.delegates
        if (begun := await _delegate(running, "delegates100", prompts)) is None:
            return
        turn, children = begun
        _check_status(await running.server.wait_end(turn), "completed")
        for child in children:
            _check(child, deltas=1)
        running.samples.add_seconds("delegates100", turn.seconds)


async def _delegate_interrupts(running: _Round) -> None:
    """Stop a turn whose delegates each run a command."""
    for _ in range(running.counts.command_interrupts):
        prompts = ["shell=sleep 30;;"] * running.counts.stopped_delegates
        if (begun := await _delegate(running, "interrupt_delegates20", prompts)) is None:
            return
        turn, children = begun
        for child in children:
            await running.server.wait_busy(child)
        await anyio.sleep(_UNDER_WAY)
        asked_at = time.perf_counter()
        place = {"threadId": turn.thread_id, "turnId": turn.id}
        await running.server.call("turn/interrupt", place)
        _check_status(await running.server.wait_end(turn), "interrupted")
        assert turn.ended_at is not None
        running.samples.add_seconds("interrupt_delegates20", turn.ended_at - asked_at)


async def _delegate(
    running: _Round, row: str, prompts: Sequence[str]
) -> tuple[Turn, list[Turn]] | None:
    """Begin a turn of delegates; ``None`` if the server does not know them."""
    server = running.server
    parent = await server.start_thread(running.launch.folder)
    host = server.expect(str(uuid.uuid4()))
    children = [server.expect(str(uuid.uuid4())) for _ in prompts]
    tasks = [
        {"input": [{"type": "text", "text": prompt}], "threadId": child.thread_id}
        for prompt, child in zip(prompts, children, strict=True)
    ]
    asked = {"threadId": parent, "hostThreadId": host.thread_id, "tasks": tasks, "limit": 64}
    try:
        host.id = (await server.call("delegate/start", asked))["turn"]["id"]
    except RefusedError as error:
        if not error.is_unknown_method:
            raise
        running.samples.missing.add(row)
        return None
    return host, children


def _check(turn: Turn, *, deltas: int) -> None:
    _check_status(turn, "completed")
    sent = TOKEN * deltas
    if turn.text != sent:
        raise WrongAnswerError(
            f"the model sent {len(sent)} characters in {deltas} deltas, the client got"
            f" {len(turn.text)} in {len(turn.texts)} that do not say the same"
        )


def _check_status(turn: Turn, status: str) -> None:
    if turn.end.get("status") != status:
        raise WrongAnswerError(f"a turn must end as {status}; it ended as {turn.end}")
