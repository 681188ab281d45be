"""The live view as an anywidget, for front ends that load no labextensions: VS Code and Colab.

Needs the extra ``codex-jupyter[anywidget]``; nothing else imports it.
"""

from typing import Any

import anywidget
import traitlets

from codex_jupyter.notebook.live_view import OpSender
from codex_jupyter.notebook.page_script import page_script, page_style

__all__ = ["AnyTurnView"]


class AnyTurnView(OpSender, anywidget.AnyWidget):
    """One turn on every open page, drawn by code that travels with the widget."""

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    snapshot = traitlets.Dict().tag(sync=True)
    seq = traitlets.Int(0).tag(sync=True)
    """Number of the last batch already in ``snapshot``."""

    def __init__(self, snapshot: dict[str, Any] | None = None) -> None:
        super().__init__(snapshot=snapshot or {})
        self.begin()

    @traitlets.default("_esm")
    def _default_esm(self) -> str:
        return page_script()

    @traitlets.default("_css")
    def _default_css(self) -> str:
        return page_style()
