"""Before and around the greeting: who may say what, and what is refused how."""

import json
from typing import Any

import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Talk, connect
from tests.fake_model import say

pytestmark = pytest.mark.anyio

GREETING = {"clientInfo": {"name": "talk", "version": "1.0"}}


async def test_the_greeting_is_answered_with_the_protocol_version(lab: Lab) -> None:
    async with lab.serving() as server, connect(server, greet=False) as talk:
        result = await talk.greet()
        assert result["userAgent"].startswith("codex_jupyter/0.169.0 (")
        assert result["userAgent"].endswith("(talk; 1.0)")
        assert result["codexHome"] == str(lab.home)


@pytest.mark.parametrize("method", ["thread/start", "thread/list", "serverRequest/list"])
async def test_nothing_is_answered_before_the_greeting(lab: Lab, method: str) -> None:
    async with lab.serving() as server, connect(server, greet=False) as talk:
        refusal = await talk.refused(method, {})
        assert (refusal.code, refusal.message) == (-32600, "Not initialized")


@pytest.mark.parametrize(
    ("method", "params", "complaint"),
    [
        ("no/such/method", {}, "unknown variant `no/such/method`, expected one of `initialize`,"),
        ("thread/read", {}, "missing field `threadId`"),
        ("thread/read", None, "missing field `params`"),
        ("collaborationMode/list", None, "missing field `params`"),
        ("account/logout", [], "invalid type: sequence, expected unit"),
    ],
)
async def test_what_is_no_request_is_refused_as_that_even_before_the_greeting(
    lab: Lab, method: str, params: Any, complaint: str
) -> None:
    async with lab.serving() as server, connect(server, greet=False) as talk:
        refusal = await talk.refused(method, params)
        assert refusal.code == -32600
        assert refusal.message.startswith(f"Invalid request: {complaint}")


async def test_a_second_greeting_is_refused(lab: Lab, talk: Talk) -> None:
    refusal = await talk.refused("initialize", GREETING)
    assert (refusal.code, refusal.message) == (-32600, "Already initialized")


async def test_a_refused_greeting_may_be_repeated(lab: Lab) -> None:
    async with lab.serving() as server, connect(server, greet=False) as talk:
        refusal = await talk.refused("initialize", {"clientInfo": {"name": "talk"}})
        assert refusal.message == "Invalid request: missing field `version`"
        assert (await talk.refused("thread/list", {})).message == "Not initialized"
        await talk.greet()
        assert (await talk.ask("thread/list", {}))["data"] == []


async def test_a_name_that_is_no_header_value_is_refused(lab: Lab) -> None:
    async with lab.serving() as server, connect(server, greet=False) as talk:
        params = {"clientInfo": {"name": "a\nb", "version": "1"}}
        refusal = await talk.refused("initialize", params)
        assert refusal.message.endswith("Must be a valid HTTP header value.")


async def test_requests_may_follow_the_greeting_without_waiting(lab: Lab) -> None:
    async with lab.serving() as server, connect(server, greet=False) as talk:
        greeting, listing = talk.make("initialize", GREETING), talk.make("thread/list", {})
        await talk.send(greeting, {"method": "initialized"}, listing)
        assert (await talk.response(listing["id"]))["data"] == []
        assert talk.methods() == ["=initialize", "=thread/list"]


async def test_an_unknown_method_is_refused_with_the_known_ones(talk: Talk) -> None:
    refusal = await talk.refused("thread/dance", {})
    assert refusal.code == -32600
    assert "unknown variant `thread/dance`, expected one of `initialize`," in refusal.message


