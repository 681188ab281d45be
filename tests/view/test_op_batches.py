from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.view.op_batches import MAX_PENDING_BYTES, MIN_GAP, OpBatches


def append(delta: str, item_id: str = "m", field: str = "text") -> dict[str, Any]:
    return {"op": "append", "id": item_id, "field": field, "index": 0, "delta": delta}


STATUS = {"op": "status", "status": "completed"}


def test_the_first_delta_travels_at_once_and_the_next_wait_merged() -> None:
    batches = OpBatches()
    assert batches.add([append("a")], 0.0) == [append("a")]
    assert batches.add([append("b")], 0.001) == []
    assert batches.add([append("c")], 0.002) == []
    assert batches.take(MIN_GAP) == [append("bc")]


def test_a_delta_after_the_gap_takes_the_waiting_ones_with_it() -> None:
    batches = OpBatches()
    batches.add([append("a")], 0.0)
    batches.add([append("b")], 0.001)
    assert batches.add([append("c")], MIN_GAP) == [append("bc")]


def test_anything_else_travels_at_once_behind_what_waited() -> None:
    batches = OpBatches()
    batches.add([append("a")], 0.0)
    batches.add([append("b")], 0.001)
    assert batches.add([STATUS], 0.002) == [append("b"), STATUS]


def test_deltas_of_different_places_do_not_merge() -> None:
    batches = OpBatches()
    batches.add([append("a")], 0.0)
    waiting = [append("b"), append("c", field="summary"), append("d", "n"), append("e")]
    batches.add(waiting, 0.001)
    assert batches.take(0.002) == waiting


def test_four_kilobytes_do_not_wait() -> None:
    batches = OpBatches()
    batches.add([append("a")], 0.0)
    assert batches.add([append("x" * (MAX_PENDING_BYTES - 1))], 0.001) == []
    assert batches.add([append("y")], 0.001) != []


def test_due_in_counts_down_only_while_something_waits() -> None:
    batches = OpBatches()
    assert batches.due_in(0.0) is None
    batches.add([append("a")], 10.0)
    assert batches.due_in(10.0) is None
    batches.add([append("b")], 10.01)
    assert batches.due_in(10.01) == 10.0 + MIN_GAP - 10.01
    assert batches.due_in(99.0) == 0.0


def test_the_caller_s_ops_are_left_as_they_are() -> None:
    batches = OpBatches()
    batches.add([append("a")], 0.0)
    first = append("b")
    batches.add([first, append("c")], 0.001)
    assert first == append("b")


@given(st.lists(st.tuples(st.sampled_from("mn"), st.text(max_size=3), st.floats(0, 0.02))))
def test_no_text_is_lost_or_moved(deltas: list[tuple[str, str, float]]) -> None:
    batches, now, sent = OpBatches(), 0.0, []
    for item_id, delta, wait in deltas:
        now += wait
        sent += batches.add([append(delta, item_id)], now)
    sent += batches.take(now)
    for item_id in "mn":
        told = "".join(op["delta"] for op in sent if op["id"] == item_id)
        assert told == "".join(delta for owner, delta, _ in deltas if owner == item_id)
