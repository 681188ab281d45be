"""The review turn: a one-shot delegate looks, its items show in the turn, its findings stay."""

import subprocess
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread

from codex_jupyter.core.delegate import (
    DelegateHandle,
    DelegateWish,
    StartsThreads,
    run_delegate_one_shot,
)
from codex_jupyter.core.review_text import (
    INTERRUPTED,
    NO_OUTPUT,
    REVIEW_INSTRUCTIONS,
    ReviewOutput,
    parse_review,
    render_review,
    review_prompt,
    told_review,
)
from codex_jupyter.core.session import Session
from codex_jupyter.core.turn import EndedTurn, Turn
from codex_jupyter.errors import CodexError, DelegateError, ModelError
from codex_jupyter.ids import new_item_id
from codex_jupyter.protocol.events import (
    ContextCompacted,
    Event,
    ItemCompleted,
    ItemStarted,
    StatusChanged,
    TextDelta,
    ThreadClosed,
    TurnCompleted,
    TurnStarted,
)
from codex_jupyter.protocol.items import TextInput
from codex_jupyter.protocol.ops import Review

__all__ = ["run_review"]

Json = dict[str, Any]

GIT_LIMIT: Final = 10.0
"""Looking for a merge base; without it the reviewer is told to look itself."""

LEAVE_LIMIT: Final = 30.0
"""Storing what is left of a review that was stopped."""

_NOT_SHOWN: Final = (
    # The turn has a begin and an end of its own.
    TurnStarted,
    TurnCompleted,
    StatusChanged,
    ThreadClosed,
    ContextCompacted,
)


async def run_review(
    threads: StartsThreads, session: Session, turn: Turn, op: Review, model: str | None
) -> None:
    """Do what a review turn is for, up to the message that tells what was found.

    Whatever happens, the turn shows that the review began and that it is over.

    Args:
        threads: Start the reviewer.
        session: Whose turn it is.
        turn: The turn; its token ends the review.
        op: What to review.
        model: Of the reviewer; default: the turn's.

    Raises:
        ModelError: The reviewer's turn failed.
        RolloutError: Something could not be stored.
    """
    await _show(turn, {"type": "enteredReviewMode", "id": new_item_id(), "review": op.hint})
    shown = _Shown(turn)
    problem: CodexError | None = None
    try:
        handle = await _begin(threads, session, turn, op, model)
        async for envelope in handle:
            await shown.take(envelope.event)
        problem = _problem(handle)
    except DelegateError as error:
        problem = error
    finally:
        with anyio.move_on_after(LEAVE_LIMIT, shield=True):
            await _leave(turn, shown, problem)
    if problem is not None and turn.token.reason is None:
        raise problem


async def _begin(
    threads: StartsThreads, session: Session, turn: Turn, op: Review, model: str | None
) -> DelegateHandle:
    base: str | None = None
    branch = op.target.get("branch")
    if isinstance(branch, str):
        with turn.token.scope():
            base = await anyio.to_thread.run_sync(
                _merge_base, turn.workspace, branch, abandon_on_cancel=True
            )
    wish = DelegateWish(
        source={"subagent": "review"},
        nickname="reviewer",
        model=model,
        base_instructions=REVIEW_INSTRUCTIONS,
        developer_instructions="",
        web_search="disabled",
    )
    prompt = (TextInput(text=review_prompt(op.target, base)),)
    return await run_delegate_one_shot(
        threads, session, wish, prompt, turn.token, turn=turn, shown=True
    )


class _Shown:
    """Shows a reviewer's events in the turn; its last message is kept back: that is the result."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._messages: set[str] = set()
        self.last: Json | None = None

    async def take(self, event: Event) -> None:
        match event.msg:
            case ItemStarted({"type": "agentMessage"} as item):
                self._messages.add(item["id"])
            case ItemCompleted({"type": "agentMessage"} as item):
                if not item.get("abandoned"):
                    await self._hold_back(item)
            case TextDelta(item_id=item_id) if item_id in self._messages:
                pass
            case ItemStarted(item):
                self._turn.start_item(dict(item))
            case ItemCompleted(item):
                if item.get("abandoned"):
                    self._turn.drop_item(item)
                else:
                    await self._turn.complete_item(item)
            case msg if isinstance(msg, _NOT_SHOWN):
                pass
            case msg:
                self._turn.publish(msg)

    async def _hold_back(self, item: Json) -> None:
        if self.last is not None:
            await _show(self._turn, self.last)
        self.last = item


async def _leave(turn: Turn, shown: _Shown, problem: CodexError | None) -> None:
    """Show and remember how the review ended."""
    text = str((shown.last or {}).get("text") or "").strip()
    stopped = turn.token.reason is not None
    if stopped or problem is not None or not text:
        output, exited = None, NO_OUTPUT
        said = INTERRUPTED if stopped else f"The review failed: {problem or NO_OUTPUT}"
        told = told_review("None: the review was interrupted." if stopped else said)
    else:
        output = parse_review(text)
        exited = said = render_review(output)
        told = told_review(said)
    await _show(turn, _exited_item(exited, output))
    content = [{"type": "output_text", "text": said}]
    history: tuple[Json, ...] = (
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": told}]},
        {"type": "message", "role": "assistant", "content": content},
    )
    item: Json = {"type": "agentMessage", "id": new_item_id(), "text": said, "phase": None}
    turn.start_item(item)
    await turn.complete_item(item, history=history)
    turn.last_text = said


def _exited_item(text: str, output: ReviewOutput | None) -> Json:
    found = output.wire() if output is not None and output.structured else None
    return {"type": "exitedReviewMode", "id": new_item_id(), "review": text, "output": found}


async def _show(turn: Turn, item: Json) -> None:
    turn.start_item(dict(item))
    await turn.complete_item(item)


def _problem(handle: DelegateHandle) -> CodexError | None:
    match handle.last:
        case EndedTurn(status="failed", error=error):
            told = error or {}
            return ModelError(
                str(told.get("message") or "the reviewer failed"),
                info=told.get("codexErrorInfo") or "other",
                details=told.get("additionalDetails"),
            )
        case _:
            return None


def _merge_base(workspace: Path, branch: str) -> str | None:
    """Return the commit where the current branch left ``branch``; ``None`` if git cannot say."""
    if branch.startswith("-"):
        return None
    try:
        done = subprocess.run(  # noqa: S603 - the branch is no option, and there is no shell
            ["git", "merge-base", "HEAD", branch],  # noqa: S607 - the user's own git
            cwd=workspace,
            capture_output=True,
            text=True,
            timeout=GIT_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    base = done.stdout.strip()
    return base if done.returncode == 0 and base else None
