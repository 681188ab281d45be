"""The live view of one turn in the output of its cell: what all its forms have in common."""

import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, Final, Literal, Protocol, cast

from codex_jupyter.errors import ConfigError
from codex_jupyter.view.op_batches import OpBatches
from codex_jupyter.view.turn_state import Op

__all__ = ["WIDGET", "LiveView", "OpSender", "PageRequest", "ViewKind", "choose_view", "make_view"]

Json = dict[str, Any]

PageRequest = Callable[[Json], "Json | None"]
"""Takes what a page asks (the content of a control message) and returns the reply's content."""

ViewKind = Literal["module", "anywidget", "plain", "none"]
"""Our own widget, the same as an anywidget, plain ipywidgets, or static output only."""

WIDGET: Final = "CODEX_JUPYTER_WIDGET"
_KINDS: Final = ("module", "anywidget", "plain", "none")


class LiveView(Protocol):
    """A widget that shows one turn while it runs; call it from one thread."""

    @property
    def model_id(self) -> str:
        """What a ``widget-view`` names."""
        ...

    def push(self, ops: list[Op], now: float) -> None:
        """Show ``ops``, at once or as soon as `due_in` says; ``now`` is of a monotonic clock."""
        ...

    def due_in(self, now: float) -> float | None:
        """Return the seconds after which `flush` should be called, ``None`` if nothing waits."""
        ...

    def flush(self, now: float) -> None:
        """Show what waits."""
        ...

    def settle(self, snapshot: Json, now: float) -> None:
        """Make ``snapshot`` what late pages start from; it must contain every op pushed so far."""
        ...

    def on_message(self, answer: PageRequest) -> None:
        """Answer what pages ask by comm.

        ``answer`` gets ``{"action": "hello" | "decide" | "answer" | "interrupt", ...}`` or
        ``{"action": "resync"}`` (then `settle` is wanted) and returns the reply, ``None`` for none.
        It runs wherever the kernel handles comm messages and must hand over, not act.
        """
        ...

    def retire(self) -> None:
        """Take the view and whatever it consists of from every page."""
        ...


class OpSender:
    """The kernel's end of a view that is drawn by our JavaScript; mixed into a widget.

    Changes travel as numbered batches of ops, so that a delta costs its own length and a page
    that missed one can tell. `settle` folds all batches so far into ``snapshot``.
    """

    snapshot: Any
    seq: Any

    def begin(self) -> None:
        """Get ready; once, when the widget is made."""
        self._batches = OpBatches()
        self._sent = 0
        self._answer: PageRequest | None = None
        self._widget.on_msg(self._receive)

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

    def settle(self, snapshot: Json, now: float) -> None:
        """Make ``snapshot`` what late pages start from; it must contain every op pushed so far."""
        self.flush(now)
        if (snapshot, self._sent) == (self.snapshot, self.seq):
            # A page that asks again lost the last update.
            self._widget.send_state(("snapshot", "seq"))
            return
        with self._widget.hold_sync():
            self.snapshot = snapshot
            self.seq = self._sent

    def on_message(self, answer: PageRequest) -> None:
        """Answer requests that come by comm, from pages without a control channel."""
        self._answer = answer

    def retire(self) -> None:
        """Take the view from every page."""
        self._widget.close()
        self._widget.layout.close()  # a widget of its own, which nothing else closes

    @property
    def _widget(self) -> Any:
        return self

    def _send_batch(self, ops: list[Op]) -> None:
        if ops:
            self._sent += 1
            self._widget.send({"kind": "ops", "seq": self._sent, "ops": ops})

    def _receive(self, _view: object, content: object, _buffers: object) -> None:
        """Pass on what a page says; a page can send anything, so nothing here trusts its shape."""
        if self._answer is None or not isinstance(content, dict):
            return
        match cast("Json", content):
            case {"kind": "resync"}:
                self._answer({"action": "resync"})
            case {"kind": "request", "id": str(message_id), "content": dict(request)}:
                reply = self._answer(cast("Json", request))
                if reply is not None:
                    self._widget.send({"kind": "reply", "id": message_id, "content": reply})
            case _:
                pass


def choose_view(environ: Mapping[str, str], parent: Json, modules: Mapping[str, Any]) -> ViewKind:
    """Choose the form that the front end can draw.

    Args:
        environ: The environment; `CODEX_JUPYTER_WIDGET` states the form.
        parent: The message of the cell that runs.
        modules: What is imported.

    Raises:
        ConfigError: The variable states something else.
    """
    stated = environ.get(WIDGET, "").strip()
    if stated:
        if stated not in _KINDS:
            raise ConfigError(WIDGET, f"must be one of {', '.join(_KINDS)}, not {stated!r}")
        return stated
    if not _is_elsewhere(environ, parent, modules):
        return "module"
    return "anywidget" if find_spec("anywidget") is not None else "plain"


def make_view(kind: ViewKind, snapshot: Json) -> LiveView | None:
    """Make a view of that form; ``None`` for none."""
    match kind:
        case "module":
            from codex_jupyter.notebook.turn_view import TurnView  # noqa: PLC0415 - one of three

            return TurnView(snapshot)
        case "anywidget":
            from codex_jupyter.notebook.any_view import AnyTurnView  # noqa: PLC0415 - an extra

            return AnyTurnView(snapshot)
        case "plain":
            from codex_jupyter.notebook.plain_view import PlainView  # noqa: PLC0415 - one of three

            return PlainView(snapshot)
        case "none":
            return None


def _is_elsewhere(environ: Mapping[str, str], parent: Json, modules: Mapping[str, Any]) -> bool:
    """Tell whether the front end is one that loads no labextensions: Colab or VS Code."""
    if "google.colab" in modules or "VSCODE_PID" in environ or "VSCODE_CWD" in environ:
        return True
    cell = str((parent.get("metadata") or {}).get("cellId") or "")
    return bool(re.match(r"vscode-", cell))
