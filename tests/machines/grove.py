"""One tree of threads and a fake model, driven from outside their loop."""

import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
from anyio.from_thread import BlockingPortal, start_blocking_portal

from codex_jupyter.core.delegate import DelegateHandle
from codex_jupyter.core.delegate_events import Envelope
from codex_jupyter.core.session import Session
from codex_jupyter.core.turn import Turn
from codex_jupyter.errors import CodexError
from codex_jupyter.flow.cancellation import CancelToken
from tests.core.tree import Tree, growing

__all__ = ["Grove", "Held"]

LIMIT = 40.0
"""Seconds any wait may last; it takes milliseconds unless something hangs."""


@dataclass
class Held:
    """A delegate as its owner holds it."""

    handle: DelegateHandle
    token: CancelToken
    turn: Turn | None
    read: list[Envelope] = field(default_factory=list[Envelope])


class Grove:
    """The world of one run. Every method is called from the test's thread."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._portal: BlockingPortal = self._stack.enter_context(start_blocking_portal())
        enter = self._portal.wrap_async_context_manager
        self.tree: Tree = self._stack.enter_context(enter(growing(folder)))
        self.root: Session = self.call(self.tree.root)
        self.held: list[Held] = []
        self.stops: list[tuple[int, str]] = []
        """How much had been said when a turn of the root's was stopped, and which."""

        self._begun: list[Future[Any]] = []

    def call(self, act: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Run a coroutine function on the loop, within the limit."""

        async def within() -> Any:
            with anyio.fail_after(LIMIT):
                return await act(*args)

        return self._portal.call(within)

    def do(self, act: Callable[[], Any]) -> Any:
        """Run a plain function on the loop."""
        return self._portal.call(act)

    def begin(self, act: Callable[[], Awaitable[Any]]) -> None:
        """Begin something that may be refused, and do not wait for it."""

        async def within() -> None:
            with anyio.fail_after(LIMIT), suppress(CodexError):
                await act()

        self._begun.append(self._portal.start_task_soon(within))

    def finish(self) -> None:
        """Wait for all that was begun."""
        while self._begun:
            self._begun.pop().result(LIMIT)

    @property
    def is_busy(self) -> bool:
        return any(not future.done() for future in self._begun)

    def breathe(self, steps: int) -> None:
        """Let the loop go round some times, wherever that leads."""

        async def rounds() -> None:
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()

        self.call(rounds)

    def close(self) -> None:
        self._stack.close()
