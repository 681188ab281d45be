"""What MCP servers ask, as questions with typed answers."""

from typing import Any

import pytest

from codex_jupyter.view.forms import content_of, elicitation_answer, questions_of
from codex_jupyter.view.requests import answer_for, pending_request

Json = dict[str, Any]


def form(required: list[str] | None = None, **fields: Json) -> Json:
    schema = {"type": "object", "properties": fields, "required": required or []}
    return {"serverName": "things", "mode": "form", "message": "Well?", "requestedSchema": schema}


def answers(**texts: str) -> Json:
    return {name: {"answers": [text] if text else []} for name, text in texts.items()}


VISIT = {"serverName": "s", "mode": "url", "message": "Log in", "url": "https://x/y"}
MAY_RUN = {
    "threadId": "t",
    "turnId": "u",
    "serverName": "things",
    "mode": "form",
    "message": 'Allow the things MCP server to run tool "add"?',
    "requestedSchema": {"type": "object", "properties": {}},
    "_meta": {
        "codex_approval_kind": "mcp_tool_call",
        "persist": ["session", "always"],
        "tool_name": "add",
        "tool_params": {"a": 1},
    },
}


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ({"type": "string"}, "3", "3"),
        ({"type": "integer"}, "3", 3),
        ({"type": "number"}, "0.5", 0.5),
        ({"type": "boolean"}, "Yes", True),
        ({"type": "boolean"}, "No", False),
        ({"type": "string", "enum": ["r", "b"], "enumNames": ["Red", "Blue"]}, "Blue", "b"),
        ({"type": "string", "oneOf": [{"const": "r", "title": "Red"}]}, "Red", "r"),
        (
            {"type": "array", "items": {"type": "string", "enum": ["a", "b", "c"]}},
            "a, c",
            ["a", "c"],
        ),
        ({"type": "array", "items": {"anyOf": [{"const": "r", "title": "Red"}]}}, "Red", ["r"]),
        ({"type": "string", "default": "blue"}, "", "blue"),
    ],
)
def test_an_answer_has_the_type_of_its_field(field: Json, text: str, value: Any) -> None:
    assert content_of(form(it=field), answers(it=text)) == {"it": value}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"type": "integer"}, "three"),
        ({"type": "number"}, "x"),
        ({"type": "string", "enum": ["red"]}, "green"),
        ({"type": "array", "items": {"type": "string", "enum": ["a"]}}, "a, z"),
        ({"type": "string"}, ""),
    ],
)
def test_what_does_not_fit_or_is_missing_declines(field: Json, text: str) -> None:
    asked = form(["it"], it=field)
    assert elicitation_answer(asked, {"answers": answers(it=text)}) == {"action": "decline"}


def test_a_field_that_may_be_left_open_is_left_out() -> None:
    asked = form(["one"], one={"type": "string"}, two={"type": "string"})
    assert [q["isOptional"] for q in questions_of(asked)] == [False, True]
    said = elicitation_answer(asked, {"answers": answers(one="1", two="")})
    assert said == {"action": "accept", "content": {"one": "1"}}


def test_the_choices_of_a_field_are_offered() -> None:
    asked = form(b={"type": "boolean"}, c={"type": "string", "enum": ["x", "y"]})
    labels = [[option["label"] for option in q["options"]] for q in questions_of(asked)]
    assert labels == [["Yes", "No"], ["x", "y"]]


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"it": True}},
        {"properties": {"it": {"anyOf": [{"type": "string"}, True]}}},
        {"properties": {"it": {"oneOf": "x", "enum": 5, "enumNames": {}, "items": [1]}}},
        {"properties": {"it": {"type": "array", "items": {"anyOf": [{"title": "Red"}]}}}},
        {"properties": {"it": {}}, "required": 5},
        {"properties": {"it": {"enum": [["a"], {"b": 1}]}}},
    ],
)
def test_a_form_that_a_server_describes_badly_is_put_all_the_same(schema: Json) -> None:
    asked = {**form(), "requestedSchema": schema}
    assert [question["id"] for question in questions_of(asked)] == ["it"]
    assert elicitation_answer(asked, {"answers": answers(it="x")})["action"] in (
        "accept",
        "decline",
    )


