"""Pages of turns, and search over threads and within one."""

from pathlib import Path

import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect
from tests.fake_model import say

pytestmark = pytest.mark.anyio


async def spoken(lab: Lab, talk: Talk, *pairs: tuple[str, str], name: str | None = None) -> str:
    thread_id = await talk.start_thread(lab.workspace)
    for wish, answer in pairs:
        lab.fake.add(say(answer))
        await talk.turn(thread_id, wish)
    if name is not None:
        await talk.ask("thread/name/set", {"threadId": thread_id, "name": name})
    return thread_id


async def search(talk: Talk, term: str, **more: object) -> list[str]:
    found = await talk.ask("thread/search", {"searchTerm": term, **more})
    return [entry["thread"]["id"] for entry in found["data"]]


@pytest.mark.parametrize("loaded", [True, False])
async def test_turns_come_in_pages_in_both_directions(lab: Lab, loaded: bool) -> None:
    async with lab.serving() as server, connect(server) as talk:
        thread_id = await spoken(lab, talk, *((f"wish {n}", f"answer {n}") for n in range(5)))
        if loaded:
            await pages(talk, thread_id)
    if not loaded:
        async with lab.serving() as server, connect(server) as talk:
            await pages(talk, thread_id)
            assert (await talk.ask("thread/loaded/list", {}))["data"] == []


async def pages(talk: Talk, thread_id: str) -> None:
    def wishes(page: Json) -> list[str]:
        return [turn["items"][0]["content"][0]["text"] for turn in page["data"]]

    asked: Json = {"threadId": thread_id, "limit": 2}
    first = await talk.ask("thread/turns/list", asked)
    assert wishes(first) == ["wish 4", "wish 3"]
    second = await talk.ask("thread/turns/list", {**asked, "cursor": first["nextCursor"]})
    assert wishes(second) == ["wish 2", "wish 1"]
    back = {**asked, "cursor": second["backwardsCursor"], "sortDirection": "asc"}
    # With the first of the page: what has happened to it since is seen.
    assert wishes(await talk.ask("thread/turns/list", back)) == ["wish 2", "wish 3"]
    newest = {**asked, "cursor": first["backwardsCursor"], "sortDirection": "asc"}
    assert wishes(await talk.ask("thread/turns/list", newest)) == ["wish 4"]
    for limit in (0, 1):
        assert len((await talk.ask("thread/turns/list", {**asked, "limit": limit}))["data"]) == 1
    last = await talk.ask("thread/turns/list", {**asked, "cursor": second["nextCursor"]})
    assert (wishes(last), last["nextCursor"]) == (["wish 0"], None)
    for view, items in (("notLoaded", 0), ("summary", 2), ("full", 2)):
        page = await talk.ask("thread/turns/list", {**asked, "itemsView": view})
        assert [len(turn["items"]) for turn in page["data"]] == [items] * 2
        assert page["data"][0]["itemsView"] == view
    only = {**asked, "turnId": second["data"][0]["id"].upper()}
    assert wishes(await talk.ask("thread/turns/list", only)) == ["wish 2"]
    only["turnId"] = "00000000-0000-4000-8000-000000000000"
    assert (await talk.ask("thread/turns/list", only))["data"] == []
    refusal = await talk.refused("thread/turns/list", {**asked, "cursor": "nothing"})
    assert refusal.message == "invalid cursor: nothing"


