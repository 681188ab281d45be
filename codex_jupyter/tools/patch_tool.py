"""The `apply_patch` tool: a patch of the model's, shown as it will be applied, then applied."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from codex_jupyter.errors import PatchError
from codex_jupyter.protocol.events import DiffUpdated
from codex_jupyter.tools.apply_patch import PatchPlan, apply_plan, parse_patch, plan_patch
from codex_jupyter.tools.approval import Proposal, Rejected, approve
from codex_jupyter.tools.registry import (
    Json,
    ToolArgumentsError,
    ToolCall,
    ToolContext,
    ToolOutput,
)

__all__ = ["PatchTool", "run_patch"]

_DESCRIPTION: Final = """Edit files in the user's workspace with a patch. All of it is applied or \
nothing. The format:

*** Begin Patch
*** Add File: path
+every line of the new file
*** Update File: path
*** Move to: new path            (optional)
@@ a line above the change, to find the place     (optional)
 a line that stays
-a line that goes
+a line that comes
*** Delete File: path
*** End Patch

Give about three unchanged lines around each change. Paths are relative to the workspace."""


class PatchTool:
    """Edits files beneath the workspace, all or nothing."""

    name = "apply_patch"
    parallel = False

    def spec(self, *, freeform: bool) -> Json:
        """Describe the tool to the model, as a free text tool where those are known."""
        if freeform:
            return {"type": "custom", "name": self.name, "description": _DESCRIPTION}
        return {
            "type": "function",
            "name": self.name,
            "description": _DESCRIPTION,
            "strict": False,
            "parameters": {
                "type": "object",
                "properties": {"input": {"type": "string", "description": "The whole patch."}},
                "required": ["input"],
                "additionalProperties": False,
            },
        }

    async def call(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Verify all of it, ask, apply all of it."""
        text = call.text if call.freeform else _patch_text(call.arguments())
        return await run_patch(text, context.workspace, call, context)


async def run_patch(text: str, cwd: Path, call: ToolCall, context: ToolContext) -> ToolOutput:
    """Verify all of a patch, ask, apply all of it; paths in it are relative to ``cwd``."""
    try:
        patch = parse_patch(text)
        plan = await anyio.to_thread.run_sync(lambda: plan_patch(patch, context.workspace, cwd=cwd))
    except PatchError as error:
        return ToolOutput(f"apply_patch verification failed: {error}", success=False)
    item: Json = {
        "type": "fileChange",
        "id": call.item_id,
        "changes": [change.wire() for change in plan.changes],
        "status": "inProgress",
    }
    context.start_item(item)
    verdict = await approve(_proposal(call, plan), context)
    if isinstance(verdict, Rejected):
        await context.complete_item({**item, "status": "declined"})
        return ToolOutput(f"patch not applied: {verdict.reason}", success=False)
    return await _apply(plan, item, context)


async def _apply(plan: PatchPlan, item: Json, context: ToolContext) -> ToolOutput:
    try:
        summary = await anyio.to_thread.run_sync(apply_plan, plan)
    except PatchError as error:
        await context.complete_item({**item, "status": "failed"})
        return ToolOutput(f"apply_patch failed: {error}", success=False)
    context.turn_diff.record(plan)
    await context.complete_item({**item, "status": "completed"})
    diff = await anyio.to_thread.run_sync(context.turn_diff.unified)
    context.publish(DiffUpdated(diff))
    return ToolOutput(summary)


def _patch_text(arguments: Json) -> str:
    text: Any = arguments.get("input")
    if not isinstance(text, str):
        raise ToolArgumentsError("`input` must be the patch as one string")
    return text


def _proposal(call: ToolCall, plan: PatchPlan) -> Proposal:
    return Proposal(
        what="this patch",
        method="item/fileChange/requestApproval",
        params={"reason": None, "grantRoot": None, "warning": "; ".join(plan.asks) or None},
        item_id=call.item_id,
        digest=plan.digest,
        # What needs a close look is never covered by an earlier yes.
        session_keys=() if plan.asks else _paths(plan),
    )


def _paths(plan: PatchPlan) -> tuple[Hashable, ...]:
    """Name every file the patch touches; a move touches two."""
    touched = [change.path for change in plan.changes]
    touched += [change.move_path for change in plan.changes if change.move_path is not None]
    return tuple(("path", str(path)) for path in touched)
