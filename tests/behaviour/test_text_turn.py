"""A turn without tools: what is told, in which order, and what stays."""

import pytest

from codex_jupyter.protocol.jsonrpc import encode
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect, text
from tests.fake_model import call, raw, reason, say

pytestmark = pytest.mark.anyio


async def test_a_text_turn_is_told_in_one_order(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("Hello you there", deltas=3))
    thread_id = await talk.start_thread(lab.workspace)
    await talk.told("thread/started")
    start = len(talk.heard)
    turn = await talk.turn(thread_id, "Hi")
    methods = talk.methods(after=start)
    first = methods.index("item/agentMessage/delta")
    assert methods[:first] == [
        "=turn/start",
        "thread/status/changed",
        "turn/started",
        "item/started",
        "item/completed",
        "item/started",
    ]
    assert [m for m in methods[first:] if m != "item/agentMessage/delta"] == [
        "item/completed",
        "thread/tokenUsage/updated",
        "thread/status/changed",
        "turn/completed",
    ]
    statuses = [told["status"] for told in talk.notices("thread/status/changed")]
    assert statuses == [{"type": "active", "activeFlags": []}, {"type": "idle"}]
    kinds = [told["item"]["type"] for told in talk.notices("item/started")]
    assert kinds == ["userMessage", "agentMessage"]
    assert turn["status"] == "completed"
    assert turn["error"] is None


async def test_thread_started_comes_right_after_the_response(lab: Lab, talk: Talk) -> None:
    start = len(talk.heard)
    await talk.start_thread(lab.workspace)
    await talk.told("thread/started")
    assert talk.methods(after=start) == ["=thread/start", "thread/started"]


async def test_deltas_join_to_the_text_of_the_item(lab: Lab, talk: Talk) -> None:
    words = "Grüße — 你好 🐍\n" * 40
    lab.fake.add(say(words, deltas=37))
    await talk.turn(await talk.start_thread(lab.workspace))
    (item,) = talk.items("agentMessage")
    assert item["text"] == words
    assert talk.deltas(item["id"]) == words


async def test_every_item_is_completed_under_the_id_it_was_started_with(
    lab: Lab, talk: Talk
) -> None:
    lab.fake.add(reason("why") + say("because"))
    await talk.turn(await talk.start_thread(lab.workspace))
    started = [told["item"]["id"] for told in talk.notices("item/started")]
    assert started == [item["id"] for item in talk.items()]
    assert len(set(started)) == 3


async def test_reasoning_is_told_in_parts(lab: Lab, talk: Talk) -> None:
    lab.fake.add(reason("**One**", "**Two**", raw_text="bare") + say("done"))
    await talk.turn(await talk.start_thread(lab.workspace))
    parts = [told["summaryIndex"] for told in talk.notices("item/reasoning/summaryPartAdded")]
    assert parts == [0, 1]
    deltas = talk.notices("item/reasoning/summaryTextDelta")
    assert [(told["summaryIndex"], told["delta"]) for told in deltas] == [
        (0, "**One**"),
        (1, "**Two**"),
    ]
    (bare,) = talk.notices("item/reasoning/textDelta")
    assert (bare["contentIndex"], bare["delta"]) == (0, "bare")
    (item,) = talk.items("reasoning")
    assert (item["summary"], item["content"]) == (["**One**", "**Two**"], ["bare"])


NASTY = "".join(chr(n % 32) + '\U0001f40d"\\' for n in range(40_000))
"""What grows most when it is written: control characters have six bytes, and some need two."""


