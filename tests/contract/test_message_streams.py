"""One contract, every transport: batches, order, ends, and for bytes also their accidents."""

import json
import os
import socket
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_jupyter.protocol.jsonrpc import Garbage, Message, decode, encode
from codex_jupyter.protocol.streams import MessageStreams
from codex_jupyter.transports import stdio
from codex_jupyter.transports.stdio import StdioStreams
from codex_jupyter.transports.streams import memory_pair

patient = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

pytestmark = pytest.mark.anyio


@dataclass
class Pair:
    """Two connected ends, and how the right one goes away."""

    left: MessageStreams
    right: MessageStreams
    fds: tuple[int, ...] = ()

    async def drop_right(self) -> None:
        await self.right.aclose()
        for fd in self.fds:
            os.close(fd)
        self.fds = ()


@pytest.fixture(params=["memory", "pipes", "socket"])
async def pair(request: pytest.FixtureRequest) -> AsyncGenerator[Pair]:
    if request.param == "memory":
        pair = Pair(*memory_pair())
        yield pair
        await pair.left.aclose()
        await pair.right.aclose()
        return
    if request.param == "pipes":
        right_in, left_out = os.pipe()
        left_in, right_out = os.pipe()
        ours, theirs = (left_in, left_out), (right_in, right_out)
    else:
        one, two = socket.socketpair()
        ours = theirs = ()
        left_in = left_out = one.detach()
        right_in = right_out = two.detach()
        ours, theirs = (left_in,), (right_in,)
    pair = Pair(StdioStreams(left_in, left_out), StdioStreams(right_in, right_out), theirs)
    yield pair
    for fd in (*ours, *pair.fds):
        os.close(fd)


async def receive(streams: MessageStreams, count: int) -> list[Message | Garbage]:
    found: list[Message | Garbage] = []
    with anyio.fail_after(30):
        while len(found) < count:
            batch = await streams.receive()
            assert batch, "a batch holds at least one message"
            found += batch
    return found


async def test_messages_arrive_whole_and_in_order_both_ways(pair: Pair) -> None:
    sent = [{"id": n, "method": "m", "params": {"text": "ü\n\r\u2028" * n}} for n in range(20)]
    await pair.left.send(sent[:1])
    await pair.left.send(sent[1:])
    assert await receive(pair.right, 20) == sent
    await pair.right.send(sent)
    assert await receive(pair.left, 20) == sent


async def test_a_batch_larger_than_any_buffer_arrives(pair: Pair) -> None:
    sent: list[Message] = [{"n": n, "text": "x" * 50_000} for n in range(40)]
    found: list[Message | Garbage] = []

    async def read() -> None:
        found.extend(await receive(pair.right, len(sent)))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pair.left.send, sent)
            tasks.start_soon(read)
    assert found == sent


async def test_a_reader_that_does_not_read_makes_the_sender_wait(pair: Pair) -> None:
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            await pair.left.send([{"n": sent, "text": "x" * 5_000}])
            sent += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flood)
        with anyio.fail_after(30):
            before = -1
            while before != sent:
                before = sent
                for _ in range(50):
                    await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert 0 < sent < 1_000
    found = await receive(pair.right, sent)
    assert [m["n"] for m in found if isinstance(m, dict)][:sent] == list(range(sent))


async def test_what_was_sent_before_the_end_is_read_before_it(pair: Pair) -> None:
    await pair.right.send([{"n": 1}, {"n": 2}])
    await pair.drop_right()
    assert await receive(pair.left, 2) == [{"n": 1}, {"n": 2}]
    for _ in range(2):
        with anyio.fail_after(30), pytest.raises(anyio.EndOfStream):
            await pair.left.receive()


async def test_a_waiting_receive_ends_with_the_other_side(pair: Pair) -> None:
    async def drop() -> None:
        await anyio.lowlevel.checkpoint()
        await pair.drop_right()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drop)
            with pytest.raises(anyio.EndOfStream):
                await pair.left.receive()


