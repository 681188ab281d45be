"""Wakes whoever waits for news, and costs nothing when nobody does."""

import anyio

__all__ = ["Bell"]


class Bell:
    """A signal without memory: `wait` returns at the next `ring`, not for one before it.

    Look for what is waited for first, then wait, with no await in between. For one event loop.
    """

    def __init__(self) -> None:
        self._rung: anyio.Event | None = None

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return 0 if self._rung is None else self._rung.statistics().tasks_waiting

    def ring(self) -> None:
        """Wake all who wait now."""
        rung, self._rung = self._rung, None
        if rung is not None:
            rung.set()

    async def wait(self) -> None:
        """Wait for the next `ring`; a cancelled wait loses nothing."""
        if self._rung is None:
            self._rung = anyio.Event()
        await self._rung.wait()
