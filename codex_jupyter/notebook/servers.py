"""Other servers of the same protocol, for people who write Python."""

import shlex
from collections.abc import Sequence
from typing import Any, Self

from codex_jupyter.errors import UsageError
from codex_jupyter.notebook.asking import OnApproval
from codex_jupyter.notebook.connected import ConnectedRuntime, connected
from codex_jupyter.notebook.outcome import TurnResult, tell_in_one_line
from codex_jupyter.notebook.runtime import get_runtime, nothing
from codex_jupyter.notebook.threads import Thread, thread_at
from codex_jupyter.notebook.turn_handle import TurnHandle

__all__ = ["Server", "connect"]


class Server:
    """A server that this kernel talks to. Made by `connect`; ``with`` ends it.

    Its approvals are asked, and its kernel tools run, as those of the kernel's own core.
    """

    def __init__(self, runtime: ConnectedRuntime, name: str) -> None:
        self._runtime = runtime
        self._name = name

    def __repr__(self) -> str:
        return f"<Server {self._name!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def thread(
        self,
        *,
        model: str | None = None,
        approval: str | None = None,
        sandbox: str | None = None,
        cwd: str | None = None,
        resume: str | None = None,
        on_approval: OnApproval | None = None,
    ) -> Thread:
        """Return a thread at this server; as `codex_jupyter.thread`.

        The server gives it an id of its own, so none can be chosen.
        """
        return thread_at(
            self._runtime,
            model=model,
            approval=approval,
            sandbox=sandbox,
            cwd=cwd,
            resume=resume,
            on_approval=on_approval,
        )

    def start(self, text: str, **settings: Any) -> TurnHandle:
        """Say ``text`` to a new thread and return at once; settings as for `thread`."""
        return self.thread(**settings).start(text)

    def run(self, text: str, **settings: Any) -> TurnResult:
        """Say ``text`` to a new thread and wait until the turn ends; settings as for `thread`.

        Raises:
            TurnInterrupted: The turn was stopped.
            CodexError: It failed, could not be started, or nobody could be asked.
        """
        return self.thread(**settings).run(text)

    def close(self) -> None:
        """End the program and every turn at it; the next use starts it again."""
        self._runtime.close()


def connect(command: str | Sequence[str]) -> Server:
    """Start a program that speaks app-server v2 and return it, ready for threads.

    Args:
        command: The program and its arguments, e.g. ``["codex", "app-server"]``, or both as a
            line in a shell's spelling.

    Raises:
        UsageError: ``command`` is empty or cannot be read.
        CodexError: It cannot be started, or does not speak the protocol.
    """
    try:
        runtime = connected(get_runtime(), command)
    except UsageError as error:
        raise tell_in_one_line(error) from None
    runtime.call(nothing)
    return Server(runtime, shlex.join(runtime.argv))