@pytest.mark.parametrize("schema", [None, 5, [], {"properties": [1]}])
def test_a_form_whose_fields_nobody_understands_asks_for_consent(schema: Any) -> None:
    asked = {**form(), "requestedSchema": schema}
    assert [question["id"] for question in questions_of(asked)] == ["consent"]


@pytest.mark.parametrize(
    ("text", "answer"), [("Yes", {"action": "accept"}), ("No", {"action": "decline"})]
)
def test_an_address_is_shown_and_consented_to(text: str, answer: Json) -> None:
    (question,) = questions_of(VISIT)
    assert VISIT["url"] in question["question"]
    assert elicitation_answer(VISIT, {"answers": answers(**{question["id"]: text})}) == answer


def test_a_form_without_fields_asks_for_consent() -> None:
    (question,) = questions_of(form())
    said = {"answers": answers(**{question["id"]: "Yes"})}
    assert elicitation_answer(form(), said) == {"action": "accept", "content": {}}


def test_a_form_is_shown_as_a_question_that_may_be_declined() -> None:
    asked = {**form(it={"type": "string"}), "threadId": "t", "turnId": "u", "_meta": {"a": 1}}
    shown = pending_request("mcpServer/elicitation/request", asked, "r", None)
    assert (shown["kind"], shown["mayDecline"], shown["itemId"]) == ("question", True, "")
    assert shown["questions"][0]["id"] == "it"
    declined = answer_for("mcpServer/elicitation/request", asked, {"decision": "decline"})
    assert declined == {"action": "decline"}
    # Nobody can have agreed to a form without having seen its fields.
    agreed = answer_for("mcpServer/elicitation/request", asked, {"decision": "accept"})
    assert agreed == {"action": "decline"}


@pytest.mark.parametrize(
    ("decision", "answer"),
    [
        ("accept", {"action": "accept", "content": {}}),
        (
            "acceptForSession",
            {"action": "accept", "content": {}, "_meta": {"persist": "session"}},
        ),
        ("decline", {"action": "decline"}),
        ("cancel", {"action": "cancel"}),
    ],
)
def test_the_originals_approval_of_a_tool_is_shown_as_one(decision: str, answer: Json) -> None:
    shown = pending_request("mcpServer/elicitation/request", MAY_RUN, "r", None)
    assert (shown["kind"], shown["mayDecline"]) == ("command", False)
    assert shown["command"].startswith("add({")
    assert '"a": 1' in shown["command"]
    assert decision in shown["choices"]
    assert answer_for("mcpServer/elicitation/request", MAY_RUN, {"decision": decision}) == answer


@pytest.mark.parametrize(
    ("sentence", "shown_as"),
    [
        ('Allow the things MCP server to run tool "add"?', "add({})"),
        (
            'Allow it to run tool "rm" or tool "ls"?',
            'Allow it to run tool \\"rm\\" or tool \\"ls\\"?({})',
        ),
        ("May it\nrun?", "May it\\nrun?({})"),
    ],
)
def test_a_tool_that_only_a_sentence_names_is_named(sentence: str, shown_as: str) -> None:
    """As 0.163 asks, which says no `tool_name`."""
    meta = {"codex_approval_kind": "mcp_tool_call", "tool_params": {}}
    asked = {**MAY_RUN, "message": sentence, "_meta": meta}
    assert pending_request("mcpServer/elicitation/request", asked, "r", None)["command"] == shown_as


def test_what_was_taken_back_is_cancelled() -> None:
    assert elicitation_answer(VISIT, {}) == {"action": "cancel"}


def test_other_answers_are_left_alone() -> None:
    said = {"decision": "accept", "digest": "d"}
    assert answer_for("item/commandExecution/requestApproval", {}, said) == said


@pytest.mark.parametrize("typed", ["nan", "inf", "-Infinity", "1e999"])
def test_a_number_that_json_cannot_carry_fits_no_field(typed: str) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "number"}}}
    assert content_of({"requestedSchema": schema}, {"n": {"answers": [typed]}}) is None
