"""Tools that a client brings in namespaces: taken, offered, called in either spelling, kept."""

from typing import Any, Final

import pytest

from codex_jupyter.protocol.called_name import called_name
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect
from tests.fake_model import Answer, call, raw, say

pytestmark = pytest.mark.anyio

SCHEMA: Final[Json] = {"type": "object", "properties": {}}


def function(name: str, **more: Any) -> Json:
    return {"type": "function", "name": name, "description": "d", "inputSchema": SCHEMA, **more}


def space(name: str, *tools: Json, **more: Any) -> Json:
    return {"type": "namespace", "name": name, "description": "About", "tools": [*tools], **more}


def called(namespace: str, tool: str, call_id: str) -> Answer:
    """Let the model call a tool as the Responses API has it."""
    member = {"namespace": namespace, "name": tool, "arguments": "{}", "call_id": call_id}
    item = {"type": "function_call", "id": f"fc_{call_id}", "status": "completed", **member}
    return raw({"type": "response.output_item.done", "output_index": 0, "item": item})


MAIL: Final = space("mail", function("send"), function("read", deferLoading=True))
TOOLS: Final = [MAIL, function("send"), space("post", function("send"))]


def offered(lab: Lab, request: int = 0) -> list[Json]:
    """Return what the model was offered beside the tools of the server."""
    tools = [tool.get("function", tool) for tool in lab.fake.requests[request]["tools"]]
    spaces = ("mail", "post")
    return [t for t in tools if str(t.get("name")).startswith(spaces) or t.get("name") == "send"]


async def test_a_provider_that_knows_more_than_functions_is_offered_namespaces(lab: Lab) -> None:
    lab.configure(freeform_tools=True)
    lab.fake.add(say("ok"))
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        nameless = space("post", function("send"), description=" ")
        tools = [MAIL, function("send"), nameless]
        await talk.turn(await talk.start_thread(lab.workspace, dynamicTools=tools))
    known = {"description": "d", "strict": False, "parameters": SCHEMA}
    send, read = ({"type": "function", "name": name, **known} for name in ("send", "read"))
    about = "Tools in the post namespace."
    assert offered(lab) == [
        {"type": "namespace", "name": "mail", "description": "About", "tools": [send, read]},
        send,
        {"type": "namespace", "name": "post", "description": about, "tools": [send]},
    ]


@pytest.mark.parametrize("wire", ["responses", "chat"])
async def test_every_other_provider_is_offered_functions(lab: Lab, wire: str) -> None:
    lab.configure(wire_api=f'"{wire}"')
    lab.fake.add(say("ok"))
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        await talk.turn(await talk.start_thread(lab.workspace, dynamicTools=TOOLS))
    tools = offered(lab)
    assert [tool["name"] for tool in tools] == ["mail__send", "mail__read", "send", "post__send"]
    assert [tool["description"] for tool in tools[1:3]] == ["d\n\nAbout", "d"]
    assert tools[0]["parameters"] == SCHEMA


@pytest.mark.parametrize(
    ("made", "namespace"),
    [
        (called("mail", "send", "c1"), "mail"),
        (call("mail__send", {}, call_id="c1"), "mail"),
        (called("post", "send", "c1"), "post"),
        (call("send", {}, call_id="c1"), None),
        (called("functions", "send", "c1"), None),
    ],
)
@pytest.mark.parametrize("freeform", [True, False])
async def test_a_call_is_understood_in_either_spelling_and_kept_as_it_was_made(
    lab: Lab, made: Answer, namespace: str | None, freeform: bool
) -> None:
    lab.configure(freeform_tools=freeform)
    lab.fake.add(made, say("ok"), say("on"))
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        thread_id = await talk.start_thread(lab.workspace, dynamicTools=TOOLS)
        turn_id = await talk.start_turn(thread_id)
        request = await talk.asked("item/tool/call")
        asked = request["params"]
        assert (asked["namespace"], asked["tool"], asked["callId"]) == (namespace, "send", "c1")
        sent = {"contentItems": [{"type": "inputText", "text": "sent"}], "success": True}
        await talk.answer(request, sent)
        await talk.turn_end(turn_id)
        (item,) = talk.items("dynamicToolCall")
    assert (item["namespace"], item["tool"], item["status"]) == (namespace, "send", "completed")
    async with lab.serving() as server, connect(server) as talk:
        read = await talk.ask("thread/read", {"threadId": thread_id, "includeTurns": True})
        items = read["thread"]["turns"][0]["items"]
        (stored,) = [item for item in items if item["type"] == "dynamicToolCall"]
        assert (stored["namespace"], stored["tool"]) == (namespace, "send")
        await talk.ask("thread/resume", {"threadId": thread_id})
        await talk.turn(thread_id)
    made_by = made.events("r", lambda: "i")
    (said,) = [e["item"] for e in made_by if isinstance(e, dict) and "done" in e["type"]]
    whose = {name: said[name] for name in ("name", "namespace", "call_id") if name in said}
    for request in lab.fake.requests[1:]:
        (kept,) = [item for item in request["input"] if item["type"] == "function_call"]
        assert {name: kept[name] for name in whose} == whose
        assert ("namespace" in kept) == ("namespace" in whose)
    assert offered(lab, 2) == offered(lab, 0) != []