async def test_no_line_of_a_delta_is_longer_than_some_clients_read(lab: Lab) -> None:
    script = "head -c 100000 /dev/zero | tr '\\0' '\\t'"
    print_it = call("shell_command", {"command": script}, call_id="c1")
    lab.fake.add(say(NASTY, deltas=1) + print_it, say("\x01" * 100_000, deltas=900))
    async with (
        lab.serving() as server,
        connect(server, eventSequences=True) as talk,
        lab.connect(server) as slow,
    ):
        params = {"approvalPolicy": "never", "sandbox": "danger-full-access"}
        thread_id = await talk.start_thread(lab.workspace, **params)
        await slow.ask("thread/resume", {"threadId": thread_id})
        slow.stop_reading()
        turn = await talk.turn(thread_id)
        assert turn["status"] == "completed"
        slow.read_on()
        await slow.turn_end(turn["id"])
    for hearer in (talk, slow):
        deltas = [m for m in hearer.heard if str(m.get("method")).lower().endswith("delta")]
        assert {m["method"] for m in deltas} == {
            "item/agentMessage/delta",
            "item/commandExecution/outputDelta",
        }
        assert max(len(encode(message)) for message in deltas) < 65_536
        for item in (*talk.items("agentMessage"), *talk.items("commandExecution")):
            assert hearer.deltas(item["id"]) == item.get("text", item.get("aggregatedOutput"))
    numbers = [m["seq"] for m in talk.heard if "seq" in m]
    assert numbers == sorted(set(numbers))


async def test_usage_is_summed_over_the_responses_of_a_thread(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("a").with_usage(100, 10, cached=40, reasoning=3), say("b").with_usage(200, 20))
    thread_id = await talk.start_thread(lab.workspace)
    await talk.turn(thread_id)
    await talk.turn(thread_id)
    first, second = (told["tokenUsage"] for told in talk.notices("thread/tokenUsage/updated"))
    assert first["last"] == {
        "totalTokens": 110,
        "inputTokens": 100,
        "cachedInputTokens": 40,
        "outputTokens": 10,
        "reasoningOutputTokens": 3,
    }
    assert first["total"] == first["last"]
    assert second["last"]["totalTokens"] == 220
    assert second["total"] == {
        "totalTokens": 330,
        "inputTokens": 300,
        "cachedInputTokens": 40,
        "outputTokens": 30,
        "reasoningOutputTokens": 3,
    }


async def test_the_model_sees_the_whole_conversation(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("first answer"), say("second answer"))
    thread_id = await talk.start_thread(lab.workspace, developerInstructions="Be kind.")
    await talk.turn(thread_id, "first question")
    await talk.turn(thread_id, "second question")
    said = [(item["role"], item["content"][0]["text"]) for item in lab.fake.requests[1]["input"]]
    assert said[0] == ("developer", "Be kind.")
    assert [role for role, _ in said[1:3]] == ["developer", "user"]
    assert said[3:] == [
        ("user", "first question"),
        ("assistant", "first answer"),
        ("user", "second question"),
    ]


async def test_overrides_of_a_turn_stay_for_later_turns(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("a"), say("b"))
    thread_id = await talk.start_thread(lab.workspace)
    await talk.turn(thread_id, model="other-model")
    await talk.turn(thread_id)
    assert [request["model"] for request in lab.fake.requests] == ["other-model"] * 2


async def test_an_effort_is_whatever_the_provider_calls_it(lab: Lab, talk: Talk) -> None:
    lab.configure(supports_reasoning="true")
    lab.fake.add(say("a"))
    thread_id = await talk.start_thread(lab.workspace)
    await talk.turn(thread_id, effort="max")
    assert (await talk.ask("thread/resume", {"threadId": thread_id}))["reasoningEffort"] == "max"
    asked: Json = {"threadId": thread_id, "input": [text("x")]}
    assert "`effort`" in (await talk.refused("turn/start", {**asked, "effort": ""})).message


