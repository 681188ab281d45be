"""The live view out of plain ipywidgets, for front ends that can draw neither of the others."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import ipywidgets

from codex_jupyter.notebook.live_view import PageRequest
from codex_jupyter.view.delegate_words import asked_by
from codex_jupyter.view.output_html import html
from codex_jupyter.view.turn_state import Op, fold

__all__ = ["PlainView"]

Json = dict[str, Any]

_GAP: Final = 0.2
"""Seconds between two drawings: each sends the whole text."""

_LABELS: Final = {
    "accept": ("Approve", "success"),
    "acceptForSession": ("Approve for this session", "info"),
    "decline": ("Decline", "warning"),
    "cancel": ("Stop the turn", "danger"),
}
_GONE: Final = "This can no longer be answered."


class PlainView(ipywidgets.VBox):
    """The static form of a turn, drawn anew at most five times a second, with buttons under it.

    Where the kernel is busy with the cell, clicks arrive when it is idle again; the question can
    then be answered by typing.
    """

    def __init__(self, snapshot: Json | None = None) -> None:
        self._state: Json = copy.deepcopy(snapshot or {})
        self._waiting: list[Op] = []
        self._drawn = float("-inf")
        self._asked: list[str] = []
        self._answer: PageRequest | None = None
        self._text = ipywidgets.HTML()
        self._cards = ipywidgets.VBox()
        self._stop = _button("Stop", "", self._interrupt)
        super().__init__(children=[self._text, self._cards, self._stop])
        if snapshot:
            self._draw()

    def push(self, ops: list[Op], now: float) -> None:
        """Show ``ops`` with the next drawing."""
        self._waiting += ops
        if self._waiting and now - self._drawn >= _GAP:
            self.flush(now)

    def due_in(self, now: float) -> float | None:
        """Return the seconds until `flush` should be called, ``None`` if nothing waits."""
        return max(0.0, self._drawn + _GAP - now) if self._waiting else None

    def flush(self, now: float) -> None:
        """Draw what waits."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for op in waiting:
            fold(self._state, op)
        self._drawn = now
        self._draw()

    def settle(self, snapshot: Json, now: float) -> None:
        """Go on from ``snapshot``, which contains every op pushed so far."""
        waited, self._waiting = bool(self._waiting), []
        changed, self._state = snapshot != self._state, copy.deepcopy(snapshot)
        if waited or changed:
            self._drawn = now
            self._draw()

    def on_message(self, answer: PageRequest) -> None:
        """Let ``answer`` take what the buttons ask, as contents of control messages."""
        self._answer = answer

    def retire(self) -> None:
        """Take the view and all its parts from every page."""
        for part in (*_all_of(self._cards), self._text, self._cards, self._stop, self):
            _close(part)

    def _draw(self) -> None:
        self._text.value = html(self._state, live=True)
        self._stop.disabled = self._state["status"] != "inProgress"
        pending = [request for request in self._state["requests"] if request["outcome"] is None]
        asked = [request["requestId"] for request in pending]
        if asked != self._asked:
            old, self._asked = _all_of(self._cards), asked
            self._cards.children = [self._card(request) for request in pending]
            for part in old:
                _close(part)

    def _card(self, request: Json) -> Any:
        if request["kind"] == "question":
            return self._form(request)
        lines = [asked_by(request), request.get("title"), request.get("command")]
        lines.append(request.get("warning"))
        lines += [f"{change['path']}\n{change['diff']}" for change in request.get("changes") or ()]
        lines.append(request.get("sandbox"))
        told = ipywidgets.Textarea("\n".join(line for line in lines if line), disabled=True)
        buttons = [
            _button(*_LABELS[choice], partial(self._decide, request, choice, told))
            for choice in request.get("choices") or ()
            if choice in _LABELS
        ]
        return ipywidgets.VBox([told, ipywidgets.HBox(buttons)])

    def _form(self, request: Json) -> Any:
        fields: dict[str, Any] = {}
        for question in request.get("questions") or ():
            labels = [option["label"] for option in question.get("options") or ()]
            told = str(question["question"])
            if question.get("isSecret"):
                fields[question["id"]] = ipywidgets.Password(placeholder=told)
            else:
                fields[question["id"]] = ipywidgets.Combobox(options=labels, placeholder=told)
        lines = [asked_by(request), *(str(q["question"]) for q in request.get("questions") or ())]
        told = ipywidgets.Textarea("\n".join(line for line in lines if line), disabled=True)
        send = _button("Answer", "success", partial(self._send_answers, request, fields, told))
        buttons = [send]
        if request.get("mayDecline"):
            label, style = _LABELS["decline"]
            buttons.append(_button(label, style, partial(self._decide, request, "decline", told)))
        return ipywidgets.VBox([told, *fields.values(), *buttons])

    def _decide(self, request: Json, decision: str, told: Any) -> None:
        asked = {"action": "decide", "requestId": request["requestId"], "decision": decision}
        self._ask({**asked, "digest": request.get("digest")}, told)

    def _send_answers(self, request: Json, fields: dict[str, Any], told: Any) -> None:
        answers = {
            name: {"answers": [field.value] if field.value else []}
            for name, field in fields.items()
        }
        self._ask({"action": "answer", "requestId": request["requestId"], "answers": answers}, told)

    def _interrupt(self) -> None:
        self._ask({"action": "interrupt", "turnId": self._state["turnId"]}, None)

    def _ask(self, content: Json, told: Any) -> None:
        reply = self._answer(content) if self._answer is not None else None
        if told is not None and (reply is None or reply.get("status") != "ok"):
            told.value = _GONE


def _button(label: str, style: str, act: Callable[[], None]) -> Any:
    button: Any = ipywidgets.Button(description=label, button_style=style)
    button.layout.width = "auto"

    def clicked(_button: object) -> None:
        act()

    button.on_click(clicked)
    return button


def _close(part: Any) -> None:
    """Close a widget and the two that come with it."""
    for widget in (part, part.layout, getattr(part, "style", None)):
        if widget is not None:
            widget.close()


def _all_of(box: Any) -> list[Any]:
    """Return the widgets in a box, and theirs."""
    return (
        [part for child in box.children for part in (*_all_of(child), child)]
        if hasattr(box, "children")
        else []
    )
