"""The outbox of a connection: in order, bounded, merged, never lossy."""

from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_jupyter.flow.channels import Outbox, OutboxOverflowError, rough_size
from codex_jupyter.protocol.jsonrpc import MAX_DELTA_CHARS, encode
from codex_jupyter.rpc import merge_deltas

patient = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

pytestmark = pytest.mark.anyio

Message = dict[str, Any]


def never(first: Message, second: Message) -> None:
    return None


def join(first: Message, second: Message) -> Message | None:
    """Join the texts of neighbours with the same key."""
    if first["key"] != second["key"]:
        return None
    return {"key": first["key"], "text": first["text"] + second["text"]}


async def test_messages_come_out_in_order_and_all_at_once() -> None:
    outbox = Outbox(never)
    for n in range(3):
        outbox.put({"n": n})
    assert await outbox.take() == [{"n": 0}, {"n": 1}, {"n": 2}]
    outbox.put({"n": 3})
    assert await outbox.take() == [{"n": 3}]


async def test_taking_waits_for_a_message() -> None:
    outbox = Outbox(never)
    taken: list[list[Message]] = []

    async def take() -> None:
        taken.append(await outbox.take())

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take)
            await anyio.lowlevel.checkpoint()
            assert taken == []
            outbox.put({"n": 1})
    assert taken == [[{"n": 1}]]


async def test_only_neighbours_merge() -> None:
    outbox = Outbox(join)
    for key, text in ("a1", "a2", "b3", "a4", "a5"):
        outbox.put({"key": key, "text": text})
    taken = [(message["key"], message["text"]) for message in await outbox.take()]
    assert taken == [("a", "12"), ("b", "3"), ("a", "45")]


async def test_what_was_taken_is_not_merged_into() -> None:
    outbox = Outbox(join)
    outbox.put({"key": "a", "text": "1"})
    first = await outbox.take()
    outbox.put({"key": "a", "text": "2"})
    assert first == [{"key": "a", "text": "1"}]
    assert await outbox.take() == [{"key": "a", "text": "2"}]


@patient
@given(st.lists(st.tuples(st.sampled_from("ab"), st.text(max_size=3))), st.data())
def test_merging_loses_and_reorders_nothing(
    messages: list[tuple[str, str]], data: st.DataObject
) -> None:
    cuts = data.draw(st.sets(st.integers(0, len(messages))))

    async def run() -> list[Message]:
        outbox, taken = Outbox(join), list[Message]()
        for n, (key, text) in enumerate(messages):
            outbox.put({"key": key, "text": text})
            if n in cuts:
                taken += await outbox.take()
        outbox.close()
        return taken + await outbox.take()

    taken = anyio.run(run)
    for key in "ab":
        sent = "".join(text for k, text in messages if k == key)
        assert "".join(m["text"] for m in taken if m["key"] == key) == sent
    spread = [m["key"] for m in taken for _ in m["text"]]
    assert spread == [key for key, text in messages for _ in text]


async def test_a_closed_outbox_gives_what_it_holds_then_the_end() -> None:
    outbox = Outbox(never)
    outbox.put({"n": 1})
    outbox.close()
    outbox.put({"n": 2})
    with anyio.fail_after(30):
        assert await outbox.take() == [{"n": 1}]
        assert await outbox.take() == []
        assert await outbox.take() == []


async def test_closing_wakes_who_waits() -> None:
    outbox = Outbox(never)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outbox.take)
            await anyio.lowlevel.checkpoint()
            outbox.close()


async def test_too_many_messages_close_it_and_lose_none() -> None:
    outbox = Outbox(never, max_messages=3)
    for n in range(3):
        outbox.put({"n": n})
    with pytest.raises(OutboxOverflowError, match="4 messages"):
        outbox.put({"n": 3})
    outbox.put({"n": 4})
    assert await outbox.take() == [{"n": n} for n in range(4)]
    assert await outbox.take() == []


async def test_too_many_bytes_close_it() -> None:
    outbox = Outbox(never, max_bytes=1_000)
    outbox.put({"text": "x" * 900})
    with pytest.raises(OutboxOverflowError):
        outbox.put({"text": "x" * 900})


async def test_taking_makes_room() -> None:
    outbox = Outbox(never, max_bytes=1_000, max_messages=1)
    for _ in range(50):
        outbox.put({"text": "x" * 900})
        assert len(await outbox.take()) == 1


async def test_merged_bytes_count_too() -> None:
    outbox = Outbox(join, max_bytes=1_000)
    with pytest.raises(OutboxOverflowError):
        for _ in range(30):
            outbox.put({"key": "a", "text": "x" * 100})


@patient
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(alphabet="abc", max_size=20),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("ab", max_size=5), inner),
        max_leaves=20,
    )
)
def test_the_rough_size_is_near_the_encoded_size(value: Any) -> None:
    from pydantic_core import to_json

    encoded = len(to_json(value))
    assert encoded / 8 - 8 <= rough_size(value) <= encoded * 8 + 8


def delta(text: str, method: str = "item/agentMessage/delta", **params: Any) -> Message:
    base = {"threadId": "t", "turnId": "u", "itemId": "i"}
    return {"method": method, "params": {**base, **params, "delta": text}, "emittedAtMs": 1}


async def test_who_can_wait_waits_for_a_reader_that_lags() -> None:
    outbox = Outbox(merge_deltas, max_bytes=400)
    heard: list[str] = []

    async def waiter() -> None:
        await outbox.room()
        heard.append("there is room")

    with anyio.fail_after(5):
        await outbox.room()
        outbox.put({"id": 1, "result": "x" * 150})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiter)
            await anyio.wait_all_tasks_blocked()
            assert heard == []
            await outbox.take()
        assert heard == ["there is room"]
        outbox.put({"id": 2, "result": "x" * 150})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiter)
            await anyio.wait_all_tasks_blocked()
            outbox.close()  # nobody waits for a reader that is gone
    assert len(heard) == 2


def test_deltas_of_one_item_merge_and_the_originals_stay() -> None:
    first, second = delta("Hel"), delta("lo")
    merged = merge_deltas(first, second)
    assert merged is not None
    assert merged["params"] == {**first["params"], "delta": "Hello"}
    assert (first, second) == (delta("Hel"), delta("lo"))


@pytest.mark.parametrize(
    "other",
    [
        delta("x", itemId="j"),
        delta("x", turnId="v"),
        delta("x", threadId="w"),
        delta("x", method="item/commandExecution/outputDelta"),
        delta("x", summaryIndex=1),
        {"method": "item/completed", "params": {"itemId": "i"}},
        {"id": 1, "result": {}},
        {"id": 1, "method": "item/agentMessage/delta2", "params": {}},
    ],
    ids=str,
)
def test_nothing_else_merges(other: Message) -> None:
    assert merge_deltas(delta("x"), other) is None
    assert merge_deltas(other, delta("x")) is None


def test_parts_of_a_reasoning_item_stay_apart() -> None:
    method = "item/reasoning/summaryTextDelta"
    assert (
        merge_deltas(delta("a", method, summaryIndex=0), delta("b", method, summaryIndex=1)) is None
    )
    assert merge_deltas(delta("a", method, summaryIndex=1), delta("b", method, summaryIndex=1))


def test_a_merged_delta_stays_short() -> None:
    assert merge_deltas(delta("x" * MAX_DELTA_CHARS), delta("y")) is None
    merged = merge_deltas(delta("\0" * (MAX_DELTA_CHARS - 1)), delta("\0"))
    assert merged is not None
    assert len(encode(merged)) < 65_536
