"""What acts on a session beside its conversation: items, settings, the user's own commands."""

import pytest

from codex_jupyter.server.rights import kernel_rights
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect, text
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

FREE: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}


def message(words: str) -> Json:
    content = [{"type": "input_text", "text": words}]
    return {"type": "message", "role": "user", "content": content}


def texts(request: Json) -> list[str]:
    return [i["content"][0]["text"] for i in request["input"] if i.get("type") == "message"]


@pytest.mark.parametrize("ephemeral", [False, True])
async def test_injected_items_reach_the_model_at_its_next_turn(
    lab: Lab, talk: Talk, ephemeral: bool
) -> None:
    thread_id = await talk.start_thread(lab.workspace, ephemeral=ephemeral)
    lab.fake.add(say("ok"))
    items = [message("Cell 3 printed: 42"), message("Cell 4 failed")]
    assert await talk.ask("thread/inject_items", {"threadId": thread_id, "items": items}) == {}
    assert lab.fake.requests == []
    await talk.turn(thread_id, "what did it print?")
    said = texts(lab.fake.requests[0])
    assert said[:2] == ["Cell 3 printed: 42", "Cell 4 failed"]
    assert said[-1] == "what did it print?"


async def test_injected_items_survive_a_restart_and_make_no_turn(lab: Lab) -> None:
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await talk.start_thread(lab.workspace)
        asked = {"threadId": thread_id, "items": [message("Cell 3 printed: 42")]}
        await talk.ask("thread/inject_items", asked)
    async with lab.serving() as server, connect(server) as talk:
        resumed = await talk.ask("thread/resume", {"threadId": thread_id})
        assert resumed["thread"]["turns"] == []
        lab.fake.add(say("ok"))
        await talk.turn(thread_id, "and?")
        assert texts(lab.fake.requests[0])[0] == "Cell 3 printed: 42"


async def test_items_injected_into_a_running_turn_come_before_its_next_answer(
    lab: Lab, talk: Talk
) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(call("shell_command", {"command": "touch x"}, call_id="c1"), say("ok"))
    turn_id = await talk.start_turn(thread_id)
    request = await talk.asked()
    asked = {"threadId": thread_id, "items": [message("news")]}
    await talk.ask("thread/inject_items", asked)
    await talk.answer(request, {"decision": "accept"})
    await talk.turn_end(turn_id)
    kinds = [i.get("type") for i in lab.fake.requests[1]["input"]]
    assert kinds[-3:] == ["function_call", "function_call_output", "message"]
    assert texts(lab.fake.requests[1])[-1] == "news"


