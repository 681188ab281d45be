"""Where this package lives, and the one look at the environment."""

from pathlib import Path

import pytest

from codex_jupyter.settings.environment import home_dir, snapshot


def test_the_home_is_stated_or_under_jupyters_data(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = home_dir({"CODEX_JUPYTER_HOME": "/x/home", "JUPYTER_DATA_DIR": "/data"})
    assert stated == Path("/x/home")
    assert home_dir({"JUPYTER_DATA_DIR": "/data"}) == Path("/data/codex-jupyter")
    monkeypatch.setenv("JUPYTER_DATA_DIR", "/other")
    assert home_dir({"CODEX_JUPYTER_HOME": " "}) == Path("/other/codex-jupyter")


def test_a_home_may_start_with_a_tilde_or_be_relative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert home_dir({"CODEX_JUPYTER_HOME": "~/agent"}) == Path("/home/me/agent")
    assert home_dir({"CODEX_JUPYTER_HOME": "agent"}).is_absolute()


def test_a_snapshot_does_not_follow_later_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_NAME", "before")
    taken = snapshot()
    monkeypatch.setenv("SOME_NAME", "after")
    assert taken["SOME_NAME"] == "before"
