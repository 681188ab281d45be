"""A disk that does not come back from a write until it is let."""

import os
import threading

from codex_jupyter.rollout.disk import Disk
from tests.core.tree import LIMIT

__all__ = ["Hanging"]


class Hanging:
    """It hangs while its gate is clear; at first it is set."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.disk = Disk(write=self._write)

    def _write(self, descriptor: int, data: bytes | memoryview) -> int:
        assert self.gate.wait(LIMIT)
        return os.write(descriptor, data)
