"""Reviews from a notebook: a reviewer of its own looks at changes and tells what it found."""

import argparse
import shlex
from typing import Any, NoReturn

from codex_jupyter.errors import UsageError
from codex_jupyter.notebook.conversation import conversation
from codex_jupyter.notebook.outcome import TurnResult, refusal
from codex_jupyter.notebook.threads import Thread

__all__ = ["review", "review_target"]

Json = dict[str, Any]


def review(
    instructions: str | None = None,
    *,
    base: str | None = None,
    commit: str | None = None,
    thread: Thread | None = None,
    turn_id: str | None = None,
    quiet: bool = False,
) -> TurnResult:
    """Have changes in the thread's folder reviewed, and wait for the result.

    What was found is in ``findings`` of the result, and the thread knows it afterwards.

    Args:
        instructions: What to look at, in words; default: what is not committed.
        base: A branch; what would be merged into it is looked at.
        commit: A commit; what it changed is looked at.
        thread: The conversation; default: the notebook's.
        turn_id: A UUID the turn shall have.
        quiet: Show nothing.

    Raises:
        TurnInterrupted: It was stopped.
        TurnFailedError: The reviewer failed.
        UsageError: More than one of the three was given.
    """
    given = [value for value in (instructions, base, commit) if value is not None]
    if len(given) > 1:
        raise refusal("review takes one of instructions, base and commit, not several")
    target: Json = {"type": "uncommittedChanges"}
    if base is not None:
        target = {"type": "baseBranch", "branch": base}
    elif commit is not None:
        target = {"type": "commit", "sha": commit}
    elif instructions is not None:
        target = {"type": "custom", "instructions": instructions}
    reviewed = thread if thread is not None else conversation()
    handle = reviewed.prepare(
        {"target": target}, method="review/start", turn_id=turn_id, quiet=quiet
    )
    return reviewed.see_through(handle)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"%codex review: {message}. Known: --base BRANCH, --commit SHA, or words")


def review_target(line: str) -> dict[str, str]:
    """Read the line of `%codex review` as arguments of `review`.

    Raises:
        UsageError: It is not understood.
    """
    parser = _Parser(prog="%codex review", add_help=False, allow_abbrev=False)
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--base")
    chosen.add_argument("--commit")
    parser.add_argument("instructions", nargs="*")
    try:
        words = shlex.split(line)
    except ValueError as error:
        if not line.lstrip().startswith("-"):
            # An apostrophe is no quotation mark.
            return {"instructions": line.strip()}
        raise UsageError(f"%codex review: {line!r} cannot be read: {error}") from None
    if len(words) > 1 and not any(word.startswith("-") for word in words):
        return {"instructions": line.strip()}
    asked = vars(parser.parse_args(words))
    asked["instructions"] = " ".join(asked["instructions"])
    target = {name: value for name, value in asked.items() if value}
    if len(target) > 1:
        raise UsageError("%codex review takes --base, --commit or words, not several of them")
    return target
