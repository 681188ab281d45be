"""Takes back what patches of the last turns did to files that nobody changed since."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.ids import TurnId
from codex_jupyter.tools.apply_patch import PatchPlan, apply_plan

__all__ = ["UndoStack"]

MAX_STEPS: Final = 20
"""Turns that can be taken back, newest first."""

MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes of files held for that; older steps go first, the newest stays whatever its size."""


@dataclass(frozen=True, slots=True)
class _Step:
    turn_id: TurnId
    plan: PatchPlan
    size: int


class UndoStack:
    """What the turns of one loaded thread did to files. Kept in memory: it ends with the session.

    Only patches are known; what commands did is not.
    """

    def __init__(self) -> None:
        self._steps: deque[_Step] = deque(maxlen=MAX_STEPS)

    def add(self, turn_id: TurnId, plan: PatchPlan | None) -> None:
        """Note how a turn's patches are taken back; ``None`` if there is nothing to take back."""
        if plan is None:
            return
        size = sum(len(c.old or b"") + len(c.new or b"") for c in plan.changes)
        self._steps.append(_Step(turn_id, plan, size))
        while len(self._steps) > 1 and sum(step.size for step in self._steps) > MAX_BYTES:
            self._steps.popleft()

    def undo(self) -> tuple[TurnId, list[str]]:
        """Take back the newest turn's patches, all or nothing. Blocks on file I/O.

        Returns the turn and the files that are as they were before it.

        Raises:
            InvalidRequestError: There is nothing to take back.
            PatchError: A file changed since; nothing was done, and the step stays.
        """
        if not self._steps:
            raise InvalidRequestError("there is nothing to undo: no patch of this session is left")
        step = self._steps[-1]
        apply_plan(step.plan)
        self._steps.pop()
        return step.turn_id, [str(change.path) for change in step.plan.changes]