async def test_items_injected_too_late_for_an_answer_are_kept(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(say("long", deltas=2).hang(after=3), say("next"))
    turn_id = await talk.start_turn(thread_id)
    await lab.fake.wait_for_hang()
    asked = {"threadId": thread_id, "items": [message("news")]}
    await talk.ask("thread/inject_items", asked)
    await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
    await talk.turn_end(turn_id)
    await talk.turn(thread_id, "and?")
    assert "news" in texts(lab.fake.requests[1])


@pytest.mark.parametrize("items", [[], [{}], [{"type": 7}]], ids=str)
async def test_items_that_are_none_are_refused(lab: Lab, talk: Talk, items: list[Json]) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    refusal = await talk.refused("thread/inject_items", {"threadId": thread_id, "items": items})
    assert refusal.code == -32600


async def test_settings_count_from_the_next_turn_on(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(say("a").hang(after=1), say("b"))
    first = await talk.start_turn(thread_id)
    await lab.fake.wait_for_hang()
    asked = {"threadId": thread_id, "model": "other", "approvalPolicy": "never"}
    assert await talk.ask("thread/settings/update", asked) == {}
    told = (await talk.told("thread/settings/updated"))["threadSettings"]
    assert (told["model"], told["approvalPolicy"]) == ("other", "never")
    lab.fake.resume()
    await talk.turn_end(first)
    await talk.turn(thread_id)
    assert [request["model"] for request in lab.fake.requests] == ["fake-model", "other"]
    refusal = await talk.refused(
        "thread/settings/update", {"threadId": thread_id, "model": "third", "cwd": "relative"}
    )
    assert "absolute" in refusal.message
    resumed = await talk.ask("thread/resume", {"threadId": thread_id})
    assert resumed["model"] == "other"


async def test_what_a_turn_changes_of_the_settings_is_told_before_its_answer(
    lab: Lab, talk: Talk
) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(*[say("x") for _ in range(4)])
    await talk.turn(thread_id, "one")
    assert talk.notices("thread/settings/updated") == []
    before = len(talk.heard)
    await talk.turn(thread_id, "two", model="other", effort="low", approvalPolicy="never")
    methods = talk.methods(after=before)
    assert methods[:2] == ["thread/settings/updated", "=turn/start"]
    (told,) = talk.notices("thread/settings/updated")
    settings = told["threadSettings"]
    assert (settings["model"], settings["effort"]) == ("other", "low")
    assert settings["approvalPolicy"] == "never"
    # What is as it was is no news.
    await talk.turn(thread_id, "three", model="other", outputSchema={"type": "object"})
    assert len(talk.notices("thread/settings/updated")) == 1
    await talk.refused(
        "turn/start", {"threadId": thread_id, "input": [text("x")], "model": "y", "cwd": "relative"}
    )
    await talk.turn(thread_id, "four")
    assert len(talk.notices("thread/settings/updated")) == 1


async def test_settings_that_come_with_a_turn_are_told_to_all_who_follow(lab: Lab) -> None:
    async with lab.serving() as server, connect(server) as talk, connect(server) as other:
        thread_id = await talk.start_thread(lab.workspace)
        lab.fake.add(say("a"), say("b"), say("c"))
        await talk.turn(thread_id)
        await other.ask("thread/resume", {"threadId": thread_id})
        changing = await talk.start_turn(thread_id, model="other", effort="high")
        told = (await other.told("thread/settings/updated"))["threadSettings"]
        assert (told["model"], told["effort"]) == ("other", "high")
        await other.turn_end(changing)
        again = await talk.start_turn(thread_id, model="other", effort="high")
        await other.turn_end(again)
        assert len(other.notices("thread/settings/updated")) == 1
        assert other.methods().count("turn/started") == 2
    heard = [method for method in other.methods() if method.startswith(("thread/s", "turn/"))]
    assert heard.index("thread/settings/updated") < heard.index("turn/started")


async def test_the_model_is_told_what_changed_around_it(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(say("a"), say("b"), say("c"))
    await talk.turn(thread_id, "one")
    elsewhere = lab.workspace / "elsewhere"
    await talk.turn(thread_id, "two", cwd=str(elsewhere))
    await talk.turn(thread_id, "three")
    second = texts(lab.fake.requests[1])
    assert f"<cwd>{elsewhere}</cwd>" in second[-2]
    assert sum("<environment_context>" in words for words in second) == 2
    assert sum("<permissions" in words for words in second) == 1
    assert len(texts(lab.fake.requests[2])) == len(second) + 2


async def test_the_users_command_is_a_turn_and_the_model_knows_it(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    asked = {"threadId": thread_id, "command": "echo out; echo err >&2; exit 3"}
    assert await talk.ask("thread/shellCommand", asked) == {}
    turn = await talk.told("turn/started")
    assert (await talk.turn_end(turn["turn"]["id"]))["status"] == "completed"
    (item,) = talk.items("commandExecution")
    assert (item["source"], item["exitCode"], item["status"]) == ("userShell", 3, "failed")
    assert item["aggregatedOutput"] == "out\nerr\n"
    assert talk.requests() == []
    lab.fake.add(say("I saw it"))
    await talk.turn(thread_id, "what did I run?")
    (told,) = [t for t in texts(lab.fake.requests[0]) if "<user_shell_command>" in t]
    assert "exit 3" in told
    assert "err" in told


async def test_the_users_command_runs_beside_a_turn(lab: Lab, talk: Talk) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(call("shell_command", {"command": "touch x"}, call_id="c1"), say("ok"))
    turn_id = await talk.start_turn(thread_id)
    request = await talk.asked()
    await talk.ask("thread/shellCommand", {"threadId": thread_id, "command": "echo beside"})
    item = await talk.until(
        lambda m: (
            m.get("method") == "item/completed" and m["params"]["item"].get("source") == "userShell"
        )
    )
    assert item["params"]["turnId"] == turn_id
    await talk.answer(request, {"decision": "accept"})
    assert (await talk.turn_end(turn_id))["status"] == "completed"
    assert any("beside" in words for words in texts(lab.fake.requests[1]))
    assert len(talk.notices("turn/started")) == 1


@pytest.mark.parametrize("by", ["itself", "interrupt"])
async def test_a_turn_ends_after_the_command_beside_it(lab: Lab, talk: Talk, by: str) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(say("wait").hang(after=1), say("next"))
    turn_id = await talk.start_turn(thread_id)
    await lab.fake.wait_for_hang()
    wait = "while [ ! -e go ]; do sleep 0.01; done; echo went"
    await talk.ask("thread/shellCommand", {"threadId": thread_id, "command": wait})
    await talk.item_started("commandExecution")
    lab.fake.resume()
    if by == "itself":
        await talk.until(lambda _: bool(talk.items("agentMessage")))
        assert talk.notices("turn/completed") == []
        (lab.workspace / "go").touch()
    else:
        await talk.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
    end = await talk.turn_end(turn_id)
    assert end["status"] == ("completed" if by == "itself" else "interrupted")
    (item,) = talk.items("commandExecution")
    assert item["status"] == ("completed" if by == "itself" else "failed")
    await talk.turn(thread_id, "and?")
    assert any("<user_shell_command>" in words for words in texts(lab.fake.requests[-1]))


async def test_a_kernel_may_not_order_commands_nobody_is_asked_about(lab: Lab) -> None:
    async with (
        lab.serving() as server,
        connect(server) as owner,
        connect(server, rights=kernel_rights("k")) as kernel,
    ):
        thread_id = await owner.start_thread(lab.workspace)
        asked = {"threadId": thread_id, "command": "touch made"}
        refusal = await kernel.refused("thread/shellCommand", asked)
        assert "may not run the user's commands" in refusal.message
        for method, more in (
            ("thread/delete", {}),
            ("thread/archive", {}),
            ("thread/unarchive", {}),
            ("thread/rollback", {"numTurns": 1}),
            ("thread/revert", {"beforeTurnId": thread_id}),
            ("thread/undo", {}),
        ):
            refusal = await kernel.refused(method, {"threadId": thread_id, **more})
            assert "this connection (kernel) may not" in refusal.message
        refusal = await owner.refused("thread/shellCommand", {**asked, "command": " "})
        assert refusal.message == "command must not be empty"
        refusal = await owner.refused("thread/shellCommand", {**asked, "timeoutMs": -1})
        assert (refusal.code, refusal.message) == (
            -32602,
            "thread/shellCommand timeoutMs must be non-negative, got -1",
        )
    assert not (lab.workspace / "made").exists()
