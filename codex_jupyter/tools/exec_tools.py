"""`exec_command` and `write_stdin`: commands that go on while the model does something else."""

import time
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import anyio
import anyio.to_thread

from codex_jupyter.protocol.events import TerminalInteraction
from codex_jupyter.tools.approval import Rejected, approve
from codex_jupyter.tools.child_env import child_environment
from codex_jupyter.tools.command_wish import (
    CommandWish,
    command_item,
    command_proposal,
    read_wish,
)
from codex_jupyter.tools.registry import (
    Json,
    ToolArgumentsError,
    ToolCall,
    ToolContext,
    ToolOutput,
)
from codex_jupyter.tools.terminals import WARN_FROM, Terminal, Terminals, told, wait_for_output
from codex_jupyter.tools.visible import visible

__all__ = ["ExecCommandTool", "WriteStdinTool"]

_YIELD: Final = (0.25, 30.0)
_POLL: Final = (5.0, 300.0)
"""Seconds a call may wait: least and most, after something was typed or started, or not."""

_DEFAULT_YIELD: Final = 10.0
_DEFAULT_WRITE_YIELD: Final = 0.25

_UNREAD: Final = "Warning: the command has not read all of it; the rest was not typed."

_MAX_TOKENS: Final = {
    "type": "integer",
    "description": "Most output to return, in tokens; default 10000.",
}


