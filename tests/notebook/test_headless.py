"""Policies for where nobody can be asked: what they cover, and what they never cover."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.errors import UsageError
from codex_jupyter.notebook.headless import HeadlessPolicy, parse_headless


def command(script: str) -> dict[str, Any]:
    return {"kind": "command", "script": script}


def tool(name: str) -> dict[str, Any]:
    return {"kind": "tool", "tool": name}


PATCH = {"kind": "patch"}
QUESTION = {"kind": "question"}

names = st.text(st.characters(codec="utf-8"), max_size=30)
requests = st.one_of(
    names.map(command), names.map(tool), st.just(PATCH), st.just(QUESTION), names.map(command)
)


@pytest.mark.parametrize(
    "text",
    ["deny", "fail", "allow run_python", "allow run_python, command:git status, apply_patch"],
)
def test_a_policy_reads_back_as_it_was_written(text: str) -> None:
    assert str(parse_headless(text)) == text
    assert parse_headless(f"  {text}  ") == parse_headless(text)


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "allow",
        "allow ,",
        "deny all",
        "fail now",
        "allow command:",
        "allow patch:x",
        "allow run python",
        "allow *",
        "Deny",
        "allow command: ,apply_patch",
        "",
    ],
)
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match=r"understood|empty prefix"):
        parse_headless(text)


@given(names)
def test_no_text_but_allow_with_rules_allows_anything(text: str) -> None:
    try:
        policy = parse_headless(text)
    except UsageError:
        return
    assert policy.mode != "allow" or (policy.rules and text.strip().startswith("allow "))


@given(requests)
def test_silence_and_denial_never_accept(request: dict[str, Any]) -> None:
    assert HeadlessPolicy().decide(request) == "fail"
    assert parse_headless("deny").decide(request) == "decline"


@given(requests)
def test_a_rule_covers_its_own_kind_only(request: dict[str, Any]) -> None:
    for rule, kind in (("run_python", "tool"), ("apply_patch", "patch"), ("command", "command")):
        if parse_headless(f"allow {rule}").decide(request) == "accept":
            assert request["kind"] == kind
            assert request.get("tool", rule) == rule


@pytest.mark.parametrize(
    "script", ["git status", "git status -s", "git  status", " git status", "git status a.b/c-d"]
)
def test_a_prefix_covers_simple_commands_that_begin_so(script: str) -> None:
    assert parse_headless("allow command:git status").decide(command(script)) == "accept"


@pytest.mark.parametrize(
    "script",
    [
        "git",
        "git statusx",
        "sudo git status",
        "git push",
        "",
        "git status; rm -rf /",
        "git status | sh",
        "git status && x",
        "git status > f",
        "git status $(x)",
        "git status `x`",
        "git status\nrm x",
        "git status\r\nrm x",
        "git status & x",
        "git 'status'",
        "git status *",
        "git status ~",
        "git status {a,b}",
        "git status #",
        "!git status",
        "git status\\\nx",
    ],
)
def test_a_prefix_covers_nothing_else(script: str) -> None:
    assert parse_headless("allow command:git status").decide(command(script)) == "decline"


@given(st.text(alphabet="ab; |&$`()<>\n\"'\\*", max_size=12))
def test_what_a_prefix_covers_is_one_simple_command(script: str) -> None:
    if parse_headless("allow command:a").decide(command(script)) == "accept":
        assert script.split(maxsplit=1)[0] == "a"
        assert not set(script) & set(";|&$`()<>\n\"'\\*")


def test_the_rule_for_all_commands_covers_every_command() -> None:
    assert parse_headless("allow command").decide(command("a; b | c")) == "accept"
