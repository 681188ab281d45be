"""What a behaviour needs: a fake model, a home that points at it, a workspace, a server."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from codex_jupyter.server.app import AppServer
from tests.behaviour.talk import (
    StdioServer,
    Talk,
    connect,
    serving,
    start_stdio,
    write_config,
)
from tests.fake_model import FakeModel


@dataclass
class Lab:
    """One home with everything around it."""

    fake: FakeModel
    home: Path
    workspace: Path

    def configure(self, *lines: str, **provider: Any) -> None:
        write_config(self.home, self.fake.base_url, *lines, **provider)

    def serving(
        self, *overrides: str, watchable: bool = False
    ) -> AbstractAsyncContextManager[AppServer]:
        return serving(self.home, *overrides, watchable=watchable)

    def connect(self, server: AppServer, **capabilities: Any) -> AbstractAsyncContextManager[Talk]:
        return connect(server, **capabilities)

    def stdio(self, *options: str, **capabilities: Any) -> AbstractAsyncContextManager[StdioServer]:
        return start_stdio(self.home, *options, **capabilities)


@asynccontextmanager
async def open_lab(folder: Path) -> AsyncGenerator[Lab]:
    """Make a home and a workspace in ``folder``, and a model that runs until the block ends."""
    workspace = folder / "workspace"
    workspace.mkdir()
    async with FakeModel() as fake:
        lab = Lab(fake, folder / "home", workspace)
        lab.configure()
        yield lab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncGenerator[Lab]:
    async with open_lab(tmp_path) as lab:
        yield lab


@pytest.fixture
async def talk(lab: Lab) -> AsyncGenerator[Talk]:
    """A greeted connection, with experimental members, to a server of its own."""
    async with lab.serving() as server, lab.connect(server, experimentalApi=True) as talk:
        yield talk
