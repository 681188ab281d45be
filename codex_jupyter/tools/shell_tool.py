"""The `shell_command` tool: one command of the model's, asked for, run, shown."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio.to_thread

from codex_jupyter.ids import ItemId
from codex_jupyter.protocol.events import DeltaKind
from codex_jupyter.tools.apply_patch import heredoc_patch
from codex_jupyter.tools.approval import Proposal, Rejected, approve, digest_of
from codex_jupyter.tools.child_env import child_environment
from codex_jupyter.tools.patch_tool import run_patch
from codex_jupyter.tools.read_only import is_dangerous, read_only_argv
from codex_jupyter.tools.registry import (
    Json,
    ToolArgumentsError,
    ToolCall,
    ToolContext,
    ToolOutput,
)
from codex_jupyter.tools.shell import Command, CommandResult, run_command
from codex_jupyter.tools.visible import visible

__all__ = ["ShellTool"]

DEFAULT_TIMEOUT: Final = 120.0
"""Seconds. The original's 10 s is too short for work with data."""

MAX_TIMEOUT: Final = 3600.0
_OUTPUT: Final[DeltaKind] = "commandOutput"


@dataclass(frozen=True, slots=True)
class _Wish:
    script: str
    cwd: Path
    timeout: float
    justification: str | None
    argv: tuple[str, ...]
    read_only: bool


class ShellTool:
    """Runs a command line in the workspace, in a process group that dies with the turn."""

    name = "shell_command"
    parallel = True

    def spec(self, *, freeform: bool) -> Json:  # noqa: ARG002 - every model takes functions
        """Describe the tool to the model."""
        return {
            "type": "function",
            "name": self.name,
            "description": (
                "Run one command line with bash in the user's workspace and return its output. "
                "Background processes are ended when the command returns. The user may be asked "
                "first; say why it is needed in `justification`."
            ),
            "strict": False,
            "parameters": {
                "type": "object",
                "properties": {
                    "command": {"type": "string", "description": "The command line."},
                    "workdir": {
                        "type": "string",
                        "description": "Folder to run in; default: the workspace.",
                    },
                    "timeout_ms": {
                        "type": "integer",
                        "description": "Time limit in milliseconds; default 120000.",
                    },
                    "justification": {
                        "type": "string",
                        "description": "One sentence for the user: why this is needed.",
                    },
                },
                "required": ["command"],
                "additionalProperties": False,
            },
        }

    async def call(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Ask if need be, run, and return exit code and output."""
        arguments = call.arguments()
        wish = await anyio.to_thread.run_sync(_read_wish, arguments, context.workspace)
        if (patch := heredoc_patch(wish.script)) is not None:
            # Models write patches as commands too; only here are they shown and applied whole.
            return await run_patch(patch.text, wish.cwd / (patch.cd or "."), call, context)
        item = _item(call.item_id, wish)
        context.start_item(item)
        verdict = await approve(_proposal(call.item_id, wish), context)
        if isinstance(verdict, Rejected):
            await context.complete_item({**item, "status": "declined"})
            return ToolOutput(f"exec command not run: {verdict.reason}", success=False)
        started = time.monotonic()
        result = await run_command(
            Command(
                argv=wish.argv,
                cwd=wish.cwd,
                timeout=wish.timeout,
                env=child_environment(context.environment, call.item_id),
            ),
            on_output=lambda text: context.delta(_OUTPUT, call.item_id, text),
            token=context.token,
        )
        await context.complete_item(_finished(item, result, time.monotonic() - started))
        succeeded = result.exit_code == 0 and not result.timed_out and not result.cancelled
        return ToolOutput(result.for_model(context.output_tokens), success=succeeded)


def _read_wish(arguments: Json, workspace: Path) -> _Wish:
    script = arguments.get("command")
    if isinstance(script, list):
        raise ToolArgumentsError("`command` must be one string, not a list")
    if not isinstance(script, str) or not script.strip():
        raise ToolArgumentsError("`command` must be a non-empty string")
    workdir = arguments.get("workdir")
    cwd = (workspace / str(workdir)).absolute() if workdir else workspace
    timeout_ms = arguments.get("timeout_ms")
    timeout = DEFAULT_TIMEOUT
    if isinstance(timeout_ms, int | float) and timeout_ms > 0:
        timeout = min(float(timeout_ms) / 1000, MAX_TIMEOUT)
    why = arguments.get("justification")
    argv = read_only_argv(script, cwd) if cwd == workspace else None
    return _Wish(
        script=script,
        cwd=cwd,
        timeout=timeout,
        justification=str(why) if why else None,
        argv=argv or (shutil.which("bash") or "/bin/sh", "-c", script),
        read_only=argv is not None,
    )


def _item(item_id: ItemId, wish: _Wish) -> Json:
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


def _proposal(item_id: ItemId, wish: _Wish) -> Proposal:
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
        digest=digest_of("command", wish.argv, str(wish.cwd), wish.timeout),
        session_keys=(("command", wish.argv, str(wish.cwd)),),
        read_only=wish.read_only,
    )


def _finished(item: Json, result: CommandResult, seconds: float) -> Json:
    good = result.exit_code == 0 and not result.timed_out and not result.cancelled
    return {
        **item,
        "status": "completed" if good else "failed",
        "aggregatedOutput": result.output,
        "exitCode": result.exit_code,
        "durationMs": round(seconds * 1000),
    }
