"""The tasks of a turn that delegates: what nobody has taken yet, and what stops each of them."""

from collections.abc import Iterable

from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.ids import ThreadId, TurnId, same_turn_id
from codex_jupyter.protocol.ops import DelegateTask, Delegation, TurnOp

__all__ = ["TaskList"]


class TaskList:
    """Tasks as they come and are taken.

    A task can be stopped from the moment it is known to its end, whether its delegate has begun
    or waits for its place.

    Args:
        op: What the turn is for; anything but a `Delegation` has no tasks.
        token: Of the turn; it stops all of them.
    """

    def __init__(self, op: TurnOp, token: CancelToken) -> None:
        self._token = token
        self._wanted: list[DelegateTask] = []
        self._stops: dict[ThreadId, tuple[TurnId, CancelToken]] = {}
        self.taken = 0
        """How many were given so far."""

        self.held = isinstance(op, Delegation) and op.held
        """Whether more may come."""

        if isinstance(op, Delegation):
            self.add(op.tasks)

    @property
    def is_open(self) -> bool:
        """Whether a task waits to be taken, or more may come."""
        return self.held or bool(self._wanted)

    def add(self, tasks: Iterable[DelegateTask]) -> None:
        """Take more."""
        for task in tasks:
            self.taken += 1
            self._wanted.append(task)
            # Of two that want one thread the first has it.
            self._stops.setdefault(task.thread_id, (task.turn_id, self._token.child()))

    def take(self) -> list[DelegateTask]:
        """Return those that nobody has taken yet."""
        wanted, self._wanted = self._wanted, []
        return wanted

    def token_of(self, task: DelegateTask) -> CancelToken:
        """Return what stops a task."""
        turn_id, token = self._stops.get(task.thread_id, (None, self._token))
        return token if turn_id == task.turn_id else self._token

    def done(self, task: DelegateTask) -> None:
        """Note that a task has ended."""
        if self._stops.get(task.thread_id, (None,))[0] == task.turn_id:
            del self._stops[task.thread_id]

    def stop(self, thread_id: ThreadId, turn_id: str, reason: str) -> bool:
        """Stop the task that has these ids; ``False`` if none has that is still to end."""
        known, token = self._stops.get(thread_id, (None, None))
        if known is None or token is None or not same_turn_id(turn_id, known):
            return False
        token.cancel(reason)
        return True
