"""How a kernel finds its server, and what it does not believe."""

import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from codex_jupyter.embedding import ServerLink
from codex_jupyter.errors import ConfigError
from codex_jupyter.notebook.server_link import (
    KERNEL_ID,
    LINK,
    LinkFile,
    own_connection_file,
    stated_core,
    take_link,
)
from tests.fake_model import say
from tests.notebook.conftest import PYTHONS, Model
from tests.notebook.kernel_driver import OwnKernel, provider_config
from tests.ports import free_port

ID = "0b5cb3a4-7ac4-4b9c-8d1f-2f2b3f0a1c2d"
GOOD = {"url": "ws://127.0.0.1:1/codex/kernel", "token": "secret", "kernelId": ID, "ca": None}
NEWEST = next(iter(PYTHONS.values()))


def write_link(path: Path, mode: int = 0o600, **changes: Any) -> Path:
    path.write_text(json.dumps({**GOOD, **changes}))
    path.chmod(mode)
    return path


@pytest.fixture
def link(tmp_path: Path) -> Path:
    return write_link(tmp_path / "link.json")


def test_a_link_is_read_and_shows_no_token(link: Path) -> None:
    found = LinkFile(link, ID).read()
    assert found == ServerLink("ws://127.0.0.1:1/codex/kernel", "secret", None)
    assert "secret" not in repr(found)


def test_a_link_that_was_put_away_is_remembered(link: Path) -> None:
    file = LinkFile(link, ID)
    first = file.read()
    write_link(link, token="another")
    assert file.read().token == "another"
    link.unlink()
    assert file.read().token == "another"
    assert first.token == "secret"
    with pytest.raises(ConfigError, match="is not there"):
        LinkFile(link, ID).read()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610])
def test_a_link_that_others_can_reach_is_refused(link: Path, mode: int) -> None:
    link.chmod(mode)
    with pytest.raises(ConfigError, match="0600"):
        LinkFile(link, ID).read()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kernelId": "another"}, "another kernel"),
        ({"url": "http://127.0.0.1"}, "no WebSocket"),
        ({"token": ""}, "no token"),
    ],
)
def test_a_link_with_something_wrong_is_refused(link: Path, changes: Any, named: str) -> None:
    write_link(link, **changes)
    with pytest.raises(ConfigError, match=named):
        LinkFile(link, ID).read()


@pytest.mark.parametrize("text", ["", "[]", "3", '{"url": 1}', "\xff"])
def test_a_file_that_is_no_link_is_refused(link: Path, text: str) -> None:
    link.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match="not a link"):
        LinkFile(link, ID).read()


def test_what_is_no_plain_file_is_refused(link: Path, tmp_path: Path) -> None:
    (tmp_path / "symlink").symlink_to(link)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("symlink", "pipe", "."):
        with pytest.raises(ConfigError, match=r"cannot be read|not a file"):
            LinkFile(tmp_path / name, ID).read()


