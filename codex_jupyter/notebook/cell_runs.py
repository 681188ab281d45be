"""Running a cell of a notebook: its answer is shown, attached to, or asked for."""

from dataclasses import dataclass
from typing import Any

from codex_jupyter.errors import RemoteError
from codex_jupyter.ids import new_thread_id, new_turn_id
from codex_jupyter.notebook.cell_identity import CellKey, host_thread_id_of
from codex_jupyter.notebook.known_turns import Rerun
from codex_jupyter.notebook.outcome import TurnResult
from codex_jupyter.notebook.rerun import (
    Choice,
    KnownTurn,
    choose,
    overtaken_by,
    replaced_before,
)
from codex_jupyter.notebook.threads import Thread

__all__ = ["CellRun", "run_cell", "run_delegated_cell"]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CellRun:
    """One run of a cell of a notebook."""

    key: CellKey
    source: str
    """The whole cell, its first line included."""

    again: bool = False
    """Whether it shall be answered anew."""

    replay: bool = True
    """Whether code of an old answer runs again in a kernel where it has not run."""


def run_cell(
    thread: Thread, text: str, run: CellRun, overrides: Json, *, quiet: bool = False
) -> TurnResult:
    """Have a cell answered in its notebook's conversation, or show the answer it has.

    Raises:
        CodexError: As `Thread.run`; also if code of an old answer fails when it is run again.
    """
    known = thread.known_turns()
    choice = choose(thread.id, run.key, run.source, known, again=run.again)
    thread.finish_background(thread.id, choice.turn_id)
    label = _changed_before(thread, choice.turn_id, known) if choice.does == "show" else None
    if not run.key.is_lasting:
        thread.cells_ran.append(choice.turn_id)
    params = {
        "input": [{"type": "text", "text": text}],
        **overrides,
        "clientUserMessageId": choice.mark,
    }
    handle = thread.prepare(
        params, turn_id=choice.turn_id, quiet=quiet, rerun=_rerun(thread, run, choice)
    )
    if label is not None:
        handle.state.notice(f"answered before cell “{label}” changed; --again to refresh")
    return thread.see_through(handle)


def run_delegated_cell(
    thread: Thread, task: Json, run: CellRun | None, *, quiet: bool = False
) -> TurnResult:
    """Have a delegate answer a cell beside the conversation, or show the answer it has.

    Args:
        thread: The conversation; the delegates of all its cells work in one thread below it.
        task: A task of delegate/start.
        run: The run, of a cell that is re-runnable.
        quiet: Whether nothing is shown.

    Raises:
        CodexError: As `run_cell`.
    """
    host_id, turn_id, rerun = new_thread_id(), new_turn_id(), None
    if run is not None:
        host_id = host_thread_id_of(thread.id)
        choice = _choice_in(host_id, thread, run)
        turn_id, rerun = choice.turn_id, _rerun(thread, run, choice)
        thread.finish_background(host_id, turn_id)
    handle = thread.prepare(
        {"threadId": thread.id, "hostThreadId": host_id, "tasks": [task]},
        method="delegate/start",
        host_id=host_id,
        turn_id=turn_id,
        quiet=quiet,
        rerun=rerun,
    )
    return thread.see_through(handle)


def _choice_in(host_id: str, thread: Thread, run: CellRun) -> Choice:
    try:
        known = thread.known_turns(host_id)
    except RemoteError:
        known = list[KnownTurn]()  # no cell was delegated so far
    return choose(host_id, run.key, run.source, known, again=run.again)


def _rerun(thread: Thread, run: CellRun, choice: Choice) -> Rerun:
    runtime = thread.runtime
    is_here = choice.turn_id in runtime.ran_here
    code = None if is_here or not run.replay else runtime.run_recorded
    return Rerun(is_known=choice.does != "begin", is_cell=True, run_item=code)


def _changed_before(thread: Thread, turn_id: str, known: list[KnownTurn]) -> str | None:
    return replaced_before(turn_id, known) or overtaken_by(turn_id, known, thread.cells_ran)
