"""What a reviewer's answer means, however badly it keeps to the form."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_jupyter.core.review_text import (
    NO_OUTPUT,
    Finding,
    ReviewOutput,
    parse_review,
    render_review,
    review_hint,
    told_review,
)
from tests.core.reviewing import FINDING, FOUND

TEXT = json.dumps(FOUND)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
NAMES = (
    "findings title body priority confidence_score code_location line_range start end "
    "absolute_file_path overall_explanation overall_confidence_score"
)
members = st.sampled_from(NAMES.split())
reviews = st.recursive(
    json_values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members, inner)
)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"Here is what I found:\n{TEXT}\nThat is all.",
        f"```json\n{json.dumps(FOUND, indent=2)}\n```",
        f'{{"command": "ls"}}\n{TEXT}',
        f"{json.dumps({**FOUND, 'findings': []})}\nNo, better: {TEXT}",
        f"if (x) {{ return }} is wrong. {TEXT}",
        f"{TEXT} {{",
        f"{TEXT} {{not json}}",
    ],
)
def test_the_object_is_found_whatever_is_around_it(text: str) -> None:
    output = parse_review(text)
    assert output.structured
    assert output.wire() == FOUND


@pytest.mark.parametrize("text", ["All is well.", "", "{}", "[1, 2]", '"x"', "{broken", "null"])
def test_other_text_is_the_explanation(text: str) -> None:
    output = parse_review(f"  {text}\n")
    assert (output.structured, output.explanation, output.findings) == (False, text, ())
    assert render_review(output) == (text or NO_OUTPUT)


def finding(**members: Any) -> Finding:
    text = json.dumps({**FOUND, "findings": [{**FINDING, **members}]})
    (found,) = parse_review(text).findings
    return found


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, None),
        (0, 0),
        (3, 3),
        (4, None),
        (-1, None),
        (2.0, 2),
        ("P2", 2),
        (" p1", 1),
        ("high", None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        ([1], None),
    ],
)
def test_a_priority_that_is_none_is_left_out(given: Any, read: int | None) -> None:
    assert finding(priority=given).priority == read


def test_a_missing_priority_spoils_nothing() -> None:
    bare = {name: value for name, value in FINDING.items() if name != "priority"}
    (found,) = parse_review(json.dumps({**FOUND, "findings": [bare]})).findings
    assert (found.title, found.priority) == (FINDING["title"], None)


@pytest.mark.parametrize(
    ("lines", "read"),
    [
        ({"start": 3, "end": 4}, (3, 4)),
        ({"start": 4, "end": 3}, (3, 4)),
        ({"start": 3}, (3, 3)),
        ({"end": 3}, (3, 3)),
        ({"start": "7", "end": "9"}, (7, 9)),
        ({"start": 10**30, "end": 1}, (1, 1)),
        ({"start": 1e300, "end": float("nan")}, (None, None)),
        ({}, (None, None)),
        (None, (None, None)),
        ("3-4", (None, None)),
    ],
)
def test_lines(lines: Any, read: tuple[int | None, int | None]) -> None:
    found = finding(code_location={"absolute_file_path": "/w/a.py", "line_range": lines})
    assert (found.start, found.end) == read
    assert found.path == "/w/a.py"
    shown = render_review(ReviewOutput((found,)))
    assert ("/w/a.py:" in shown) == (read[0] is not None)


@pytest.mark.parametrize(
    "score", [float("nan"), "high", None, True, 7, -1, 10**400], ids=lambda s: str(s)[:9]
)
def test_a_confidence_is_between_nothing_and_one(score: Any) -> None:
    found = finding(confidence_score=score)
    assert found.confidence is None or 0 <= found.confidence <= 1


def test_what_is_no_finding_is_left_out() -> None:
    listed = [FINDING, "x", None, {}, {"title": 5, "body": None}, {"body": "only words"}]
    output = parse_review(json.dumps({**FOUND, "findings": listed}))
    assert [f.title for f in output.findings] == [FINDING["title"], ""]
    assert parse_review('{"findings": "none", "overall_explanation": "x"}').findings == ()


def test_two_findings_read_as_the_original_writes_them() -> None:
    second = {"title": "[P0] Stop", "body": "", "priority": 0, "code_location": None}
    output = parse_review(json.dumps({**FOUND, "findings": [FINDING, second]}))
    assert render_review(output) == (
        "One case is missing.\n\nFull review comments:\n\n"
        "- [P1] Do not divide by zero — /w/mean.py:3-4\n  It fails when the list is empty.\n"
        "  Say so instead.\n\n- [P0] Stop"
    )


@settings(max_examples=60)
@given(value=reviews, before=st.text(max_size=10), after=st.text(max_size=10))
def test_any_answer_is_read_without_an_error(value: Any, before: str, after: str) -> None:
    output = parse_review(before + json.dumps(value) + after)
    json.dumps(output.wire(), allow_nan=False)
    assert render_review(output)
    assert told_review(render_review(output))


def test_many_braces_cost_little() -> None:
    assert not parse_review("{" * 100_000).structured
    assert not parse_review('{"a":' * 50_000).structured


def test_a_target_is_named_for_people() -> None:
    assert review_hint({"type": "commit", "sha": "0123456789abcdef"}) == "commit 0123456"
    assert review_hint({"type": "uncommittedChanges"}) == "current changes"


def test_a_review_that_quotes_much_code_first_is_still_read() -> None:
    quoted = "impl Sea for Whale { fn dive(&self) { self.go(Depth { m: 100 }) } }\n" * 200
    found = parse_review(quoted + json.dumps({"findings": [{"title": "Mend it", "body": "b"}]}))
    assert [finding.title for finding in found.findings] == ["Mend it"]
