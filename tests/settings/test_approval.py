"""Approval policies as values: read, written, and told in words."""

from typing import Any

import pytest

from codex_jupyter.settings.approval import Granular, policy_from, policy_shape, policy_words

FLAGS: dict[str, Any] = {"sandbox_approval": True, "rules": True, "mcp_elicitations": False}


@pytest.mark.parametrize(
    ("shape", "problem"),
    [
        ("sometimes", "must be one of untrusted, on-request, never; it is 'sometimes'"),
        (None, "must be a word, or a table"),
        ({"granular": FLAGS, "x": 1}, "must be a word, or a table"),
        ({"granular": True}, "must be a word, or a table"),
        ({"granular": {"rules": True}}, "must say `granular.sandbox_approval`"),
        ({"granular": {**FLAGS, "skill_approval": 1}}, "must say `granular.skill_approval`"),
        ({"granular": {**FLAGS, "base": "x"}}, "as `granular.base`"),
        ({"granular": {**FLAGS, "base": []}}, "as `granular.base`"),
    ],
)
def test_what_is_no_policy_is_refused_and_told_as_unknown(shape: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        policy_from(shape)
    assert policy_words(shape) == "unknown"


def test_flags_are_whole_when_they_are_written() -> None:
    policy = policy_from({"granular": {**FLAGS, "later": 1}})
    assert policy == Granular(sandbox_approval=True, rules=True, mcp_elicitations=False)
    more = {"request_permissions": False, "skill_approval": False}
    assert policy_shape(policy) == {"granular": {**FLAGS, **more}}
    assert policy_shape("never") == "never"


def test_a_policy_is_told_in_a_few_words() -> None:
    assert policy_words("never") == "never"
    expected = "untrusted, refusing mcp_elicitations, request_permissions, skill_approval"
    assert policy_words({"granular": {**FLAGS, "base": "untrusted"}}) == expected
    everything = dict.fromkeys([*FLAGS, "request_permissions", "skill_approval"], True)
    assert policy_words({"granular": everything}) == "on-request"
