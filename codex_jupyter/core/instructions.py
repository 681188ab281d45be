"""What the model is told before the conversation: who it is, where it works, what it may do."""

import platform
from pathlib import Path
from typing import Any, Final

from codex_jupyter.settings.approval import GRANULAR, Granular, base_of
from codex_jupyter.tools.policy import Policy

__all__ = [
    "BASE_INSTRUCTIONS",
    "SUMMARY_PREFIX",
    "SUMMARY_REQUEST",
    "TURN_ABORTED",
    "developer_message",
    "environment_context",
    "permissions",
]

Json = dict[str, Any]

BASE_INSTRUCTIONS: Final = """You are an agent that works inside a Jupyter notebook, beside the \
person who runs it. You see what they write in a cell and can act with tools: run Python in their \
live kernel, run commands in their workspace, edit files with patches, show a plan, and ask.

How to work:
- Prefer the live kernel (`run_python`) for anything about their data: variables they made are \
there, and what you make stays there for their next cell. Look before you compute.
- Use `apply_patch` to change files, `shell_command` for everything else on disk.
- Show a short plan with `update_plan` when a task has several steps, and keep it true.
- Every tool call may have to be approved. Say in one sentence why it is needed. If the person \
declines, do not try the same thing by another way: say what cannot be done without it.
- Never claim a result that no tool output shows. Numbers come from what was computed.
- Be brief. End with what was found or done, in plain words and Markdown, as text that still reads \
well when the notebook is opened tomorrow.
"""

TURN_ABORTED: Final = (
    "<turn_aborted>\nThe user interrupted the previous turn on purpose. Tools that were running "
    "were stopped and may have done part of their work; look before trying again.\n</turn_aborted>"
)
"""Recorded as a user message after an interrupt, so that the model knows at its next turn."""


SUMMARY_REQUEST: Final = """The conversation above no longer fits and will be forgotten. Write \
what somebody needs who continues it without having seen it:
- what the user wants, in their words where it matters, and what they ruled out;
- what was done and found: files, variables, commands, numbers, decisions, and what failed;
- what is not finished, and the very next step.
Only facts from above. Plain text, as short as it can be without losing one of them. Call no tool.
"""

SUMMARY_PREFIX: Final = (
    "<context_summary>\nEarlier parts of this conversation were replaced by this summary of them. "
    "Build on it; do not repeat work it says is done.\n"
)


def developer_message(text: str) -> Json:
    """Return instructions of the developer's as a response item."""
    return _message("developer", text)


def environment_context(cwd: Path) -> Json:
    """Return the message that tells the model where it is."""
    text = (
        f"<environment_context>\n  <cwd>{cwd}</cwd>\n  <shell>bash</shell>\n"
        f"  <platform>{platform.system()} {platform.machine()}</platform>\n</environment_context>"
    )
    return _message("user", text)


def permissions(policy: Policy) -> Json:
    """Return the message that tells the model who has to agree to what."""
    if base_of(policy.approval) == "never":
        rule = (
            "Nobody will be asked for approval; with full access everything runs."
            if policy.full_access
            else "Nobody will be asked for approval, so only read-only commands run."
        )
    else:
        rule = "The user is asked before anything runs that is not provably read-only."
    named = policy.approval
    if isinstance(named, Granular):
        named, rule = GRANULAR, rule if named.base == "never" else _rule_of(named)
    return _message(
        "developer",
        f"<permissions instructions>\nApproval policy: {named}. {rule} Commands are not "
        "sandboxed.\n</permissions instructions>",
    )


def _rule_of(policy: Granular) -> str:
    commands = (
        "The user is asked before a command, a patch or a tool of theirs runs that is not provably "
        "read-only."
        if policy.sandbox_approval
        else "Of commands, patches and the user's own tools only what is provably read-only runs; "
        "nobody is asked about the others (`sandbox_approval` is false)."
    )
    if policy.mcp_elicitations:
        return commands
    return f"{commands} Questions of MCP servers are declined (`mcp_elicitations` is false)."


def _message(role: str, text: str) -> Json:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}
