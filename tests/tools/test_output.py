import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.tools.output import (
    KEEP_BYTES,
    LIVE_INTERVAL,
    LIVE_NOTE,
    Capture,
    LiveText,
    clean,
    truncate_for_model,
    truncate_middle,
)

ESCAPES = st.sampled_from(
    [
        *(
            "\x1b",
            "\x1b[",
            "\x1b[31m",
            "\x1b[0;1",
            "m",
            "\x1b]0;title",
            "\x07",
            "\x1b\\",
            "\x1b[2J",
        ),
        *(
            "\x1b(B",
            "\x1b(",
            "\x1bP",
            "\x1bc",
            "\n",
            "\t",
            "\r",
            "\x00",
            "\x9b",
            "x",
            "é",
            "漢",
            "\x7f",
        ),
        *("\x1b]52;c;aGk=\x07", "\x1b[?25l", "a" * 4100),
    ]
)
STREAMS = st.lists(ESCAPES | st.text(max_size=5), max_size=20).map("".join)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:stop] for start, stop in pairwise(bounds)]


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        ("\x1b[38:2::1:2:3mx", "\x1b[38:2::1:2:3mx"),
        ("50%\r100%\n\tdone", "50%\r100%\n\tdone"),
        ("a\x1b]52;c;ZXZpbA==\x07b", "ab"),
        ("a\x1b]0;title\x1b\\b", "ab"),
        ("a\x1bP1$q\x1b\\b\x1b_x\x1b\\c", "abc"),
        ("a\x1b[2Jb\x1b[10;10Hc\x1b[?1049hd", "abcd"),
        ("a\x1b(Bb\x1bcc\x1b7d", "abcd"),
        ("a\x00b\x07c\x08d\x7fe\x9bf", "abcdef"),
        ("\x1b]never closed\nnext line", "never closed\nnext line"),
        ("\x1b" + " " * 20 + "x", " " * 20 + "x"),
        ("a\x1b\x1b[31mb", "a\x1b[31mb"),
    ],
)
def test_only_colours_and_line_controls_are_left(raw: str, kept: str) -> None:
    assert clean(raw) == (kept, "")


@given(STREAMS)
def test_clean_text_has_no_control_but_colours(text: str) -> None:
    kept, rest = clean(text)
    assert len(rest) <= 4200
    plain = re.sub(r"\x1b\[[0-9;:]*m", "", kept)
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", plain)


@given(STREAMS, st.lists(st.integers(0, 10_000), max_size=8))
def test_live_text_joined_is_the_captured_text_wherever_the_stream_is_cut(
    text: str, places: list[int]
) -> None:
    live, capture, sent = LiveText(), Capture(), list[str]()
    for piece in cut(text.encode(), places):
        capture.feed(piece)
        sent += live.feed(piece, now=0.0)
    sent += live.finish()
    assert "".join(sent) == capture.result()[0]
    assert capture.result()[1] == 0


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=8), st.integers(2, 64))
def test_a_small_limit_bounds_any_bytes_and_agrees_with_live_when_nothing_is_omitted(
    data: bytes, places: list[int], limit: int
) -> None:
    live, capture, sent = LiveText(limit), Capture(limit), list[str]()
    for piece in cut(data, places):
        capture.feed(piece)
        sent += live.feed(piece, now=0.0)
    sent += live.finish()
    text, omitted = capture.result()
    mark = f"\n[{omitted} bytes omitted]\n" if omitted else ""
    assert len(text.encode()) <= limit + len(mark)
    assert mark in text
    shown = "".join(sent)
    assert len(shown.encode()) <= limit + len(LIVE_NOTE)
    if not omitted:
        assert shown == text


@given(st.text(max_size=300), st.integers(2, 64), st.lists(st.integers(0, 900), max_size=8))
def test_the_cut_never_splits_a_character(text: str, limit: int, places: list[int]) -> None:
    printable = "".join(c if c.isprintable() and c != "\ufffd" else "x" for c in text)
    capture = Capture(limit)
    for piece in cut(printable.encode(), places):
        capture.feed(piece)
    kept, omitted = capture.result()
    assert "\ufffd" not in kept
    assert len(kept.encode()) - len(f"\n[{omitted} bytes omitted]\n") * bool(omitted) + omitted == (
        len(printable.encode())
    )


def test_head_and_tail_are_kept_and_the_middle_is_counted() -> None:
    capture = Capture(10)
    for number in range(100):
        capture.feed(f"{number:02}\n".encode())
    capture.feed(b"end")
    assert capture.result() == ("00\n01\n[293 bytes omitted]\n9\nend", 293)
    assert capture.total_lines == 101


def test_a_flood_does_not_grow_the_memory() -> None:
    capture = Capture(1000)
    for _ in range(1000):
        capture.feed(b"x" * 777)
    held = len(capture._head) + sum(map(len, capture._tail))
    assert held == 1000


def test_the_first_text_goes_out_at_once_and_the_next_waits_its_turn() -> None:
    live = LiveText()
    assert live.feed(b"a", now=10.0) == ["a"]
    assert live.wait(10.0) is None
    assert live.feed(b"b", now=10.001) == []
    assert live.wait(10.001) == pytest.approx(LIVE_INTERVAL - 0.001)
    assert live.feed(b"c", now=10.002) == []
    assert live.flush(10.0 + LIVE_INTERVAL) == ["bc"]
    assert live.feed(b"d", now=11.0) == ["d"]


def test_4_kib_do_not_wait_and_no_piece_exceeds_8_kib() -> None:
    live = LiveText()
    live.feed(b"a", now=0.0)
    assert live.feed(b"b" * 4096, now=0.0) == ["b" * 4096]
    assert [len(piece) for piece in live.feed(b"c" * 20_000, now=0.0)] == [8192, 8192, 3616]
    wide = live.feed("漢".encode() * 9000, now=0.0)
    assert max(len(piece.encode()) for piece in wide) <= 8192
    assert "".join(wide) == "漢" * 9000


def test_live_text_stops_at_its_limit_with_one_note() -> None:
    live, sent = LiveText(), list[str]()
    for _ in range(300):
        sent += live.feed(b"x" * 8192, now=0.0)
    sent += live.finish()
    assert "".join(sent) == "x" * KEEP_BYTES + LIVE_NOTE


@given(
    st.text(st.characters(exclude_categories=(), exclude_characters="…"), max_size=200),
    st.integers(0, 30),
)
def test_a_cut_keeps_both_ends_within_the_budget(text: str, max_tokens: int) -> None:
    kept, budget = truncate_middle(text, max_tokens), max_tokens * 4
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= budget:
        assert kept == text
        return
    head, mark, tail = kept.split("…")
    size = len((head + tail).encode("utf-8", "surrogatepass"))
    assert text.startswith(head)
    assert text.endswith(tail)
    assert budget - 6 <= size <= budget
    assert mark == f"{-(-(len(data) - size) // 4)} tokens truncated"


def test_a_cut_text_says_how_long_it_was() -> None:
    text = "".join(f"line {number}\n" for number in range(100))
    assert truncate_for_model(text, 10_000) == text
    assert truncate_for_model(text, 10) == (
        "Total output lines: 100\n\n"
        "line 0\nline 1\nline 2…188 tokens truncated… 97\nline 98\nline 99\n"
    )


def test_an_empty_text_is_never_cut() -> None:
    assert truncate_middle("", 0) == ""
