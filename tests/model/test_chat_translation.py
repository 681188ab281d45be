"""Chat Completions and back: what servers send, however they cut it, and what they are sent."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.model.chat_answer import ChatTranslator
from codex_jupyter.model.chat_request import chat_body
from codex_jupyter.model.interface import ModelCapabilities, ModelRequest

Json = dict[str, Any]


def chunk(delta: Json, finish: str | None = None, **more: Any) -> Json:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def said(*chunks: Json, ends: bool = True) -> list[Json]:
    translator = ChatTranslator()
    events = list(itertools.chain.from_iterable(translator.feed([c]) for c in chunks))
    return events + (translator.end() if ends else [])


def done(events: list[Json]) -> list[Json]:
    return [e["item"] for e in events if e["type"] == "response.output_item.done"]


def piece(index: int | None = None, **function: Any) -> Json:
    call: Json = {"function": {k: v for k, v in function.items() if k != "id"}}
    if index is not None:
        call["index"] = index
    if "id" in function:
        call["id"] = function["id"]
    return {"tool_calls": [call]}


def test_text_thoughts_and_tokens() -> None:
    usage = {
        "prompt_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens": 6,
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    events = said(
        chunk({"role": "assistant", "reasoning_content": "hm"}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk({}, "stop"),
        {"choices": [], "usage": usage},
    )
    thought, message = done(events)
    assert thought["content"][0]["text"] == "hm"
    assert message["content"][0]["text"] == "Hello"
    deltas = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    assert deltas == ["Hel", "lo"]
    assert events[-1]["type"] == "response.completed"
    told = events[-1]["response"]["usage"]
    assert (told["input_tokens"], told["output_tokens"], told["total_tokens"]) == (10, 6, 16)
    assert told["input_tokens_details"]["cached_tokens"] == 4
    assert told["output_tokens_details"]["reasoning_tokens"] == 2


@pytest.mark.parametrize(
    "chunks",
    [
        [piece(0, id="a", name="f", arguments='{"x"'), piece(0, arguments=": 1}")],
        [piece(0, id="a", name="f", arguments='{"x"'), piece(0, id="a", arguments=": 1}")],
        [piece(id="a", name="f", arguments='{"x"'), piece(arguments=": 1}")],
        [piece(id="a", name="f", arguments={"x": 1})],
        [piece(0, id="a", name="f", arguments='{"x"'), piece(0, id="z", arguments=": 1}")],
        [piece(0, id="a", name="f"), piece(0, arguments='{"x": 1}')],
    ],
    ids=["by index", "id repeats", "no index", "an object", "ids differ", "name first"],
)
@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
def test_a_call_is_put_together_however_it_comes(chunks: list[Json], finish: str) -> None:
    (call,) = done(said(*(chunk(c) for c in chunks), chunk({}, finish)))
    assert (call["call_id"], call["name"]) == ("a", "f")
    assert call["arguments"].replace(" ", "") == '{"x":1}'


def test_several_calls_keep_their_order_and_get_ids() -> None:
    first, second = done(
        said(
            chunk(piece(1, name="g", arguments="{}")),
            chunk(piece(0, name="f", arguments="{}")),
            chunk({}, "tool_calls"),
        )
    )
    assert [first["name"], second["name"]] == ["f", "g"]
    assert first["call_id"] != second["call_id"]


@pytest.mark.parametrize(
    "pieces",
    [
        [
            piece(0, id="a", name="f", arguments='{"n": 1}'),
            piece(0, id="b", name="g", arguments='{"n": 2}'),
            piece(0, id="c", name="f", arguments='{"n": 3}'),
        ],
        [
            piece(0, id="a", name="f", arguments='{"n": 1}'),
            piece(0, id="b", name="g", arguments='{"n"'),
            piece(0, arguments=": 2}"),
            piece(0, id="c", name="f", arguments='{"n"'),
            piece(0, id="c", name="f", arguments=": 3}"),
        ],
    ],
    ids=["whole", "in pieces"],
)
def test_calls_that_all_have_the_same_number_are_not_mixed(pieces: list[Json]) -> None:
    calls = done(said(*map(chunk, pieces), chunk({}, "tool_calls")))
    assert [(call["call_id"], call["name"], call["arguments"]) for call in calls] == [
        ("a", "f", '{"n": 1}'),
        ("b", "g", '{"n": 2}'),
        ("c", "f", '{"n": 3}'),
    ]


def test_an_answer_without_a_reason_to_finish_broke_off() -> None:
    events = said(chunk({"content": "half"}))
    assert done(events) == []
    assert events[-1]["type"] == "response.output_text.delta"


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (chunk({}, "length"), "response.incomplete"),
        (chunk({}, "content_filter"), "response.failed"),
        ({"error": {"message": "busy", "code": "server_is_overloaded"}}, "response.failed"),
        ({"error": "busy"}, "response.failed"),
    ],
)
def test_what_went_wrong_is_told_and_nothing_after_it(last: Json, kind: str) -> None:
    events = said(chunk({"content": "x"}), last, chunk({"content": "y"}), chunk({}, "stop"))
    assert events[-1]["type"] == kind
    assert done(events) == []


@pytest.mark.parametrize("odd", [None, 5, "x", [None], ["x"], {"a": 1}, float("inf")], ids=repr)
def test_what_no_server_should_send_is_passed_over(odd: Any) -> None:
    chunks = (
        {"choices": odd},
        {"choices": [odd]},
        {"choices": [{"delta": odd}]},
        {"choices": [{"message": odd}]},
        chunk({"tool_calls": odd, "content": odd, "reasoning": odd}),
        {"usage": odd},
        {"usage": {"prompt_tokens": odd, "completion_tokens_details": odd, "total_tokens": odd}},
    )
    events = said(*chunks, chunk({"content": "Hello"}), chunk({}, "stop"))
    (message,) = (item for item in done(events) if item["type"] == "message")
    assert message["content"][0]["text"].endswith("Hello")
    assert events[-1]["type"] == "response.completed"


def test_a_function_that_is_no_object_has_no_name() -> None:
    (call,) = done(said(chunk({"tool_calls": [{"function": "f"}]}), chunk({}, "stop")))
    assert call["name"] == ""


@given(st.lists(st.text(min_size=1), max_size=6))
def test_however_text_is_cut_it_is_the_same(texts: list[str]) -> None:
    events = said(*(chunk({"content": text}) for text in texts), chunk({}, "stop"))
    assert [i["content"][0]["text"] for i in done(events)] == (["".join(texts)] if texts else [])


def body(*items: Json, **more: Any) -> Json:
    request = ModelRequest("m", "Be brief.", items, **more)
    return chat_body(request, ModelCapabilities(reasoning=True))


def message(role: str, *parts: Json) -> Json:
    return {"type": "message", "role": role, "content": list(parts)}


def test_items_become_messages() -> None:
    url = "data:image/png;base64,xx"
    sent = body(
        message("developer", {"type": "input_text", "text": "rules"}),
        message(
            "user", {"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": url}
        ),
        {"type": "reasoning", "summary": [], "encrypted_content": "secret"},
        message("assistant", {"type": "output_text", "text": "I look."}),
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": "free"},
        {"type": "function_call_output", "call_id": "a", "output": "done"},
        {
            "type": "function_call_output",
            "call_id": "b",
            "output": [{"type": "input_image", "image_url": url}],
        },
        message("user", {"type": "input_text", "text": "go on"}),
    )
    roles = [m["role"] for m in sent["messages"]]
    assert roles == ["system", "system", "user", "assistant", "tool", "tool", "user", "user"]
    assert sent["messages"][2]["content"][1] == {"type": "image_url", "image_url": {"url": url}}
    calls = sent["messages"][3]["tool_calls"]
    assert [(c["id"], c["function"]["arguments"]) for c in calls] == [
        ("a", "{}"),
        ("b", '{"input": "free"}'),
    ]
    assert sent["messages"][4] == {"role": "tool", "tool_call_id": "a", "content": "done"}
    assert sent["messages"][6]["content"][0]["image_url"]["url"] == url
    assert "secret" not in str(sent)


def test_settings_become_members() -> None:
    tools = [
        {"type": "function", "name": "f", "description": "d", "strict": False, "parameters": {}},
        {"type": "custom", "name": "g", "description": "d"},
    ]
    sent = body(tools=tools, effort="low", output_schema={"type": "object"})
    (tool,) = sent["tools"]
    assert tool["function"] == {"name": "f", "description": "d", "parameters": {}}
    assert sent["reasoning_effort"] == "low"
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert sent["stream_options"] == {"include_usage": True}
