"""Seeing and changing the configuration over the protocol."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from codex_jupyter.server.rights import kernel_rights
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Talk, connect
from tests.fake_model import say

pytestmark = pytest.mark.anyio

HAND_WRITTEN = """\
# my own file
model = "fake-model"  # the good one
model_provider = "fake"

[profiles.quick]  # for mornings
model = "small"

[model_providers.fake]
name = "Fake"
base_url = "http://user:pass-word@127.0.0.1:1/v1?key=query-key"
experimental_bearer_token = "sk-very-secret"
http_headers = { "X-Key" = "header-secret" }
"""


def config(lab: Lab) -> Path:
    return lab.home / "config.toml"


def edit(path: str, value: Any, merge: str = "replace") -> dict[str, Any]:
    return {"keyPath": path, "value": value, "mergeStrategy": merge}


async def test_a_read_merges_all_places_and_says_where_each_value_comes_from(lab: Lab) -> None:
    config(lab).write_text('profile = "quick"\n' + HAND_WRITTEN)
    async with lab.serving("approval_policy=never") as server, connect(server) as talk:
        read = await talk.ask("config/read", {"includeLayers": True})
    assert read["config"]["model"] == "small"
    assert read["config"]["approval_policy"] == "never"
    origins = read["origins"]
    assert origins["model"]["name"]["profile"] == "quick"
    assert origins["approval_policy"]["name"] == {"type": "sessionFlags"}
    file = {"type": "user", "file": str(config(lab)), "profile": None}
    assert origins["model_providers.fake.name"]["name"] == file
    kinds = [layer["name"]["type"] for layer in read["layers"]]
    assert kinds == ["sessionFlags", "user", "user"]
    assert read["layers"][0]["config"] == {"approval_policy": "never"}


async def test_no_credential_is_shown(lab: Lab) -> None:
    config(lab).write_text(HAND_WRITTEN)
    async with lab.serving() as server, connect(server) as talk:
        await talk.ask("config/read", {"includeLayers": True})
        await talk.ask("modelProvider/list", {})
        heard = str(talk.heard)
    for secret in ("sk-very-secret", "header-secret", "pass-word", "query-key"):
        assert secret not in heard
    assert "http://127.0.0.1:1/v1" in heard


async def test_a_write_keeps_comments_and_order_and_counts_for_new_threads(
    lab: Lab, talk: Talk
) -> None:
    text = "# first line\n" + config(lab).read_text() + "# last line\n"
    config(lab).write_text(text)
    written = await talk.ask("config/value/write", edit("model", "other-model"))
    assert written["status"] == "ok"
    assert written["filePath"] == str(config(lab))
    assert config(lab).read_text() == text.replace('"fake-model"', '"other-model"')
    lab.fake.add(say("hi"))
    await talk.turn(await talk.start_thread(lab.workspace))
    assert lab.fake.requests[0]["model"] == "other-model"


async def test_a_batch_is_written_whole_or_not_at_all(lab: Lab, talk: Talk) -> None:
    before = config(lab).read_text()
    edits = [edit("model", "other"), edit("sandbox_mode", "nonsense")]
    refused = await talk.refused("config/batchWrite", {"edits": edits})
    assert refused.data == {"config_write_error_code": "configValidationError"}
    assert "sandbox_mode" in refused.message
    assert config(lab).read_text() == before
    edits = [
        edit("model_providers.mine", {"name": "Mine", "base_url": "http://127.0.0.1:9/v1"}),
        edit("model_providers.mine", {"name": "Renamed"}, "upsert"),
        edit("review_model", "x"),
        edit("review_model", None),
        edit("web_search", None),
    ]
    written = await talk.ask("config/batchWrite", {"edits": edits})
    table = tomllib.loads(config(lab).read_text())
    mine = {"name": "Renamed", "base_url": "http://127.0.0.1:9/v1"}
    assert table["model_providers"]["mine"] == mine
    assert "review_model" not in table
    read = await talk.ask("config/read", {})
    assert read["origins"]["model"]["version"] == written["version"]
    listed = await talk.ask("modelProvider/list", {})
    assert {"mine", "fake", "openai"} <= {provider["id"] for provider in listed["data"]}
    assert listed["defaultProviderId"] == "fake"


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("model.name", "x", "configPathNotFound"),
        ("no_such_key", 1, "configSchemaUnknownKey"),
        ("approval_policy", "always", "configValidationError"),
        ("model_provider", "nowhere", "configValidationError"),
        ("", "x", "configValidationError"),
        ("model\nx", "x", "configValidationError"),
        ("mcp_servers.s.args", ["a", None], "configValidationError"),
    ],
)
async def test_what_cannot_be_is_not_written(
    lab: Lab, talk: Talk, path: str, value: Any, code: str
) -> None:
    before = config(lab).read_text()
    refused = await talk.refused("config/value/write", edit(path, value))
    assert (refused.code, refused.data) == (-32600, {"config_write_error_code": code})
    assert config(lab).read_text() == before


async def test_a_version_that_is_no_longer_there_is_refused(lab: Lab, talk: Talk) -> None:
    read = await talk.ask("config/read", {})
    version = read["origins"]["model"]["version"]
    config(lab).write_text(config(lab).read_text() + "\n# by hand\n")
    params = {**edit("model", "x"), "expectedVersion": version}
    refused = await talk.refused("config/value/write", params)
    assert refused.data == {"config_write_error_code": "configVersionConflict"}
    version = (await talk.ask("config/read", {}))["origins"]["model"]["version"]
    await talk.ask("config/value/write", {**edit("model", "x"), "expectedVersion": version})
    assert "# by hand" in config(lab).read_text()


async def test_another_file_is_read_only(lab: Lab, talk: Talk, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    refused = await talk.refused(
        "config/value/write", {**edit("model", "x"), "filePath": str(other)}
    )
    assert refused.data == {"config_write_error_code": "configLayerReadonly"}
    assert not other.exists()


async def test_what_an_option_outranks_is_written_and_said(lab: Lab) -> None:
    async with lab.serving("approval_policy=never") as server, connect(server) as talk:
        written = await talk.ask("config/value/write", edit("approval_policy", "untrusted"))
    assert written["status"] == "okOverridden"
    overridden = written["overriddenMetadata"]
    assert overridden["effectiveValue"] == "never"
    assert overridden["overridingLayer"]["name"] == {"type": "sessionFlags"}
    assert tomllib.loads(config(lab).read_text())["approval_policy"] == "untrusted"


async def test_a_kernel_may_read_and_not_write(lab: Lab) -> None:
    before = config(lab).read_text()
    async with lab.serving() as server, connect(server, rights=kernel_rights("k")) as talk:
        refused = await talk.refused("config/value/write", edit("approval_policy", "never"))
        assert "may not" in refused.message
        assert (await talk.ask("config/read", {}))["config"]["model"] == "fake-model"
        listed = await talk.ask("modelProvider/list", {})
    assert config(lab).read_text() == before
    assert not listed["canChangeDefault"]
    assert not any(provider["canEdit"] for provider in listed["data"])


async def test_a_new_file_is_private_and_an_old_one_keeps_its_mode_and_link(
    lab: Lab, talk: Talk, tmp_path: Path
) -> None:
    config(lab).rename(tmp_path / "real.toml")
    config(lab).symlink_to(tmp_path / "real.toml")
    (tmp_path / "real.toml").chmod(0o640)
    await talk.ask("config/value/write", edit("review_model", "r"))
    assert config(lab).is_symlink()
    assert (tmp_path / "real.toml").stat().st_mode & 0o777 == 0o640
    config(lab).unlink()
    await talk.ask("config/value/write", edit("model", "m"))
    assert config(lab).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in lab.home.glob("*config*")) == ["config.toml"]


async def test_there_are_no_requirements_and_params_may_be_left_out(talk: Talk) -> None:
    assert await talk.ask("configRequirements/read", None) == {"requirements": None}