async def test_chat_completions_see_a_call_under_the_name_that_they_are_offered(lab: Lab) -> None:
    lab.fake.add(called("mail", "send", "c1"), say("ok"), say("on"))
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        thread_id = await talk.start_thread(lab.workspace, dynamicTools=[MAIL])
        turn_id = await talk.start_turn(thread_id)
        await talk.answer_error(await talk.asked("item/tool/call"), -32000)
        await talk.turn_end(turn_id)
    lab.configure(wire_api='"chat"')
    async with lab.serving() as server, connect(server) as talk:
        await talk.ask("thread/resume", {"threadId": thread_id})
        await talk.turn(thread_id)
    messages = lab.fake.requests[2]["messages"]
    (made,) = [made for said in messages for made in said.get("tool_calls") or ()]
    assert made["function"]["name"] == "mail__send" == offered(lab, 2)[0]["name"]


async def test_a_name_that_is_too_long_for_the_wire_is_cut_and_still_found(
    lab: Lab, talk: Talk
) -> None:
    long, one, other = "n" * 64, "t" * 127 + "1", "t" * 127 + "2"
    names = [called_name(long, name) for name in (one, other)]
    assert len({*names}) == 2
    assert {len(name) for name in names} == {64}
    lab.fake.add(call(names[1], {}, call_id="c1"), called(long, one, "c2"), say("ok"))
    tools = [space(long, function(one), function(other))]
    thread_id = await talk.start_thread(lab.workspace, dynamicTools=tools)
    turn_id = await talk.start_turn(thread_id)
    for n, name in ((1, other), (2, one)):
        request = await talk.asked("item/tool/call", n=n)
        assert (request["params"]["namespace"], request["params"]["tool"]) == (long, name)
        await talk.answer_error(request, -32000)
    await talk.turn_end(turn_id)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (called("mail", "burn", "c1"), "mail__burn"),
        (called("nowhere", "send", "c1"), "nowhere__send"),
        (call("read", {}, call_id="c1"), "read"),
        (called("mail", "update_plan", "c1"), "mail__update_plan"),
    ],
)
async def test_a_tool_that_there_is_not_is_told_to_the_model(
    lab: Lab, talk: Talk, made: Answer, name: str
) -> None:
    lab.fake.add(made, say("ok"))
    await talk.turn(await talk.start_thread(lab.workspace, dynamicTools=TOOLS))
    (output,) = [i["output"] for i in lab.fake.requests[1]["input"] if "output" in i]
    assert output == f"unsupported call: {name}"


