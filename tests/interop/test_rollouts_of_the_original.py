"""A rollout written by ours is read by the original, and the reverse.

Runs where the original is installed: on the PATH, where `CODEX_ORIGINAL` says, or with the SDK.
"""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio.to_thread
import pytest

from tests.behaviour.conftest import Lab, lab
from tests.behaviour.talk import Json, connect, text
from tests.fake_model import Answer, call, raw, reason, say
from tests.interop.original import Original, home_for, installed

__all__ = ["lab"]

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.sdk,
    pytest.mark.skipif(
        not installed(),
        reason="the original is not installed: no `codex` on the PATH, no CODEX_ORIGINAL, no SDK",
    ),
]
originals = pytest.mark.parametrize("program", installed())

FREE: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}
PATCH = "*** Begin Patch\n*** Add File: made.txt\n+x\n*** End Patch\n"


@contextmanager
def running(program: str, home: Path, cwd: Path) -> Generator[Original]:
    original = Original(program, home, cwd)
    try:
        yield original
    finally:
        original.kill()


def texts(request: Json) -> list[str]:
    """Return what was said, without what either program adds."""
    found: list[str] = []
    for item in request["input"]:
        if item.get("type") == "message" and item["role"] in ("user", "assistant"):
            found += [part["text"] for part in item["content"] if "text" in part]
    return [words for words in found if not words.startswith(("<", "#"))]


async def our_thread(lab: Lab) -> tuple[str, list[str]]:
    """Write a rollout with every kind of record, and return what the model remembers of it."""
    asked = call("shell_command", {"command": "touch allowed"}, call_id="c2")
    question = {"questions": [{"id": "q", "header": "H", "question": "Which?", "options": []}]}
    lab.fake.add(
        reason("thinking") + call("shell_command", {"command": "echo hi"}, call_id="c1"),
        asked,
        call("apply_patch", {"input": PATCH}, call_id="c3"),
        say("first answer"),
        say("taken back"),
        say("second answer"),
        call("request_user_input", question, call_id="c4"),
        say("third answer"),
    )
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace, approvalPolicy="untrusted")
        turn_id = await talk.start_turn(thread_id, "first wish")
        for n in (1, 2):
            await talk.answer(await talk.asked(n=n), {"decision": "accept"})
        await talk.turn_end(turn_id)
        gone = await talk.turn(thread_id, "a mistake")
        await talk.ask("thread/revert", {"threadId": thread_id, "beforeTurnId": gone["id"]})
        await talk.ask("thread/name/set", {"threadId": thread_id, "name": "a name"})
        await talk.turn(thread_id, "second wish")
        turn_id = await talk.start_turn(thread_id, "third wish")
        await talk.answer(await talk.asked(n=3), {"answers": {"q": {"answers": ["this"]}}})
        await talk.turn_end(turn_id)
    said = ["first wish", "first answer", "second wish", "second answer", "third wish"]
    return thread_id, [*said, "third answer"]


@originals
async def test_the_original_goes_on_with_our_thread(lab: Lab, program: str) -> None:
    thread_id, said = await our_thread(lab)
    lab.fake.clear()
    lab.fake.add(say("the original's answer"))

    def go_on(home: Path) -> tuple[Json, Json]:
        shutil.copytree(lab.home / "sessions", home / "sessions")
        with running(program, home, lab.workspace) as original:
            resumed = original.call("thread/resume", {"threadId": thread_id})
            turn = original.turn(thread_id, "what now?")
            original.end()
            return resumed, turn

    with home_for(lab.fake.base_url) as home:
        resumed, turn = await anyio.to_thread.run_sync(go_on, home)
        assert resumed["thread"]["id"] == thread_id
        assert turn["status"] == "completed"
        assert texts(lab.fake.requests[-1]) == [*said, "what now?"]
        kinds = [item["type"] for item in lab.fake.requests[-1]["input"]]
        assert kinds.count("function_call") == kinds.count("function_call_output") == 4
        # And back again: ours reads what the original appended to our file.
        shutil.rmtree(lab.home / "sessions")
        shutil.copytree(home / "sessions", lab.home / "sessions")
    lab.fake.add(say("ours again"))
    async with lab.serving() as server, connect(server) as talk:
        resumed = await talk.ask("thread/resume", {"threadId": thread_id, **FREE})
        assert len(resumed["thread"]["turns"]) == 4
        await talk.turn(thread_id, "and now?")
    assert texts(lab.fake.requests[-1])[:-2] == [*said, "what now?"]


