"""The pure translations between the two protocols."""

from typing import Any

import pytest

from codex_jupyter.acp.modes import mode_of, mode_state, settings_of
from codex_jupyter.acp.permissions import permissions_for, read_approval, read_choices
from codex_jupyter.acp.prompts import user_input
from codex_jupyter.acp.tool_calls import MAX_SHOWN, TAIL_CHARS, command_output, tool_call
from codex_jupyter.acp.updates import TurnUpdates, replayed, sendable
from codex_jupyter.errors import UsageError

Json = dict[str, Any]

IDS = {"threadId": "t", "turnId": "u"}


def item(kind: str, **members: Any) -> Json:
    return {"type": kind, "id": "i1", "status": "completed", **members}


def shown_text(content: Json) -> str:
    return content["content"]["text"]


def test_a_change_is_shown_hunk_by_hunk_before_and_after() -> None:
    diff = "@@ -1,2 +1,2 @@\n-one\n+two\n same\n@@ -9 +9,2 @@\n last\n+more\n"
    change = {"path": "a.txt", "kind": {"type": "update"}, "diff": diff}
    told = tool_call(item("fileChange", changes=[change]), "/work")
    assert told["content"] == [
        {"type": "diff", "path": "/work/a.txt", "oldText": "one\nsame\n", "newText": "two\nsame\n"},
        {"type": "diff", "path": "/work/a.txt", "oldText": "last\n", "newText": "last\nmore\n"},
    ]
    assert (told["kind"], told["title"]) == ("edit", "Edit a.txt")


def test_a_file_that_goes_is_shown_with_what_it_had() -> None:
    change = {"path": "/x/a.txt", "kind": {"type": "delete"}, "diff": "gone\n"}
    told = tool_call(item("fileChange", changes=[change], status="declined"), "/work")
    (content,) = told["content"]
    assert (content["oldText"], content["newText"]) == ("gone\n", "")
    assert (told["kind"], told["status"]) == ("delete", "failed")


def test_a_move_says_where_to() -> None:
    kind = {"type": "update", "move_path": "/x/b.txt"}
    change = {"path": "/x/a.txt", "kind": kind, "diff": "@@\n-1\n+2\n"}
    told = tool_call(item("fileChange", changes=[change]), "/work")
    assert shown_text(told["content"][0]) == "Moved to /x/b.txt"
    assert told["content"][1]["newText"] == "2\n"


@pytest.mark.parametrize(("namespace", "title"), [("mail", "mail.send"), (None, "send")])
def test_a_clients_tool_is_named_with_its_namespace(namespace: str | None, title: str) -> None:
    told = tool_call(item("dynamicToolCall", namespace=namespace, tool="send"), "/work")
    assert told["title"] == title


def test_audio_of_a_clients_tool_is_named() -> None:
    sound = {"type": "inputAudio", "audioUrl": "data:audio/wav;base64,AAAA"}
    told = tool_call(item("dynamicToolCall", tool="hear", contentItems=[sound]), "/work")
    assert shown_text(told["content"][0]) == "[audio]"


def test_output_cannot_leave_its_fence() -> None:
    (content,) = command_output("```\n# not a heading\n````\n")
    lines = shown_text(content).splitlines()
    assert (lines[0], lines[-1]) == ("`````console", "`````")


def test_the_middle_of_a_long_output_is_left_out() -> None:
    (content,) = command_output("a" * MAX_SHOWN + "b" * MAX_SHOWN)
    text = shown_text(content)
    assert len(text) < MAX_SHOWN + 100
    assert f"[… {MAX_SHOWN} characters …]" in text
    assert (text[11], text[-5]) == ("a", "b")


