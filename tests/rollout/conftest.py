"""Two stores over one home, as two processes have them."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from codex_jupyter.rollout.store import ThreadStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[ThreadStore, None]:
    store = ThreadStore(tmp_path)
    yield store
    await store.aclose()


@pytest.fixture
async def other(tmp_path: Path) -> AsyncGenerator[ThreadStore, None]:
    store = ThreadStore(tmp_path)
    yield store
    await store.aclose()
