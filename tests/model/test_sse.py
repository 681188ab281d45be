import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.model.sse import SseDataError, SseDecoder, SseOverflowError, looks_like_sse

STREAM = (
    b'\xef\xbb\xbfdata: {"type": "first"}\n\n'
    b": keep-alive\n\n"
    b'event: crlf\r\ndata: {"a":\r\ndata: 1}\r\n\r\n'
    b"event: response.output_text.delta\r\n"
    b'data: {"type": "response.output_text.delta", "delta": "caf\xc3\xa9 \xf0\x9f\x8e\x88"}\r\n\r\n'
    b'data: {"type": "two",\rdata:  "lines": 2}\r\r'
    b"\n\n\n"
    b'event:named\nid: 7\nretry: 10\ndata:{"a":1}\n\n'
    b'data: {"bare": true}\n\n'
    b"data\n\n"
    b"data:\n\n"
    b'data: {"type": "last"}\r\n\n'
    b"data: [DONE]\n\n"
    b'data: {"type": "never ended"}\n'
)
EVENTS: list[dict[str, Any]] = [
    {"type": "first"},
    {"type": "crlf", "a": 1},
    {"type": "response.output_text.delta", "delta": "café 🎈"},
    {"type": "two", "lines": 2},
    {"type": "named", "a": 1},
    {"type": "message", "bare": True},
    {"type": "last"},
]


def decode(stream: bytes, cuts: list[int], *, limit: int = 10_000) -> list[dict[str, Any]]:
    decoder = SseDecoder(max_event_bytes=limit)
    bounds = [0, *sorted(cuts), len(stream)]
    return [event for start, stop in pairwise(bounds) for event in decoder.feed(stream[start:stop])]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_do_not_depend_on_where_chunks_are_cut(cuts: list[int]) -> None:
    assert decode(STREAM, cuts) == EVENTS


def test_events_survive_a_stream_cut_into_single_bytes() -> None:
    assert decode(STREAM, list(range(len(STREAM)))) == EVENTS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.data(),
)
def test_whatever_json_is_sent_comes_back(
    objects: list[dict[str, Any]], newline: str, data: st.DataObject
) -> None:
    sent = [{**value, "type": "x"} for value in objects]
    text = "".join(
        f"event: x{newline}data: {json.dumps(value, ensure_ascii=False)}{newline * 2}"
        for value in sent
    )
    stream = text.encode()
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=5))
    assert decode(stream, cuts) == sent


@given(st.lists(st.integers(0, 40), max_size=4))
def test_an_endless_event_is_refused_wherever_it_is_cut(cuts: list[int]) -> None:
    with pytest.raises(SseOverflowError, match="longer than 20 bytes"):
        decode(b'data: {"a":1}\n\ndata: {"text": "0123456789"}\n\n', cuts, limit=20)


def test_an_event_may_be_as_long_as_the_limit() -> None:
    event = b'data: {"type":"x"}'
    assert decode(event + b"\n\n", [], limit=len(event)) == [{"type": "x"}]
    with pytest.raises(SseOverflowError):
        decode(event + b"\n\n", [], limit=len(event) - 1)


def test_an_endless_event_is_refused_before_it_ends() -> None:
    decoder = SseDecoder(max_event_bytes=10)
    with pytest.raises(SseOverflowError):
        decoder.feed(b"data: 0123456789")


def test_a_large_event_in_many_chunks_is_one_event() -> None:
    text = "x" * 1_000_000
    stream = b"data: " + json.dumps({"type": "big", "text": text}).encode() + b"\n\n"
    cuts = list(range(0, len(stream), 1000))
    assert decode(stream, cuts, limit=2_000_000) == [{"type": "big", "text": text}]


@pytest.mark.parametrize("data", ["{broken", "1", "[1]", '"text"', "null", "<html>"])
def test_data_that_is_no_json_object_is_an_error_that_shows_it(data: str) -> None:
    with pytest.raises(SseDataError, match="not a JSON object") as caught:
        SseDecoder().feed(f"data: {data}\n\n".encode())
    assert caught.value.start == data


def test_an_error_shows_no_more_than_the_start_of_the_data() -> None:
    with pytest.raises(SseDataError) as caught:
        SseDecoder().feed(b"data: " + b"x" * 5000 + b"\n\n")
    assert caught.value.start == "x" * 200


@pytest.mark.parametrize(
    "start", [b"", b"\n\n", b"da", b"data: {", b"\xef\xbb\xbf: hi", b"event:x"]
)
def test_the_start_of_a_stream_is_recognised(start: bytes) -> None:
    assert looks_like_sse(start)


@pytest.mark.parametrize("start", [b"<html>", b'{"error": 1}', b"  Not found", b"\x1f\x8b"])
def test_the_start_of_something_else_is_recognised(start: bytes) -> None:
    assert not looks_like_sse(start)


@pytest.mark.parametrize(
    ("sent", "heard"),
    [(r"half \ud83d", "half \ufffd"), (r"\ude00 half", "\ufffd half"), (r"\ud83d\ude00", "😀")],
)
def test_half_a_surrogate_pair_does_not_break_the_stream(sent: str, heard: str) -> None:
    data = f'{{"type": "response.output_text.delta", "delta": "{sent}"}}'
    (event,) = SseDecoder().feed(f"data: {data}\n\n".encode())
    assert event["delta"] == heard