SPACES: Json = {
    "dynamicTools": [
        {
            "type": "namespace",
            "name": "mail",
            "description": "About mail.",
            "tools": [
                {
                    "type": "function",
                    "name": "send",
                    "description": "d",
                    "inputSchema": {"type": "object", "properties": {}},
                }
            ],
        }
    ]
}


def sends() -> Answer:
    member = {"namespace": "mail", "name": "send", "arguments": "{}", "call_id": "c1"}
    item = {"type": "function_call", "id": "fc_1", "status": "completed", **member}
    return raw({"type": "response.output_item.done", "output_index": 0, "item": item})


def spaces_in(request: Json) -> tuple[list[Json], list[Json]]:
    """Return the namespace that the model was offered, and its call of a tool in there."""
    offered = [tool for tool in request["tools"] if tool.get("name") == "mail"]
    names = ("namespace", "name", "arguments", "call_id")
    called = [item for item in request["input"] if item["type"] == "function_call"]
    return offered, [{name: item[name] for name in names} for item in called]


@originals
async def test_namespaces_of_the_originals_thread_are_ours_too(lab: Lab, program: str) -> None:
    lab.configure(freeform_tools=True)
    lab.fake.add(sends(), say("first answer"))

    def begin(home: Path) -> str:
        with running(program, home, lab.workspace) as original:
            params = {"cwd": str(lab.workspace), **FREE, **SPACES}
            thread_id = original.call("thread/start", params)["thread"]["id"]
            original.answers["item/tool/call"] = {"contentItems": [], "success": True}
            original.turn(thread_id, "first wish")
            original.end()
            return thread_id

    with home_for(lab.fake.base_url) as home:
        thread_id = await anyio.to_thread.run_sync(begin, home)
        shutil.copytree(home / "sessions", lab.home / "sessions")
    lab.fake.add(say("ours"))
    async with lab.serving() as server, connect(server) as talk:
        resumed = await talk.ask("thread/resume", {"threadId": thread_id})
        items = resumed["thread"]["turns"][0]["items"]
        (item,) = [item for item in items if item["type"] == "dynamicToolCall"]
        assert (item["namespace"], item["tool"], item["status"]) == ("mail", "send", "completed")
        await talk.turn(thread_id, "second")
    assert spaces_in(lab.fake.requests[-1]) == spaces_in(lab.fake.requests[-2])
    assert all(spaces_in(lab.fake.requests[-1]))


@originals
async def test_namespaces_of_our_thread_are_the_originals_too(lab: Lab, program: str) -> None:
    lab.configure(freeform_tools=True)
    lab.fake.add(sends(), say("first answer"))
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        thread_id = await talk.start_thread(lab.workspace, **FREE, **SPACES)
        turn_id = await talk.start_turn(thread_id, "first wish")
        request = await talk.asked("item/tool/call")
        await talk.answer(request, {"contentItems": [], "success": True})
        await talk.turn_end(turn_id)
    lab.fake.add(say("the original's answer"))

    def go_on(home: Path) -> None:
        shutil.copytree(lab.home / "sessions", home / "sessions")
        with running(program, home, lab.workspace) as original:
            original.call("thread/resume", {"threadId": thread_id})
            original.turn(thread_id, "second")
            original.end()

    with home_for(lab.fake.base_url) as home:
        await anyio.to_thread.run_sync(go_on, home)
    assert spaces_in(lab.fake.requests[-1]) == spaces_in(lab.fake.requests[-2])
    assert all(spaces_in(lab.fake.requests[-1]))


