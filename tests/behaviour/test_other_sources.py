"""Threads that are opened by their file, or begun from a history that the client brings."""

from pathlib import Path

import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect
from tests.fake_model import say

pytestmark = pytest.mark.anyio

NOBODY = "00000000-0000-4000-8000-000000000000"


def message(role: str, words: str) -> Json:
    kind = "input_text" if role == "user" else "output_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": words}]}


HISTORY = [message("user", "My name is Ada."), message("assistant", "Noted.")]


async def spoken(lab: Lab, talk: Talk) -> tuple[str, str]:
    """Return the id of a thread with one turn, and where its rollout is."""
    thread_id = await talk.start_thread(lab.workspace)
    lab.fake.add(say("one"))
    await talk.turn(thread_id)
    read = await talk.ask("thread/read", {"threadId": thread_id})
    return thread_id, read["thread"]["path"]


async def test_a_history_begins_a_thread_of_its_own_that_the_model_remembers(lab: Lab) -> None:
    async with lab.serving() as server, lab.connect(server, experimentalApi=True) as talk:
        asked = {"threadId": "whatever", "history": HISTORY, "cwd": str(lab.workspace)}
        opened = await talk.ask("thread/resume", asked)
        thread_id = opened["thread"]["id"]
        assert (opened["thread"]["turns"], opened["replayed"]) == ([], False)
        lab.fake.add(say("Ada"))
        await talk.turn(thread_id, "Who am I?")
        assert lab.fake.requests[0]["input"][: len(HISTORY)] == HISTORY
    async with lab.serving() as server, connect(server) as talk:
        await talk.ask("thread/resume", {"threadId": thread_id})
        lab.fake.add(say("Ada"))
        await talk.turn(thread_id, "Still?")
        assert lab.fake.requests[1]["input"][: len(HISTORY)] == HISTORY


async def test_a_history_takes_the_place_of_no_thread(lab: Lab, talk: Talk) -> None:
    thread_id, path = await spoken(lab, talk)
    before = set((await talk.ask("thread/loaded/list", {}))["data"])
    for history, text in (
        ([], "history must not be empty"),
        ([{"role": "user"}], "history[0]: `type` must name a kind of item"),
        (HISTORY, f"cannot resume thread {thread_id} with history while it is already running"),
    ):
        asked = {"threadId": thread_id, "history": history, "path": path}
        assert (await talk.refused("thread/resume", asked)).message == text
    assert set((await talk.ask("thread/loaded/list", {}))["data"]) == before


@pytest.mark.parametrize("loaded", [True, False])
async def test_a_path_names_the_thread_whatever_the_id_says(lab: Lab, loaded: bool) -> None:
    async with lab.serving() as server, lab.connect(server, experimentalApi=True) as talk:
        thread_id, path = await spoken(lab, talk)
        if loaded:
            await open_by_path(lab, talk, thread_id, path)
    if not loaded:
        async with lab.serving() as server, lab.connect(server, experimentalApi=True) as talk:
            await open_by_path(lab, talk, thread_id, path)


async def open_by_path(lab: Lab, talk: Talk, thread_id: str, path: str) -> None:
    relative = str(Path(path).relative_to(lab.home))
    for given in (path, relative):
        opened = await talk.ask("thread/resume", {"threadId": NOBODY, "path": given})
        assert opened["thread"]["id"] == thread_id
        assert len(opened["thread"]["turns"]) == 1
    forked = await talk.ask("thread/fork", {"threadId": NOBODY, "path": path})
    assert forked["thread"]["forkedFromId"] == thread_id
    assert len(forked["thread"]["turns"]) == 1
    # What says nothing counts as absent.
    opened = await talk.ask("thread/resume", {"threadId": thread_id, "path": ""})
    assert opened["thread"]["id"] == thread_id


async def test_a_path_that_is_no_rollout_of_this_home_is_refused(
    lab: Lab, talk: Talk, tmp_path: Path
) -> None:
    thread_id, path = await spoken(lab, talk)
    elsewhere = tmp_path / Path(path).name
    elsewhere.write_bytes(Path(path).read_bytes())
    link = Path(path).with_name("link.jsonl")
    link.symlink_to(elsewhere)
    absent = Path(path).with_name(Path(path).name.replace(thread_id, NOBODY))
    for method in ("thread/resume", "thread/fork"):
        for wrong in (elsewhere, link, lab.home / "config.toml", Path(path).parent, "/\0"):
            refused = await talk.refused(method, {"threadId": thread_id, "path": str(wrong)})
            assert refused.message.endswith(
                f"is no rollout below {lab.home / 'sessions'}; only those can be opened by path"
            )
        refused = await talk.refused(method, {"threadId": thread_id, "path": str(absent)})
        assert refused.message == f"failed to resolve rollout path `{absent}`: file does not exist"
    (opened,) = (await talk.ask("thread/loaded/list", {}))["data"]
    assert opened == thread_id


async def test_a_loaded_thread_is_not_taken_for_the_one_of_another_path(
    lab: Lab, talk: Talk
) -> None:
    first, its_path = await spoken(lab, talk)
    second, path = await spoken(lab, talk)
    refused = await talk.refused("thread/resume", {"threadId": first, "path": path})
    assert refused.message == (
        f"cannot resume running thread {first} with mismatched path: "
        f"requested `{path}`, active `{its_path}`"
    )
    opened = await talk.ask("thread/resume", {"threadId": second, "path": path})
    assert opened["thread"]["id"] == second
