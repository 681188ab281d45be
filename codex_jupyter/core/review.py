"""The review turn: a one-shot delegate looks, its items show in the turn, its findings stay."""

import re
from typing import Any, Final

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
from codex_jupyter.core.turn import Turn
from codex_jupyter.core.turn_parts import EndedTurn
from codex_jupyter.errors import CodexError, DelegateError, ModelError, RolloutError
from codex_jupyter.ids import new_item_id
from codex_jupyter.protocol.events import (
    ContextCompacted,
    ErrorNoted,
    Event,
    EventMsg,
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
from codex_jupyter.tools.child_env import child_environment
from codex_jupyter.tools.shell import Command, run_command

__all__ = ["run_review"]

Json = dict[str, Any]

GIT_LIMIT: Final = 10.0
"""Looking for a merge base; without it the reviewer is told to look itself."""

_COMMIT: Final = re.compile(r"[0-9a-f]{40,64}")

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
    shown = _Shown(turn)
    problem: CodexError | None = None
    try:
        handle = await _begin(threads, session, turn, op, model)
        async for envelope in handle:
            await shown.take(envelope.event)
            if isinstance(envelope.event.msg, TurnCompleted):
                break  # it closes while its findings are read; the turn waits for that
        problem = _problem(handle)
    except CodexError as error:
        problem = error
    finally:
        _leave(turn, shown, problem)
    stopped = turn.token.reason is not None and not isinstance(problem, RolloutError)
    if problem is not None and not stopped:
        raise problem


async def _begin(
    threads: StartsThreads, session: Session, turn: Turn, op: Review, model: str | None
) -> DelegateHandle:
    branch = op.target.get("branch")
    base = await _merge_base(turn, branch) if isinstance(branch, str) else None
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
        if _stays_below(event.msg):
            return
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
            case msg:
                self._turn.publish(msg)

    async def _hold_back(self, item: Json) -> None:
        if self.last is not None:
            self._turn.start_item(dict(self.last))
            await self._turn.complete_item(self.last)
        self.last = item


def _stays_below(msg: EventMsg) -> bool:
    match msg:
        case ItemStarted({"type": "userMessage"}) | ItemCompleted({"type": "userMessage"}):
            # What the reviewer is asked is nothing the user said.
            return True
        case ErrorNoted(will_retry=False):
            # It is how the reviewer's turn ends, and then how this one does.
            return True
        case _:
            return isinstance(msg, _NOT_SHOWN)


def _leave(turn: Turn, shown: _Shown, problem: CodexError | None) -> None:
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
    content = [{"type": "output_text", "text": said}]
    history: tuple[Json, ...] = (
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": told}]},
        {"type": "message", "role": "assistant", "content": content},
    )
    item: Json = {"type": "agentMessage", "id": new_item_id(), "text": said, "phase": None}
    turn.stage_items([_exited_item(exited, output), item], history=history)
    turn.last_text = said


def _exited_item(text: str, output: ReviewOutput | None) -> Json:
    found = output.wire() if output is not None and output.structured else None
    return {"type": "exitedReviewMode", "id": new_item_id(), "review": text, "output": found}


def _problem(handle: DelegateHandle) -> CodexError | None:
    match handle.last:
        case EndedTurn(status="failed", error=error):
            told = error or {}
            return ModelError(
                str(told.get("message") or "the reviewer failed"),
                info=told.get("codexErrorInfo") or "other",
                details=told.get("additionalDetails"),
            )
        case EndedTurn(status="completed"):
            return None
        case _:
            # What it said on the way is no result.
            return DelegateError("the reviewer was stopped before it was done; start it again")


async def _merge_base(turn: Turn, branch: str) -> str | None:
    """Return the commit where the current branch left ``branch``; ``None`` if git cannot say."""
    if branch.startswith("-"):
        return None
    command = Command(
        argv=("git", "merge-base", "HEAD", branch),
        cwd=turn.workspace,
        timeout=GIT_LIMIT,
        env=child_environment(turn.environment, new_item_id()),
    )
    found = await run_command(command, on_output=_ignore, token=turn.token)
    # A warning of git's may stand before it.
    last = found.output.strip().rpartition("\n")[2]
    return last if found.exit_code == 0 and _COMMIT.fullmatch(last) else None


def _ignore(_text: str) -> None:
    """Show nobody what git says."""
