"""The line of `%codex review`, read as what shall be reviewed."""

import pytest

from codex_jupyter.errors import UsageError
from codex_jupyter.notebook.reviews import review_target


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("", {}),
        ("--base main", {"base": "main"}),
        ("--base=origin/main", {"base": "origin/main"}),
        ("--commit 0123abc", {"commit": "0123abc"}),
        ("the new code", {"instructions": "the new code"}),
        ('"the new code"', {"instructions": "the new code"}),
        ("don't look at the tests", {"instructions": "don't look at the tests"}),
        ("the user's and the owner's", {"instructions": "the user's and the owner's"}),
        ('is 5" enough?', {"instructions": 'is 5" enough?'}),
    ],
)
def test_a_line_is_a_branch_a_commit_or_words(line: str, target: dict[str, str]) -> None:
    assert review_target(line) == target


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("--base", "--base BRANCH, --commit SHA, or words"),
        ("--bass main", "--base BRANCH, --commit SHA, or words"),
        ("--base main --commit 0123abc", "--base BRANCH, --commit SHA, or words"),
        ("--base main the new code", "not several of them"),
        ("--base 'main", "cannot be read"),
    ],
)
def test_what_is_neither_is_refused(line: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        review_target(line)
