"""What a thread is asked to be."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex_jupyter.notebook.kernel_tools import tool_specs

__all__ = ["Wishes"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a thread is started with; ``None`` takes the setting."""

    model: str | None = None
    approval: str | None = None
    sandbox: str | None = None
    cwd: str | None = None
    thread_id: str | None = None
    resume: str | None = None
    joins: bool = False
    """Whether a thread of that id that exists already is gone on with."""

    def params(self, *, with_tools: bool) -> Json:
        """Return the params of thread/start or thread/resume.

        Args:
            with_tools: Whether a new thread may use the kernel.
        """
        named = {
            "model": self.model,
            "approvalPolicy": self.approval,
            "sandbox": self.sandbox,
            "cwd": self.cwd or str(Path.cwd()),
            "threadId": self.resume or self.thread_id,
        }
        params: Json = {name: value for name, value in named.items() if value is not None}
        if self.resume is not None:
            if self.cwd is None:
                del params["cwd"]
            # All turns at once may be more than a message can be.
            params["excludeTurns"] = True
        elif with_tools:
            params["dynamicTools"] = tool_specs()
        return params