@originals
async def test_ours_goes_on_with_the_originals_thread(lab: Lab, program: str) -> None:
    # Versions differ in the tool they offer; the other one is told that it is none.
    lab.fake.add(
        reason("thinking")
        + call("shell_command", {"command": "echo hi"}, call_id="c1")
        + call("exec_command", {"cmd": "echo hi"}, call_id="c2"),
        say("first answer"),
        say("second answer"),
    )

    def begin(home: Path) -> tuple[str, list[str]]:
        with running(program, home, lab.workspace) as original:
            opened = original.call("thread/start", {"cwd": str(lab.workspace), **FREE})
            thread_id = opened["thread"]["id"]
            turns = [original.turn(thread_id, words)["id"] for words in ("first wish", "second")]
            original.end()
            return thread_id, turns

    with home_for(lab.fake.base_url) as home:
        thread_id, turns = await anyio.to_thread.run_sync(begin, home)
        shutil.copytree(home / "sessions", lab.home / "sessions")
    lab.fake.add(say("ours"))
    async with lab.serving() as server, connect(server) as talk:
        resumed = await talk.ask("thread/resume", {"threadId": thread_id})
        shown = resumed["thread"]["turns"]
        assert [turn["id"] for turn in shown] == turns
        assert [turn["status"] for turn in shown] == ["completed", "completed"]
        for turn, wish in zip(shown, ("first wish", "second"), strict=True):
            kinds = [item["type"] for item in turn["items"]]
            assert (kinds[0], kinds[-1]) == ("userMessage", "agentMessage")
            assert kinds.count("userMessage") == kinds.count("agentMessage") == 1
            assert turn["items"][0]["content"][0]["text"] == wish
        assert resumed["thread"]["preview"] == "first wish"
        refusal = await talk.refused(
            "turn/start", {"threadId": thread_id, "turnId": turns[0], "input": [text("x")]}
        )
        assert refusal.data["duplicate"] == "turn"
        await talk.turn(thread_id, "third")
    before = ["first wish", "first answer", "second", "second answer"]
    assert texts(lab.fake.requests[-1]) == [*before, "third"]
    outputs = [i for i in lab.fake.requests[-1]["input"] if i["type"] == "function_call_output"]
    assert [item["call_id"] for item in outputs] == ["c1", "c2"]
    assert "\nhi" in f"{outputs[0]['output']}{outputs[1]['output']}"


FLAGS: Json = {
    "sandbox_approval": False,
    "rules": True,
    "mcp_elicitations": False,
    "request_permissions": True,
    "skill_approval": False,
}


@originals
async def test_flags_of_the_approval_policy_travel_there_and_back(lab: Lab, program: str) -> None:
    policy: Json = {"granular": FLAGS}
    lab.fake.add(say("a"), say("b"), say("c"))
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        ours = await talk.start_thread(lab.workspace, approvalPolicy=policy)
        await talk.turn(ours)

    def go_on(home: Path) -> str | None:
        shutil.copytree(lab.home / "sessions", home / "sessions")
        with running(program, home, lab.workspace) as original:
            asked = {"cwd": str(lab.workspace), "approvalPolicy": policy}
            try:
                theirs = original.call("thread/start", asked)["thread"]["id"]
            except AssertionError as error:
                if "unknown variant" in str(error):
                    return None
                raise
            original.turn(theirs, "hello")
            # It goes on under the policy of its settings, unless one is stated.
            original.call("thread/resume", {"threadId": ours, "approvalPolicy": policy})
            original.turn(ours, "go on")
            original.end()
            return theirs

    with home_for(lab.fake.base_url) as home:
        theirs = await anyio.to_thread.run_sync(go_on, home)
        if theirs is None:
            pytest.skip("this version knows no flags")
        shutil.rmtree(lab.home / "sessions")
        shutil.copytree(home / "sessions", lab.home / "sessions")
    async with lab.serving() as server, connect(server) as talk:
        for thread_id in (ours, theirs):
            resumed = await talk.ask("thread/resume", {"threadId": thread_id})
            assert resumed["approvalPolicy"] == policy
