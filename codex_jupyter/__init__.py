"""A coding agent that lives in a notebook.

The names below are loaded when they are first used, so that importing the package costs next to
nothing in a kernel.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from codex_jupyter._version import __version__

if TYPE_CHECKING:
    from codex_jupyter.errors import CodexError
    from codex_jupyter.extension import (
        _jupyter_server_extension_points as _jupyter_server_extension_points,
    )
    from codex_jupyter.notebook.delegates import DelegateMap, delegate, delegate_map
    from codex_jupyter.notebook.delegation import Delegate
    from codex_jupyter.notebook.magics import (
        load_ipython_extension,
        unload_ipython_extension,
    )
    from codex_jupyter.notebook.outcome import (
        Finding,
        TurnFailedError,
        TurnInterrupted,
        TurnResult,
    )
    from codex_jupyter.notebook.reviews import review
    from codex_jupyter.notebook.servers import Server, connect
    from codex_jupyter.notebook.threads import Thread, TurnEvent, start, thread
    from codex_jupyter.notebook.turn_handle import TurnHandle

__all__ = [
    "CodexError",
    "Delegate",
    "DelegateMap",
    "Finding",
    "Server",
    "Thread",
    "TurnEvent",
    "TurnFailedError",
    "TurnHandle",
    "TurnInterrupted",
    "TurnResult",
    "__version__",
    "connect",
    "delegate",
    "delegate_map",
    "load_ipython_extension",
    "review",
    "start",
    "thread",
    "unload_ipython_extension",
]

_HOMES = {
    "CodexError": "errors",
    "Delegate": "notebook.delegation",
    "DelegateMap": "notebook.delegates",
    "Finding": "notebook.outcome",
    "Server": "notebook.servers",
    "Thread": "notebook.threads",
    "TurnEvent": "notebook.threads",
    "TurnFailedError": "notebook.outcome",
    "TurnHandle": "notebook.turn_handle",
    "TurnInterrupted": "notebook.outcome",
    "TurnResult": "notebook.outcome",
    "delegate": "notebook.delegates",
    "delegate_map": "notebook.delegates",
    "connect": "notebook.servers",
    "load_ipython_extension": "notebook.magics",
    "review": "notebook.reviews",
    "start": "notebook.threads",
    "thread": "notebook.threads",
    "unload_ipython_extension": "notebook.magics",
    "_jupyter_server_extension_points": "extension",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
