"""Shared by every test: the event loop we ship on, and no clock in properties."""

import pytest
from hypothesis import settings

# A deadline is a timing assertion, and the machine is shared.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
