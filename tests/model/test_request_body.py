import json
from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.model.interface import ModelCapabilities, ModelRequest
from codex_jupyter.model.request_body import encode_body, request_body

INPUT = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}]
SHELL = {"type": "function", "name": "shell_command", "parameters": {}}
PATCH = {"type": "custom", "name": "apply_patch"}
REQUEST = ModelRequest("m", "be brief", INPUT, tools=(SHELL, PATCH), thread_id="t1", effort="low")
PLAIN = ModelCapabilities()


def test_the_smallest_request() -> None:
    body = request_body(ModelRequest("m", "be brief", INPUT), PLAIN)
    assert body == {
        "model": "m",
        "instructions": "be brief",
        "input": INPUT,
        "store": False,
        "stream": True,
    }


def test_tools_bring_their_members_along() -> None:
    body = request_body(REQUEST, replace(PLAIN, freeform_tools=True))
    assert body["tools"] == [SHELL, PATCH]
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("auto", True)


def test_free_text_tools_are_kept_from_servers_that_know_functions_only() -> None:
    assert request_body(REQUEST, PLAIN)["tools"] == [SHELL]


@pytest.mark.parametrize(
    ("tools", "capabilities"),
    [((), PLAIN), ((PATCH,), PLAIN), ((SHELL,), replace(PLAIN, tools=False))],
)
def test_without_a_tool_to_send_there_is_no_member_about_tools(
    tools: tuple[dict[str, object], ...], capabilities: ModelCapabilities
) -> None:
    body = request_body(replace(REQUEST, tools=tools), capabilities)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & body.keys()


def test_reasoning_is_asked_for_where_it_is_known() -> None:
    capable = replace(PLAIN, reasoning=True)
    body = request_body(replace(REQUEST, summary="auto"), capable)
    assert body["reasoning"] == {"effort": "low", "summary": "auto"}
    assert body["include"] == ["reasoning.encrypted_content"]
    assert request_body(REQUEST, capable)["reasoning"] == {"effort": "low"}
    assert not {"reasoning", "include"} & request_body(REQUEST, PLAIN).keys()


def test_the_thread_is_the_key_of_the_prompt_cache() -> None:
    assert request_body(REQUEST, PLAIN)["prompt_cache_key"] == "t1"


def test_an_output_schema_is_sent_as_a_strict_format() -> None:
    schema = {"type": "object"}
    body = request_body(replace(REQUEST, output_schema=schema), PLAIN)
    assert body["text"] == {
        "format": {
            "type": "json_schema",
            "name": "codex_output_schema",
            "strict": True,
            "schema": schema,
        }
    }


@given(st.text())
def test_any_text_can_be_encoded(text: str) -> None:
    decoded = json.loads(encode_body({"text": text, "é": MappingProxyType({"n": 1})}))
    assert decoded == {"text": text, "é": {"n": 1}}


def test_half_a_surrogate_pair_does_not_stop_a_request() -> None:
    name = b"r\xff.txt".decode("utf-8", "surrogateescape")
    assert json.loads(encode_body({"input": [name, "café"]})) == {"input": ["r?.txt", "café"]}
