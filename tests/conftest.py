"""Shared by every test: the event loop we ship on, and nothing else."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
