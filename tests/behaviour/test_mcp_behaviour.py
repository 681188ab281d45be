"""MCP servers as a turn meets them: real ones, by pipes and by HTTP."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

pytest.importorskip("mcp.server.mcpserver", reason="the extra `mcp` (2.x) is not installed")

from codex_jupyter.server.rights import PAGE, kernel_rights
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect
from tests.fake_model import call, say
from tests.ports import free_port

pytestmark = pytest.mark.anyio

PROGRAM = Path(__file__).with_name("mcp_program.py")
FREE: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}


def configure(lab: Lab, *arguments: str, **more: Any) -> None:
    """Configure the server `things` beside the fake model."""
    lab.configure()
    stated: dict[str, Any] = {
        "command": sys.executable,
        "args": [str(PROGRAM), *arguments],
        "cwd": str(lab.workspace),
        "startup_timeout_sec": 20,
    }
    env: dict[str, str] = more.pop("env", {})
    stated = {**stated, **more}
    lines = [f"{name} = {json.dumps(value)}" for name, value in stated.items()]
    lines += [f"env.{name} = {json.dumps(value)}" for name, value in env.items()]
    with (lab.home / "config.toml").open("a") as file:
        file.write("\n".join(["", "[mcp_servers.things]", *lines, ""]))


def use(tool: str, arguments: Json | None = None, call_id: str = "m1") -> Any:
    return call(f"mcp__things__{tool}", arguments or {}, call_id=call_id)


def output(lab: Lab) -> Any:
    items = lab.fake.requests[-1]["input"]
    return [i["output"] for i in items if i["type"] == "function_call_output"][-1]


async def turn_with(lab: Lab, talk: Talk, *answers: Any, **params: Any) -> Json:
    lab.fake.add(*answers, say("done"))
    thread_id = await talk.start_thread(lab.workspace, **{**FREE, **params})
    with anyio.fail_after(30):
        turn_id = await talk.start_turn(thread_id)
        while not any(n["turn"]["id"] == turn_id for n in talk.notices("turn/completed")):
            await anyio.sleep(0.01)
    return await talk.turn_end(turn_id)


async def test_tools_are_offered_called_and_shown(lab: Lab) -> None:
    configure(lab, disabled_tools=["die"])
    async with lab.serving() as server, connect(server) as talk:
        turn = await turn_with(lab, talk, use("add", {"a": 2, "b": 3}), use("fail", call_id="m2"))
        assert turn["status"] == "completed"
        offered = {tool["name"]: tool for tool in lab.fake.requests[0]["tools"]}
        assert "mcp__things__die" not in offered
        assert "a" in offered["mcp__things__add"]["parameters"]["properties"]
        first, second = talk.items("mcpToolCall")
        assert (first["server"], first["tool"], first["status"]) == ("things", "add", "completed")
        assert "the sum is 5" in str(first["result"])
        assert second["status"] == "failed"
        assert "Error executing tool fail" in output(lab)
        status = await talk.ask("mcpServerStatus/list", {})
        assert "add" in status["data"][0]["tools"]
        assert status["nextCursor"] is None
        for name, found in (("things", ["things"]), ("absent", [])):
            status = await talk.ask("mcpServerStatus/list", {"serverName": name})
            assert [server["name"] for server in status["data"]] == found
        refused = await talk.refused("mcpServerStatus/list", {"cursor": "9"})
        assert refused.message == "cursor 9 exceeds total MCP servers 1"


async def test_a_call_is_asked_for_and_for_the_session_means_the_tool(lab: Lab) -> None:
    configure(lab)
    async with lab.serving() as server, connect(server) as talk:
        lab.fake.add(
            use("add", {"a": 1, "b": 1}),
            use("add", {"a": 2, "b": 2}, "m2"),
            use("fail", {}, "m3"),
            say("k"),
        )
        thread_id = await talk.start_thread(lab.workspace)
        turn_id = await talk.start_turn(thread_id)
        with anyio.fail_after(30):
            while not talk.requests():
                await anyio.sleep(0.01)
        request = await talk.asked()
        assert '"a": 1' in request["params"]["command"]
        await talk.answer(request, {"decision": "acceptForSession"})
        other = await talk.asked(n=2)
        assert "fail" in other["params"]["command"]
        await talk.answer(other, {"decision": "decline"})
        assert (await talk.turn_end(turn_id))["status"] == "completed"
        assert "rejected by user" in output(lab)


async def test_pictures_reach_the_model_and_keys_do_not_reach_the_server(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-value")
    monkeypatch.setenv("NAMED_ONE", "x")
    configure(lab, env_vars=["NAMED_ONE"], env={"GIVEN": "y"})
    async with lab.serving() as server, connect(server) as talk:
        await turn_with(lab, talk, use("picture"))
        assert output(lab)[1]["image_url"].startswith("data:image/png;base64,")
        await turn_with(lab, talk, use("environment"))
        names = output(lab).split()
        assert {"NAMED_ONE", "GIVEN", "PATH"} <= set(names)
        assert "OPENAI_API_KEY" not in names


async def test_progress_is_told_and_a_stop_ends_the_call(lab: Lab) -> None:
    configure(lab)
    async with lab.serving() as server, connect(server) as talk:
        lab.fake.add(use("slow"), say("never"))
        thread_id = await talk.start_thread(lab.workspace, **FREE)
        turn_id = await talk.start_turn(thread_id)
        with anyio.fail_after(30):
            while not talk.notices("item/mcpToolCall/progress"):
                await anyio.sleep(0.01)
        assert talk.notices("item/mcpToolCall/progress")[0]["message"] == "a quarter"
        await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
        assert (await talk.turn_end(turn_id))["status"] == "interrupted"
        assert talk.items("mcpToolCall")[0]["status"] == "failed"


async def test_a_call_that_takes_too_long_is_told(lab: Lab) -> None:
    configure(lab, tool_timeout_sec=0.2)
    async with lab.serving() as server, connect(server) as talk:
        await turn_with(lab, talk, use("slow"))
        assert "took more than 0.2 s" in output(lab)


async def test_a_server_that_dies_is_started_again_and_leaves_nothing(lab: Lab) -> None:
    configure(lab)
    async with lab.serving() as server, connect(server) as talk:
        await turn_with(lab, talk, use("die"), use("add", {"a": 2, "b": 3}, "m2"))
        assert "the sum is 5" in output(lab)
        assert "MCP server `things`" in str(talk.items("mcpToolCall")[0]["error"])
        child = int((lab.workspace / "child").read_text())
    await is_gone(child)


async def test_what_a_server_started_ends_with_the_session(lab: Lab) -> None:
    configure(lab)
    async with lab.serving() as server, connect(server) as talk:
        await turn_with(lab, talk, use("leave_child"))
        child = int((lab.workspace / "child").read_text())
        assert psutil.pid_exists(child)
    await is_gone(child)


async def is_gone(pid: int) -> None:
    with anyio.fail_after(30):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await anyio.sleep(0.01)


@pytest.mark.parametrize("required", [False, True])
async def test_a_server_that_does_not_start_is_told_with_its_last_words(
    lab: Lab, required: bool
) -> None:
    configure(lab, "broken", required=required)
    async with lab.serving() as server, connect(server) as talk:
        turn = await turn_with(lab, talk)
        said = turn["error"]["message"] if required else talk.notices("warning")[0]["message"]
        assert turn["status"] == ("failed" if required else "completed")
        assert "MCP server `things`" in said
        assert "the key is missing" in said


async def test_a_server_that_says_nothing_is_not_waited_for(lab: Lab) -> None:
    configure(lab, "mute", startup_timeout_sec=0.5)
    async with lab.serving() as server, connect(server) as talk:
        assert (await turn_with(lab, talk))["status"] == "completed"
        assert "did not start within 0.5 s" in talk.notices("warning")[0]["message"]


ELICITATION = "mcpServer/elicitation/request"


async def asking(lab: Lab, talk: Talk, tool: str, n: int = 1) -> tuple[str, str, Json]:
    """Let a tool ask; return thread, turn and the ``n``-th request."""
    lab.fake.add(use(tool), say("done"))
    loaded = (await talk.ask("thread/loaded/list", {}))["data"]
    thread_id = loaded[0] if loaded else await talk.start_thread(lab.workspace, **FREE)
    turn_id = await talk.start_turn(thread_id)
    with anyio.fail_after(30):
        while len(talk.requests()) < n:
            await anyio.sleep(0.01)
    return thread_id, turn_id, await talk.asked(ELICITATION, n=n)


async def test_a_form_of_the_server_is_put_to_the_user(lab: Lab) -> None:
    configure(lab)
    async with lab.serving() as server, connect(server) as talk:
        thread_id, turn_id, request = await asking(lab, talk, "choose")
        asked = request["params"]
        assert (asked["threadId"], asked["turnId"]) == (thread_id, turn_id)
        assert (asked["serverName"], asked["mode"], asked["itemId"]) == ("things", "form", "m1")
        assert asked["message"] == "What shall it be?"
        fields = asked["requestedSchema"]["properties"]
        assert {name: field["type"] for name, field in fields.items()} == {
            "colour": "string",
            "count": "integer",
        }
        # The original sets this flag, not that of the model's questions.
        status = talk.notices("thread/status/changed")[-1]["status"]
        assert status["activeFlags"] == ["waitingOnApproval"]
        content = {"colour": "blue", "count": 3}
        await talk.answer(request, {"action": "accept", "content": content})
        await talk.told("serverRequest/resolved", requestId=request["id"])
        await talk.turn_end(turn_id)
        assert "blue" in output(lab)
        assert "3" in output(lab)
        path = (await talk.ask("thread/read", {"threadId": thread_id}))["thread"]["path"]
        resolved = [line for line in Path(path).read_text().splitlines() if ELICITATION in line]
        assert len(resolved) == 1
        assert "blue" not in resolved[0]  # what was typed may be secret


async def test_every_other_answer_to_a_form_is_a_no(lab: Lab) -> None:
    ways: list[tuple[Json | None, str]] = [
        ({"action": "decline"}, "decline"),
        ({"action": "cancel"}, "cancel"),
        ({}, "decline"),
        ({"action": "perhaps"}, "decline"),
        ({"answers": {}}, "decline"),
        ({"action": "accept", "content": {"colour": {"deep": "x"}}}, "decline"),
        (None, "decline"),
    ]
    configure(lab)
    async with lab.serving() as server, connect(server) as talk:
        for number, (answer, told) in enumerate(ways, start=1):
            _, turn_id, request = await asking(lab, talk, "choose", number)
            if answer is None:
                await talk.answer_error(request, -32000)
            else:
                await talk.answer(request, answer)
            assert (await talk.turn_end(turn_id))["status"] == "completed"
            assert (output(lab), answer) == (told, answer)


async def test_an_address_to_visit_is_put_to_the_user(lab: Lab) -> None:
    configure(lab)
    async with lab.serving() as server, connect(server) as talk:
        _, turn_id, request = await asking(lab, talk, "visit")
        asked = request["params"]
        assert (asked["mode"], asked["url"]) == ("url", "https://example.com/login")
        assert (asked["elicitationId"], asked["message"]) == ("e-1", "Log in there")
        await talk.answer(request, {"action": "accept"})
        await talk.turn_end(turn_id)
        assert output(lab) == "accept"


async def test_a_form_is_put_to_who_comes_later_and_taken_back_from_all(lab: Lab) -> None:
    configure(lab)
    async with lab.serving() as server, connect(server) as talk, connect(server) as late:
        thread_id, turn_id, request = await asking(lab, talk, "choose")
        await late.ask("thread/resume", {"threadId": thread_id})
        assert await late.asked(ELICITATION) == request
        await late.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
        for each in (talk, late):
            await each.told("serverRequest/resolved", requestId=request["id"])
        assert (await talk.turn_end(turn_id))["status"] == "interrupted"


async def test_a_page_fills_a_form(lab: Lab) -> None:
    configure(lab)
    async with (
        lab.serving(watchable=True) as server,
        connect(server) as talk,
        connect(server, rights=PAGE) as page,
    ):
        await page.ask("serverRequest/list", {})  # it takes part from here on
        _, turn_id, _ = await asking(lab, talk, "choose")
        asked = (await page.told("serverRequest/opened"))["request"]
        assert (asked["kind"], asked["itemId"], asked["mayDecline"]) == ("question", "m1", True)
        assert [question["id"] for question in asked["questions"]] == ["colour", "count"]
        answers = {"colour": {"answers": ["blue"]}, "count": {"answers": ["3"]}}
        answer = {"requestId": asked["requestId"], "answers": answers}
        assert await page.ask("serverRequest/answer", answer) == {"status": "ok"}
        await talk.turn_end(turn_id)
        assert output(lab) == "colour='blue' count=3"


async def test_a_server_is_reached_by_http(lab: Lab) -> None:
    port = free_port()
    program = subprocess.Popen(
        [sys.executable, str(PROGRAM), "http", str(port)], stderr=subprocess.DEVNULL
    )
    try:
        with anyio.fail_after(30):
            while True:
                try:
                    async with await anyio.connect_tcp("127.0.0.1", port):
                        break
                except OSError:
                    await anyio.sleep(0.05)
        lab.configure()
        with (lab.home / "config.toml").open("a") as file:
            file.write(f'\n[mcp_servers.things]\nurl = "http://127.0.0.1:{port}/mcp"\n')
        async with lab.serving() as server, connect(server) as talk:
            await turn_with(lab, talk, use("add", {"a": 20, "b": 22}))
            assert "the sum is 42" in output(lab)
    finally:
        program.kill()
        program.wait()


async def test_a_thread_has_servers_of_its_own(lab: Lab) -> None:
    asker = Path(__file__).parents[1] / "interop" / "mcp_asker.py"
    config = {"mcp_servers": {"own": {"command": sys.executable, "args": [str(asker)]}}}
    async with lab.serving() as server, connect(server) as talk:
        await turn_with(lab, talk, config=config)
        assert "mcp__own__form" in [tool.get("name") for tool in lab.fake.requests[-1]["tools"]]
        await turn_with(lab, talk)
        names = [tool.get("name") for tool in lab.fake.requests[-1]["tools"]]
        assert "mcp__own__form" not in names
        mixed = {"mcp_servers.own.command": "x", "mcp_servers.own.url": "http://x/mcp"}
        refusal = await talk.refused("thread/start", {"config": mixed})
        assert "not both" in refusal.message
    async with lab.serving() as server, connect(server, rights=kernel_rights("k")) as kernel:
        for stated in (config, {"mcp_servers.own.command": "x"}):
            refusal = await kernel.refused("thread/start", {"config": stated})
            assert "may not name MCP servers" in refusal.message


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("args = []", "needs either `command` or `url`"),
        ('command = "x"\nurl = "http://x/mcp"', "not both"),
        ("command = 7", "command"),
    ],
)
async def test_a_mistake_in_the_configuration_is_told(lab: Lab, lines: str, told: str) -> None:
    from codex_jupyter.errors import ConfigError

    with (lab.home / "config.toml").open("a") as file:
        file.write(f"\n[mcp_servers.things]\n{lines}\n")
    with pytest.raises(ConfigError, match=told.replace("`", ".")):
        async with lab.serving():
            pass


def test_nothing_is_loaded_where_none_is_configured() -> None:
    code = "import codex_jupyter.server.engine, sys; print('mcp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


CLOSED_PROGRAM = r"""
import json, os, sys
tool = {"name": "close", "inputSchema": {"type": "object"}}
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    answer = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] == "initialize":
        answer["result"] = {
            "protocolVersion": asked["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "things", "version": "1"},
        }
    elif asked["method"] == "tools/list":
        answer["result"] = {"tools": [tool]}
    elif asked["method"] == "tools/call":
        text = f"issue 7 is closed already, says {os.getpid()}"
        answer["error"] = {"code": -32000, "message": text}
    else:
        answer["error"] = {"code": -32601, "message": "no such method"}
    print(json.dumps(answer), flush=True)
"""


async def test_a_server_that_speaks_of_something_closed_has_not_ended(lab: Lab) -> None:
    program = lab.home / "closed_program.py"
    program.write_text(CLOSED_PROGRAM)
    configure(lab, args=[str(program)])
    calls = [use("close", call_id=f"m{n}") for n in range(2)]
    async with lab.serving() as server, connect(server) as talk:
        await turn_with(lab, talk, *calls)
    said = [i["output"] for i in lab.fake.requests[-1]["input"] if "output" in i]
    assert len(said) == 2
    assert "issue 7 is closed already" in said[0]
    assert said[0] == said[1]  # the same process has answered


async def test_a_server_whose_words_nothing_can_keep_is_left_out(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(lab)
    async with lab.serving() as server, connect(server) as talk:
        monkeypatch.setattr(tempfile, "tempdir", str(lab.home / "absent"))
        turn = await turn_with(lab, talk)
        assert turn["status"] == "completed"
        warned = [n["message"] for n in talk.notices("warning")]
        assert any("things" in message for message in warned), warned
