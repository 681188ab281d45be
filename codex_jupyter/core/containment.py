"""Where errors stop that nobody foresaw: each ends what it happened in, and nothing beside it."""

import logging
from collections.abc import Awaitable, Callable

__all__ = ["UNFORESEEN", "contained"]

UNFORESEEN = "%s ended by an error that nobody foresaw"
"""Logged with the error; tests fail where it is."""

_log = logging.getLogger(__name__)


async def contained(what: str, work: Callable[[], Awaitable[object]]) -> bool:
    """Run something; return whether it came to its end.

    An error is logged. A cancellation goes on to whoever cancelled.

    Args:
        what: Named in the log, such as ``"thread 0199…"``.
        work: Leaves nothing half done when it raises, or is not used any more.
    """
    try:
        await work()
    except Exception:  # noqa: BLE001 - its purpose
        _log.exception(UNFORESEEN, what)
        return False
    return True
