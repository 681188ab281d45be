"""Tells of every thread that was created, to any number of readers, and never forgets one."""

from collections.abc import Generator
from contextlib import contextmanager

from codex_jupyter.flow.bell import Bell
from codex_jupyter.ids import ThreadId

__all__ = ["CreatedThreads", "CreatedThreadsReader"]


class CreatedThreads:
    """A log of created threads. A slow reader costs an id a thread, no more, until it has read on.

    Unlike a broadcast of bounded size, nothing is skipped for one that lags (W-32).
    """

    def __init__(self) -> None:
        self._ids: list[ThreadId] = []
        self._first = 0
        self._readers: set[CreatedThreadsReader] = set()
        self._news = Bell()

    def add(self, thread_id: ThreadId) -> None:
        """Tell of a thread; never waits."""
        if self._readers:
            self._ids.append(thread_id)
            self._news.ring()
        else:
            self._first += 1

    @contextmanager
    def subscribe(self) -> Generator["CreatedThreadsReader", None, None]:
        """Read every thread that is created from now on, while the block lasts."""
        reader = CreatedThreadsReader(self, self._end)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            self.trim()

    def trim(self) -> None:
        """Forget what every reader has read."""
        read_by_all = min((reader.position for reader in self._readers), default=self._end)
        del self._ids[: read_by_all - self._first]
        self._first = read_by_all

    async def after(self, position: int) -> ThreadId:
        """Return the thread at ``position``, waiting until there is one."""
        while position >= self._end:
            await self._news.wait()
        return self._ids[position - self._first]

    @property
    def _end(self) -> int:
        return self._first + len(self._ids)


class CreatedThreadsReader:
    """One reader's place in the log."""

    def __init__(self, created: CreatedThreads, position: int) -> None:
        self._created = created
        self.position = position

    async def next(self) -> ThreadId:
        """Wait for the next created thread; a cancelled wait loses none."""
        thread_id = await self._created.after(self.position)
        self.position += 1
        self._created.trim()
        return thread_id
