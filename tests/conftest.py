"""Shared by every test: the event loop we ship on, and no clock in properties."""

import pytest
from hypothesis import settings

# A deadline is a timing assertion, and the machine is shared.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


_OLDER_KERNELS = ("ipykernel-6", "ipykernel-7")
_WHERE_KERNELS_DIFFER = ("test_kernel_approvals", "test_kernel_interrupt")
"""Of what ipykernels do in different ways; all others meet the older ones in `make kernels`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        callspec = getattr(item, "callspec", None)
        values = [] if callspec is None else list(callspec.params.values())
        is_older = any(isinstance(v, str) and v.startswith(_OLDER_KERNELS) for v in values)
        if is_older and item.path.stem not in _WHERE_KERNELS_DIFFER:
            item.add_marker(pytest.mark.older_kernel)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