async def test_sending_to_somebody_who_left_is_told(pair: Pair) -> None:
    await pair.drop_right()
    with anyio.fail_after(30), pytest.raises(anyio.BrokenResourceError):
        for _ in range(1_000):
            await pair.left.send([{"text": "x" * 1_000}])


async def test_closing_twice_is_fine_and_ends_reading_here(pair: Pair) -> None:
    await pair.left.aclose()
    await pair.left.aclose()
    with anyio.fail_after(30), pytest.raises(anyio.EndOfStream):
        await pair.left.receive()


async def test_a_cancelled_receive_loses_nothing(pair: Pair) -> None:
    for n in range(5):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await pair.left.receive()
        await pair.right.send([{"n": n}])
        assert await receive(pair.left, 1) == [{"n": n}]


# Bytes.


@dataclass
class Lines:
    """A stdio stream and the raw end it reads from."""

    streams: StdioStreams
    raw: int
    open_fds: list[int]

    def write(self, data: bytes) -> None:
        os.write(self.raw, data)

    def end(self) -> None:
        self.open_fds.remove(self.raw)
        os.close(self.raw)


@pytest.fixture
def lines() -> Generator[Lines]:
    read, write = os.pipe()
    sink = os.open(os.devnull, os.O_WRONLY)
    lines = Lines(StdioStreams(read, sink), write, [read, write, sink])
    yield lines
    for fd in lines.open_fds:
        os.close(fd)


async def test_blank_lines_are_skipped(lines: Lines) -> None:
    lines.write(b'\n  \n\r\n{"n": 1}\r\n\t\n{"n": 2}\n')
    assert await receive(lines.streams, 2) == [{"n": 1}, {"n": 2}]


async def test_a_line_may_come_in_pieces_even_inside_a_character(lines: Lines) -> None:
    data = encode({"text": "Grüße 🐍"}) + b"\n"
    found: list[Message | Garbage] = []

    async def read() -> None:
        found.extend(await receive(lines.streams, 1))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            for n in range(len(data)):
                lines.write(data[n : n + 1])
                await anyio.lowlevel.checkpoint()
    assert found == [{"text": "Grüße 🐍"}]


async def test_a_last_line_may_lack_its_end(lines: Lines) -> None:
    lines.write(b'{"n": 1}\n{"n": 2}')
    lines.end()
    assert await receive(lines.streams, 2) == [{"n": 1}, {"n": 2}]
    with pytest.raises(anyio.EndOfStream):
        await lines.streams.receive()


async def test_a_torn_last_line_is_garbage_then_the_end(lines: Lines) -> None:
    lines.write(b'{"text": "Gr\xc3')
    lines.end()
    (found,) = await receive(lines.streams, 1)
    assert isinstance(found, Garbage)
    with pytest.raises(anyio.EndOfStream):
        await lines.streams.receive()


@pytest.mark.parametrize(
    "line", [b"{", b"[1]", b"null", b"\xff", b'{"a": NaN}', b'{"a": 1} x', b"[" * 50_000]
)
async def test_a_line_that_is_no_message_is_garbage_and_the_next_one_counts(
    lines: Lines, line: bytes
) -> None:
    lines.write(line + b'\n{"n": 1}\n')
    garbage, message = await receive(lines.streams, 2)
    assert isinstance(garbage, Garbage)
    assert len(garbage.reason) < 300
    assert message == {"n": 1}


async def test_a_long_line_is_read_whole(lines: Lines) -> None:
    message = {"text": "ü" * 400_000}
    found: list[Message | Garbage] = []

    async def read() -> None:
        found.extend(await receive(lines.streams, 1))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.to_thread.run_sync(_write_all, lines.raw, encode(message) + b"\n")
    assert found == [message]


