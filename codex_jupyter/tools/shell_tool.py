"""The `shell_command` tool: one command of the model's, asked for, run, shown."""

import time
from typing import Final

import anyio.to_thread

from codex_jupyter.protocol.events import DeltaKind
from codex_jupyter.tools.apply_patch import heredoc_patch
from codex_jupyter.tools.approval import Rejected, approve
from codex_jupyter.tools.child_env import child_environment
from codex_jupyter.tools.command_wish import command_item, command_proposal, read_wish
from codex_jupyter.tools.patch_tool import run_patch
from codex_jupyter.tools.registry import (
    Json,
    ToolCall,
    ToolContext,
    ToolOutput,
)
from codex_jupyter.tools.shell import Command, CommandResult, run_command

__all__ = ["ShellTool"]

_OUTPUT: Final[DeltaKind] = "commandOutput"


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
        wish = await anyio.to_thread.run_sync(read_wish, arguments, context.workspace)
        if (patch := heredoc_patch(wish.script)) is not None:
            # Models write patches as commands too; only here are they shown and applied whole.
            return await run_patch(patch.text, wish.cwd / (patch.cd or "."), call, context)
        item = command_item(call.item_id, wish)
        context.start_item(item)
        verdict = await approve(command_proposal(call.item_id, wish), context)
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


def _finished(item: Json, result: CommandResult, seconds: float) -> Json:
    good = result.exit_code == 0 and not result.timed_out and not result.cancelled
    return {
        **item,
        "status": "completed" if good else "failed",
        "aggregatedOutput": result.output,
        "exitCode": result.exit_code,
        "durationMs": round(seconds * 1000),
    }
