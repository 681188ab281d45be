"""The live view of one turn: an anywidget in the output of the cell that asked for it."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import anywidget
import traitlets

from codex_jupyter.notebook.op_batches import OpBatches
from codex_jupyter.notebook.turn_state import Op

__all__ = ["PageRequest", "TurnView", "page_script", "page_style"]

_STATIC: Final = Path(__file__).parent / "static"

_SCRIPTS: Final = (
    "dom.js",
    "terminal.js",
    "python_code.js",
    "markdown.js",
    "markdown_view.js",
    "output_view.js",
    "diff.js",
    "turn_state.js",
    "kernel_link.js",
    "items.js",
    "requests.js",
    "turn_view.js",
)
"""In the order of their imports: a module stands after every module it uses."""

_IMPORT: Final = re.compile(r'^import \{[^}]*\} from "\./[a-z_]+\.js";\n', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?!default)", re.MULTILINE)

PageRequest = Callable[[dict[str, Any]], "dict[str, Any] | None"]
"""Takes what a page asks (the content of a control message) and returns the reply's content."""


class TurnView(anywidget.AnyWidget):
    """One turn on every open page; the kernel owns the state and the page draws it.

    Changes travel as numbered batches of ops, so that a delta costs its own length and a page
    that missed one can tell. `settle` folds all batches so far into ``snapshot``, which is what a
    late page starts from.

    Not thread-safe: call `push`, `flush` and `settle` from one thread. The callback given to
    `on_message` runs wherever the kernel handles comm messages and must hand over, not act.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    snapshot = traitlets.Dict().tag(sync=True)
    seq = traitlets.Int(0).tag(sync=True)
    """Number of the last batch already in ``snapshot``."""

    def __init__(self, snapshot: dict[str, Any] | None = None) -> None:
        super().__init__(snapshot=snapshot or {})
        self._batches = OpBatches()
        self._sent = 0
        self._answer: PageRequest | None = None
        self.on_msg(self._receive)

    @traitlets.default("_esm")
    def _default_esm(self) -> str:
        return page_script()

    @traitlets.default("_css")
    def _default_css(self) -> str:
        return page_style()

    def push(self, ops: list[Op], now: float) -> None:
        """Show ``ops`` on every page: the first at once, appends at most every 33 ms or 4 KiB.

        Args:
            ops: In order. Anything but an append also sends what waits before it.
            now: Seconds of a monotonic clock. When `due_in` says so, call `flush`.
        """
        self._send_batch(self._batches.add(ops, now))

    def due_in(self, now: float) -> float | None:
        """Return the seconds after which `flush` should be called, ``None`` if nothing waits."""
        return self._batches.due_in(now)

    def flush(self, now: float) -> None:
        """Send what waits."""
        self._send_batch(self._batches.take(now))

    def settle(self, snapshot: dict[str, Any], now: float) -> None:
        """Make ``snapshot`` what late pages start from; it must contain every op pushed so far."""
        self.flush(now)
        if (snapshot, self._sent) == (self.snapshot, self.seq):
            self.send_state(("snapshot", "seq"))  # a page that asks again lost the last update
            return
        with self.hold_sync():
            self.snapshot = snapshot
            self.seq = self._sent

    def on_message(self, answer: PageRequest) -> None:
        """Answer requests that come by comm, from pages without a control channel.

        ``answer`` gets ``{"action": "hello" | "decide" | "answer" | "interrupt", ...}`` or
        ``{"action": "resync"}`` (then `settle` is wanted) and returns the reply, ``None`` for none.
        """
        self._answer = answer

    def _send_batch(self, ops: list[Op]) -> None:
        if ops:
            self._sent += 1
            self.send({"kind": "ops", "seq": self._sent, "ops": ops})

    def _receive(self, _view: object, content: object, _buffers: object) -> None:
        """Pass on what a page says; a page can send anything, so nothing here trusts its shape."""
        if self._answer is None or not isinstance(content, dict):
            return
        match cast("dict[str, Any]", content):
            case {"kind": "resync"}:
                self._answer({"action": "resync"})
            case {"kind": "request", "id": str(message_id), "content": dict(request)}:
                reply = self._answer(cast("dict[str, Any]", request))
                if reply is not None:
                    self.send({"kind": "reply", "id": message_id, "content": reply})
            case _:
                pass


@cache
def page_script() -> str:
    """Return the page's modules as one: what a widget ships cannot import its neighbours."""
    modules = [(_STATIC / name).read_text(encoding="utf-8") for name in _SCRIPTS]
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", module)) for module in modules)


@cache
def page_style() -> str:
    """Return the look of a turn and of its controls."""
    return "\n".join(
        (_STATIC / name).read_text(encoding="utf-8") for name in ("turn.css", "turn_view.css")
    )