async def test_a_model_without_a_name_is_refused_before_it_stays(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(say("a"))
    await talk.turn(thread_id)
    asked: Json = {"threadId": thread_id, "model": ""}
    for method, more in (("turn/start", {"input": [text("x")]}), ("thread/settings/update", {})):
        refused = await talk.refused(method, {**asked, **more})
        assert (refused.code, refused.message) == (-32600, "model must not be empty")
    forked = await talk.ask("thread/fork", {"threadId": thread_id})
    assert forked["model"] == "fake-model"


async def test_an_output_schema_counts_for_one_turn_only(lab: Lab, talk: Talk) -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    lab.fake.add(say("{}"), say("b"))
    thread_id = await talk.start_thread(lab.workspace)
    await talk.turn(thread_id, outputSchema=schema)
    await talk.turn(thread_id)
    assert lab.fake.requests[0]["text"]["format"]["schema"] == schema
    assert "format" not in lab.fake.requests[1].get("text", {})


async def test_a_missing_local_image_becomes_a_text(lab: Lab, talk: Talk) -> None:
    lab.fake.add(say("a"))
    thread_id = await talk.start_thread(lab.workspace)
    image = {"type": "localImage", "path": str(lab.workspace / "none.png")}
    turn_id = await talk.start_turn(thread_id, input=[text("look"), image])
    assert (await talk.turn_end(turn_id))["status"] == "completed"
    content = lab.fake.requests[0]["input"][-1]["content"]
    assert "none.png could not be read" in content[1]["text"]


@pytest.mark.parametrize("method", ["turn/start", "turn/steer"])
async def test_too_much_text_is_refused_with_numbers(lab: Lab, talk: Talk, method: str) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    long = [text("x" * 1_048_576), text("y")]
    params = {"threadId": thread_id, "expectedTurnId": "t", "input": long}
    refusal = await talk.refused(method, params)
    assert refusal.code == -32602
    assert refusal.message == "Input exceeds the maximum length of 1048576 characters."
    assert refusal.data == {
        "input_error_code": "input_too_large",
        "max_chars": 1_048_576,
        "actual_chars": 1_048_577,
    }


async def test_empty_input_is_refused(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    refusal = await talk.refused("turn/start", {"threadId": thread_id, "input": []})
    assert (refusal.code, refusal.message) == (-32600, "input must not be empty")


async def test_a_search_of_the_providers_is_offered_shown_and_remembered(lab: Lab) -> None:
    lab.configure('web_search = "live"')
    action = {"type": "search", "query": "penguins"}
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": action}
    added = {"type": "response.output_item.added", "output_index": 0, "item": item}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    lab.fake.add(raw(added, done) + say("Found them."), say("ok"))
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        await talk.turn(thread_id)
        assert {"type": "web_search", "external_web_access": True} in lab.fake.requests[0]["tools"]
        (search,) = talk.items("webSearch")
        assert (search["id"], search["query"]) == ("ws_1", "penguins")
        await talk.turn(thread_id)
        kinds = [i["type"] for i in lab.fake.requests[1]["input"]]
        assert "web_search_call" in kinds


async def test_nothing_that_is_no_json_leaves_whatever_the_model_sends(lab: Lab) -> None:
    tool = {"name": "t", "description": "d", "inputSchema": {"type": "object"}}
    deep = "[" * 150 + "]" * 150
    halves = say("half \ud83d", deltas=2) + reason("why \udc00", raw_text="\ud800")
    lab.fake.add(
        halves + call("t", f'{{"large": [1e999, -1e999], "deep": {deep}}}', call_id="c1"),
        call("t", '{"a": "\\ud800"}', call_id="c2") + call("t", '{"a": NaN}', call_id="c3"),
        say("ok \udfff"),
    )
    # What arrives over the pipes is decoded strictly: a line that is no JSON fails the test.
    async with lab.stdio(experimentalApi=True) as server:
        talk = server.talk
        thread_id = await talk.start_thread(lab.workspace, dynamicTools=[tool])
        turn_id = await talk.start_turn(thread_id)
        asked = await talk.asked("item/tool/call")
        assert asked["params"]["arguments"]["large"] == [None, None]
        await talk.answer(asked, {"contentItems": [], "success": True})
        ended = await talk.turn_end(turn_id)
        assert ended["status"] == "completed", ended["error"]
        assert [i["text"] for i in talk.items("agentMessage")] == ["half \ufffd", "ok \ufffd"]
        read = await talk.ask("thread/read", {"threadId": thread_id, "includeTurns": True})
        assert read["thread"]["turns"][0]["status"] == "completed"
        assert len(talk.requests()) == 1
    told = [i["output"] for i in lab.fake.requests[-1]["input"] if "output" in i]
    assert [str(text).startswith("failed to parse") for text in told] == [False, True, True]
