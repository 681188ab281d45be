"""Pages of items, and items one by one, of loaded and of stored threads."""

import pytest

from codex_jupyter.protocol.jsonrpc import encode
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect
from tests.fake_model import call, say

pytestmark = pytest.mark.anyio

FREE: Json = {"approvalPolicy": "never", "sandbox": "danger-full-access"}


async def two_turns(lab: Lab, talk: Talk) -> str:
    thread_id = await talk.start_thread(lab.workspace, **FREE)
    lab.fake.add(
        call("shell_command", {"command": "echo printed"}, call_id="c1"), say("one"), say("two")
    )
    await talk.turn(thread_id, "first")
    await talk.turn(thread_id, "second")
    return thread_id


def kinds(page: Json) -> list[str]:
    return [entry["item"]["type"] for entry in page["data"]]


ALL = ["userMessage", "commandExecution", "agentMessage", "userMessage", "agentMessage"]


@pytest.mark.parametrize("loaded", [True, False])
async def test_items_come_in_pages_in_both_directions(lab: Lab, loaded: bool) -> None:
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await two_turns(lab, talk)
        if loaded:
            await pages(talk, thread_id)
    if not loaded:
        async with lab.serving() as server, connect(server) as talk:
            await pages(talk, thread_id)
            assert (await talk.ask("thread/loaded/list", {}))["data"] == []


async def pages(talk: Talk, thread_id: str) -> None:
    asked: Json = {"threadId": thread_id}
    whole = await talk.ask("thread/items/list", asked)
    assert kinds(whole) == ALL
    assert whole["nextCursor"] is None
    entry = whole["data"][0]
    assert entry["startedAtMs"] == entry["item"]["startedAtMs"]
    for direction, expected in (("asc", ALL), ("desc", ALL[::-1])):
        seen: list[str] = []
        page: Json = {"nextCursor": None}
        while len(seen) < len(ALL):
            params = {**asked, "limit": 2, "sortDirection": direction}
            page = await talk.ask("thread/items/list", {**params, "cursor": page["nextCursor"]})
            assert 0 < len(page["data"]) <= 2
            seen += kinds(page)
        assert (seen, page["nextCursor"]) == (expected, None)
    third = {**asked, "limit": 1, "cursor": {"type": "item", "itemId": "c1"}}
    page = await talk.ask("thread/items/list", third)
    assert kinds(page) == ["agentMessage"]
    back = {**asked, "cursor": page["backwardsCursor"], "sortDirection": "desc"}
    before = ["agentMessage", "commandExecution", "userMessage"]
    assert kinds(await talk.ask("thread/items/list", back)) == before
    assert kinds(await talk.ask("thread/items/list", {**asked, "limit": 0})) == ["userMessage"]
    only = {**asked, "turnId": whole["data"][-1]["turnId"].upper()}
    assert kinds(await talk.ask("thread/items/list", only)) == ALL[3:]


async def test_what_is_not_there_is_refused(lab: Lab, talk: Talk) -> None:
    thread_id = await two_turns(lab, talk)
    asked: Json = {"threadId": thread_id}
    turn_id = (await talk.ask("thread/items/list", asked))["data"][0]["turnId"]
    for cursor in ("x", f"{turn_id}/x", "", {"type": "item", "itemId": "x"}):
        refused = await talk.refused("thread/items/list", {**asked, "cursor": cursor})
        assert refused.message.startswith("invalid cursor: ")
    for method in ("thread/items/list", "thread/items/read"):
        refused = await talk.refused(method, {**asked, "turnId": "x", "itemIds": ["x"]})
        assert refused.message == "turn not found: x"
    for count in (0, 101):
        many = {**asked, "turnId": turn_id, "itemIds": ["x"] * count}
        refused = await talk.refused("thread/items/read", many)
        assert refused.message == "itemIds must contain 1 to 100 IDs"


async def test_outputs_are_left_out_and_read_later(lab: Lab, talk: Talk) -> None:
    thread_id = await two_turns(lab, talk)
    asked: Json = {"threadId": thread_id, "deferOutput": {"commandExecution": True}}
    page = await talk.ask("thread/items/list", asked)
    (entry,) = [entry for entry in page["data"] if entry["outputDeferred"]]
    assert entry["item"]["id"] == "c1"
    assert entry["item"]["aggregatedOutput"] is None
    read = await talk.ask(
        "thread/items/read",
        {"threadId": thread_id, "turnId": entry["turnId"], "itemIds": ["absent", "c1", "c1"]},
    )
    (whole,) = read["data"]
    assert whole["item"]["aggregatedOutput"] == "printed\n"
    assert not whole["outputDeferred"]
    plain = await talk.ask("thread/items/list", {"threadId": thread_id})
    assert plain["data"][1]["item"]["aggregatedOutput"] == "printed\n"


@pytest.mark.parametrize("method", ["thread/items/list", "thread/turns/list"])
async def test_a_page_ends_where_some_clients_could_not_read_its_line(
    lab: Lab, talk: Talk, method: str
) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    words = ['"' * 14_000, "small", "\U0001f600" * 7_000, "x" * 100_000, "last"]
    for word in words:
        lab.fake.add(say("ok"))
        await talk.turn(thread_id, word)
    seen: list[str] = []
    asked: Json = {"threadId": thread_id, "sortDirection": "asc", "limit": 100}
    while True:
        page = await talk.ask(method, asked)
        line = len(encode({"id": 1, "result": page}))
        assert line < 64 * 1024 or len(page["data"]) == 1
        for entry in page["data"]:
            seen += [
                item["content"][0]["text"]
                for item in entry.get("items") or [entry["item"]]
                if item["type"] == "userMessage"
            ]
        asked["cursor"] = page["nextCursor"]
        if asked["cursor"] is None:
            break
    assert seen == words
