"""Identifiers: what is accepted, in which form it comes out, and how a refusal is worded."""

import re
import time
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_jupyter.errors import InvalidIdError
from codex_jupyter.ids import (
    TurnId,
    new_item_id,
    new_request_id,
    new_thread_id,
    new_turn_id,
    parse_thread_id,
    parse_turn_id,
    same_turn_id,
    uuid7,
)

patient = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SAMPLE = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
MAX = "ffffffff-ffff-ffff-ffff-ffffffffffff"


def spellings(value: uuid.UUID) -> list[str]:
    plain = str(value)
    return [value.hex, plain, f"{{{plain}}}", f"urn:uuid:{plain}"]


def recased(text: str, upper: list[bool]) -> str:
    """Change the case of digits only: the prefix is lower case by rule."""
    start = 9 if text.startswith("urn:uuid:") else 0
    pairs = zip(text[start:], upper, strict=False)
    return text[:start] + "".join(c.upper() if up else c for c, up in pairs)


@patient
@given(
    st.uuids().filter(lambda value: value.int != 0),
    st.integers(0, 3),
    st.lists(st.booleans(), min_size=45, max_size=45),
)
def test_each_spelling_of_a_uuid_has_one_canonical_form(
    value: uuid.UUID, spelling: int, upper: list[bool]
) -> None:
    text = recased(spellings(value)[spelling], upper)
    assert parse_thread_id(text) == parse_turn_id(text) == str(value) == str(uuid.UUID(text))


@patient
@given(st.text(max_size=70) | st.text(alphabet="0123456789abcdefABCDEF-{}urn:id_+ ", max_size=50))
def test_what_is_accepted_is_one_of_the_four_spellings(text: str) -> None:
    try:
        canonical = parse_thread_id(text)
    except InvalidIdError as error:
        assert len(str(error)) < 200
    else:
        again = recased(text.lower(), [False] * 45)
        assert again in spellings(uuid.UUID(canonical))


@patient
@given(st.sampled_from(spellings(uuid.UUID(SAMPLE))), st.integers(0, 44), st.characters())
def test_one_wrong_character_is_never_forgiven(text: str, place: int, wrong: str) -> None:
    place %= len(text)
    if wrong in "0123456789abcdefABCDEF" or wrong == text[place]:
        return
    with pytest.raises(InvalidIdError):
        parse_turn_id(text[:place] + wrong + text[place + 1 :])


LAX = [
    f"{{{SAMPLE}",
    f"{SAMPLE}}}",
    f"{{{uuid.UUID(SAMPLE).hex}}}",
    f"urn:uuid:{uuid.UUID(SAMPLE).hex}",
    f"uuid:{SAMPLE}",
    f"URN:UUID:{SAMPLE}",
    f"urn:uuid:{{{SAMPLE}}}",
    f"{{urn:uuid:{SAMPLE}}}",
    f"{{{{{SAMPLE}}}}}",
    "f47ac10b58cc-4372a567-0e02b2c3d479",
    "f-4-7-a-c-1-0-b58cc4372a5670e02b2c3d479",
    "_47ac10b58cc4372a5670e02b2c3d47_",
    "+47ac10b58cc4372a5670e02b2c3d479",
    "0x47ac10b58cc4372a5670e02b2c3d47",
    f" {SAMPLE}",
    f"{SAMPLE} ",
    f"{SAMPLE}\n",
    SAMPLE.replace("4", "\uff14"),
    SAMPLE.replace("4", "\u0664"),
    f"{SAMPLE}\0",
]


@pytest.mark.parametrize("text", LAX)
def test_python_s_lax_spellings_are_refused(text: str) -> None:
    with pytest.raises(InvalidIdError):
        parse_thread_id(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "invalid length: expected length 32 for simple format, found 0"),
        ("abc", "invalid length: expected length 32 for simple format, found 3"),
        ("a" * 33, "invalid length: expected length 32 for simple format, found 33"),
        ("{}", "invalid length: expected length 32 for simple format, found 0"),
        ("f47ac10b-58cc-4372-a5670e02b2c3d479", "invalid group count: expected 5, found 4"),
        (SAMPLE[:-1], "invalid group length in group 4: expected 12, found 11"),
        ("f47ac10-58cc-4372-a567-0e02b2c3d479", "invalid group length in group 0: expected 8"),
        ("thread", "found `t` at 1"),
        (f" {SAMPLE}", "found ` ` at 1"),
        (f"{SAMPLE[:35]}g", "found `g` at 36"),
        (f"urn:uuid:{SAMPLE[:35]}g", "found `g` at 45"),
        ("é" * 32, "found `é` at 1"),
    ],
)
def test_a_refusal_says_what_is_wrong_in_the_known_words(text: str, problem: str) -> None:
    with pytest.raises(InvalidIdError) as caught:
        parse_thread_id(text)
    assert str(caught.value).startswith("invalid thread id: ")
    assert problem in str(caught.value)
    with pytest.raises(InvalidIdError, match=r"^invalid turn id: "):
        parse_turn_id(text)


@pytest.mark.parametrize("text", spellings(uuid.UUID(int=0)))
def test_the_nil_uuid_is_refused(text: str) -> None:
    with pytest.raises(InvalidIdError, match="must not be the nil UUID"):
        parse_thread_id(text)


def test_every_version_and_the_max_uuid_are_accepted() -> None:
    assert parse_thread_id(MAX) == MAX
    for version in "0123456789abcdef":
        text = f"f47ac10b-58cc-{version}372-0567-0e02b2c3d479"
        assert parse_thread_id(text) == text


@pytest.mark.parametrize("size", [65, 1_000_000])
def test_a_long_text_is_refused_without_repeating_it(size: int) -> None:
    with pytest.raises(InvalidIdError) as caught:
        parse_turn_id("a" * size)
    assert str(caught.value) == f"invalid turn id: invalid length: {size} characters"


def test_spellings_of_one_turn_id_are_the_same() -> None:
    actual = TurnId(SAMPLE)
    assert all(same_turn_id(spelling, actual) for spelling in spellings(uuid.UUID(SAMPLE)))
    assert same_turn_id(SAMPLE.upper(), actual)
    assert not same_turn_id(MAX, actual)
    assert not same_turn_id("", actual)


def test_legacy_turn_ids_compare_as_they_are_written() -> None:
    assert same_turn_id("rollout-7", TurnId("rollout-7"))
    assert not same_turn_id("ROLLOUT-7", TurnId("rollout-7"))
    assert not same_turn_id("7", TurnId("rollout-7"))


def test_minted_ids_are_version_7_and_rise_with_time() -> None:
    before = time.time_ns() // 1_000_000
    minted = [uuid.UUID(make()) for make in (new_thread_id, new_turn_id, new_item_id, uuid7)]
    after = time.time_ns() // 1_000_000
    for value in minted:
        assert (value.version, value.variant) == (7, uuid.RFC_4122)
        assert before <= value.int >> 80 <= after
    assert len(set(minted)) == len(minted)
    assert all(parse_thread_id(str(value)) == str(value) for value in minted)


def test_request_ids_are_not_uuids_and_never_repeat() -> None:
    minted = {new_request_id() for _ in range(1_000)}
    assert len(minted) == 1_000
    assert all(re.fullmatch(r"req_[0-9a-f]{32}", request_id) for request_id in minted)