async def test_a_page_of_turns_comes_with_the_resumed_thread(lab: Lab, talk: Talk) -> None:
    thread_id = await spoken(lab, talk, *((f"wish {n}", f"answer {n}") for n in range(3)))

    async def resumed(**more: object) -> Json:
        return await talk.ask("thread/resume", {"threadId": thread_id, **more})

    plain = await resumed()
    assert plain["initialTurnsPage"] is None
    of_thread: Json = {"threadId": thread_id}
    for asked in ({}, {"limit": 2}, {"limit": 1, "sortDirection": "asc", "itemsView": "full"}):
        opened = await resumed(initialTurnsPage=asked, excludeTurns=True)
        assert opened["thread"]["turns"] == []
        page = await talk.ask("thread/turns/list", {**of_thread, **asked})
        assert opened["initialTurnsPage"] == page
    both = await resumed(initialTurnsPage={"limit": 1})
    assert len(both["thread"]["turns"]) == 3
    ids = [turn["id"] for turn in both["thread"]["turns"]]
    assert [turn["id"] for turn in both["initialTurnsPage"]["data"]] == ids[-1:]
    # From the cursors of every result the past is read backwards.
    back = {**of_thread, "cursor": plain["turnsBackwardsCursor"]}
    page = await talk.ask("thread/turns/list", back)
    assert [turn["id"] for turn in page["data"]] == ids[::-1]
    back = {**of_thread, "cursor": plain["itemsBackwardsCursor"], "sortDirection": "desc"}
    (last, *_) = (await talk.ask("thread/items/list", {**back, "limit": 1}))["data"]
    assert last["item"]["text"] == "answer 2"
    refusal = await talk.refused(
        "thread/resume", {**of_thread, "initialTurnsPage": {"itemsView": "x"}}
    )
    assert refusal.message.startswith("Invalid request: unknown variant `x`")


async def test_what_was_taken_back_is_behind_no_cursor(lab: Lab, talk: Talk) -> None:
    thread_id = await spoken(lab, talk, ("wish 0", "answer 0"), ("wish 1", "answer 1"))
    of_thread: Json = {"threadId": thread_id}
    turns = (await talk.ask("thread/read", {**of_thread, "includeTurns": True}))["thread"]["turns"]
    for turn in reversed(turns):
        told = await talk.ask("thread/revert", {**of_thread, "beforeTurnId": turn["id"]})
        left = told["thread"]["turns"]
        if left:
            page = {**of_thread, "cursor": told["turnsBackwardsCursor"]}
            (first,) = (await talk.ask("thread/turns/list", page))["data"]
            assert first["id"] == left[-1]["id"]
        else:
            assert (told["turnsBackwardsCursor"], told["itemsBackwardsCursor"]) == (None, None)


async def test_threads_are_found_by_their_words_and_names(lab: Lab, talk: Talk) -> None:
    one = await spoken(lab, talk, ("Load the Café data", "There are penguins in it."))
    two = await spoken(lab, talk, ("Plot something", "A plot."), name="Penguin colours")
    three = await spoken(lab, talk, ("データを読む", "読みました"))
    assert set(await search(talk, "penguin")) == {one, two}
    assert await search(talk, "cafe data") == [one]
    assert await search(talk, "読みま") == [three]
    assert await search(talk, "colours") == [two]
    assert await search(talk, "nowhere") == []
    found = await talk.ask("thread/search", {"searchTerm": "there are"})
    assert found["data"][0]["snippet"] == "There are penguins in it."
    for odd in ('"', "a*", "NEAR(a b)", "-x", "'; DROP TABLE files", "100%", "a OR"):
        await talk.ask("thread/search", {"searchTerm": odd})
    refusal = await talk.refused("thread/search", {"searchTerm": " "})
    assert "searchTerm must have" in refusal.message
    nul = await talk.refused("thread/search", {"searchTerm": "a\0b"})
    assert nul.message == refusal.message


async def test_what_is_appended_renamed_taken_back_or_moved_is_found_so(
    lab: Lab, talk: Talk
) -> None:
    thread_id = await spoken(lab, talk, ("first", "alpha"), name="old name")
    assert await search(talk, "alpha") == [thread_id]
    lab.fake.add(say("beta"))
    turn = await talk.turn(thread_id, "second")
    await talk.ask("thread/name/set", {"threadId": thread_id, "name": "new title"})
    assert await search(talk, "beta") == await search(talk, "title") == [thread_id]
    assert await search(talk, "old name") == []
    await talk.ask("thread/revert", {"threadId": thread_id, "beforeTurnId": turn["id"]})
    assert await search(talk, "beta") == []
    assert await search(talk, "alpha") == [thread_id]
    await talk.ask("thread/archive", {"threadId": thread_id})
    assert await search(talk, "alpha") == []
    assert await search(talk, "alpha", archived=True) == [thread_id]
    await talk.ask("thread/delete", {"threadId": thread_id})
    assert await search(talk, "alpha", archived=True) == []


