"""A command of the user's own: run unasked, shown as an item, and told to the model."""

import shutil
import time
from collections.abc import Iterable
from typing import Any, Final, Protocol

from codex_jupyter.ids import ItemId, new_item_id
from codex_jupyter.protocol.ops import UserShell
from codex_jupyter.tools.child_env import child_environment
from codex_jupyter.tools.registry import ToolContext
from codex_jupyter.tools.shell import Command, CommandResult, run_command

__all__ = ["ShellHost", "run_user_shell"]

Json = dict[str, Any]

_TOLD_TOKENS: Final = 10_000


class ShellHost(ToolContext, Protocol):
    """What a turn lends to a command of the user's."""

    def inject(self, items: Iterable[Json]) -> None:
        """Let the model know ``items`` before its next answer."""
        ...


async def run_user_shell(host: ShellHost, op: UserShell) -> None:
    """Run the command until it exits, its time is up or the turn is stopped.

    What it printed is stored as an item and handed to the turn for the model's memory.

    Raises:
        RolloutError: The item could not be stored.
    """
    item_id = new_item_id()
    item = _item(item_id, op, host)
    host.start_item(item)
    started = time.monotonic()
    result = await run_command(
        Command(
            argv=(shutil.which("bash") or "/bin/sh", "-c", op.command),
            cwd=host.workspace,
            timeout=op.timeout,
            env=child_environment(host.environment, item_id),
        ),
        on_output=lambda text: host.delta("commandOutput", item_id, text),
        token=host.token,
    )
    good = result.exit_code == 0 and not result.timed_out and not result.cancelled
    host.inject((_told(op, result),))
    await host.complete_item(
        {
            **item,
            "status": "completed" if good else "failed",
            "aggregatedOutput": result.output,
            "exitCode": result.exit_code,
            "durationMs": round((time.monotonic() - started) * 1000),
        }
    )


def _item(item_id: ItemId, op: UserShell, host: ToolContext) -> Json:
    return {
        "type": "commandExecution",
        "id": item_id,
        "command": op.command,
        "cwd": str(host.workspace),
        "processId": None,
        "source": "userShell",
        "status": "inProgress",
        "commandActions": [{"type": "unknown", "command": op.command}],
        "aggregatedOutput": None,
        "exitCode": None,
        "durationMs": None,
    }


def _told(op: UserShell, result: CommandResult) -> Json:
    text = (
        f"<user_shell_command>\n<command>\n{op.command}\n</command>\n<result>\n"
        f"{result.for_model(_TOLD_TOKENS)}\n</result>\n</user_shell_command>"
    )
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
