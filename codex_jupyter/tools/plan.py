"""The `update_plan` tool: the model says what it is going to do."""

from typing import Any, Final, cast

from codex_jupyter.protocol.events import PlanUpdated
from codex_jupyter.tools.registry import (
    Json,
    ToolArgumentsError,
    ToolCall,
    ToolContext,
    ToolOutput,
)

__all__ = ["PlanTool"]

_STATUS: Final = {"pending": "pending", "in_progress": "inProgress", "completed": "completed"}


class PlanTool:
    """Shows a checklist. It makes no item and changes nothing."""

    name = "update_plan"
    parallel = False

    def spec(self, *, freeform: bool) -> Json:  # noqa: ARG002 - every model takes functions
        """Describe the tool to the model."""
        step = {
            "type": "object",
            "properties": {
                "step": {"type": "string"},
                "status": {"type": "string", "enum": list(_STATUS)},
            },
            "required": ["step", "status"],
            "additionalProperties": False,
        }
        return {
            "type": "function",
            "name": self.name,
            "description": "Show the user your plan, whole, with at most one step in progress.",
            "strict": False,
            "parameters": {
                "type": "object",
                "properties": {
                    "explanation": {"type": "string"},
                    "plan": {"type": "array", "items": step},
                },
                "required": ["plan"],
                "additionalProperties": False,
            },
        }

    async def call(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Show the plan."""
        arguments = call.arguments()
        explanation = arguments.get("explanation")
        context.publish(
            PlanUpdated(
                explanation=str(explanation) if explanation else None,
                plan=_steps(arguments.get("plan")),
            )
        )
        return ToolOutput("Plan updated")


def _steps(plan: Any) -> list[Json]:
    if not isinstance(plan, list):
        raise ToolArgumentsError("`plan` must be a list of steps")
    steps: list[Json] = []
    for entry in cast("list[Any]", plan):
        step = cast("Json", entry) if isinstance(entry, dict) else {}
        status = _STATUS.get(str(step.get("status")))
        if not isinstance(step.get("step"), str) or status is None:
            allowed = ", ".join(_STATUS)
            raise ToolArgumentsError(f"each step needs `step` (text) and `status` ({allowed})")
        steps.append({"step": step["step"], "status": status})
    return steps