@pytest.mark.parametrize("excess", [0, 1, 70_000])
async def test_a_line_that_is_too_long_is_skipped_to_its_end(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, excess: int
) -> None:
    limit = 100_000
    monkeypatch.setattr(stdio, "MAX_LINE_BYTES", limit)
    empty = len(encode({"text": ""}))
    data = encode({"text": "x" * (limit + excess - empty)}) + b'\n{"n": 1}\n'
    found: list[Message | Garbage] = []

    async def read() -> None:
        found.extend(await receive(lines.streams, 2))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await anyio.to_thread.run_sync(_write_all, lines.raw, data)
    assert isinstance(found[0], Garbage) == (excess > 0)
    assert found[1] == {"n": 1}


async def test_a_reset_connection_is_an_end_like_another() -> None:
    one, two = socket.socketpair()
    with one, two:
        streams = StdioStreams(one.fileno(), one.fileno())
        one.send(b"unread")
        two.close()  # with unread bytes: the other side is reset
        with anyio.fail_after(30), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await streams.receive()
        with anyio.fail_after(30), pytest.raises(anyio.EndOfStream):
            await streams.receive()


async def test_regular_files_work_too(tmp_path: Any) -> None:
    (tmp_path / "in").write_bytes(b'{"n": 1}\n' * 10_000)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as sink:
        streams = StdioStreams(source.fileno(), sink.fileno())
        found = await receive(streams, 10_000)
        with pytest.raises(anyio.EndOfStream):
            await streams.receive()
        await streams.send([m for m in found if isinstance(m, dict)])
    assert (tmp_path / "out").read_bytes() == b'{"n":1}\n' * 10_000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@patient
@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_encoding_is_one_line_that_decodes_to_the_same(message: Message) -> None:
    line = encode(message)
    assert b"\n" not in line
    assert decode(line) == message


def deep(levels: int) -> Any:
    value: Any = "bottom"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), None),
        (float("-inf"), None),
        ("lone \ud800.", "lone \ufffd."),
        ("\udc00", "\ufffd"),
        ("pair \ud83d\ude00", "pair 😀"),
        (
            {"\ud800": ["\udfff", float("nan"), 1, True, None]},
            {"\ufffd": ["\ufffd", None, 1, True, None]},
        ),
        (b"\xff", "\ufffd"),
        (Exception("odd \ud800"), "odd \ufffd"),
    ],
    ids=repr,
)
def test_what_json_cannot_say_is_written_as_something_that_everybody_reads(
    value: Any, written: Any
) -> None:
    line = encode({"value": value})
    assert json.loads(line.decode("utf-8"), parse_constant=pytest.fail) == {"value": written}


@pytest.mark.parametrize("levels", [10, 100, 300, 900])
def test_what_is_nested_too_deeply_is_cut_off(levels: int) -> None:
    found = decode(encode({"value": deep(levels), "after": 1}))
    assert isinstance(found, dict)
    assert found["after"] == 1
    assert (found["value"] == deep(levels)) == (levels < 180)


@patient
@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=8), max_size=2), max_size=8),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_however_bytes_are_cut_the_messages_are_the_same(
    messages: list[Message], cuts: list[int]
) -> None:
    async def run() -> list[Message | Garbage]:
        read, write = os.pipe()
        sink = os.open(os.devnull, os.O_WRONLY)
        streams = StdioStreams(read, sink)
        data = b"".join(encode(message) + b"\n" for message in messages)
        found: list[Message | Garbage] = []
        try:
            turn = 0
            while data:
                size = cuts[turn % len(cuts)]
                os.write(write, data[:size])
                has_end, data = b"\n" in data[:size], data[size:]
                turn += 1
                if has_end:
                    found += await streams.receive()
            os.close(write)
            with pytest.raises(anyio.EndOfStream):
                while True:
                    found += await streams.receive()
        finally:
            os.close(read)
            os.close(sink)
        return found

    assert anyio.run(run) == messages


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
