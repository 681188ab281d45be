"""What the SDK's tests need: a fake model, a home that points at it, a workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from codex_jupyter.settings.environment import snapshot
from tests.fake_model import run_in_thread

if TYPE_CHECKING:
    from tests.sdk.program import Program


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    from tests.sdk.program import Program  # skips where the SDK is not installed

    for name in snapshot():
        # The SDK hands down the environment as it is.
        if name.startswith(("OPENAI_", "CODEX_")):
            monkeypatch.delenv(name)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    with run_in_thread() as fake:
        program = Program(fake, tmp_path / "home", workspace)
        program.configure()
        yield program