class ExecCommandTool:
    """Starts a command and returns after a while, whether it has ended or not."""

    name = "exec_command"
    parallel = True

    def __init__(self, terminals: Terminals) -> None:
        self.terminals = terminals

    def spec(self, *, freeform: bool) -> Json:  # noqa: ARG002 - every model takes functions
        """Describe the tool to the model."""
        text = (
            "Start a command line with bash that may run for long or wants to be typed into: a "
            "server, a watcher, a prompt. Returns its output so far and, if it still runs, a "
            "session ID for `write_stdin`. For commands that simply end, use `shell_command`."
        )
        properties = {
            "cmd": {"type": "string", "description": "The command line."},
            "workdir": {"type": "string", "description": "Folder; default: the workspace."},
            "tty": {"type": "boolean", "description": "Give it a terminal to type into."},
            "yield_time_ms": {
                "type": "integer",
                "description": "Return after so long at the latest; default 10000.",
            },
            "max_output_tokens": _MAX_TOKENS,
            "justification": {
                "type": "string",
                "description": "One sentence for the user: why this is needed.",
            },
        }
        return _function(self.name, text, properties, ["cmd"])

    async def call(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Ask if need be, start, and return what came within the time."""
        arguments = call.arguments()
        wish = await anyio.to_thread.run_sync(read_wish, arguments, context.workspace, "cmd")
        tty = arguments.get("tty") is True
        process_id = self.terminals.reserve()
        try:
            item = command_item(call.item_id, wish)
            item |= {"processId": str(process_id), "source": "unifiedExecStartup"}
            context.start_item(item)
            verdict = await approve(command_proposal(call.item_id, wish, tty=tty), context)
            if isinstance(verdict, Rejected):
                await context.complete_item({**item, "status": "declined"})
                return ToolOutput(f"exec command not run: {verdict.reason}", success=False)
            return await self._run(process_id, item, wish, arguments, context)
        finally:
            self.terminals.free(process_id)

    async def _run(
        self,
        process_id: int,
        item: Json,
        wish: CommandWish,
        arguments: Json,
        context: ToolContext,
    ) -> ToolOutput:
        started = time.monotonic()
        try:
            terminal = await self.terminals.start(
                process_id,
                context.turn_id,
                item,
                argv=wish.argv,
                cwd=wish.cwd,
                env=child_environment(context.environment, item["id"]),
                tty=arguments.get("tty") is True,
                token=context.token,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            text = f"{visible(wish.argv[0])} in {visible(str(wish.cwd))}: {reason}"
            await context.complete_item({**item, "status": "failed", "aggregatedOutput": text})
            return ToolOutput(f"exec command could not be started: {text}", success=False)
        if terminal is None:
            await context.complete_item({**item, "status": "failed"})
            return ToolOutput("aborted by user before it was started", success=False)
        seconds = _seconds(arguments.get("yield_time_ms"), _DEFAULT_YIELD, _YIELD)
        return await _wait(self.terminals, terminal, seconds, started, arguments, context)


class WriteStdinTool:
    """Types into a command that runs, or only looks what it has printed since."""

    name = "write_stdin"
    parallel = False

    def __init__(self, terminals: Terminals) -> None:
        self.terminals = terminals

    def spec(self, *, freeform: bool) -> Json:  # noqa: ARG002 - every model takes functions
        """Describe the tool to the model."""
        text = (
            "Type into a session of `exec_command` that was started with a terminal, and return "
            "what it prints. Empty `chars` only wait for output. Control characters act as typed, "
            "such as \\u0003 for Ctrl-C."
        )
        properties = {
            "session_id": {"type": "integer", "description": "From `exec_command`."},
            "chars": {"type": "string", "description": "What to type; default: nothing."},
            "yield_time_ms": {
                "type": "integer",
                "description": "Return after so long at the latest; default 250.",
            },
            "max_output_tokens": _MAX_TOKENS,
        }
        return _function(self.name, text, properties, ["session_id"])

    async def call(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Type, wait, and return what is new."""
        arguments = call.arguments()
        terminal = self._terminal(arguments.get("session_id"))
        chars = arguments.get("chars") or ""
        if not isinstance(chars, str):
            raise ToolArgumentsError("`chars` must be a string")
        limits, usual = (_YIELD, _DEFAULT_WRITE_YIELD) if chars else (_POLL, _POLL[0])
        seconds = _seconds(arguments.get("yield_time_ms"), usual, limits)
        started = time.monotonic()
        terminal.used = started
        is_whole = True
        if chars and terminal.is_live:
            if not terminal.tty:
                raise ToolArgumentsError(
                    "stdin is closed for this session; start it again with `tty: true` to type"
                )
            context.publish(
                TerminalInteraction(terminal.item["id"], str(terminal.process_id), chars)
            )
            is_whole = await _type(terminal, chars, max(seconds, _DEFAULT_YIELD), context)
        output = await _wait(self.terminals, terminal, seconds, started, arguments, context)
        return output if is_whole else replace(output, output=f"{_UNREAD}\n{output.output}")

    def _terminal(self, session_id: object) -> Terminal:
        terminal = self.terminals.find(session_id)
        if terminal is None:
            running = ", ".join(str(known.process_id) for known in self.terminals.live)
            raise ToolArgumentsError(
                f"there is no session {session_id!r}; running: {running or 'none'}"
            )
        return terminal


async def _type(terminal: Terminal, chars: str, seconds: float, context: ToolContext) -> bool:
    """Type; return whether it was taken in time. A stop ends it, too."""
    with context.token.scope(), anyio.move_on_after(seconds), suppress(OSError):
        await terminal.group.write(chars.encode("utf-8", "replace"))
        return True
    return not terminal.is_live  # it has just ended, as what follows says


async def _wait(
    terminals: Terminals,
    terminal: Terminal,
    seconds: float,
    started: float,
    arguments: Json,
    context: ToolContext,
) -> ToolOutput:
    """Wait for output and word it; a stop ends the command, whose item is then complete."""
    with context.token.scope():
        await wait_for_output(terminal, seconds)
    waited = time.monotonic() - started
    if context.token.reason is not None:
        await terminals.end(terminal)
        return ToolOutput(f"aborted by user after {max(waited, 0.1):.1f}s", success=False)
    wanted: Any = arguments.get("max_output_tokens")
    tokens = context.output_tokens
    if isinstance(wanted, int) and wanted > 0:
        tokens = min(wanted, tokens)
    many = len(terminals.live)
    note = (
        f"Warning: {many} sessions run; end those you no longer need." if many >= WARN_FROM else ""
    )
    good = terminal.is_live or terminal.exit_code == 0
    return ToolOutput(told(terminal, waited, tokens, note), success=good)


def _seconds(wanted: object, usual: float, limits: tuple[float, float]) -> float:
    if not isinstance(wanted, int | float) or wanted <= 0:
        return min(max(usual, limits[0]), limits[1])
    # Cut first: a whole number of the model's may be too long for a float.
    return max(min(wanted, limits[1] * 1000) / 1000, limits[0])


def _function(name: str, text: str, properties: Json, required: list[str]) -> Json:
    return {
        "type": "function",
        "name": name,
        "description": text,
        "strict": False,
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        },
    }
