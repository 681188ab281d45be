"""Lists of what there is to choose from, the experimental gate, and what is not offered."""

from pathlib import Path

import pytest

from codex_jupyter.core import skills
from codex_jupyter.protocol.out_of_scope import OUT_OF_SCOPE
from codex_jupyter.protocol.requests import CLIENT_REQUESTS
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Talk, connect

pytestmark = pytest.mark.anyio


def skill(folder: Path, name: str, text: str) -> Path:
    path = folder / name / "SKILL.md"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


async def test_skills_are_listed_with_what_is_wrong_with_others(
    lab: Lab, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = skill(
        lab.home / "skills",
        "plots",
        "---\nname: plots\ndescription: >\n  Draws\n  plots.\n"
        "metadata:\n  short-description: Draws\n---\nText.\n",
    )
    theirs = skill(lab.workspace / ".agents/skills", "nested/fit", "---\ndescription: Fits\n---\n")
    bare = skill(lab.workspace / ".codex/skills", "bare", "no front matter")
    broken = skill(lab.workspace / ".codex/skills", "broken", "---\na: [\n---\n")
    dull = skill(lab.workspace / ".codex/skills", "dull", "---\nname: dull\n---\n")
    (lab.home / "skills" / "circle").symlink_to(lab.home / "skills")
    params = {"cwds": [str(lab.workspace)]}
    (entry,) = (await talk.ask("skills/list", params))["data"]
    found = [(s["name"], s["description"], s["path"], s["scope"]) for s in entry["skills"]]
    assert found == [
        ("plots", "Draws plots.", str(ours), "user"),
        ("fit", "Fits", str(theirs), "repo"),
    ]
    assert entry["skills"][0]["shortDescription"] == "Draws"
    errors = {error["path"]: error["message"] for error in entry["errors"]}
    assert errors.keys() == {str(bare), str(broken), str(dull)}
    assert "description" in errors[str(dull)]
    assert "YAML" in errors[str(broken)]
    monkeypatch.setattr(skills, "MAX_SKILLS", 1)
    skill(lab.home / "skills", "second", "---\ndescription: Two\n---\n")
    (entry,) = (await talk.ask("skills/list", params))["data"]
    assert [s["name"] for s in entry["skills"]] == ["plots", "fit"]
    assert any("more than 1" in error["message"] for error in entry["errors"])


async def test_folders_without_skills_and_hooks_have_empty_lists(lab: Lab, talk: Talk) -> None:
    cwds = [str(lab.workspace), "/absent"]
    for method in ("skills/list", "hooks/list"):
        data = (await talk.ask(method, {"cwds": cwds}))["data"]
        assert [entry["cwd"] for entry in data] == cwds
        refused = await talk.refused(method, {"cwds": ["relative"]})
        assert "absolute" in refused.message
        assert (await talk.refused(method, {"cwds": ["/x"] * 33})).code == -32600
        assert (await talk.refused(method, {"cwds": ["/x\0"]})).code == -32600
        assert len((await talk.ask(method, {}))["data"]) == 1


async def test_features_modes_and_profiles(lab: Lab) -> None:
    lab.configure("features = { multi_agent = false }")
    async with lab.serving() as server, connect(server, experimentalApi=True) as talk:
        features = await talk.ask("experimentalFeature/list", {})
        (feature,) = features["data"]
        assert (feature["name"], feature["enabled"]) == ("multi_agent", False)
        past = await talk.refused("experimentalFeature/list", {"cursor": "9"})
        assert past.message == "cursor 9 exceeds total feature flags 1"
        bad = await talk.refused("experimentalFeature/list", {"cursor": "x"})
        assert bad.message == "invalid cursor: x"
        assert await talk.ask("permissionProfile/list", {}) == {"data": [], "nextCursor": None}
        modes = (await talk.ask("collaborationMode/list", {}))["data"]
        default = {"name": "Default", "mode": "default", "model": None, "reasoning_effort": None}
        assert modes == [default]
        assert await talk.ask("mock/experimentalMethod", {"value": "v"}) == {"echoed": "v"}


async def test_what_is_experimental_needs_the_capability(lab: Lab) -> None:
    """The requests and answers of the recorded talk `experimental_gate`."""
    cwd = str(lab.workspace)
    async with lab.serving() as server, connect(server) as talk:
        for method, params, part in (
            ("mock/experimentalMethod", {"value": "v"}, ""),
            ("collaborationMode/list", {}, ""),
            ("thread/start", {"cwd": cwd, "mockExperimentalField": "v"}, ".mockExperimentalField"),
            ("thread/start", {"cwd": cwd, "dynamicTools": []}, ".dynamicTools"),
            ("thread/start", {"cwd": cwd, "experimentalRawEvents": True}, ".experimentalRawEvents"),
            ("thread/resume", {"threadId": "x", "path": "/nowhere"}, ".path"),
            ("thread/backgroundTerminals/clean", {"threadId": "x"}, ""),
        ):
            refused = await talk.refused(method, params)
            assert refused.message == f"{method}{part} requires experimentalApi capability"
        await talk.ask("thread/start", {"cwd": cwd, "dynamicTools": None})
        await talk.ask("thread/start", {"cwd": cwd, "experimentalRawEvents": False})
        unread = await talk.refused("thread/backgroundTerminals/clean", {})
        assert unread.message == "Invalid request: missing field `threadId`"


async def test_what_is_not_offered_says_so_and_why(talk: Talk) -> None:
    assert not OUT_OF_SCOPE.keys() & CLIENT_REQUESTS.keys()
    for method, reason in OUT_OF_SCOPE.items():
        refused = await talk.refused(method, {})
        assert refused.code == -32600
        assert refused.message == f"{method} is not offered by codex_jupyter: {reason}"
    unknown = await talk.refused("no/such", {})
    assert unknown.message.startswith("Invalid request: unknown variant `no/such`, expected one of")


async def test_a_thread_that_is_named_must_be_loaded_and_says_where_to_look(
    lab: Lab, talk: Talk
) -> None:
    thread_id = await talk.start_thread(lab.workspace)
    (entry,) = (await talk.ask("hooks/list", {"threadId": thread_id}))["data"]
    assert entry["cwd"] == str(lab.workspace)
    absent = "00000000-0000-4000-8000-000000000000"
    for method in ("hooks/list", "experimentalFeature/list", "mcpServerStatus/list"):
        await talk.ask(method, {"threadId": thread_id})
        refused = await talk.refused(method, {"threadId": absent})
        assert refused.message == f"thread not found: {absent}"


async def test_a_cursor_into_an_empty_list_is_none(talk: Talk) -> None:
    refused = await talk.refused("permissionProfile/list", {"cursor": "x"})
    assert refused.message == "invalid cursor: x"
