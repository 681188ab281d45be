"""A record survives its line; a line that is none is said to be none."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.errors import RolloutError
from codex_jupyter.rollout.records import (
    MAX_LINE_BYTES,
    Record,
    decode_line,
    encode_lines,
    epoch_of,
    timestamp_text,
)

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.builds(
    Record,
    st.text(),
    st.dictionaries(st.text(), JSON_VALUES, max_size=4),
    st.just("2026-01-02T03:04:05.678Z"),
)


@given(st.lists(RECORDS, max_size=4))
def test_records_survive_their_lines(records: list[Record]) -> None:
    lines = encode_lines(records).split(b"\n")
    assert lines.pop() == b""
    assert [decode_line(line) for line in lines] == records


@given(RECORDS, st.sampled_from([b"\r", b"\0\0\0", b" \t", b"\r\0"]))
def test_what_editors_and_crashes_put_around_a_line_does_not_matter(
    record: Record, around: bytes
) -> None:
    line = encode_lines([record]).removesuffix(b"\n")
    assert decode_line(b"\xef\xbb\xbf" + line + around) == record
    assert decode_line(around + line) == record


def test_half_a_surrogate_pair_is_stored_as_its_escape() -> None:
    record = Record("event_msg", {"text": "a\ud83dé"}, "t")
    line = encode_lines([record])
    assert line.isascii()
    assert decode_line(line) == record


def test_a_line_has_the_members_of_the_original_and_utf8_text() -> None:
    line = encode_lines([Record("event_msg", {"type": "x", "text": "é\n\u2028"})])
    assert list(json.loads(line)) == ["timestamp", "type", "payload"]
    assert "é\\n\u2028".encode() in line
    assert epoch_of(json.loads(line)["timestamp"]) == pytest.approx(
        datetime.now(UTC).timestamp(), abs=60
    )


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\0\0\0\0",
        b"42",
        b"null",
        b'["type"]',
        b'{"type":"event_msg"}',
        b'{"type":5,"payload":{}}',
        b'{"type":"event_msg","payload":[]}',
        b'{"type":"event_msg","payload":{"a":"\xff"}}',
        b'{"type":"event_msg","payload":{"a":1}',
        b'{"type":"event_msg","payload":{}}{"type":"event_msg","payload":{}}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_record_is_none(line: bytes) -> None:
    assert decode_line(line) is None


def test_a_record_without_a_time_is_still_a_record() -> None:
    assert decode_line(b'{"type":"future","payload":{"a":1}}') == Record("future", {"a": 1}, "")
    assert decode_line(b'{"timestamp":7,"type":"x","payload":{}}') == Record("x", {}, "")


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, b"bytes"])
def test_what_json_cannot_say_is_refused_with_the_type_of_the_record(value: Any) -> None:
    with pytest.raises(RolloutError, match="turn_context"):
        encode_lines([Record("turn_context", {"value": value})])


def test_a_record_too_large_to_read_back_is_refused() -> None:
    with pytest.raises(RolloutError, match="too large"):
        encode_lines([Record("event_msg", {"text": "x" * MAX_LINE_BYTES})])


def test_times_are_utc_with_milliseconds() -> None:
    moment = datetime(2026, 3, 4, 5, 6, 7, 89_999, timezone(timedelta(hours=2)))
    assert timestamp_text(moment) == "2026-03-04T03:06:07.089Z"
    assert epoch_of("2026-03-04T03:06:07.089Z") == 1772593567.089


@pytest.mark.parametrize("text", [None, 5, "", "yesterday", "2026-03-04T03:06:07"])
def test_what_is_no_moment_has_no_epoch(text: object) -> None:
    assert epoch_of(text) is None
