"""Changes to a thread's past: turns taken back, and what their patches did to files."""

from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread

from codex_jupyter.core.session_state import SessionState
from codex_jupyter.core.turn_records import undone_message
from codex_jupyter.core.undo import UndoStack
from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.ids import TurnId, same_turn_id
from codex_jupyter.protocol.events import ThreadReverted
from codex_jupyter.rollout.memory import MemoryRecorder
from codex_jupyter.rollout.reader import StoredThread
from codex_jupyter.rollout.records import Record
from codex_jupyter.rollout.store import ThreadStore
from codex_jupyter.tools.apply_patch import PatchPlan

__all__ = ["HistoryEdits"]

Json = dict[str, Any]


class HistoryEdits:
    """What can be done to the past of one loaded thread, while no turn runs.

    Args:
        state: Of the session.
        store: Where its records are read anew.
        alone: Held while something is changed, so that no turn is accepted meanwhile.
        is_running: Tells whether a turn is active.
    """

    def __init__(
        self,
        state: SessionState,
        store: ThreadStore,
        alone: anyio.Lock,
        is_running: Callable[[], bool],
    ) -> None:
        self._state = state
        self._store = store
        self._editing = alone
        self._is_running = is_running
        self._undo = UndoStack()

    def note(self, turn_id: TurnId, reversal: PatchPlan | None) -> None:
        """Keep how the patches of a turn that has ended are taken back."""
        self._undo.add(turn_id, reversal)

    async def revert(self, before_turn_id: str) -> None:
        """Take the turn and all later ones back. Files are as they are; the ids stay used.

        Raises:
            InvalidRequestError: A turn is in progress, or this one is not in the thread.
            RolloutError: It could not be stored; nothing was taken back.
        """
        ids = self._state.transcript.turn_ids
        place = next(
            (n for n, known in enumerate(ids) if same_turn_id(before_turn_id, known)), None
        )
        if place is None:
            raise InvalidRequestError(f"turn not found: {before_turn_id[:64]}")
        await self._roll_back_to(place)

    async def roll_back(self, count: int) -> None:
        """Take the last ``count`` turns back, or all; see `revert`."""
        if count < 1:
            raise InvalidRequestError("numTurns must be >= 1")
        await self._roll_back_to(max(0, len(self._state.transcript.turn_ids) - count))

    async def _roll_back_to(self, place: int) -> None:
        async with self._editing:
            if self._is_running():
                raise InvalidRequestError("Cannot rollback while a turn is in progress.")
            count = len(self._state.transcript.turn_ids)
            turns = self._state.transcript.turns(range(place, count))
            if not turns:
                return
            said = [i for turn in turns for i in turn["items"] if i["type"] == "userMessage"]
            payload = {
                "type": "thread_rolled_back",
                # What other programs count by; the id says it exactly (W-38).
                "num_turns": len(said),
                "before_turn_id": turns[0]["id"],
            }
            # Once begun it ends: stored but still shown, the turns would be half there.
            with anyio.CancelScope(shield=True):
                await self._state.record([Record("event_msg", payload)])
                self._state.restore(await self._reread())
        self._state.emit(ThreadReverted())

    async def undo(self) -> tuple[TurnId, list[str]]:
        """Take back what the newest turn's patches did to files, and let the model know.

        Returns the turn and the files.

        Raises:
            InvalidRequestError: A turn is in progress, or there is nothing to take back.
            PatchError: A file was changed since; nothing was done.
            RolloutError: It was done, but could not be stored.
        """
        async with self._editing:
            if self._is_running():
                raise InvalidRequestError("Cannot undo while a turn is in progress.")
            turn_id, files = await anyio.to_thread.run_sync(self._undo.undo)
            items = (undone_message(files),)
            event = Record("event_msg", {"type": "undo_completed", "success": True})
            await self._state.record([*(Record("response_item", item) for item in items), event])
            self._state.history.append(items)
        return turn_id, files

    async def _reread(self) -> StoredThread:
        recorder = self._state.recorder
        if isinstance(recorder, MemoryRecorder):
            return recorder.thread(self._state.thread_id)
        stored = await self._store.read(self._state.thread_id)
        if stored is None:
            raise InvalidRequestError(f"thread {self._state.thread_id} has no turn yet")
        return stored