def test_a_running_command_shows_its_last_output() -> None:
    updates = TurnUpdates("/work")
    command = item("commandExecution", command="make", status="inProgress")
    (begun,) = updates.take("item/started", {**IDS, "item": command})
    assert (begun["sessionUpdate"], begun["status"]) == ("tool_call", "in_progress")
    delta = {**IDS, "itemId": "i1", "delta": "x" * TAIL_CHARS}
    method = "item/commandExecution/outputDelta"
    updates.take(method, delta)
    (update,) = updates.take(method, {**delta, "delta": "end"})
    shown = shown_text(update["content"][0])
    assert "xend" in shown
    assert len(shown) < TAIL_CHARS + 20
    done = {**command, "status": "failed", "aggregatedOutput": "all of it", "exitCode": 2}
    (ended,) = updates.take("item/completed", {**IDS, "item": done})
    assert (ended["sessionUpdate"], ended["status"]) == ("tool_call_update", "failed")
    assert "all of it" in shown_text(ended["content"][0])


def test_a_message_is_told_once_however_it_comes() -> None:
    updates = TurnUpdates("/work")
    message = item("agentMessage", text="Hello")
    delta = {**IDS, "itemId": "i1", "delta": "Hello"}
    (chunk,) = updates.take("item/agentMessage/delta", delta)
    assert chunk["content"]["text"] == "Hello"
    assert updates.take("item/completed", {**IDS, "item": message}) == []
    whole = {**message, "id": "i2"}
    (chunk,) = updates.take("item/completed", {**IDS, "item": whole})
    assert (chunk["content"]["text"], chunk["messageId"]) == ("Hello", "i2")
    assert updates.take("item/completed", {**IDS, "item": whole}) == []


def test_what_the_user_said_is_not_said_back_but_replayed() -> None:
    said = item("userMessage", content=[{"type": "text", "text": "Hi"}])
    assert TurnUpdates("/").take("item/completed", {**IDS, "item": said}) == []
    (told,) = replayed([{"items": [said]}], "/")
    assert (told["sessionUpdate"], told["content"]["text"]) == ("user_message_chunk", "Hi")


def test_a_picture_stays_one_when_it_is_replayed() -> None:
    picture = {"type": "image", "url": "data:image/png;base64,AAAA"}
    (told,) = replayed([{"items": [item("userMessage", content=[picture])]}], "/")
    assert told["content"] == {"type": "image", "data": "AAAA", "mimeType": "image/png"}


def test_the_context_is_told_only_with_its_size() -> None:
    updates, method = TurnUpdates("/"), "thread/tokenUsage/updated"
    last = {"totalTokens": 7}
    assert updates.take(method, {**IDS, "tokenUsage": {"last": last}}) == []
    usage = {"last": last, "modelContextWindow": 10}
    (told,) = updates.take(method, {**IDS, "tokenUsage": usage})
    assert (told["used"], told["size"]) == (7, 10)


def test_half_a_surrogate_pair_goes_into_no_line() -> None:
    told = sendable({"a": ["x\ud800y", 1, None], "b": {"c": "ü"}})
    assert told == {"a": ["x?y", 1, None], "b": {"c": "ü"}}


def test_unknown_notifications_and_items_tell_nothing() -> None:
    updates = TurnUpdates("/")
    assert updates.take("thread/new/thing", IDS) == []
    assert updates.take("item/new/delta", {**IDS, "itemId": "i1", "delta": "x"}) == []
    assert updates.take("item/completed", {**IDS, "item": item("newThing")}) == []


def test_a_warning_stands_before_what_is_asked() -> None:
    params = {**IDS, "itemId": "i1", "command": "rm x", "warning": "careful", "sandboxing": "none"}
    method = "item/commandExecution/requestApproval"
    known = item("commandExecution", command="rm x", status="inProgress")
    (asked,) = permissions_for(method, params, known, "/")
    assert shown_text(asked.tool_call["content"][0]) == "Warning: careful\nSandbox: none"
    assert (asked.tool_call["status"], asked.tool_call["title"]) == ("pending", "rm x")
    # A delegate's command is no item of this thread; it is asked about by its text.
    (asked,) = permissions_for(method, params, None, "/")
    assert asked.tool_call["title"] == "rm x"