@pytest.mark.parametrize(
    ("method", "params", "complaint", "member"),
    [
        ("thread/read", None, "missing field `params`", "params"),
        ("thread/read", {}, "missing field `threadId`", "threadId"),
        (
            "thread/read",
            {"threadId": 5},
            "invalid type: integer `5`, expected a string",
            "threadId",
        ),
        ("thread/read", {"threadId": None}, "invalid type: null, expected a string", "threadId"),
        (
            "thread/read",
            {"threadId": [1.5]},
            "invalid type: sequence, expected a string",
            "threadId",
        ),
        (
            "thread/read",
            {"threadId": "", "includeTurns": "yes"},
            'invalid type: string "yes", expected a boolean',
            "includeTurns",
        ),
        (
            "thread/read",
            [],
            "invalid length 0, expected struct ThreadReadParams with 2 elements",
            "params",
        ),
        (
            "thread/read",
            "text",
            'invalid type: string "text", expected struct ThreadReadParams',
            "params",
        ),
        (
            "thread/list",
            {"limit": 1.5},
            "invalid type: floating point `1.5`, expected u32",
            "limit",
        ),
        ("thread/list", {"limit": -1}, "invalid value: integer `-1`, expected u32", "limit"),
        (
            "thread/loaded/list",
            {"limit": 2**32},
            "invalid value: integer `4294967296`, expected u32",
            "limit",
        ),
        (
            "thread/shellCommand",
            {"threadId": "x", "command": "y", "timeoutMs": 2**63},
            "invalid value: integer `9223372036854775808`, expected i64",
            "timeoutMs",
        ),
        (
            "command/exec",
            {"command": ["x"], "timeoutMs": 10**30},
            f"invalid value: integer `{10**30}`, expected i64",
            "timeoutMs",
        ),
        ("model/list", None, "missing field `params`", "params"),
        ("thread/loaded/list", None, "missing field `params`", "params"),
        ("mcpServerStatus/list", None, "missing field `params`", "params"),
        ("config/mcpServer/reload", [], "invalid type: sequence, expected unit", "params"),
        ("configRequirements/read", "x", 'invalid type: string "x", expected unit', "params"),
        ("account/logout", 5, "invalid type: integer `5`, expected unit", "params"),
        (
            "mcpServerStatus/list",
            {"detail": "x"},
            "unknown variant `x`, expected `full` or `toolsAndAuthOnly`",
            "detail",
        ),
        (
            "thread/search",
            {"searchTerm": "x", "sortDirection": "up"},
            "unknown variant `up`, expected `asc` or `desc`",
            "sortDirection",
        ),
        (
            "thread/list",
            {"sourceKinds": ["cli", "x"]},
            "unknown variant `x`, expected one of `cli`, `vscode`, `exec`, `appServer`, "
            "`subAgent`, `subAgentReview`, `subAgentCompact`, `subAgentThreadSpawn`, "
            "`subAgentOther`, `unknown`",
            "sourceKinds.1",
        ),
        (
            "thread/list",
            {"archived": 1},
            "invalid type: integer `1`, expected a boolean",
            "archived",
        ),
        (
            "thread/list",
            {"sortKey": "name"},
            "unknown variant `name`, expected one of `created_at`, `updated_at`, `recency_at`",
            "sortKey",
        ),
        (
            "thread/list",
            {"sortDirection": "up"},
            "unknown variant `up`, expected `asc` or `desc`",
            "sortDirection",
        ),
        (
            "thread/start",
            {"dynamicTools": [{"name": "x"}]},
            "missing field `description`",
            "dynamicTools.0.description",
        ),
        ("thread/revert", {"threadId": "x", "numTurns": 1}, "missing field `beforeTurnId`", None),
        (
            "turn/start",
            {"threadId": "x", "input": [{"type": "smell"}]},
            "unknown variant `smell`, expected one of `text`, `image`, `localImage`, `skill`, "
            "`mention`",
            "input.0",
        ),
        ("turn/start", {"threadId": "x", "input": [{}]}, "missing field `type`", "input.0"),
        (
            "turn/start",
            {"threadId": "x", "input": {}},
            "invalid type: map, expected a sequence",
            "input",
        ),
    ],
)
async def test_params_that_do_not_fit_are_refused_in_the_words_of_the_original(
    talk: Talk, method: str, params: Any, complaint: str, member: str | None
) -> None:
    refusal = await talk.refused(method, params)
    assert (refusal.code, refusal.message) == (-32600, f"Invalid request: {complaint}")
    assert member is None or refusal.data == {"member": member}


async def test_params_that_do_not_fit_never_come_back_whole(talk: Talk) -> None:
    refusal = await talk.refused("thread/read", {"threadId": "x" * 1_000_000})
    assert refusal.message == "invalid thread id: invalid length: 1000000 characters"
    refusal = await talk.refused("z" * 1_000_000, {})
    assert len(refusal.message) < 2_000


async def test_the_reviewer_of_approvals_is_taken_and_told(lab: Lab, talk: Talk) -> None:
    for reviewer in ("auto_review", "guardian_subagent", "user"):
        params = {"cwd": str(lab.workspace), "approvalsReviewer": reviewer}
        opened = await talk.ask("thread/start", params)
        assert opened["approvalsReviewer"] == reviewer


TOOL = {"name": "t", "description": "d", "inputSchema": {"type": "object"}}


