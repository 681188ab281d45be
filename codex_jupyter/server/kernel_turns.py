"""Which running turns belong to which kernel, so that its end or its stop button ends them."""

from collections.abc import Callable, Iterable

from codex_jupyter.errors import CodexError
from codex_jupyter.ids import ThreadId, TurnId

__all__ = ["KernelTurns", "TurnKey"]

TurnKey = tuple[ThreadId, TurnId]
"""A turn's id is unique in its thread only."""


class KernelTurns:
    """The running turns of each kernel; on the server's loop only."""

    def __init__(self) -> None:
        self._kernel_of: dict[TurnKey, str] = {}
        self._below: dict[TurnKey, str] = {}
        """Of turns of other threads that turns of a kernel have begun; the kernel's end ends those
        above, and these by them."""

    def begin(self, kernel_id: str | None, key: TurnKey) -> bool:
        """Note a turn before it is submitted, so that no stop can miss it.

        Returns whether it was noted: not for ``None``, and not if it runs already, in which case
        the submission will be refused.
        """
        if kernel_id is None or key in self._kernel_of:
            return False
        self._kernel_of[key] = kernel_id
        return True

    def inherit(self, key: TurnKey, above: Iterable[TurnKey]) -> None:
        """Note a turn that has begun below others: its tools run where the nearest one's do."""
        kernels = (self.kernel_of(other) for other in above)
        if (kernel_id := next((k for k in kernels if k is not None), None)) is not None:
            self._below[key] = kernel_id

    def end(self, key: TurnKey) -> None:
        """Forget a turn that has ended or was not accepted; unknown ones are ignored."""
        self._kernel_of.pop(key, None)
        self._below.pop(key, None)

    def kernel_of(self, key: TurnKey) -> str | None:
        """Return the kernel that started a running turn, or one above it; ``None`` if none did."""
        return self._kernel_of.get(key) or self._below.get(key)

    def stop(self, kernel_id: str, act: Callable[[TurnKey], None]) -> int:
        """Call ``act`` for each running turn of a kernel; return for how many it did something."""
        stopped = 0
        for key in [key for key, owner in self._kernel_of.items() if owner == kernel_id]:
            try:
                act(key)
            except CodexError:
                continue  # it has ended by itself, or its thread is not loaded any more
            stopped += 1
        return stopped
