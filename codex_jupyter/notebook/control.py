"""What pages and drivers ask of this kernel, over its control channel or by comm.

The control channel is answered while a cell runs, on every ipykernel; comm messages are not.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

__all__ = ["ControlDesk", "Switchboard", "install_control"]

Json = dict[str, Any]

REQUEST: Final = "codex_jupyter_request"
REPLY: Final = "codex_jupyter_reply"


class Steering(Protocol):
    """What can be asked; every method may be called from any thread and returns at once."""

    def hello(self, turn_id: str) -> Json | None:
        """A page shows this turn: say what is open, or ``None`` for an unknown turn."""
        ...

    def settle(self, request_id: str, answer: Json, digest: str | None) -> bool:
        """Answer a question; ``False`` if it is not open."""
        ...

    def interrupt(self, turn_id: str) -> bool:
        """Stop a turn; ``False`` if it is not known."""
        ...

    def delegate_snapshot(self, thread_id: str, turn_id: str) -> Json | None:
        """Return what a delegate's turn looks like now, ``None`` if it is not known."""
        ...

    def interrupt_delegate(self, thread_id: str, turn_id: str) -> bool:
        """Stop a delegate; ``False`` if it is not known."""
        ...


class Switchboard:
    """Finds who of several has the turn or the question, for pages that know of one kernel only."""

    def __init__(self, first: Steering) -> None:
        self._parts = [first]

    def add(self, part: Steering) -> None:
        """Ask this one as well."""
        self._parts.append(part)

    def hello(self, turn_id: str) -> Json | None:
        """Say what is open in a turn, or ``None`` if nobody knows it."""
        known = (part.hello(turn_id) for part in self._parts)
        return next((shown for shown in known if shown is not None), None)

    def settle(self, request_id: str, answer: Json, digest: str | None) -> bool:
        """Answer a question; ``False`` if it is open nowhere."""
        return any(part.settle(request_id, answer, digest) for part in self._parts)

    def interrupt(self, turn_id: str) -> bool:
        """Stop a turn; ``False`` if nobody knows it."""
        return any(part.interrupt(turn_id) for part in self._parts)

    def delegate_snapshot(self, thread_id: str, turn_id: str) -> Json | None:
        """Return what a delegate's turn looks like now, ``None`` if nobody knows it."""
        known = (part.delegate_snapshot(thread_id, turn_id) for part in self._parts)
        return next((shown for shown in known if shown is not None), None)

    def interrupt_delegate(self, thread_id: str, turn_id: str) -> bool:
        """Stop a delegate; ``False`` if nobody knows it."""
        return any(part.interrupt_delegate(thread_id, turn_id) for part in self._parts)


class ControlDesk:
    """Answers the contents of control messages."""

    def __init__(self, steering: Steering) -> None:
        self._steering = steering

    def answer(self, content: Json) -> Json:
        """Return the reply: ``status`` is ``ok``, ``gone`` (no longer open) or ``error``."""
        match content:
            case {"action": "hello", "turnId": str(turn_id)}:
                known = self._steering.hello(turn_id)
                return {"status": "ok", **known} if known is not None else {"status": "gone"}
            case {"action": "decide", "requestId": str(request_id), "decision": str(decision)}:
                digest = content.get("digest")
                answer = {"decision": decision, "digest": digest}
                return _ok(self._steering.settle(request_id, answer, digest))
            case {"action": "answer", "requestId": str(request_id), "answers": dict(answers)}:
                return _ok(self._steering.settle(request_id, {"answers": answers}, None))
            case {"action": "delegate", "threadId": str(thread_id), "turnId": str(turn_id)}:
                shown = self._steering.delegate_snapshot(thread_id, turn_id)
                return {"status": "gone"} if shown is None else {"status": "ok", "snapshot": shown}
            case {"action": "interrupt", "threadId": str(thread_id), "turnId": str(turn_id)}:
                return _ok(self._steering.interrupt_delegate(thread_id, turn_id))
            case {"action": "interrupt", "turnId": str(turn_id)}:
                return _ok(self._steering.interrupt(turn_id))
            case _:
                return {"status": "error", "message": f"not understood: {str(content)[:200]}"}


def install_control(kernel: Any, answer: Callable[[Json], Json]) -> None:
    """Answer `codex_jupyter_request` on the control channel of an ipykernel.

    The handler runs in the kernel's control thread. It only hands over: nothing of the user's
    runs there.
    """

    async def handle(stream: Any, ident: Any, parent: Json) -> None:
        reply = answer(parent.get("content") or {})
        kernel.session.send(stream, REPLY, reply, parent, ident)

    kernel.control_handlers[REQUEST] = handle


def _ok(done: bool) -> Json:
    return {"status": "ok" if done else "gone"}