@pytest.mark.parametrize(
    ("method", "params", "named"),
    [
        ("thread/start", {"dynamicTools": [TOOL]}, "thread/start.dynamicTools"),
        ("thread/start", {"dynamicTools": []}, "thread/start.dynamicTools"),
        ("thread/start", {"mockExperimentalField": "v"}, "thread/start.mockExperimentalField"),
        ("thread/start", {"experimentalRawEvents": True}, "thread/start.experimentalRawEvents"),
        ("thread/resume", {"threadId": "x", "path": "/nowhere"}, "thread/resume.path"),
        ("thread/fork", {"threadId": "x", "path": "/nowhere"}, "thread/fork.path"),
        ("thread/fork", {"threadId": "x", "beforeTurnId": "y"}, "thread/fork.beforeTurnId"),
        ("thread/list", {"parentThreadId": ""}, "thread/list.parentThreadId"),
        (
            "turn/start",
            {"threadId": "x", "input": [], "environments": []},
            "turn/start.environments",
        ),
        (
            "command/exec",
            {"command": ["x"], "permissionProfile": "y"},
            "command/exec.permissionProfile",
        ),
        ("thread/backgroundTerminals/clean", {"threadId": "x"}, "thread/backgroundTerminals/clean"),
        ("thread/queue/list", {"threadId": "x"}, "thread/queue/list"),
        ("thread/search", {"searchTerm": ""}, "thread/search"),
        ("thread/settings/update", {"threadId": "x"}, "thread/settings/update"),
        ("turn/settings/update", {"threadId": "x", "turnId": "y"}, "turn/settings/update"),
    ],
)
async def test_what_may_still_change_needs_the_experimental_capability(
    lab: Lab, method: str, params: Any, named: str
) -> None:
    async with lab.serving() as server:
        async with connect(server) as talk:
            refusal = await talk.refused(method, params)
            expected = (-32600, f"{named} requires experimentalApi capability")
            assert (refusal.code, refusal.message) == expected
        async with connect(server, experimentalApi=True) as talk:
            if method == "thread/start":
                await talk.ask(method, {"cwd": str(lab.workspace), **params})
            else:
                assert "experimentalApi" not in (await talk.refused(method, params)).message


async def test_a_gated_member_that_says_nothing_passes_and_a_malformed_one_is_refused_as_that(
    lab: Lab,
) -> None:
    async with lab.serving() as server, connect(server) as talk:
        nothing = {"dynamicTools": None, "experimentalRawEvents": False}
        await talk.ask("thread/start", {"cwd": str(lab.workspace), **nothing})
        refusal = await talk.refused("thread/start", {"dynamicTools": [{"name": "x"}]})
        assert refusal.message == "Invalid request: missing field `description`"


async def test_a_connection_may_opt_out_of_notifications(lab: Lab) -> None:
    lab.fake.add(say("a b c", deltas=3))
    unwanted = ["item/agentMessage/delta", "thread/started", "no/such/method"]
    async with (
        lab.serving() as server,
        connect(server, optOutNotificationMethods=unwanted) as quiet,
        connect(server) as other,
    ):
        await quiet.turn(await quiet.start_thread(lab.workspace))
        assert not set(unwanted) & set(quiet.methods())
        assert "item/completed" in quiet.methods()
        await other.told("thread/started")


async def test_a_warning_of_the_configuration_is_told_to_each_connection(lab: Lab) -> None:
    lab.configure('modle = "typo"')
    async with lab.serving() as server, connect(server) as talk:
        await talk.ask("thread/list", {})
        assert "modle" in (await talk.told("configWarning"))["summary"]
        unwanted = ["configWarning"]
        async with lab.connect(server, optOutNotificationMethods=unwanted) as other:
            await other.ask("thread/list", {})
            assert other.notices("configWarning") == []


async def test_ids_of_requests_keep_their_type(lab: Lab, talk: Talk) -> None:
    for request_id in ("a", "1", 1_000_001, -5, 2**53, ""):
        await talk.send({"id": request_id, "method": "thread/list", "params": {}})
        answer = await talk.until(lambda m, wanted=request_id: m.get("id") == wanted)
        assert type(answer["id"]) is type(request_id)
        assert "result" in answer


async def test_garbage_is_answered_and_the_connection_goes_on(lab: Lab) -> None:
    async with lab.stdio() as server:
        assert server.process.stdin is not None
        for line in (b"{", b"[]", b"7", b'{"id": {}}', b"\xff\xfe", b"[" * 100_000):
            server.process.stdin.write(line + b"\n")
        await server.talk.ask("thread/list", {})
        errors = [m["error"]["code"] for m in server.talk.heard if "error" in m]
        assert errors == [-32700] * 6
        assert json.dumps([m for m in server.talk.heard if "error" in m]).count('"id": null') == 6