def test_the_variables_are_taken_out_whether_believed_or_not(
    link: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, believed in ((f"kernel-{ID}.json", True), ("kernel-other.json", False)):
        monkeypatch.setenv(LINK, str(link))
        monkeypatch.setenv(KERNEL_ID, ID)
        found, why_not = take_link(f"/run/{name}")
        assert (found is not None, why_not == "") == (believed, believed)
        assert LINK not in os.environ
        assert KERNEL_ID not in os.environ


@pytest.mark.parametrize("file", [None, "/run/kernel-1.json"])
def test_an_id_that_would_match_anything_is_not_believed(
    link: Path, monkeypatch: pytest.MonkeyPatch, file: str | None
) -> None:
    monkeypatch.setenv(LINK, str(link))
    monkeypatch.setenv(KERNEL_ID, "1")
    assert take_link(file)[0] is None


def test_without_variables_the_reason_is_that_no_server_started_the_kernel() -> None:
    found, why_not = take_link(f"/run/kernel-{ID}.json")
    assert found is None
    assert "no Jupyter server" in why_not
    assert own_connection_file() is None


@pytest.mark.parametrize("stated", ["auto", "embedded", "server"])
def test_the_place_of_the_core_can_be_stated(monkeypatch: pytest.MonkeyPatch, stated: str) -> None:
    monkeypatch.delenv("CODEX_JUPYTER_CORE", raising=False)
    assert stated_core() == "auto"
    monkeypatch.setenv("CODEX_JUPYTER_CORE", stated)
    assert stated_core() == stated
    monkeypatch.setenv("CODEX_JUPYTER_CORE", "moon")
    with pytest.raises(ConfigError, match=r"CODEX_JUPYTER_CORE.*'moon'"):
        stated_core()


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    return f"ws://127.0.0.1:{free_port()}/codex/kernel"


STATUS = "%load_ext codex_jupyter\n%codex status"
LEFT = "import os; [name for name in os.environ if name.startswith('CODEX_JUPYTER_')]"


def kernel_with(folder: Path, model: Model, link: Path | str = "", **env: str) -> OwnKernel:
    """Return a kernel that no server started, but whose environment may say so."""
    (folder / "home").mkdir(exist_ok=True)
    (folder / "home" / "config.toml").write_text(provider_config(model.fake.base_url))
    named = {LINK: str(link), KERNEL_ID: "{kernel_id}"} if link else {}
    return OwnKernel(NEWEST, folder, {**named, **env})


@pytest.mark.notebook
def test_a_kernel_without_a_link_embeds_the_core_and_says_why(tmp_path: Path, model: Model) -> None:
    model.will(say("Done."))
    with kernel_with(tmp_path, model) as kernel:
        said = kernel.execute(STATUS).stdout
        assert "embedded in this kernel, because no Jupyter server" in said
        assert kernel.execute("%%codex\nGo.").traceback == []
        assert "embedded in this kernel, because no Jupyter server" in kernel.execute(STATUS).stdout


@pytest.mark.notebook
def test_a_link_that_was_inherited_is_not_believed(
    tmp_path: Path, model: Model, nobody: str
) -> None:
    model.will(say("Done."))
    link = write_link(tmp_path / "link.json", url=nobody)
    with kernel_with(tmp_path, model, link, **{KERNEL_ID: str(uuid.uuid4())}) as kernel:
        assert "was given to another kernel" in kernel.execute(STATUS).stdout
        assert kernel.execute("%%codex\nGo.").traceback == []
        assert kernel.execute(LEFT).result == "['CODEX_JUPYTER_HOME']"


@pytest.mark.notebook
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_server_that_cannot_be_had_is_done_without_and_named(
    tmp_path: Path, model: Model, nobody: str, mode: int
) -> None:
    model.will(say("Done."))
    link = tmp_path / "link.json"
    with kernel_with(tmp_path, model, link) as kernel:
        write_link(link, mode, url=nobody, kernelId=kernel.id)
        said = kernel.execute(STATUS).stdout
        assert "embedded in this kernel, because the Jupyter server cannot be used" in said
        assert (nobody.removesuffix("/codex/kernel") if mode == 0o600 else "0600") in said
        assert kernel.execute("%%codex\nGo.").traceback == []


@pytest.mark.notebook
def test_a_server_that_is_demanded_and_cannot_be_had_is_told_in_one_line(
    tmp_path: Path, model: Model, nobody: str
) -> None:
    model.will(say("Done."))
    link = tmp_path / "link.json"
    with kernel_with(tmp_path, model, link, CODEX_JUPYTER_CORE="server") as kernel:
        write_link(link, url=nobody, kernelId=kernel.id)
        kernel.execute("%load_ext codex_jupyter")
        (line,) = kernel.execute("%%codex\nGo.").traceback
        assert "CODEX_JUPYTER_CORE=server" in line
        kernel.execute("%env CODEX_JUPYTER_CORE=embedded")
        assert kernel.execute("%%codex\nGo.").traceback == []
        assert "CODEX_JUPYTER_CORE=embedded says so" in kernel.execute(STATUS).stdout
