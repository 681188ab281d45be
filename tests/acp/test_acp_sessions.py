"""Sessions of an ACP client: begun, loaded, listed, their modes, and what is refused."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.acp.editor import START_LIMIT, acp, editing, said, started
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import environment
from tests.fake_model import call, reason, say

pytestmark = pytest.mark.anyio


async def test_a_session_is_loaded_in_a_new_process(lab: Lab) -> None:
    lab.fake.add(
        reason("thinking")
        + call("shell_command", {"command": "touch made; echo hi"}, call_id="c1"),
        say("first answer"),
        say("second answer"),
    )
    async with editing(lab.home) as editor:
        session = await editor.begin(lab.workspace)
        async with started(editor, session.session_id, "first wish"):
            (await editor.asked()).choose("accept")
        await editor.prompt(session.session_id, "second wish")
    async with editing(lab.home) as editor:
        known = session.session_id
        await editor.agent.load_session(cwd=str(lab.workspace), session_id=known, mcp_servers=[])
        await editor.until(lambda: "second answer" in said(editor.updates(known)))
        kinds = [update["sessionUpdate"] for update in editor.updates(known)]
        assert kinds == [
            "user_message_chunk",
            "agent_thought_chunk",
            "tool_call",
            "agent_message_chunk",
            "user_message_chunk",
            "agent_message_chunk",
        ]
        (told,) = editor.updates(known, "tool_call")
        assert (told["toolCallId"], told["status"]) == ("c1", "completed")
        assert "hi" in told["content"][0]["content"]["text"]
        lab.fake.add(say("third answer"))
        assert await editor.prompt(known, "third wish") == "end_turn"
    heard = str(lab.fake.requests[-1]["input"])
    assert "first wish" in heard
    assert "third wish" in heard


@pytest.mark.parametrize("way", ["SIGTERM", "end of input"])
async def test_a_process_that_ends_ends_its_turn(lab: Lab, way: str) -> None:
    lab.fake.add(say("half a sentence", deltas=2).hang(after=3))
    async with editing(lab.home) as editor:
        session = await editor.begin(lab.workspace)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_prompt_until_the_end, editor, session.session_id)
            await editor.until(lambda: said(editor.updates(session.session_id)))
            if way == "SIGTERM":
                editor.process.send_signal(signal.SIGTERM)
            else:
                editor.process.stdin.close()
            with anyio.fail_after(START_LIMIT):
                assert await editor.process.wait() == 0
            tasks.cancel_scope.cancel()
    (rollout,) = lab.home.rglob("rollout-*.jsonl")
    assert "turn_aborted" in rollout.read_text()


async def _prompt_until_the_end(editor: object, session_id: str) -> None:
    try:
        await editor.prompt(session_id)  # type: ignore[attr-defined]
    except (ConnectionError, TimeoutError):
        return


async def test_threads_are_listed_as_sessions(lab: Lab) -> None:
    lab.fake.add(say("Ok"))
    async with editing(lab.home) as editor:
        session = await editor.begin(lab.workspace)
        await editor.prompt(session.session_id, "A wish\nof two lines")
        (listed,) = (await editor.agent.list_sessions()).sessions
        assert (listed.session_id, listed.title) == (session.session_id, "A wish of two lines")
        elsewhere = await editor.agent.list_sessions(cwd="/elsewhere")
        assert elsewhere.sessions == []


async def test_modes_are_approval_policies(lab: Lab) -> None:
    wish = {"command": "touch made"}
    lab.fake.add(call("shell_command", wish, call_id="c1"), say("Refused"))
    lab.fake.add(call("shell_command", wish, call_id="c2"), say("Done"))
    lab.fake.add(call("shell_command", wish, call_id="c3"), say("Asked"))
    async with editing(lab.home) as editor:
        session = await editor.begin(lab.workspace)
        known = session.session_id
        assert session.modes.current_mode_id == "on-request"
        await editor.agent.set_session_mode(session_id=known, mode_id="never")
        await editor.prompt(known)
        assert not (lab.workspace / "made").exists()
        await editor.agent.set_session_mode(session_id=known, mode_id="full-access")
        await editor.prompt(known)
        assert (lab.workspace / "made").exists()
        assert editor.questions == []
        await editor.agent.set_session_mode(session_id=known, mode_id="on-request")
        async with started(editor, known):
            (await editor.asked()).choose("decline")


async def test_the_model_is_an_option(lab: Lab) -> None:
    lab.fake._models = ("fake-model", "other-model")
    lab.fake.add(say("One"), say("Two"))
    async with editing(lab.home) as editor:
        session = await editor.begin(lab.workspace)
        known = session.session_id
        (option,) = session.config_options
        assert (option.id, option.category, option.current_value) == (
            "model",
            "model",
            "fake-model",
        )
        assert [choice.value for choice in option.options] == ["fake-model", "other-model"]
        await editor.prompt(known)

        def choose(config_id: str, value: str) -> Any:
            wanted = {"config_id": config_id, "session_id": known, "value": value}
            return editor.agent.set_config_option(**wanted)

        (option,) = (await choose("model", "other-model")).config_options
        assert option.current_value == "other-model"
        await editor.prompt(known)
        error = await editor.refused(choose("model", "no-model"))
        assert "there is no model 'no-model'" in str(error)
        assert "no option 'colour'" in str(await editor.refused(choose("colour", "red")))
    assert [request["model"] for request in lab.fake.requests] == ["fake-model", "other-model"]


async def test_what_cannot_be_is_refused_with_a_reason(lab: Lab) -> None:
    async with editing(lab.home) as editor:
        agent, unknown = editor.agent, "0192f0f0-0000-7000-8000-000000000000"
        cwd = str(lab.workspace)
        error = await editor.refused(agent.new_session(cwd="relative", mcp_servers=[]))
        assert "absolute path" in str(error)
        error = await editor.refused(agent.new_session(cwd=f"{cwd}/none", mcp_servers=[]))
        assert "there is no folder" in str(error)
        load = agent.load_session(cwd=cwd, session_id=unknown, mcp_servers=[])
        assert "no rollout found" in str(await editor.refused(load))
        load = agent.load_session(cwd=cwd, session_id="not an id", mcp_servers=[])
        assert "invalid thread id" in str(await editor.refused(load))
        asked = agent.prompt(session_id=unknown, prompt=[acp.text_block("Hello")])
        assert "session/new" in str(await editor.refused(asked))
        session = await editor.begin(lab.workspace)
        asked = agent.prompt(session_id=session.session_id, prompt=[acp.text_block("  ")])
        assert "nothing to say" in str(await editor.refused(asked))
        sound = acp.audio_block("AAAA", "audio/wav")
        asked = agent.prompt(session_id=session.session_id, prompt=[sound])
        assert "'audio'" in str(await editor.refused(asked))
        mode = agent.set_session_mode(session_id=session.session_id, mode_id="yolo")
        assert "there is no mode 'yolo'" in str(await editor.refused(mode))
        lab.fake.add(say("Still here"))
        assert await editor.prompt(session.session_id) == "end_turn"


async def test_pictures_and_files_reach_the_model(lab: Lab) -> None:
    lab.fake.add(say("Seen"))
    async with editing(lab.home) as editor:
        session = await editor.begin(lab.workspace)
        blocks = [
            acp.text_block("Look:"),
            acp.image_block("iVBORw0KGgo=", "image/png"),
            acp.resource_link_block("notes.txt", "file:///notes.txt"),
        ]
        await editor.agent.prompt(session_id=session.session_id, prompt=blocks)
    said_to_it = str(lab.fake.requests[0]["input"])
    assert "data:image/png;base64,iVBORw0KGgo=" in said_to_it
    assert "[notes.txt](file:///notes.txt)" in said_to_it


@pytest.mark.parametrize("file", ["stdin", "stdout"])
def test_files_in_place_of_pipes_are_refused(tmp_path: Path, file: str) -> None:
    with (tmp_path / "file").open("wb+") as found:
        done = subprocess.run(
            [sys.executable, "-m", "codex_jupyter.cli", "acp"],
            stdin=found if file == "stdin" else subprocess.PIPE,
            stdout=found if file == "stdout" else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(tmp_path),
            timeout=60,
        )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "let an editor start it" in done.stderr


def test_without_the_library_the_command_says_how_to_get_it(tmp_path: Path) -> None:
    program = (
        "import importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name: None if name == 'acp' else find(name)\n"
        "from codex_jupyter.cli import main\n"
        "raise SystemExit(main(['acp']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        timeout=60,
    )
    assert done.returncode == 1
    assert "pip install 'codex-jupyter[acp]'" in done.stderr
    assert done.stdout == ""


async def test_what_an_agent_of_the_session_asks_is_put_to_the_person(lab: Lab) -> None:
    wish = {"message": "child go"}
    lab.fake.by_prompt(
        {
            "root go": [
                call("spawn_agent", wish, call_id="s1"),
                say("started").hang(after=1),
                say("read"),
            ],
            "child go": [
                call("shell_command", {"command": "touch made"}, call_id="c1"),
                say("did"),
            ],
        }
    )
    async with editing(lab.home) as editor:
        session = await editor.begin(lab.workspace)
        async with started(editor, session.session_id, "root go"):
            question = await editor.asked()
            assert question.session_id == session.session_id
            assert question.tool_call["title"] == "touch made"
            question.choose("accept")
            with anyio.fail_after(editor.limit):
                while not (lab.workspace / "made").exists():
                    await anyio.sleep(0.01)
            lab.fake.resume()