@pytest.mark.parametrize(
    ("outcome", "decision"),
    [
        ({"outcome": "selected", "optionId": "accept"}, "accept"),
        ({"outcome": "selected", "optionId": "acceptForSession"}, "acceptForSession"),
        ({"outcome": "selected", "optionId": "decline"}, "decline"),
        ({"outcome": "selected", "optionId": "unheard of"}, "decline"),
        ({"outcome": "cancelled"}, "cancel"),
        ({}, "cancel"),
    ],
)
def test_no_outcome_but_a_yes_is_one(outcome: Json, decision: str) -> None:
    assert read_approval(outcome, "d") == {"decision": decision, "digest": "d"}


def test_secret_and_open_questions_are_left_unanswered() -> None:
    options = [{"label": "a"}, {"label": "b"}]
    questions = [
        {"id": "free", "question": "?", "options": None},
        {"id": "secret", "question": "?", "options": options, "isSecret": True},
        {"id": "choice", "question": "?", "options": options},
    ]
    params = {**IDS, "itemId": "i1", "questions": questions}
    asked = permissions_for("item/tool/requestUserInput", params, None, "/")
    assert [permission.question_id for permission in asked] == ["choice"]
    answers = read_choices("item/tool/requestUserInput", params, {"choice": "1"})["answers"]
    assert {name: given["answers"] for name, given in answers.items()} == {
        "free": [],
        "secret": [],
        "choice": ["b"],
    }


def test_a_form_of_an_mcp_server_is_put_with_its_choices() -> None:
    method = "mcpServer/elicitation/request"
    fields = {"colour": {"type": "string", "enum": ["red", "blue"]}, "note": {"type": "string"}}
    schema = {"type": "object", "properties": fields, "required": ["colour"]}
    asked = {"serverName": "s", "mode": "form", "message": "Which?", "requestedSchema": schema}
    params = {**IDS, "itemId": "i1", **asked}
    (permission,) = permissions_for(method, params, None, "/")
    assert [option["name"] for option in permission.options] == ["red", "blue", "No answer"]
    chosen = read_choices(method, params, {"colour": "1"})
    assert chosen == {"action": "accept", "content": {"colour": "blue"}}
    assert read_choices(method, params, {}) == {"action": "decline"}


def test_neighbouring_text_is_one_part() -> None:
    blocks: list[Json] = [
        {"type": "text", "text": "Look at"},
        {"type": "resource", "resource": {"uri": "file:///a", "text": "the text"}},
        {"type": "image", "data": "AA", "mimeType": "image/png"},
    ]
    assert user_input(blocks) == [
        {"type": "text", "text": 'Look at\n<resource uri="file:///a">\nthe text\n</resource>'},
        {"type": "image", "url": "data:image/png;base64,AA"},
    ]


def test_modes_lead_there_and_back() -> None:
    asking = {"approvalPolicy": "on-request", "sandbox": {"type": "readOnly"}}
    free = {"approvalPolicy": "never", "sandbox": {"type": "dangerFullAccess"}}
    assert (mode_of(asking), mode_of(free)) == ("on-request", "full-access")
    assert mode_of({**asking, "approvalPolicy": "never"}) == "never"
    for asks, mode in ((True, "on-request"), (False, "never")):
        assert (
            mode_of({**asking, "approvalPolicy": {"granular": {"sandbox_approval": asks}}}) == mode
        )
    for mode in mode_state("never")["availableModes"]:
        settings = settings_of(mode["id"], {"type": "readOnly"})
        opened = {**settings, "sandbox": settings["sandboxPolicy"]}
        assert mode_of(opened) == mode["id"]
    # Leaving full access never leaves the sandbox open.
    kept = settings_of("never", {"type": "dangerFullAccess"})["sandboxPolicy"]
    assert kept == {"type": "workspaceWrite"}
    with pytest.raises(UsageError, match="there is no mode 'x'"):
        settings_of("x", {})
