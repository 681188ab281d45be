"""What a client may ask of the commands that outlive their turns."""

from typing import ClassVar

from codex_jupyter.protocol._wire import Count, WireModel

__all__ = [
    "TERMINAL_REQUESTS",
    "TerminalsCleanParams",
    "TerminalsListParams",
    "TerminalsTerminateParams",
]


class _OfThread(WireModel):
    thread_id: str


class TerminalsListParams(_OfThread):
    """List the commands of a loaded thread that still run."""

    METHOD: ClassVar[str] = "thread/backgroundTerminals/list"
    cursor: str | None = None
    limit: Count | None = None


class BackgroundTerminal(WireModel):
    """A command that runs."""

    item_id: str
    process_id: str
    command: str
    cwd: str
    os_pid: int | None = None
    turn_id: str
    """Ours: the turn that started it."""


class TerminalsListResult(WireModel):
    """The result of thread/backgroundTerminals/list, oldest first; always one page."""

    data: list[BackgroundTerminal]
    next_cursor: str | None = None


class TerminalsTerminateParams(_OfThread):
    """End one of them."""

    METHOD: ClassVar[str] = "thread/backgroundTerminals/terminate"
    process_id: str


class TerminalsTerminateResult(WireModel):
    """The result of thread/backgroundTerminals/terminate."""

    terminated: bool
    """Whether it ran."""


class TerminalsCleanParams(_OfThread):
    """End all of them."""

    METHOD: ClassVar[str] = "thread/backgroundTerminals/clean"


class TerminalsCleanResult(WireModel):
    """The result of thread/backgroundTerminals/clean."""


TERMINAL_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "thread/backgroundTerminals/list": (TerminalsListParams, TerminalsListResult),
    "thread/backgroundTerminals/terminate": (TerminalsTerminateParams, TerminalsTerminateResult),
    "thread/backgroundTerminals/clean": (TerminalsCleanParams, TerminalsCleanResult),
}
