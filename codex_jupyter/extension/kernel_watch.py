"""When a kernel is interrupted or ends, so do its turns."""

import asyncio
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from codex_jupyter.extension.kernel_links import KernelLink, KernelLinks

__all__ = ["KERNEL_ACTIONS", "KernelCore", "KernelWatch"]

KERNEL_ACTIONS: Final = "https://events.jupyter.org/jupyter_server/kernel_actions/v1"
"""Schema of the events in which the server says what happened to a kernel."""

_GRACE: Final = 10.0
"""Seconds in which a kernel that lives may connect again before its turns are stopped."""

_LOOK_EVERY: Final = 0.5
"""Seconds between two looks at whether a kernel that is not connected still lives."""

_REFUSED: Final = 1008
_log = logging.getLogger(__name__)


class KernelCore(Protocol):
    """What is used of the server: both stop the running turns of a kernel, at once."""

    def interrupt_kernel(self, kernel_id: str, reason: str = ...) -> int:
        """Stop them because the user said so."""
        ...

    def kernel_gone(self, kernel_id: str) -> int:
        """Stop them because nobody can run their tools any more."""
        ...


class LinkSocket(Protocol):
    """What is used of a kernel's connection."""

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close it."""
        ...


@dataclass(slots=True)
class _Kernel:
    sockets: set[LinkSocket] = field(default_factory=set[LinkSocket])
    waiting: "asyncio.Task[None] | None" = None


class KernelWatch:
    """Follows the kernels of a server, on its loop.

    Args:
        core: Returns the core, or ``None`` while nothing has used it.
        grace: Seconds in which a kernel that lives may connect again.
        look_every: Seconds between two looks at a kernel that is not connected.
    """

    def __init__(
        self,
        core: Callable[[], KernelCore | None],
        *,
        grace: float = _GRACE,
        look_every: float = _LOOK_EVERY,
    ) -> None:
        self._core = core
        self._grace = grace
        self._look_every = look_every
        self._kernels: dict[str, _Kernel] = {}
        self.links: KernelLinks | None = None
        """Set once, before the first kernel starts: the two need each other."""

    def connected(self, link: KernelLink, socket: LinkSocket) -> None:
        """Note a connection of a kernel."""
        kernel = self._kernels.setdefault(link.kernel_id, _Kernel())
        kernel.sockets.add(socket)
        self._stop_waiting(kernel)

    def disconnected(self, link: KernelLink, socket: LinkSocket) -> None:
        """Note that a connection has ended. Its kernel may be dead, or come back."""
        kernel = self._kernels.get(link.kernel_id)
        if kernel is None or socket not in kernel.sockets:
            return
        kernel.sockets.discard(socket)
        if not kernel.sockets and kernel.waiting is None:
            kernel.waiting = asyncio.create_task(self._await_return(link, kernel))

    def link_ended(self, link: KernelLink) -> None:
        """Note that a kernel's process is gone or about to be replaced: whatever it began ends."""
        kernel = self._kernels.pop(link.kernel_id, None)
        if kernel is not None:
            self._stop_waiting(kernel)
            for socket in kernel.sockets:
                socket.close(_REFUSED, "this kernel has ended")
        self._gone(link.kernel_id)

    async def on_action(self, logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        """Take an event of Jupyter's about a kernel."""
        del logger, schema_id
        kernel_id, action = data.get("kernel_id"), data.get("action")
        if not isinstance(kernel_id, str):
            return
        match action:
            case "interrupt":
                core = self._core()
                stopped = core.interrupt_kernel(kernel_id) if core is not None else 0
                _log.debug("kernel %s was interrupted: %d turns stopped", kernel_id, stopped)
            case "shutdown":
                self._end(kernel_id)
            case "restart" if data.get("status") != "success":
                self._end(kernel_id)
            case "restart":
                # The old link died when the new process was about to start, before it could
                # begin anything; this is for managers whose kernels get no links.
                if self.links is None or self.links.current(kernel_id) is None:
                    self._gone(kernel_id)
            case _:
                return

    def stop(self) -> None:
        """Wait for nobody any more."""
        for kernel in self._kernels.values():
            self._stop_waiting(kernel)

    async def _await_return(self, link: KernelLink, kernel: _Kernel) -> None:
        """Wait for a kernel to come back, as long as it lives."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._grace
        while await _lives(link):
            if loop.time() >= until:
                kernel.waiting = None
                self._gone(link.kernel_id)
                return
            await asyncio.sleep(self._look_every)
        kernel.waiting = None
        if self.links is not None and self.links.current(link.kernel_id) is link:
            self._end(link.kernel_id)

    def _end(self, kernel_id: str) -> None:
        """Let the link of a kernel that has ended die; that ends its turns."""
        if self.links is not None and self.links.current(kernel_id) is not None:
            self.links.end(kernel_id)
        else:
            self._gone(kernel_id)

    def _gone(self, kernel_id: str) -> None:
        core = self._core()
        if core is not None and (stopped := core.kernel_gone(kernel_id)):
            _log.info("kernel %s has ended: %d turns stopped", kernel_id, stopped)

    def _stop_waiting(self, kernel: _Kernel) -> None:
        if kernel.waiting is not None:
            kernel.waiting.cancel()
            kernel.waiting = None


async def _lives(link: KernelLink) -> bool:
    """Tell whether the process of a link runs. In doubt it does: only silence ends its turns."""
    try:
        alive = link.manager.is_alive()
        return bool(await alive if inspect.isawaitable(alive) else alive)
    except Exception:  # noqa: BLE001 - a manager of somebody else's
        _log.debug("cannot tell whether kernel %s lives", link.kernel_id, exc_info=True)
        return True
