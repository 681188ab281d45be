"""Pages of items, and items one by one, of loaded and of stored threads."""

import pytest

from codex_jupyter.server import item_handlers
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
    assert kinds(await talk.ask("thread/items/list", back)) == ["commandExecution", "userMessage"]
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
        refused = await talk.refused(method, {**asked, "turnId": "x", "itemIds": []})
        assert refused.message == "turn not found: x"
    many = {**asked, "turnId": turn_id, "itemIds": ["x"] * 101}
    assert "`itemIds`" in (await talk.refused("thread/items/read", many)).message


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


async def test_a_page_ends_where_a_message_would_be_too_large(
    lab: Lab, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread_id = await two_turns(lab, talk)
    monkeypatch.setattr(item_handlers, "MAX_PAGE_BYTES", 10)
    seen: list[str] = []
    page: Json = {"nextCursor": None}
    for _ in ALL:
        params = {"threadId": thread_id, "cursor": page["nextCursor"]}
        page = await talk.ask("thread/items/list", params)
        assert len(page["data"]) == 1
        seen += kinds(page)
    assert (seen, page["nextCursor"]) == (ALL, None)
