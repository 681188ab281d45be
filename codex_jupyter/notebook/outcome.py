"""What came of a turn: a result to use, or an error that reads as one line under the cell."""

from dataclasses import dataclass
from typing import Any

from codex_jupyter.errors import CodexError, UsageError

__all__ = [
    "Finding",
    "TurnFailedError",
    "TurnInterrupted",
    "TurnResult",
    "first_problem",
    "refusal",
    "tell_in_one_line",
    "unless_stopped",
]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a review found."""

    title: str
    body: str
    path: str | None
    """Absolute."""

    start: int | None
    """First line, from 1."""

    end: int | None
    priority: int | None
    """0 (everything stops) to 3 (would be nice)."""

    confidence: float | None
    """0 to 1."""

    @classmethod
    def of(cls, wire: Json) -> "Finding":
        """Read a finding as it travels."""
        place: Json = wire.get("code_location") or {}
        lines: Json = place.get("line_range") or {}
        return cls(
            title=wire.get("title") or "",
            body=wire.get("body") or "",
            path=place.get("absolute_file_path"),
            start=lines.get("start"),
            end=lines.get("end"),
            priority=wire.get("priority"),
            confidence=wire.get("confidence_score"),
        )


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

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What a review found; empty for other turns, and if it found nothing."""
        outputs = [i.get("output") or {} for i in self.items if i["type"] == "exitedReviewMode"]
        return tuple(
            Finding.of(wire) for output in outputs for wire in output.get("findings") or ()
        )

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


def refusal(sentence: str) -> BaseException:
    """Return what to raise where a person asked for what cannot be."""
    return tell_in_one_line(UsageError(sentence))


def tell_in_one_line(error: BaseException) -> BaseException:
    """Let IPython show ``error`` as one line: its sentence says what to do, its frames do not."""
    line = f"{type(error).__name__}: {error}"
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]
    return error


def unless_stopped(result: TurnResult, *, is_stopped: bool) -> TurnResult:
    """Return ``result``, or tell of a stop that came too late for the turn.

    Raises:
        TurnInterrupted: There was one; it has the result.
    """
    if is_stopped:
        raise TurnInterrupted(result)
    return result


def first_problem(problems: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first exception of a group that is none itself."""
    problem: BaseException = problems
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return problem
