"""What a coroutine of the user's may see of a turn that was stopped."""

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING

from codex_jupyter.errors import CodexError
from codex_jupyter.notebook.outcome import TurnInterrupted

if TYPE_CHECKING:
    from codex_jupyter.notebook.turn_handle import TurnHandle

__all__ = ["problem_of", "seen_by_task"]


def seen_by_task(problem: BaseException, *, in_kernel: bool) -> BaseException:
    """Choose what a task shall see of ``problem``.

    An interrupt that leaves a task of its own also leaves the loop under it, and in a kernel that
    loop is the kernel's: such a task is cancelled instead. A cell's own task may be interrupted.
    """
    if isinstance(problem, TurnInterrupted) and in_kernel and not _is_in_cell():
        return asyncio.CancelledError(str(problem))
    return problem


async def problem_of(
    handle: "TurnHandle", begin: Callable[[], object] | None = None
) -> BaseException | None:
    """Wait for a turn; return what else would be raised, perhaps in a task of its own.

    Args:
        handle: The turn.
        begin: What lets it begin, if it has not; a task that is cancelled before it runs does not.
    """
    try:
        await handle.wait_async(begin)
    except (TurnInterrupted, CodexError) as problem:
        return problem
    return None


def _is_in_cell() -> bool:
    """Whether IPython's running of a cell is among the callers of this task."""
    frame = inspect.currentframe()
    while frame is not None:
        code = frame.f_code
        if code.co_name == "run_code" and frame.f_globals["__name__"].startswith("IPython."):
            return True
        frame = frame.f_back
    return False
