"""What the model wants to run, read from its call: shown, asked for, and frozen."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codex_jupyter.ids import ItemId
from codex_jupyter.tools.approval import Proposal, digest_of
from codex_jupyter.tools.read_only import is_dangerous, read_only_argv
from codex_jupyter.tools.registry import Json, ToolArgumentsError
from codex_jupyter.tools.visible import visible

__all__ = ["CommandWish", "command_item", "command_proposal", "read_wish"]

DEFAULT_TIMEOUT: Final = 120.0
"""Seconds. The original's 10 s is too short for work with data."""

MAX_TIMEOUT: Final = 3600.0


@dataclass(frozen=True, slots=True)
class CommandWish:
    """A command line, decided down to the program that will run."""

    script: str
    cwd: Path
    timeout: float
    justification: str | None
    argv: tuple[str, ...]
    read_only: bool


def read_wish(arguments: Json, workspace: Path, name: str = "command") -> CommandWish:
    """Read the arguments of a call. Looks at files: call it in a thread.

    Args:
        arguments: As the model wrote them.
        workspace: Where relative folders begin.
        name: The argument that holds the command line.

    Raises:
        ToolArgumentsError: There is no command line.
    """
    script = arguments.get(name)
    if isinstance(script, list):
        raise ToolArgumentsError(f"`{name}` must be one string, not a list")
    if not isinstance(script, str) or not script.strip():
        raise ToolArgumentsError(f"`{name}` must be a non-empty string")
    workdir = arguments.get("workdir")
    cwd = (workspace / str(workdir)).absolute() if workdir else workspace
    timeout_ms = arguments.get("timeout_ms")
    timeout = DEFAULT_TIMEOUT
    if isinstance(timeout_ms, int | float) and timeout_ms > 0:
        # Cut first: a whole number of the model's may be too long for a float.
        timeout = min(timeout_ms, MAX_TIMEOUT * 1000) / 1000
    why = arguments.get("justification")
    argv = read_only_argv(script, cwd) if cwd == workspace else None
    return CommandWish(
        script=script,
        cwd=cwd,
        timeout=timeout,
        justification=str(why) if why else None,
        argv=argv or (shutil.which("bash") or "/bin/sh", "-c", script),
        read_only=argv is not None,
    )


def command_item(item_id: ItemId, wish: CommandWish) -> Json:
    """Return the item that shows the command."""
    return {
        "type": "commandExecution",
        "id": item_id,
        "command": wish.script,
        "cwd": str(wish.cwd),
        "processId": None,
        "source": "agent",
        "status": "inProgress",
        "commandActions": [{"type": "unknown", "command": wish.script}],
        "aggregatedOutput": None,
        "exitCode": None,
        "durationMs": None,
    }


def command_proposal(item_id: ItemId, wish: CommandWish, *, tty: bool = False) -> Proposal:
    """Return what is asked for before it runs.

    Args:
        item_id: Of the item that shows it.
        wish: What would run.
        tty: Whether it gets a terminal. A shell that reads nothing and one that anything can be
            typed into are two things: a yes for the session to one does not cover the other.
    """
    typed_into = ("tty",) if tty else ()
    return Proposal(
        what="this command",
        method="item/commandExecution/requestApproval",
        params={
            "kind": "command",
            "command": visible(wish.script),
            "cwd": str(wish.cwd),
            "reason": wish.justification,
            "warning": is_dangerous(wish.script),
            "commandActions": [{"type": "unknown", "command": wish.script}],
            "availableDecisions": ["accept", "acceptForSession", "decline", "cancel"],
        },
        item_id=item_id,
        digest=digest_of("command", wish.argv, str(wish.cwd), wish.timeout, *typed_into),
        session_keys=(("command", wish.argv, str(wish.cwd), *typed_into),),
        read_only=wish.read_only,
    )
