"""Every way a crash, an editor or a disk may leave a file: it is read, and cut only at its end."""

import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.errors import RolloutError
from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.disk import Disk
from codex_jupyter.rollout.packed import PACKED, unpacked
from codex_jupyter.rollout.reader import heal_tail, read_lines, read_records, read_thread
from codex_jupyter.rollout.records import MAX_LINE_BYTES, Record, encode_lines

THREAD = ThreadId("0199a213-81c0-7800-8aa1-bbab2a035a53")
GOOD = encode_lines(
    [
        Record("session_meta", {"id": THREAD, "cwd": "/work"}, "2026-01-01T00:00:00.000Z"),
        Record("response_item", {"type": "message", "role": "user", "content": []}, "t"),
    ]
)


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b"\0", b"\xc3\xa9"])).map(b"".join))
def test_lines_tile_the_file(content: bytes) -> None:
    lines = list(read_lines(io.BytesIO(content)))
    assert b"".join(line.content or b"" for line in lines) == content
    assert [line.end for line in lines][-1:] == ([len(content)] if content else [])
    assert all(line.is_whole for line in lines[:-1])


@pytest.mark.parametrize(
    "tail",
    [
        b"{",
        b"garbage",
        b"garbage\n",
        b"\0" * 4096,
        b"\0" * 100 + b"\n",
        b'{"type":"event_msg","payload":{"a":"\xe2\x82',
        b'{"type":"event_msg","payload":{"a":"\xe2\x82"}}\n',
        b"\xff\xfe\n\xff",
        b"\n\n{",
        b"garbage\n\n",
        b'{"type":"event_msg"}\n',
        GOOD.splitlines()[1],
    ],
)
def test_a_torn_tail_is_moved_aside_and_the_file_ends_with_its_last_good_line(
    tmp_path: Path, tail: bytes
) -> None:
    path = tmp_path / "rollout.jsonl"
    path.write_bytes(GOOD + tail)
    reading = read_thread(path, THREAD, archived=False)
    assert reading.size == len(GOOD + tail)
    assert (GOOD + tail)[len(GOOD) : reading.good_end].strip() == b""
    assert len(reading.thread.history) == 1
    assert reading.thread.skipped_lines >= 1

    heal_tail(path, reading.good_end, Disk())

    torn = tmp_path / "rollout.jsonl.torn-1"
    assert path.read_bytes() + torn.read_bytes() == GOOD + tail
    assert path.read_bytes().strip() == GOOD.strip()
    assert torn.stat().st_mode & 0o777 == 0o600
    again = read_thread(path, THREAD, archived=False)
    assert again.good_end == again.size


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        GOOD + b"\n",
        GOOD + b"\r\n \n",
        GOOD.replace(b"\n", b"\n\n"),
        b"garbage\n" + GOOD,
        GOOD.replace(b"\n", b"\n\xff\xff\n", 1),
        b"\0\0\0\0" + GOOD,
    ],
)
def test_a_file_with_a_good_end_is_not_healed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rollout.jsonl"
    path.write_bytes(content)
    reading = read_thread(path, THREAD, archived=False)
    assert reading.good_end == reading.size == len(content)
    assert reading.thread.meta["cwd"] == "/work"
    assert len(reading.thread.history) == 1


def test_unreadable_lines_in_the_middle_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "rollout.jsonl"
    first, second = GOOD.splitlines(keepends=True)
    path.write_bytes(first + b"x\n\xff\n{}\n" + second)
    assert read_thread(path, THREAD, archived=False).thread.skipped_lines == 3


def test_a_line_over_the_limit_is_skipped_and_what_follows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rollout.jsonl"
    first, second = GOOD.splitlines(keepends=True)
    with path.open("wb") as file:
        file.write(first)
        file.write(b" " * (MAX_LINE_BYTES + 5) + second)
        file.write(second)
    reading = read_thread(path, THREAD, archived=False)
    assert len(reading.thread.history) == 1
    assert reading.thread.skipped_lines == 1
    assert reading.good_end == reading.size == path.stat().st_size
    assert len(list(read_records(path))) == 2


