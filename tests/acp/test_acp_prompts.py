"""Prompts in sessions of an ACP client, over real pipes."""

import json
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import anyio
import pytest

from tests.acp.editor import Editor, acp, editing, said, started
from tests.behaviour.conftest import Lab, open_lab
from tests.fake_model import call, reason, say, status

pytestmark = pytest.mark.anyio

PATCH = "*** Begin Patch\n*** Add File: made.txt\n+one\n*** End Patch\n"
CHANGE = "*** Begin Patch\n*** Update File: made.txt\n@@\n-one\n+two\n*** End Patch\n"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[tuple[Lab, Editor]]:
    """One agent for all: it takes seconds to start, and each test has a session of its own."""
    async with open_lab(tmp_path_factory.mktemp("agent")) as lab, editing(lab.home) as editor:
        yield lab, editor


@pytest.fixture
def lab(running: tuple[Lab, Editor], tmp_path: Path) -> Iterator[Lab]:
    fake = running[0].fake
    fake.clear()
    fake.requests.clear()
    yield Lab(fake, running[0].home, tmp_path)
    fake.resume()


@pytest.fixture
def editor(running: tuple[Lab, Editor]) -> Editor:
    running[1].forget()
    return running[1]


async def test_an_answer_streams_in_pieces(lab: Lab, editor: Editor) -> None:
    lab.fake.add(reason("thinking hard") + say("The answer is 42.", deltas=5))
    session = await editor.begin(lab.workspace)
    assert await editor.prompt(session.session_id, "What is it?") == "end_turn"
    await editor.until(lambda: said(editor.updates(session.session_id)) == "The answer is 42.")
    told = editor.updates(session.session_id)
    assert "thinking hard" in said(told, "agent_thought_chunk")
    assert "What is it?" in json.dumps(lab.fake.requests[0]["input"])
    messages = {u["messageId"] for u in told if u["sessionUpdate"] == "agent_message_chunk"}
    assert len(messages) == 1


async def test_an_accepted_command_runs_and_shows_its_output(lab: Lab, editor: Editor) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made; echo hi"}, call_id="c1"), say("Ok"))
    session = await editor.begin(lab.workspace)
    async with started(editor, session.session_id) as reasons:
        question = await editor.asked()
        # The client knows the call before it is asked about it.
        (before,) = editor.updates(session.session_id, "tool_call")
        assert before["toolCallId"] == question.tool_call["toolCallId"] == "c1"
        assert "touch made; echo hi" in question.tool_call["title"]
        assert [o["kind"] for o in question.options] == [
            "allow_once",
            "allow_always",
            "reject_once",
        ]
        assert not (lab.workspace / "made").exists()
        question.choose("accept")
    assert reasons == ["end_turn"]
    await editor.until(lambda: said(editor.updates(session.session_id)) == "Ok")
    last = editor.updates(session.session_id, "tool_call_update")[-1]
    assert (last["toolCallId"], last["status"]) == ("c1", "completed")
    assert "hi" in last["content"][0]["content"]["text"]
    assert last["rawOutput"] == {"exitCode": 0}
    assert (lab.workspace / "made").exists()


async def test_for_this_session_asks_once(lab: Lab, editor: Editor) -> None:
    again = {"command": "touch made"}
    calls = [call("shell_command", again, call_id=f"c{n}") for n in (1, 2)]
    lab.fake.add(*calls, say("Ok"))
    session = await editor.begin(lab.workspace)
    async with started(editor, session.session_id) as reasons:
        (await editor.asked()).choose("acceptForSession")
    assert reasons == ["end_turn"]
    assert len(editor.questions) == 1


async def test_a_rejected_command_does_not_run(lab: Lab, editor: Editor) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"), say("Too bad"))
    session = await editor.begin(lab.workspace)
    async with started(editor, session.session_id) as reasons:
        (await editor.asked()).choose("decline")
    assert reasons == ["end_turn"]
    await editor.until(lambda: said(editor.updates(session.session_id)) == "Too bad")
    last = editor.updates(session.session_id, "tool_call_update")[-1]
    assert last["status"] == "failed"
    assert not (lab.workspace / "made").exists()


async def test_a_dismissed_question_stops_the_turn(lab: Lab, editor: Editor) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"))
    session = await editor.begin(lab.workspace)
    async with started(editor, session.session_id) as reasons:
        (await editor.asked()).dismiss()
    assert reasons == ["cancelled"]
    assert not (lab.workspace / "made").exists()


async def test_a_patch_is_asked_about_with_its_text_before_and_after(
    lab: Lab, editor: Editor
) -> None:
    lab.fake.add(
        call("apply_patch", {"input": PATCH}, call_id="c1"),
        call("apply_patch", {"input": CHANGE}, call_id="c2"),
        say("Done"),
    )
    path = lab.workspace / "made.txt"
    session = await editor.begin(lab.workspace)
    async with started(editor, session.session_id) as reasons:
        question = await editor.asked(1)
        question.choose("accept")
        change = await editor.asked(2)
        change.choose("accept")
    assert reasons == ["end_turn"]
    added = [c for c in question.tool_call["content"] if c["type"] == "diff"]
    assert added == [{"type": "diff", "path": str(path), "newText": "one\n"}]
    changed = [c for c in change.tool_call["content"] if c["type"] == "diff"]
    assert changed == [{"type": "diff", "path": str(path), "oldText": "one\n", "newText": "two\n"}]
    assert change.tool_call["locations"] == [{"path": str(path)}]
    assert path.read_text() == "two\n"