A: Final = function("a")


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ([space("", A)], "dynamic tool namespace must not be empty"),
        ([space(" ", A)], "dynamic tool namespace must not be empty"),
        ([space(" s", A)], "dynamic tool namespace has leading/trailing whitespace:  s"),
        (
            [space("s.t", A)],
            "dynamic tool namespace must match ^[a-zA-Z0-9_-]+$ to match Responses API: s.t",
        ),
        (
            [space("s" * 65, A)],
            "dynamic tool namespace must be at most 64 characters to match Responses API: "
            + "s" * 65,
        ),
        ([space("mcp", A)], "dynamic tool namespace is reserved: mcp"),
        ([space("mcp__s", A)], "dynamic tool namespace is reserved: mcp__s"),
        ([space("apply_patch", A)], "dynamic tool namespace is reserved: apply_patch"),
        (
            [space("python", A)],
            "dynamic tool namespace collides with a reserved Responses API namespace: python",
        ),
        (
            [space("s", A, description="x" * 1025)],
            "dynamic tool namespace description must be at most 1024 characters",
        ),
        ([space("s")], "dynamic tool namespace must contain at least one tool: s"),
        ([space("s", A), space("s", A)], "duplicate dynamic tool namespace: s"),
        ([space("s", A, A)], "duplicate dynamic tool name in namespace s: a"),
        ([space("s", A), function("s__a")], "duplicate dynamic tool name: s__a"),
        ([space("s", function("a__b")), space("s__a", function("b"))], "duplicate dynamic tool"),
        ([space("s", function("b c"))], "dynamic tool name must match ^[a-zA-Z0-9_-]+$ to match"),
        ([space("s", function("mcp__b"))], "dynamic tool name is reserved: mcp__b"),
        ([function("a", deferLoading=True)], "deferred dynamic tool must include a namespace: a"),
        ([space("s", {**A, "inputSchema": 1})], "dynamic tool input schema is not supported for a"),
        ([{**A, "type": "x"}], "Invalid request: unknown variant `x`, expected `function` or"),
        ([space("s", space("t", A))], "Invalid request: unknown variant `namespace`, expected"),
        ([{"type": "namespace", "name": "s", "tools": [A]}], "Invalid request: missing field `de"),
        ([{"name": "s", "description": "d", "tools": [A]}], "Invalid request: missing field `inp"),
        ([function("a", deferLoading=None)], "Invalid request: invalid type: null, expected a bo"),
        ([space("s", A, tools=None)], "Invalid request: invalid type: null, expected a sequence"),
        (
            [space("s", {"name": "a", "description": "d", "inputSchema": SCHEMA})],
            "Invalid request: dynamic tools must use either canonical or legacy format consist",
        ),
        (
            [{**A, "namespace": "s"}],
            "Invalid request: dynamic tools must use either canonical or legacy format consist",
        ),
    ],
)
async def test_a_namespace_that_does_not_fit_is_refused(
    lab: Lab, talk: Talk, tools: list[Json], message: str
) -> None:
    params = {"cwd": str(lab.workspace), "dynamicTools": tools}
    assert (await talk.refused("thread/start", params)).message.startswith(message)


@pytest.mark.parametrize(
    "tools",
    [
        [space("s" * 64, function("t" * 128))],
        [space("s", function("update_plan")), function("s")],
        [space("s", A), space("t", A), A],
    ],
)
async def test_names_need_to_differ_only_where_they_meet(
    lab: Lab, talk: Talk, tools: list[Json]
) -> None:
    await talk.start_thread(lab.workspace, dynamicTools=tools)


async def test_the_older_form_names_a_namespace_in_each_tool(lab: Lab, talk: Talk) -> None:
    def old(name: str, **more: Any) -> Json:
        return {"name": name, "description": "d", "inputSchema": SCHEMA, **more}

    lab.fake.add(say("ok"))
    tools = [
        old("send", namespace="mail"),
        old("send", namespace=None),
        old("read", namespace="mail", exposeToContext=False),
    ]
    await talk.turn(await talk.start_thread(lab.workspace, dynamicTools=tools))
    assert [tool["name"] for tool in offered(lab)] == ["mail__send", "mail__read", "send"]
    hidden = {"cwd": str(lab.workspace), "dynamicTools": [old("a", exposeToContext=False)]}
    refusal = await talk.refused("thread/start", hidden)
    assert refusal.message == "deferred dynamic tool must include a namespace: a"


async def test_approval_of_a_call_names_the_namespace(lab: Lab, talk: Talk) -> None:
    tool = function("run", requiresApproval=True, codeArgument="code")
    lab.fake.add(call("kit__run", {"code": "1"}, call_id="c1"), say("ok"))
    thread_id = await talk.start_thread(lab.workspace, dynamicTools=[space("kit", tool)])
    turn_id = await talk.start_turn(thread_id)
    request = await talk.asked("item/commandExecution/requestApproval")
    assert request["params"]["reason"].startswith("kit.run ")
    await talk.answer(request, {"decision": "decline"})
    await talk.turn_end(turn_id)
    assert talk.items("dynamicToolCall")[0]["namespace"] == "kit"


async def test_a_fork_has_the_tools_too(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("one"), say("two"))
    thread_id = await talk.start_thread(lab.workspace, dynamicTools=[MAIL])
    await talk.turn(thread_id)
    fork = await talk.ask("thread/fork", {"threadId": thread_id})
    await talk.turn(fork["thread"]["id"])
    assert offered(lab, 1) == offered(lab, 0) != []