async def test_results_come_in_pages(lab: Lab, talk: Talk) -> None:
    ids = [await spoken(lab, talk, ("same words", "ok")) for _ in range(3)]
    seen: list[str] = []
    cursor = None
    while True:
        page = await talk.ask(
            "thread/search", {"searchTerm": "same words", "limit": 2, "cursor": cursor}
        )
        seen += [entry["thread"]["id"] for entry in page["data"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(ids)


async def test_places_in_one_thread(lab: Lab, talk: Talk) -> None:
    thread_id = await spoken(lab, talk, ("a needle here", "no"), ("no", "one Needle more"))
    await spoken(lab, talk, ("another needle", "no"))
    asked = {"threadId": thread_id, "searchTerm": "needle"}
    found = (await talk.ask("thread/searchOccurrences", asked))["data"]
    assert [place["snippet"] for place in found] == ["a needle here", "one Needle more"]
    assert found[0]["snippetMatchRange"] == {"start": 2, "end": 8}
    assert found[0]["turnId"] != found[1]["turnId"]
    for place, direction in ((found[0], "desc"), (found[1], "asc")):
        there = {"threadId": thread_id, "cursor": place["turnCursor"], "sortDirection": direction}
        (turn,) = (await talk.ask("thread/turns/list", there))["data"]
        assert turn["id"] == place["turnId"]


async def test_a_place_is_counted_in_the_snippet_as_it_is_written(lab: Lab, talk: Talk) -> None:
    """The small form of some letters is longer than they are."""
    thread_id = await spoken(lab, talk, ("İİ Needle", "no"))
    asked = {"threadId": thread_id, "searchTerm": "needle"}
    (place,) = (await talk.ask("thread/searchOccurrences", asked))["data"]
    found = place["snippetMatchRange"]
    assert place["snippet"][found["start"] : found["end"]] == "Needle"


@pytest.mark.parametrize("damage", ["missing", "garbage", "old"])
async def test_an_index_that_is_no_use_is_made_anew(lab: Lab, damage: str) -> None:
    async with lab.serving() as server, lab.connect(server, experimentalApi=True) as talk:
        thread_id = await spoken(lab, talk, ("find me", "ok"))
        assert await search(talk, "find") == [thread_id]
    index: Path = lab.home / "index.sqlite"
    assert index.stat().st_mode & 0o777 == 0o600
    for path in lab.home.glob("index.sqlite*"):
        path.unlink()
    if damage == "garbage":
        index.write_bytes(b"this is no database" * 1000)
    elif damage == "old":
        import sqlite3

        db = sqlite3.connect(index)
        db.execute("CREATE TABLE files (x)")
        db.commit()
        db.close()
    async with lab.serving() as server, lab.connect(server, experimentalApi=True) as talk:
        assert await search(talk, "find") == [thread_id]


async def test_where_there_can_be_no_index_the_rest_works(lab: Lab) -> None:
    async with lab.serving() as server, lab.connect(server, experimentalApi=True) as talk:
        thread_id = await spoken(lab, talk, ("find me", "ok"))
        (lab.home / "index.sqlite").mkdir()
        refusal = await talk.refused("thread/search", {"searchTerm": "find"})
        assert "index.sqlite" in refusal.message
        listed = await talk.ask("thread/list", {})
        assert [thread["id"] for thread in listed["data"]] == [thread_id]


async def test_threads_are_listed_in_both_directions_and_by_folders(lab: Lab, talk: Talk) -> None:
    folders = [lab.workspace / name for name in ("a", "b", "c")]
    ids: list[str] = []
    for folder in folders:
        folder.mkdir()
        lab.fake.add(say("ok"))
        ids.append(await talk.start_thread(folder))
        await talk.turn(ids[-1])

    async def listed(**asked: object) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            page = await talk.ask("thread/list", {**asked, "limit": 1, "cursor": cursor})
            found += [thread["id"] for thread in page["data"]]
            cursor = page["nextCursor"]
            if cursor is None:
                return found

    assert await listed(sortDirection="asc") == ids
    assert await listed() == ids[::-1]
    assert await listed(cwd=[str(folders[0]), str(folders[2])]) == [ids[2], ids[0]]
    lab.fake.add(say("again"))
    await talk.turn(ids[0])
    assert await listed(sortKey="recency_at") == [ids[0], ids[2], ids[1]]
