"""The prompt memory: every call has one output, every output its call, in the order of events."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_jupyter.core.history import History, user_message
from codex_jupyter.protocol.items import (
    ImageInput,
    LocalImageInput,
    MentionInput,
    SkillInput,
    TextInput,
)
from codex_jupyter.tools.output import NO_AUDIO

patient = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

Json = dict[str, Any]


def said(text: str, role: str = "user") -> Json:
    kind = "input_text" if role == "user" else "output_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def called(call_id: str, kind: str = "function_call") -> Json:
    return {"type": kind, "call_id": call_id, "name": "t", "arguments": "{}"}


def gave(call_id: str, output: str = "ok", kind: str = "function_call_output") -> Json:
    return {"type": kind, "call_id": call_id, "output": output}


def test_a_complete_conversation_is_sent_as_it_is() -> None:
    items = [said("hi"), called("a"), called("b"), gave("a"), gave("b"), said("ok", "assistant")]
    assert History(items).prompt() == items


def test_audio_that_the_original_stored_is_told_in_words() -> None:
    text, image = {"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "u"}
    sound = {"type": "input_audio", "audio_url": "data:audio/wav;base64,AAAA"}
    told = {"type": "input_text", "text": NO_AUDIO}
    output = {"type": "function_call_output", "call_id": "a", "output": [text, sound, image]}
    spoken = {"type": "message", "role": "user", "content": [sound]}
    prompt = History([called("a"), output, spoken]).prompt()
    assert prompt[1]["output"] == [text, told, image]
    assert prompt[2]["content"] == [told]
    assert output["output"] == [text, sound, image]


def test_a_call_without_an_output_gets_one_right_after_it() -> None:
    history = History([said("hi"), called("a"), called("b"), gave("b"), said("more")])
    assert history.prompt() == [
        said("hi"),
        called("a"),
        gave("a", "aborted"),
        called("b"),
        gave("b"),
        said("more"),
    ]


def test_a_free_text_call_gets_an_output_of_its_kind() -> None:
    history = History([called("a", "custom_tool_call")])
    assert history.prompt()[1] == gave("a", "aborted", "custom_tool_call_output")


def test_an_output_without_a_call_is_left_out() -> None:
    assert History([gave("a"), said("hi"), gave("b")]).prompt() == [said("hi")]


def test_an_output_before_its_call_does_not_count() -> None:
    assert History([gave("a"), called("a")]).prompt() == [called("a"), gave("a", "aborted")]


def test_an_output_of_another_kind_does_not_count() -> None:
    history = History([called("a"), gave("a", kind="custom_tool_call_output")])
    assert history.prompt() == [called("a"), gave("a", "aborted")]


def test_a_second_output_is_left_out() -> None:
    history = History([called("a"), gave("a", "1"), gave("a", "2")])
    assert history.prompt() == [called("a"), gave("a", "1")]


def test_calls_of_one_answer_that_share_an_id_keep_their_outputs() -> None:
    items = [called("a"), called("a"), gave("a", "1"), gave("a", "2")]
    assert History(items).prompt() == items


def test_an_id_that_comes_again_later_is_another_call() -> None:
    items = [called("a"), gave("a", "1"), said("again"), called("a"), gave("a", "2")]
    assert History(items).prompt() == items


def test_a_lost_output_is_not_taken_from_a_later_call_of_the_same_id() -> None:
    history = History([called("a"), said("again"), called("a"), gave("a", "2")])
    assert history.prompt() == [
        called("a"),
        gave("a", "aborted"),
        said("again"),
        called("a"),
        gave("a", "2"),
    ]
    history = History([called("a"), gave("a", "1"), said("again"), called("a")])
    assert history.prompt()[-1] == gave("a", "aborted")


@patient
@given(
    st.lists(
        st.one_of(
            st.builds(said, st.sampled_from(["x", "y"]), st.sampled_from(["user", "assistant"])),
            st.builds(called, st.sampled_from("ab"), st.just("function_call")),
            st.builds(called, st.sampled_from("ab"), st.just("custom_tool_call")),
            st.builds(gave, st.sampled_from("ab"), st.sampled_from("12")),
        ),
        max_size=12,
    )
)
def test_whatever_happened_the_prompt_is_well_formed(items: list[Json]) -> None:
    prompt = History(items).prompt()
    waiting: list[tuple[str, str]] = []
    for item in prompt:
        if item["type"].endswith("_call"):
            waiting.append((item["type"] + "_output", item["call_id"]))
        elif item["type"].endswith("_output"):
            waiting.remove((item["type"], item["call_id"]))
    assert waiting == []
    kept = [item for item in prompt if not item["type"].endswith("_output")]
    assert kept == [item for item in items if not item["type"].endswith("_output")]
    assert History(prompt).prompt() == prompt


def test_members_of_the_server_s_are_not_sent() -> None:
    history = History([{**said("hi", "assistant"), "id": "msg_1", "status": "completed"}])
    history.append([{**called("a"), "id": "fc_1", "status": "completed"}])
    assert history.prompt() == [said("hi", "assistant"), called("a"), gave("a", "aborted")]


def test_building_a_prompt_changes_nothing() -> None:
    items = [called("a"), said("hi")]
    history = History(items)
    assert history.prompt() == history.prompt()
    assert len(history) == 2
    assert items == [called("a"), said("hi")]


def test_a_long_history_is_built_in_one_pass() -> None:
    class Counted(dict[str, Any]):
        reads = 0

        def get(self, key: Any, default: Any = None) -> Any:
            Counted.reads += 1
            return super().get(key, default)

    for size in (1_000, 10_000):
        Counted.reads = 0
        items = [Counted(item) for n in range(size) for item in (called(f"c{n}"), gave(f"c{n}"))]
        assert len(History(items).prompt()) == 2 * size
        assert Counted.reads < 10 * 2 * size


@pytest.mark.parametrize("order", ["all calls first", "all open"])
def test_many_calls_of_one_id_are_quick(order: str) -> None:
    size = 3_000
    items = [called("same") for _ in range(size)]
    if order == "all calls first":
        items += [gave("same") for _ in range(size)]
    assert len(History(items).prompt()) == 2 * size


def test_each_kind_of_input_has_its_form() -> None:
    message = user_message(
        [
            TextInput(text="look"),
            ImageInput(url="https://x/y.png"),
            SkillInput(name="plot", path="/s"),
            MentionInput(name="file", path="/f"),
        ]
    )
    assert message == {
        "type": "message",
        "role": "user",
        "content": [
            {"type": "input_text", "text": "look"},
            {"type": "input_image", "image_url": "https://x/y.png"},
            {"type": "input_text", "text": "[plot](/s)"},
            {"type": "input_text", "text": "[file](/f)"},
        ],
    }


def test_a_local_image_is_sent_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG")
    (content,) = user_message([LocalImageInput(path=str(path))])["content"]
    encoded = base64.b64encode(b"\x89PNG").decode()
    assert content == {"type": "input_image", "image_url": f"data:image/png;base64,{encoded}"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.png", "No such file or directory"),
        ("notes.txt", "not an image by its name"),
        ("folder.png", "not a regular file"),
        ("endless.png", "not a regular file"),
        ("pipe.png", "not a regular file"),
        ("bad\0.png", "null"),
    ],
)
def test_an_image_that_cannot_be_read_becomes_a_text(
    tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.png")
    (content,) = user_message([LocalImageInput(path=str(tmp_path / name))])["content"]
    assert content["type"] == "input_text"
    assert reason in content["text"]
