"""Finding files over the protocol: real folders, real git."""

import subprocess
from pathlib import Path

import pytest

from codex_jupyter.server import file_searches
from codex_jupyter.server.rights import PAGE
from codex_jupyter.tools import file_search
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Json, Talk, connect

pytestmark = pytest.mark.anyio


def fill(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x")


def git(root: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)


async def search(talk: Talk, query: str, *roots: Path, **more: str) -> list[str]:
    params = {"query": query, "roots": [str(root) for root in roots], **more}
    return [found["path"] for found in (await talk.ask("fuzzyFileSearch", params))["files"]]


async def test_a_match_says_what_and_where(lab: Lab, talk: Talk) -> None:
    fill(lab.workspace, "src/app.py", "docs/other.md")
    params = {"query": "app", "roots": [str(lab.workspace)], "cancellationToken": None}
    (found,) = (await talk.ask("fuzzyFileSearch", params))["files"]
    assert found.pop("score") > 0
    assert found == {
        "root": str(lab.workspace),
        "path": "src/app.py",
        "match_type": "file",
        "file_name": "app.py",
        "indices": [4, 5, 6],
    }
    folders = (await talk.ask("fuzzyFileSearch", {**params, "query": "docs"}))["files"]
    assert {(f["path"], f["match_type"]) for f in folders} == {
        ("docs", "directory"),
        ("docs/other.md", "file"),
    }
    assert await search(talk, "", lab.workspace) == []


async def test_what_git_ignores_is_not_found(lab: Lab, talk: Talk) -> None:
    git(lab.workspace, "init", "-q")
    fill(lab.workspace, "kept.log", "noise.log", "sub/noise.log", ".hidden/log")
    (lab.workspace / ".gitignore").write_text("noise.log\n")
    git(lab.workspace, "add", "kept.log")
    assert sorted(await search(talk, "log", lab.workspace)) == [".hidden/log", "kept.log"]
    assert await search(talk, "log", lab.workspace / "sub") == ["noise.log"]


async def test_a_repository_runs_no_program_of_its_own(lab: Lab, talk: Talk) -> None:
    git(lab.workspace, "init", "-q")
    made = lab.workspace.parent / "made"
    hook = lab.workspace.parent / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {made}\n")
    hook.chmod(0o755)
    git(lab.workspace, "config", "core.fsmonitor", str(hook))
    fill(lab.workspace, "file")
    assert await search(talk, "file", lab.workspace) == ["file"]
    assert not made.exists()


async def test_without_git_what_is_hidden_is_left_out(lab: Lab, talk: Talk) -> None:
    fill(lab.workspace, "a/log", ".b/log", "node_modules/log", "a/.log")
    (lab.workspace / "a/round").symlink_to(lab.workspace)
    assert sorted(await search(talk, "log", lab.workspace)) == ["a/.log", "a/log"]
    assert await search(talk, "log", lab.workspace / "absent") == []
    assert await search(talk, "log", lab.workspace, lab.workspace / ".b") != []


async def test_bounds_are_kept(lab: Lab, talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(lab.workspace, *(f"file{n}" for n in range(60)))
    assert len(await search(talk, "file", lab.workspace)) == 50
    monkeypatch.setattr(file_search, "MAX_CANDIDATES", 3)
    assert len(await search(talk, "file", lab.workspace)) == 3
    for params in (
        {"query": "x" * 501, "roots": []},
        {"query": "x", "roots": ["/"] * 33},
        {"query": "x", "roots": ["relative"]},
    ):
        assert (await talk.refused("fuzzyFileSearch", params)).code == -32600


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let git wait for a file of this name; ask for it before the server."""
    gate = tmp_path / "gate"
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nwhile [ ! -e {gate} ]; do sleep 0.01; done\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return gate


async def test_a_later_search_with_the_same_token_ends_the_older(lab: Lab, gate: Path) -> None:
    fill(lab.workspace, "file")
    params: Json = {"query": "file", "roots": [str(lab.workspace)], "cancellationToken": "t"}
    async with (
        lab.serving() as server,
        connect(server) as talk,
        connect(server) as other,
    ):
        apart = await other.request("fuzzyFileSearch", params)
        older = await talk.request("fuzzyFileSearch", params)
        newer = await talk.request("fuzzyFileSearch", params)
        assert (await talk.response(older))["files"] == []
        gate.touch()
        assert len((await talk.response(newer))["files"]) == 1
        assert len((await other.response(apart))["files"]) == 1
        engine = await server.engine()
        assert engine._file_searches._single == {}


async def test_a_session_answers_what_is_typed(lab: Lab, talk: Talk) -> None:
    fill(lab.workspace, "alpha", "beta")
    start = {"sessionId": "s", "roots": [str(lab.workspace)]}
    assert await talk.ask("fuzzyFileSearch/sessionStart", start) == {}
    for query, path in (("alp", "alpha"), ("bet", "beta")):
        place = len(talk.heard)
        await talk.ask("fuzzyFileSearch/sessionUpdate", {"sessionId": "s", "query": query})
        told = await talk.told("fuzzyFileSearch/sessionUpdated", after=place, query=query)
        assert [found["path"] for found in told["files"]] == [path]
        done = await talk.told("fuzzyFileSearch/sessionCompleted", after=place)
        assert done == {"sessionId": "s"}
    await talk.ask("fuzzyFileSearch/sessionStop", {"sessionId": "s"})
    await talk.ask("fuzzyFileSearch/sessionStop", {"sessionId": "s"})
    update = {"sessionId": "s", "query": "x"}
    refused = await talk.refused("fuzzyFileSearch/sessionUpdate", update)
    assert refused.message == "fuzzy file search session not found: s"
    refused = await talk.refused("fuzzyFileSearch/sessionStart", {**start, "sessionId": ""})
    assert refused.message == "sessionId must not be empty"


async def test_only_the_newest_query_is_answered(lab: Lab, gate: Path, talk: Talk) -> None:
    fill(lab.workspace, "alpha", "beta")
    start = {"sessionId": "s", "roots": [str(lab.workspace)]}
    await talk.ask("fuzzyFileSearch/sessionStart", start)
    for query in ("a", "al", "bet"):
        await talk.ask("fuzzyFileSearch/sessionUpdate", {"sessionId": "s", "query": query})
    gate.touch()
    await talk.told("fuzzyFileSearch/sessionCompleted")
    assert [told["query"] for told in talk.notices("fuzzyFileSearch/sessionUpdated")] == ["bet"]


async def test_owners_share_their_sessions_and_pages_do_not(lab: Lab) -> None:
    fill(lab.workspace, "file")
    start: Json = {"sessionId": "s", "roots": [str(lab.workspace)]}
    one_word = {"sessionId": "s", "query": "fi"}
    async with (
        lab.serving() as server,
        connect(server, experimentalApi=True) as one,
        connect(server, experimentalApi=True) as two,
        connect(server, rights=PAGE, experimentalApi=True) as page,
    ):
        for talk in (one, two, page):  # each is known to the engine from here on
            await talk.ask("thread/loaded/list", {})
        await one.ask("fuzzyFileSearch/sessionStart", start)
        await two.ask("fuzzyFileSearch/sessionUpdate", one_word)
        for talk in (one, two):
            told = await talk.told("fuzzyFileSearch/sessionUpdated")
            assert [found["path"] for found in told["files"]] == ["file"]
        refused = await page.refused("fuzzyFileSearch/sessionUpdate", one_word)
        assert "not found: s" in refused.message
        await page.ask("fuzzyFileSearch/sessionStart", start)
        await page.ask("fuzzyFileSearch/sessionUpdate", {**one_word, "query": "f"})
        await page.told("fuzzyFileSearch/sessionCompleted")
        for talk in (one, two, page):
            await talk.ask("thread/loaded/list", {})
        heard = [len(t.notices("fuzzyFileSearch/sessionUpdated")) for t in (one, two, page)]
        assert heard == [1, 1, 1]


async def test_a_session_is_replaced_bounded_and_ends_with_its_connection(
    lab: Lab, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_searches, "MAX_SESSIONS", 1)
    fill(lab.workspace, "file")
    async with lab.serving() as server:
        async with connect(server, experimentalApi=True) as talk:
            start: Json = {"sessionId": "s", "roots": [str(lab.home)]}
            await talk.ask("fuzzyFileSearch/sessionStart", start)
            await talk.ask("fuzzyFileSearch/sessionUpdate", {"sessionId": "s", "query": "old"})
            again = {**start, "roots": [str(lab.workspace)]}
            await talk.ask("fuzzyFileSearch/sessionStart", again)
            more = await talk.refused(
                "fuzzyFileSearch/sessionStart", {**start, "sessionId": "second"}
            )
            assert "1 search sessions" in more.message
            await talk.ask("fuzzyFileSearch/sessionUpdate", {"sessionId": "s", "query": "file"})
            gate.touch()
            told = await talk.told("fuzzyFileSearch/sessionUpdated")
            assert (told["query"], len(told["files"])) == ("file", 1)
        async with connect(server) as other:
            await other.ask("thread/loaded/list", {})
            engine = await server.engine()
            assert engine._file_searches._sessions == {}
            tasks = engine._file_searches._tasks
            assert tasks is not None
            assert other.notices("fuzzyFileSearch/sessionUpdated") == []


@pytest.mark.parametrize("root", ["/no\0path", "/no\ud800path"])
async def test_a_root_that_no_path_can_be_ends_nothing(lab: Lab, talk: Talk, root: str) -> None:
    asked = {"query": "x", "roots": [root]}
    assert await talk.ask("fuzzyFileSearch", asked) == {"files": []}
    await talk.ask("fuzzyFileSearch/sessionStart", {"sessionId": "odd", "roots": [root]})
    await talk.ask("fuzzyFileSearch/sessionUpdate", {"sessionId": "odd", "query": "x"})
    updated = await talk.told("fuzzyFileSearch/sessionUpdated")
    assert (updated["sessionId"], updated["files"]) == ("odd", [])
    fill(lab.workspace, "found")
    assert await search(talk, "found", lab.workspace) == ["found"]
