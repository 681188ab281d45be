"""The remembered choice: private, whole or absent, and never in the way."""

import os
from pathlib import Path

import pytest

from codex_jupyter.settings.choice import Choice, forget_choice, read_choice, remember_choice


def test_a_choice_is_remembered_replaced_and_forgotten(tmp_path: Path) -> None:
    home = tmp_path / "data" / "codex-jupyter"
    assert read_choice(home) == (None, None)
    remember_choice(home, "ollama", model="qwen3", base_url="http://127.0.0.1:11434/v1")
    assert read_choice(home)[0] == Choice("ollama", "qwen3", "http://127.0.0.1:11434/v1")
    remember_choice(home, "offline")
    assert read_choice(home)[0] == Choice("offline")
    assert [path.name for path in home.iterdir()] == ["use.json"]
    assert forget_choice(home)
    assert not forget_choice(home)
    assert read_choice(home) == (None, None)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_home_and_choice_are_for_the_user_alone(tmp_path: Path) -> None:
    home = tmp_path / "codex-jupyter"
    old = os.umask(0)
    try:
        remember_choice(home, "ollama")
    finally:
        os.umask(old)
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "use.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"provider": 5}',
        b'{"provider": "x", "model": []}',
        b"\xff",
        b"[" * 60000,
    ],
)
def test_a_damaged_choice_is_a_warning_and_no_choice(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "use.json").write_bytes(raw)
    choice, warning = read_choice(tmp_path)
    assert choice is None
    assert warning is not None
    assert "%codex use" in warning


def test_a_choice_that_cannot_be_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "use.json").mkdir()
    choice, warning = read_choice(tmp_path)
    assert choice is None
    assert warning is not None
    assert "cannot be read" in warning


def test_a_failed_write_leaves_the_earlier_choice_and_no_draft(tmp_path: Path) -> None:
    (tmp_path / "use.json").mkdir()
    with pytest.raises(OSError, match=r"."):
        remember_choice(tmp_path, "ollama")
    assert [path.name for path in tmp_path.iterdir()] == ["use.json"]