def test_each_torn_tail_is_kept_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "rollout.jsonl"
    for tail in (b"one", b"two"):
        path.write_bytes(GOOD + tail)
        heal_tail(path, len(GOOD), Disk())
    assert (tmp_path / "rollout.jsonl.torn-1").read_bytes() == b"one"
    assert (tmp_path / "rollout.jsonl.torn-2").read_bytes() == b"two"


def test_nothing_is_cut_when_the_copy_cannot_be_stored(tmp_path: Path) -> None:
    def full(descriptor: int, content: bytes | memoryview) -> int:
        raise OSError(28, "No space left on device")

    path = tmp_path / "rollout.jsonl"
    path.write_bytes(GOOD + b"torn")
    with pytest.raises(RolloutError, match=r"rollout\.jsonl.*ENOSPC.*free some space"):
        heal_tail(path, len(GOOD), Disk(write=full))
    assert path.read_bytes() == GOOD + b"torn"
    assert [file.name for file in tmp_path.iterdir()] == ["rollout.jsonl"]


def test_a_missing_file_and_an_unreadable_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_thread(tmp_path / "none.jsonl", THREAD, archived=False)
    with pytest.raises(RolloutError, match="cannot read"):
        read_thread(tmp_path, THREAD, archived=False)


def test_what_is_before_the_last_compaction_is_kept_small(tmp_path: Path) -> None:
    """W-83: the history from before is not held, old turns are packed, and all can be had again."""
    records = [Record("session_meta", {"id": THREAD})]
    for n in range(3):
        turn_id = f"turn-{n}"
        item = {"type": "agentMessage", "id": f"a{n}", "text": "answer " * 1000}
        said: dict[str, object] = {"type": "message", "role": "user"}
        said["content"] = [{"type": "input_text", "text": f"wish {n}"}]
        records += [
            Record("event_msg", {"type": "task_started", "turn_id": turn_id}),
            Record("response_item", said),
            Record("event_msg", {"type": "item_completed", "turn_id": turn_id, "item": item}),
            Record("event_msg", {"type": "task_complete", "turn_id": turn_id}),
        ]
        if n == 1:
            kept = [{"type": "message", "role": "user", "content": []}]
            records.append(Record("compacted", {"message": "s", "replacement_history": kept}))
    path = tmp_path / "rollout.jsonl"
    path.write_bytes(encode_lines(records))
    thread = read_thread(path, THREAD, archived=False).thread
    assert [PACKED in turn for turn in thread.turns] == [True, True, False]
    assert len(thread.turns[0][PACKED]) < 500
    assert [unpacked(turn)["items"][0]["id"] for turn in thread.turns] == ["a0", "a1", "a2"]
    assert len(thread.history) == 2
    assert thread.preview == "wish 0"
    back = Record("event_msg", {"type": "thread_rolled_back", "before_turn_id": "turn-1"})
    path.write_bytes(encode_lines([*records, back]))
    thread = read_thread(path, THREAD, archived=False).thread
    assert [turn["id"] for turn in thread.turns] == ["turn-0"]
    assert len(thread.history) == 1
    assert thread.history[0]["content"][0]["text"] == "wish 0"


@pytest.mark.parametrize("end", [b"", b"\n"], ids=["torn", "broken"])
def test_a_compaction_that_was_not_stored_whole_forgets_nothing(tmp_path: Path, end: bytes) -> None:
    """A process that is killed while it writes the summary leaves the memory as it was."""
    said = {"role": "user", "content": [{"type": "input_text", "text": "remember the whale"}]}
    replaced = Record("compacted", {"message": "s", "replacement_history": [said] * 9})
    path = tmp_path / "rollout.jsonl"
    stored = encode_lines([Record("response_item", said), Record("response_item", said)])
    path.write_bytes(GOOD + stored + encode_lines([replaced])[:-20] + end)
    reading = read_thread(path, THREAD, archived=False)
    assert reading.good_end == len(GOOD + stored)
    assert len(reading.thread.history) == 3


def test_a_huge_line_is_not_held_while_the_last_compaction_is_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "rollout.jsonl"
    path.write_bytes(GOOD)
    with path.open("ab") as file:
        file.truncate(len(GOOD) + 8 * MAX_LINE_BYTES)
    tracemalloc.start()
    try:
        reading = read_thread(path, THREAD, archived=False)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(reading.thread.history) == 1
    assert most < 5 * MAX_LINE_BYTES
