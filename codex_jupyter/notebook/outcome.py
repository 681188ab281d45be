"""What came of a turn: a result to use, or an error that reads as one line under the cell."""

from dataclasses import dataclass
from typing import Any

from codex_jupyter.errors import CodexError

__all__ = ["TurnFailedError", "TurnInterrupted", "TurnResult", "tell_in_one_line"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TurnResult:
    """A turn that has ended."""

    thread_id: str
    turn_id: str
    status: str
    """``completed``, ``interrupted`` or ``failed``."""

    text: str
    """The last message of the model."""

    items: tuple[Json, ...]
    """All items, in wire shape."""

    usage: Json | None
    """Tokens of this turn, or ``None`` if the model told none."""

    error: Json | None

    @classmethod
    def of(cls, snapshot: Json) -> "TurnResult":
        """Read the result off the last snapshot of a turn."""
        messages = [item for item in snapshot["items"] if item["type"] == "agentMessage"]
        return cls(
            thread_id=snapshot["threadId"],
            turn_id=snapshot["turnId"],
            status=snapshot["status"],
            text=messages[-1]["text"] if messages else "",
            items=tuple(snapshot["items"]),
            usage=snapshot["usage"],
            error=snapshot["error"],
        )

    def __repr__(self) -> str:
        short = self.text if len(self.text) <= 80 else f"{self.text[:79]}…"  # noqa: PLR2004
        return f"TurnResult(status={self.status!r}, text={short!r}, items={len(self.items)})"


class TurnInterrupted(KeyboardInterrupt):
    """The turn was stopped. Queued cells do not run; the partial answer stays above.

    Attributes:
        result: What there was of the turn.
    """

    def __init__(self, result: TurnResult) -> None:
        super().__init__("the turn was stopped; what it said so far is above")
        self.result = result

    def _render_traceback_(self) -> list[str]:
        return [f"TurnInterrupted: {self}"]


class TurnFailedError(CodexError):
    """The turn failed.

    Attributes:
        result: What there was of the turn; ``result.error`` says why it failed.
    """

    def __init__(self, result: TurnResult) -> None:
        error: Json = result.error or {}
        details = error.get("details") or error.get("additionalDetails")
        message = str(error.get("message") or "the turn failed")
        super().__init__(f"{message} ({details})" if details and details != message else message)
        self.result = result

    def _render_traceback_(self) -> list[str]:
        return [f"TurnFailedError: {self}"]


def tell_in_one_line(error: BaseException) -> BaseException:
    """Let IPython show ``error`` as one line: its sentence says what to do, its frames do not."""
    line = f"{type(error).__name__}: {error}"
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]
    return error
