"""Shared by every test: the event loop we ship on, and no clock in properties."""

from collections.abc import Generator

import pytest
from hypothesis import settings

from codex_jupyter.core.containment import UNFORESEEN

# A deadline is a timing assertion, and the machine is shared.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


_OLDER_KERNELS = ("ipykernel-6", "ipykernel-7")
_WHERE_KERNELS_DIFFER = {
    "test_a_page_accepts_while_the_cell_is_busy",
    "test_where_no_page_shows_the_turn_an_answer_is_typed",
    "test_a_stop_while_a_decision_is_typed_ends_the_turn",
    "test_a_stop_ends_the_cell_and_the_cells_behind_it",
    "test_a_stop_interrupts_python_of_the_agents",
    "test_a_stop_ends_a_cell_that_awaits",
    "test_the_users_own_code_is_interrupted_as_ever",
}
"""Of what ipykernels do in different ways: a busy cell that hears, is typed to, is stopped.

Others of the same files meet the older ones in `make slow`, all others in `make kernels`.
"""
_MEET_THEM_IN_SLOW = {"test_kernel_approvals", "test_kernel_interrupt"}


_SAME_IN_A_SERVER = {"test_kernel_tools", "test_magics"}
"""Files whose tests hardly meet the core: with that of a server they run in `make slow`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        callspec = getattr(item, "callspec", None)
        values = [] if callspec is None else list(callspec.params.values())
        is_older = any(isinstance(v, str) and v.startswith(_OLDER_KERNELS) for v in values)
        name = getattr(item, "originalname", item.name)
        if is_older and name not in _WHERE_KERNELS_DIFFER:
            is_slow = item.path.stem in _MEET_THEM_IN_SLOW
            item.add_marker(pytest.mark.slow if is_slow else pytest.mark.older_kernel)
        if item.path.stem in _SAME_IN_A_SERVER and "server" in values:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def nothing_unforeseen(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Generator[None]:
    """Errors that are contained are errors all the same."""
    yield
    if request.node.get_closest_marker("contains_errors") is None:
        records = [*caplog.get_records("setup"), *caplog.get_records("call")]
        assert [r.getMessage() for r in records if r.msg == UNFORESEEN] == []