async def test_a_plan_is_told(lab: Lab, editor: Editor) -> None:
    steps = [{"step": "look", "status": "in_progress"}, {"step": "leap", "status": "pending"}]
    lab.fake.add(call("update_plan", {"plan": steps}), say("Ok"))
    session = await editor.begin(lab.workspace)
    await editor.prompt(session.session_id)
    (plan,) = await editor.until(lambda: editor.updates(session.session_id, "plan"))
    assert [(e["content"], e["status"]) for e in plan["entries"]] == [
        ("look", "in_progress"),
        ("leap", "pending"),
    ]


async def test_a_question_of_the_models_is_put_with_its_choices(lab: Lab, editor: Editor) -> None:
    options = [{"label": "red", "description": "warm"}, {"label": "blue", "description": ""}]
    question = {"id": "q", "header": "H", "question": "Which?", "options": options}
    lab.fake.add(call("request_user_input", {"questions": [question]}, call_id="c1"), say("Ok"))
    session = await editor.begin(lab.workspace)
    async with started(editor, session.session_id) as reasons:
        asked = await editor.asked()
        assert asked.tool_call["title"] == "Which?"
        assert [o["name"] for o in asked.options] == ["red", "blue", "No answer"]
        asked.choose("1")
    assert reasons == ["end_turn"]
    (output,) = [i for i in lab.fake.requests[1]["input"] if i["type"] == "function_call_output"]
    assert "blue" in output["output"]


async def test_a_cancel_before_the_first_token(lab: Lab, editor: Editor) -> None:
    lab.fake.add(say("never").hang(after=0))
    session = await editor.begin(lab.workspace)
    async with started(editor, session.session_id) as reasons:
        with anyio.fail_after(30):
            await lab.fake.wait_for_requests(1)
        await editor.agent.cancel(session_id=session.session_id)
    assert reasons == ["cancelled"]
    assert said(editor.updates(session.session_id)) == ""
    lab.fake.add(say("Back"))
    assert await editor.prompt(session.session_id) == "end_turn"


async def test_a_cancel_right_behind_the_prompt(lab: Lab, editor: Editor) -> None:
    """Neither order of the two at the server lets the turn run on."""
    lab.fake.add(*[say("never").hang(after=0) for _ in range(5)])
    session = await editor.begin(lab.workspace)
    for _ in range(5):
        async with started(editor, session.session_id) as reasons:
            await anyio.lowlevel.checkpoint()
            await editor.agent.cancel(session_id=session.session_id)
        assert reasons == ["cancelled"]


async def test_a_cancel_while_an_approval_is_open(lab: Lab, editor: Editor) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"))
    session = await editor.begin(lab.workspace)
    async with started(editor, session.session_id) as reasons:
        question = await editor.asked()
        await editor.agent.cancel(session_id=session.session_id)
    # This client never answered its question, and the prompt has ended all the same.
    assert (reasons, question.outcome) == (["cancelled"], None)
    question.choose("accept")
    lab.fake.add(say("Back"))
    assert await editor.prompt(session.session_id) == "end_turn"
    assert not (lab.workspace / "made").exists()


async def test_an_answer_just_before_a_cancel(lab: Lab, editor: Editor) -> None:
    lab.fake.add(
        call("shell_command", {"command": "touch made"}, call_id="c1"), say("never").hang(after=0)
    )
    session = await editor.begin(lab.workspace)
    async with started(editor, session.session_id) as reasons:
        (await editor.asked()).choose("accept")
        with anyio.fail_after(30):
            await lab.fake.wait_for_requests(2)
        await editor.agent.cancel(session_id=session.session_id)
    assert reasons == ["cancelled"]
    assert (lab.workspace / "made").exists()


async def test_two_sessions_at_once(lab: Lab, editor: Editor) -> None:
    lab.fake.add(
        call("shell_command", {"command": "touch made"}, call_id="c1"), say("second"), say("first")
    )
    one = await editor.begin(lab.workspace)
    async with started(editor, one.session_id) as reasons:
        question = await editor.asked()
        two = await editor.begin(lab.workspace)
        assert await editor.prompt(two.session_id) == "end_turn"
        await editor.until(lambda: said(editor.updates(two.session_id)) == "second")
        assert question.session_id == one.session_id
        question.choose("accept")
    assert reasons == ["end_turn"]
    await editor.until(lambda: said(editor.updates(one.session_id)) == "first")
    assert editor.updates(two.session_id, "tool_call") == []


async def test_a_failed_turn_is_an_error_with_its_sentence(lab: Lab, editor: Editor) -> None:
    lab.fake.add(status(400, "the model does not like this"))
    session = await editor.begin(lab.workspace)
    words = [acp.text_block("Hello")]
    asked = editor.agent.prompt(session_id=session.session_id, prompt=words)
    error = await editor.refused(asked)
    assert "the model does not like this" in str(error)
    lab.fake.add(say("Back"))
    assert await editor.prompt(session.session_id) == "end_turn"


async def test_a_second_prompt_is_refused_while_one_is_answered(lab: Lab, editor: Editor) -> None:
    lab.fake.add(call("shell_command", {"command": "touch made"}, call_id="c1"), say("Ok"))
    session = await editor.begin(lab.workspace)
    async with started(editor, session.session_id) as reasons:
        question = await editor.asked()
        words = [acp.text_block("And this?")]
        asked = editor.agent.prompt(session_id=session.session_id, prompt=words)
        error = await editor.refused(asked)
        assert "wait, or cancel it" in str(error)
        question.choose("accept")
    assert reasons == ["end_turn"]
