import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.model.retry import RetryPolicy, server_delay, spelled_delay

POLICY = RetryPolicy()


def test_each_wait_is_twice_the_one_before() -> None:
    delays = [POLICY.delay(n, None, 0.5) for n in range(1, 6)]
    assert delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2])


def test_waits_are_spread_by_a_tenth_up_and_down() -> None:
    assert POLICY.delay(1, None, 0.0) == pytest.approx(0.18)
    assert POLICY.delay(1, None, 1.0) == pytest.approx(0.22)


def test_the_server_knows_better() -> None:
    assert POLICY.delay(3, 7.5, 0.0) == 7.5
    assert POLICY.delay(3, 0.0, 0.9) == 0.0


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_no_wait_of_ours_exceeds_the_maximum(n: int, random: float) -> None:
    assert 0 < POLICY.delay(n, None, random) <= POLICY.max_delay * 1.1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_headers_that_ask_for_a_pause(headers: dict[str, str], seconds: float | None) -> None:
    assert server_delay(headers, now=10.0) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 1.5s.", 1.5),
        ("Please try again in 28ms.", 0.028),
        ("Rate limit reached. Try again in 35 seconds.", 35.0),
        ("try again in 1m12.5s", 72.5),
        ("try again in 6m0s. Visit …", 360.0),
        ("try again in 2 minutes", 120.0),
        ("try again in 1h", 3600.0),
        ("try again in 500 milliseconds", 0.5),
        ("try again in 2 fortnights", None),
        ("try again in a while", None),
        ("no word of it", None),
    ],
)
def test_words_that_ask_for_a_pause(text: str, seconds: float | None) -> None:
    assert spelled_delay(text) == (None if seconds is None else pytest.approx(seconds))


def test_headers_go_before_words() -> None:
    assert server_delay({"retry-after": "3"}, "try again in 9s", now=0.0) == 3.0
    assert server_delay({"retry-after": "?"}, "try again in 9s", now=0.0) == 9.0


@given(st.text(), st.text(), st.text())
def test_no_text_of_a_server_is_an_error(header: str, milliseconds: str, text: str) -> None:
    headers = {"retry-after": header, "retry-after-ms": milliseconds}
    delay = server_delay(headers, f"try again in {text}", now=0.0)
    assert delay is None or 0 <= delay < float("inf")


@given(st.from_regex(r"[A-Za-z0-9 :,+\-]{0,40}", fullmatch=True))
def test_nothing_that_resembles_a_date_is_an_error(header: str) -> None:
    delay = server_delay({"retry-after": header}, now=0.0)
    assert delay is None or 0 <= delay < float("inf")
