"""What every thread's model may call, beside MCP servers and agents."""

from collections.abc import Sequence
from typing import Final

from codex_jupyter.protocol.dynamic_tools import DynamicToolSpec
from codex_jupyter.tools.dynamic import dynamic_tools
from codex_jupyter.tools.exec_tools import ExecCommandTool, WriteStdinTool
from codex_jupyter.tools.patch_tool import PatchTool
from codex_jupyter.tools.plan import PlanTool
from codex_jupyter.tools.questions import QuestionTool
from codex_jupyter.tools.registry import ToolRegistry
from codex_jupyter.tools.shell_tool import ShellTool
from codex_jupyter.tools.terminals import Terminals

__all__ = ["BUILTIN_TOOLS", "builtin_tools"]

BUILTIN_TOOLS: Final = (
    "shell_command",
    "exec_command",
    "write_stdin",
    "apply_patch",
    "update_plan",
    "request_user_input",
)
"""Names of what every thread has."""


def builtin_tools(terminals: Terminals, specs: Sequence[DynamicToolSpec]) -> ToolRegistry:
    """Return them, over the thread's terminals, with the tools that its client brings."""
    return ToolRegistry.of(
        [
            ShellTool(),
            PatchTool(),
            PlanTool(),
            QuestionTool(),
            ExecCommandTool(terminals),
            WriteStdinTool(terminals),
            *dynamic_tools(specs),
        ]
    )
