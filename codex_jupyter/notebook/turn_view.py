"""The live view as a widget of our own module, which the labextension `@codex-jupyter/view` has."""

from typing import Any, Final

import ipywidgets
import traitlets

from codex_jupyter._version import __version__
from codex_jupyter.notebook.live_view import OpSender

__all__ = ["MODULE", "TurnView"]

MODULE: Final = "@codex-jupyter/view"


class TurnView(OpSender, ipywidgets.DOMWidget):
    """One turn on every open page; the kernel owns the state and the page draws it."""

    _model_name = traitlets.Unicode("CodexTurnModel").tag(sync=True)
    _model_module = traitlets.Unicode(MODULE).tag(sync=True)
    _model_module_version = traitlets.Unicode(f"^{__version__}").tag(sync=True)
    _view_name = traitlets.Unicode("CodexTurnView").tag(sync=True)
    _view_module = traitlets.Unicode(MODULE).tag(sync=True)
    _view_module_version = traitlets.Unicode(f"^{__version__}").tag(sync=True)
    snapshot = traitlets.Dict().tag(sync=True)
    seq = traitlets.Int(0).tag(sync=True)
    """Number of the last batch already in ``snapshot``."""

    def __init__(self, snapshot: dict[str, Any] | None = None) -> None:
        super().__init__(snapshot=snapshot or {})
        self.begin()
