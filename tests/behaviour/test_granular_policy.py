"""A policy that says for each kind of question whether somebody is asked."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

COMMAND = "item/commandExecution/requestApproval"
ELICITATION = "mcpServer/elicitation/request"
PROGRAM = Path(__file__).with_name("mcp_program.py")
PATCH = "*** Begin Patch\n*** Add File: new\n+x\n*** End Patch"
WEATHER: Json = {
    "name": "weather",
    "description": "d",
    "inputSchema": {"type": "object"},
    "requiresApproval": True,
}


def flags(**stated: Any) -> Json:
    """Return a policy that asks everything but what is stated otherwise, as it is echoed."""
    every: Json = {
        "sandbox_approval": True,
        "rules": True,
        "mcp_elicitations": True,
        "request_permissions": False,
        "skill_approval": False,
    }
    return {"granular": {**every, **stated}}


REQUIRED: Json = {"sandbox_approval": True, "rules": True, "mcp_elicitations": False}


def touch(name: str, call_id: str = "c1") -> Any:
    return call("shell_command", {"command": f"touch {name}"}, call_id=call_id)


def output(lab: Lab, call_id: str = "c1") -> str:
    items = lab.fake.requests[-1]["input"]
    return next(i["output"] for i in items if i.get("call_id") == call_id and "output" in i)


async def test_what_is_left_out_is_false_and_what_nobody_knows_is_dropped(
    lab: Lab, talk: Talk
) -> None:
    policy = {"granular": {**REQUIRED, "later": 1}}
    opened = await talk.ask("thread/start", {"cwd": str(lab.workspace), "approvalPolicy": policy})
    assert opened["approvalPolicy"] == flags(mcp_elicitations=False)


@pytest.mark.parametrize("sandbox", ["workspace-write", "danger-full-access"])
async def test_with_the_flag_it_asks_as_on_request_does(lab: Lab, talk: Talk, sandbox: str) -> None:
    lab.fake.add(touch("made"), say("ok"))
    policy = flags(mcp_elicitations=False, rules=False)
    thread_id = await talk.start_thread(lab.workspace, approvalPolicy=policy, sandbox=sandbox)
    turn_id = await talk.start_turn(thread_id)
    await talk.answer(await talk.asked(COMMAND), {"decision": "accept"})
    await talk.turn_end(turn_id)
    assert (lab.workspace / "made").exists()


@pytest.mark.parametrize("sandbox", ["workspace-write", "danger-full-access"])
async def test_without_sandbox_approval_nobody_is_asked_and_the_model_hears_why(
    lab: Lab, talk: Talk, sandbox: str
) -> None:
    (lab.workspace / "seen").touch()
    calls = call("shell_command", {"command": "ls"}, call_id="c0") + touch("made")
    calls += call("apply_patch", {"input": PATCH}, call_id="c2")
    calls += call("weather", {}, call_id="c3")
    lab.fake.add(calls, say("ok"))
    policy = flags(sandbox_approval=False)
    thread_id = await talk.start_thread(
        lab.workspace, approvalPolicy=policy, sandbox=sandbox, dynamicTools=[WEATHER]
    )
    assert (await talk.turn(thread_id))["status"] == "completed"
    assert talk.requests() == []
    assert "seen" in output(lab, "c0")
    for refused in ("c1", "c2", "c3"):
        assert "rejected by the approval policy" in output(lab, refused)
        assert "`sandbox_approval` is false" in output(lab, refused)
    assert [path.name for path in lab.workspace.iterdir()] == ["seen"]
    statuses = {item["id"]: item["status"] for item in talk.items() if "status" in item}
    assert (statuses["c1"], statuses["c2"], statuses["c3"]) == ("declined",) * 3
    told = json.dumps(lab.fake.requests[0]["input"])
    assert "Approval policy: granular." in told
    assert "`sandbox_approval` is false" in told


def configure_server(lab: Lab) -> None:
    pytest.importorskip("mcp.server.mcpserver", reason="the extra `mcp` (2.x) is not installed")
    stated = {"command": sys.executable, "args": [str(PROGRAM)], "startup_timeout_sec": 20}
    lines = [f"{name} = {json.dumps(value)}" for name, value in stated.items()]
    with (lab.home / "config.toml").open("a") as file:
        file.write("\n".join(["", "[mcp_servers.things]", *lines, ""]))


@pytest.mark.parametrize("asks", [True, False])
async def test_forms_of_mcp_servers_have_a_flag_and_their_tools_have_none(
    lab: Lab, asks: bool
) -> None:
    configure_server(lab)
    # Whatever the flags say: 0.169 asks before a tool of a server runs.
    policy = flags(mcp_elicitations=asks, sandbox_approval=asks, rules=asks)
    lab.fake.add(call("mcp__things__choose", {}, call_id="c1"), say("ok"))
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        thread_id = await talk.start_thread(lab.workspace, approvalPolicy=policy)
        turn_id = await talk.start_turn(thread_id)
        await talk.answer(await talk.asked(COMMAND), {"decision": "accept"})
        if asks:
            content = {"colour": "blue", "count": 3}
            form = await talk.asked(ELICITATION)
            await talk.answer(form, {"action": "accept", "content": content})
        await talk.turn_end(turn_id)
        assert len(talk.requests()) == (2 if asks else 1)
        assert ("blue" if asks else "decline") in str(output(lab))


@pytest.mark.parametrize("method", ["thread/start", "thread/resume", "thread/fork"])
async def test_it_can_be_asked_for_wherever_a_policy_can(lab: Lab, method: str) -> None:
    lab.fake.add(say("a"))
    async with lab.serving() as server, connect(server) as talk:
        first = await talk.start_thread(lab.workspace)
        await talk.turn(first)
    asked: Json = {"cwd": str(lab.workspace), "approvalPolicy": flags(rules=False)}
    if method != "thread/start":
        asked["threadId"] = first
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        assert (await talk.ask(method, asked))["approvalPolicy"] == flags(rules=False)


async def test_settings_and_turns_change_it_and_it_is_told(lab: Lab, talk: Talk) -> None:
    lab.fake.add(touch("one"), say("a"), touch("two"), say("b"))
    thread_id = await talk.start_thread(lab.workspace)
    strict = flags(sandbox_approval=False)
    asked = {"threadId": thread_id, "approvalPolicy": strict}
    await talk.ask("thread/settings/update", asked)
    told = (await talk.told("thread/settings/updated"))["threadSettings"]
    assert told["approvalPolicy"] == strict
    await talk.turn(thread_id)
    assert talk.requests() == []
    turn_id = await talk.start_turn(thread_id, approvalPolicy=flags())
    told = talk.notices("thread/settings/updated")[-1]["threadSettings"]
    assert told["approvalPolicy"] == flags()
    await talk.answer(await talk.asked(COMMAND), {"decision": "decline"})
    await talk.turn_end(turn_id)


async def test_a_thread_keeps_it_over_a_restart_and_is_told_it_once(lab: Lab) -> None:
    policy = flags(sandbox_approval=False, skill_approval=True)
    lab.fake.add(say("a"), touch("made"), say("b"))
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        thread_id = await talk.start_thread(lab.workspace, approvalPolicy=policy)
        await talk.turn(thread_id)
    async with lab.serving() as server, connect(server) as talk:
        resumed = await talk.ask("thread/resume", {"threadId": thread_id})
        assert resumed["approvalPolicy"] == policy
        await talk.turn(thread_id)
        assert talk.requests() == []
    assert json.dumps(lab.fake.requests[-1]["input"]).count("<permissions instructions>") == 1


@pytest.mark.parametrize(
    ("stored", "complaint"),
    [({"granular": {"rules": True}}, "sandbox_approval"), ({"strict": {}}, "granular")],
)
async def test_a_stored_policy_that_cannot_be_read_is_never_taken_for_a_freer_one(
    lab: Lab, stored: Json, complaint: str
) -> None:
    lab.fake.add(say("a"))
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        thread_id = await talk.start_thread(lab.workspace, approvalPolicy=flags())
        await talk.turn(thread_id)
        path = Path((await talk.ask("thread/read", {"threadId": thread_id}))["thread"]["path"])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["type"] == "turn_context":
            line["payload"]["approval_policy"] = stored
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    async with lab.serving() as server, connect(server) as talk:
        refusal = await talk.refused("thread/resume", {"threadId": thread_id})
        assert complaint in refusal.message
        asked = {"threadId": thread_id, "approvalPolicy": "never"}
        assert (await talk.ask("thread/resume", asked))["approvalPolicy"] == "never"


STRUCT = "expected struct variant"
LENGTH = "invalid length 0, expected struct variant AskForApproval::Granular with 5 elements"
ONE_OF = "expected one of `untrusted`, `on-request`, `granular`, `never`"


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        ({"granular": {}}, "missing field `sandbox_approval`"),
        ({"granular": {"sandbox_approval": True}}, "missing field `rules`"),
        (
            {"granular": {**REQUIRED, "sandbox_approval": 1}},
            "invalid type: integer `1`, expected a boolean",
        ),
        (
            {"granular": {"skill_approval": None}},
            "invalid type: null, expected a boolean",
        ),
        ("granular", f"invalid type: unit variant, {STRUCT}"),
        ({"granular": 3}, f"invalid type: integer `3`, {STRUCT}"),
        ({"granular": "x"}, f'invalid type: string "x", {STRUCT}'),
        ({"granular": []}, LENGTH),
        ({"x": 1}, f"unknown variant `x`, {ONE_OF}"),
        ("on-failure", f"unknown variant `on-failure`, {ONE_OF}"),
        ({}, "invalid value: map, expected map with a single key"),
        (
            {"granular": REQUIRED, "x": 1},
            "invalid value: map, expected map with a single key",
        ),
        ({"never": 1}, "invalid type: integer `1`, expected unit"),
        (3, "invalid type: integer `3`, expected string or map"),
        ([], "invalid type: sequence, expected string or map"),
    ],
    ids=str,
)
async def test_what_is_no_policy_is_refused_in_the_originals_words(
    talk: Talk, policy: Any, complaint: str
) -> None:
    for method, named in (("thread/start", {}), ("turn/start", {"threadId": "x", "input": []})):
        refusal = await talk.refused(method, {**named, "approvalPolicy": policy})
        assert (refusal.code, refusal.message) == (-32600, f"Invalid request: {complaint}")


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("thread/start", {}),
        ("thread/start", {"dynamicTools": []}),
        ("thread/resume", {"threadId": "x"}),
        ("thread/fork", {"threadId": "x"}),
        ("turn/start", {"threadId": "x", "input": []}),
    ],
)
async def test_it_needs_the_experimental_capability(lab: Lab, method: str, params: Json) -> None:
    async with lab.serving() as server, connect(server) as talk:
        asked = {**params, "approvalPolicy": {"granular": REQUIRED}}
        refusal = await talk.refused(method, asked)
        expected = "askForApproval.granular requires experimentalApi capability"
        assert (refusal.code, refusal.message) == (-32600, expected)
        # What is no policy is found first.
        refusal = await talk.refused(method, {**params, "approvalPolicy": {"granular": {}}})
        assert refusal.message == "Invalid request: missing field `sandbox_approval`"


async def test_in_the_configuration_it_needs_no_capability(lab: Lab) -> None:
    policy = flags(sandbox_approval=False)
    async with lab.serving() as server, connect(server) as talk:
        asked = {"cwd": str(lab.workspace), "config": {"approval_policy": policy}}
        assert (await talk.ask("thread/start", asked))["approvalPolicy"] == policy
        edit = {"keyPath": "approval_policy", "value": {"granular": REQUIRED}}
        await talk.ask("config/value/write", {**edit, "mergeStrategy": "replace"})
        read = (await talk.ask("config/read", {}))["config"]
        assert read["approval_policy"] == flags(mcp_elicitations=False)
        one = {"keyPath": "approval_policy.granular.rules", "value": False}
        await talk.ask("config/value/write", {**one, "mergeStrategy": "replace"})
        opened = await talk.ask("thread/start", {"cwd": str(lab.workspace)})
        assert opened["approvalPolicy"] == flags(mcp_elicitations=False, rules=False)
        before = (lab.home / "config.toml").read_text()
        for path, value in (
            ("approval_policy", {"granular": {"rules": True}}),
            ("approval_policy", {}),
            ("approval_policy.granular.rules", 3),
        ):
            broken = {"keyPath": path, "value": value, "mergeStrategy": "replace"}
            refusal = await talk.refused("config/value/write", broken)
            assert refusal.data == {"config_write_error_code": "configValidationError"}
        assert (lab.home / "config.toml").read_text() == before


async def test_flags_of_a_request_replace_those_of_the_file(lab: Lab) -> None:
    lab.configure()
    text = (lab.home / "config.toml").read_text()
    stated = "approval_policy = { granular = { sandbox_approval = true, rules = true, "
    stated += "mcp_elicitations = true, skill_approval = true } }\n"
    (lab.home / "config.toml").write_text(stated + text)
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        asked: Json = {"cwd": str(lab.workspace)}
        opened = await talk.ask("thread/start", asked)
        assert opened["approvalPolicy"] == flags(skill_approval=True)
        asked["approvalPolicy"] = {"granular": REQUIRED}
        opened = await talk.ask("thread/start", asked)
        assert opened["approvalPolicy"] == flags(mcp_elicitations=False)
        asked["approvalPolicy"] = "never"
        assert (await talk.ask("thread/start", asked))["approvalPolicy"] == "never"
