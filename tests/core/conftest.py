"""What a test of a tree of threads needs."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.core.tree import Tree, growing


@pytest.fixture
async def tree(tmp_path: Path) -> AsyncGenerator[Tree]:
    """A tree with the default settings."""
    async with growing(tmp_path) as tree:
        yield tree
