"""What of a conversation reaches the small local model."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.errors import ModelError
from codex_jupyter.model.interface import ModelRequest
from codex_jupyter.model.local_request import CONVERSATION_BYTES, INSTRUCTIONS, local_request


def message(role: str, text: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def sent(*items: dict[str, Any]) -> list[tuple[str, str]]:
    request = local_request(ModelRequest("gpt-9", "Call tools.", items))
    return [(item["role"], item["content"][0]["text"]) for item in request.input]


def test_only_what_the_two_said_is_sent():
    items = [
        message("developer", "<permissions instructions>"),
        message("user", "<environment_context>\n</environment_context>"),
        message("user", "Hello"),
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "name": "f", "call_id": "1", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "x"},
        message("assistant", "Hi!"),
        message("user", "<turn_aborted>\nwhy\n</turn_aborted>"),
        message("user", "Name?"),
    ]
    assert sent(*items) == [("user", "Hello"), ("assistant", "Hi!"), ("user", "Name?")]


def test_everything_but_the_conversation_is_replaced_or_left_out():
    request = local_request(
        ModelRequest(
            "gpt-9",
            "Call tools.",
            [message("assistant", "Hi!"), message("user", "Name?")],
            tools=[{"type": "function", "name": "f"}],
            thread_id="t",
            output_schema={"type": "object"},
            headers={"x": "y"},
        )
    )
    assert request == ModelRequest(
        "local",
        INSTRUCTIONS,
        [message("assistant", "Hi!"), message("user", "Name?")],
        thread_id="t",
    )


def test_images_are_left_out_of_a_message_and_texts_joined():
    parts = [
        {"type": "input_text", "text": "Look:"},
        {"type": "input_image", "image_url": "data:,"},
        {"type": "input_text", "text": "What is it?"},
    ]
    item = {"type": "message", "role": "user", "content": parts}
    assert sent(item) == [("user", "Look:\nWhat is it?")]


def test_a_conversation_without_text_is_refused_here():
    image = {"type": "message", "role": "user", "content": [{"type": "input_image"}]}
    with pytest.raises(ModelError, match="text only"):
        sent(image)


def test_the_oldest_messages_are_cut_first():
    texts = [f"{number} " + "x" * 1000 for number in range(20)]
    kept = [text for _, text in sent(*(message("user", text) for text in texts))]
    assert kept == texts[-2:]


def test_of_a_newest_message_that_is_too_long_both_ends_are_kept():
    [(_, text)] = sent(message("user", "old"), message("user", "START" + "é" * 9000 + "END"))
    assert text.startswith("STARTé")
    assert text.endswith("éEND")
    assert "\n[...]\n" in text
    assert CONVERSATION_BYTES - 20 <= len(text.encode()) + 16 <= CONVERSATION_BYTES


@given(st.lists(st.text(max_size=50).map(lambda text: text * 60), min_size=1, max_size=8))
def test_what_is_sent_always_fits_and_ends_with_the_newest(texts: list[str]):
    spoken = [text for text in texts if text.strip()]
    if not spoken:
        return
    kept = sent(*(message("user", text) for text in texts))
    assert sum(len(text.encode()) + 16 for _, text in kept) <= CONVERSATION_BYTES
    if len(kept) > 1:
        assert [text for _, text in kept] == spoken[-len(kept) :]
