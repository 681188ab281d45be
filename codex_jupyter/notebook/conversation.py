"""The conversation of a notebook, for what is asked without naming one."""

from typing import Any

from codex_jupyter.notebook.runtime import get_runtime
from codex_jupyter.notebook.threads import Thread, thread

__all__ = ["conversation"]


def conversation() -> Thread:
    """Return the thread that `%%codex` talks to, or this process's own where there is none."""
    runtime = get_runtime()
    magics: Any = None
    if runtime.shell is not None:
        magics = runtime.shell.magics_manager.registry.get("CodexMagics")
    if magics is not None:
        return magics.conversation()
    if runtime.conversation is None:
        runtime.conversation = thread()
    return runtime.conversation
