"""How a turn asks: with whose name, on which thread it is shown, what is written down of it."""

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

from codex_jupyter.flow.requests import AskedRequest, Outcome, Withdrawn
from codex_jupyter.ids import ItemId, new_request_id
from codex_jupyter.rollout.records import Record

if TYPE_CHECKING:
    from codex_jupyter.core.session_state import SessionState
    from codex_jupyter.core.turn import Turn

__all__ = ["WaitsOn", "ask_clients"]

Json = dict[str, Any]
WaitsOn = Literal["approval", "userInput", "form", "client"]


async def ask_clients(
    turn: "Turn",
    state: "SessionState",
    method: str,
    params: Json,
    item_id: ItemId,
    waits_on: WaitsOn,
) -> Outcome:
    """Put a question to the clients; its outcome is stored before anybody acts on it.

    A turn that is shown in another one asks there. The question is kept by the root of the tree.
    A turn that has ended asks nobody: there is nobody left who waits for the answer.
    """
    if turn.ended.is_set():
        return Withdrawn("the turn has ended")
    shown, where = turn, state
    while shown.lineage is not None and shown.lineage.shown_in is not None:
        if shown.lineage.caught_up is not None:
            # The item that is asked about is shown there before the question.
            await shown.lineage.caught_up(turn.token)
        shown = shown.lineage.shown_in
        where = shown.state
    request = AskedRequest(
        id=new_request_id(),
        thread_id=shown.thread_id,
        turn_id=shown.turn_id,
        item_id=item_id,
        method=method,
        params=_addressed(turn, shown, item_id, waits_on, params),
        waits_on=waits_on,
    )
    outcome: Outcome = Withdrawn("nobody waits for the answer any more")
    # Also when the asker is cancelled, or nothing can be stored: nobody can answer it any more.
    try:
        try:
            with ExitStack() as waiting:
                for waiter in {id(s): s for s in (state, where)}.values():
                    waiting.enter_context(waiter.waiting_on(request))
                outcome = await state.broker.ask(request, turn.token, where.announce)
        finally:
            if waits_on != "client":
                await state.record([_resolution(turn, request, outcome)])
    finally:
        where.tell_resolved(request, outcome)
    # The user may have pressed "stop" while the answer was being stored.
    if turn.token.reason is not None:
        return Withdrawn(turn.token.reason)
    return outcome


def _addressed(turn: "Turn", shown: "Turn", item_id: ItemId, waits_on: str, params: Json) -> Json:
    whose: Json = {"threadId": shown.thread_id, "turnId": shown.turn_id}
    if waits_on != "client":
        whose |= {"itemId": item_id, "startedAtMs": time.time_ns() // 1_000_000}
    if turn.lineage is not None:
        whose["delegate"] = turn.lineage.identity(turn.thread_id, turn.turn_id)
    return {**whose, **params}


def _resolution(turn: "Turn", request: AskedRequest, outcome: Outcome) -> Record:
    answer = getattr(outcome, "result", None)
    # What a user typed may be secret; that they answered is not.
    kept = answer if request.waits_on == "approval" else None
    payload = {
        "type": "request_resolved",
        "turn_id": turn.turn_id,
        "request_id": request.id,
        "method": request.method,
        "item_id": request.item_id,
        "digest": request.params.get("digest"),
        "outcome": type(outcome).__name__.lower(),
        "answer": kept,
    }
    return Record("event_msg", payload)
