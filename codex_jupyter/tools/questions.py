"""The `request_user_input` tool: the model asks the user something."""

from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import to_json

from codex_jupyter.flow.requests import Answered
from codex_jupyter.protocol.server_requests import UserInputAnswer, UserInputQuestion
from codex_jupyter.tools.registry import (
    Json,
    ToolArgumentsError,
    ToolCall,
    ToolContext,
    ToolOutput,
)

__all__ = ["QuestionTool"]


class QuestionTool:
    """Asks up to a handful of questions at once and returns the answers as JSON."""

    name = "request_user_input"
    parallel = False

    def spec(self, *, freeform: bool) -> Json:  # noqa: ARG002 - every model takes functions
        """Describe the tool to the model."""
        option = {
            "type": "object",
            "properties": {"label": {"type": "string"}, "description": {"type": "string"}},
            "required": ["label"],
        }
        question = {
            "type": "object",
            "properties": {
                "id": {"type": "string", "description": "Names the answer."},
                "header": {"type": "string", "description": "Two or three words."},
                "question": {"type": "string"},
                "options": {"type": "array", "items": option},
            },
            "required": ["id", "question"],
        }
        return {
            "type": "function",
            "name": self.name,
            "description": "Ask the user one to three short questions and wait for the answers.",
            "strict": False,
            "parameters": {
                "type": "object",
                "properties": {"questions": {"type": "array", "items": question}},
                "required": ["questions"],
            },
        }

    async def call(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Ask, and return what was answered; an unreadable answer counts as none."""
        questions = _questions(call.arguments().get("questions"))
        outcome = await context.ask(
            "item/tool/requestUserInput",
            {"questions": [question.wire() for question in questions], "isBlocking": True},
            call.item_id,
            "userInput",
        )
        if not isinstance(outcome, Answered):
            return ToolOutput(
                "request_user_input was cancelled before receiving a response", success=False
            )
        try:
            answer = UserInputAnswer.model_validate(outcome.result)
        except ValidationError:
            answer = UserInputAnswer()
        return ToolOutput(to_json(answer.wire()).decode())


def _questions(value: Any) -> list[UserInputQuestion]:
    if not isinstance(value, list) or not value:
        raise ToolArgumentsError("`questions` must be a non-empty list")
    try:
        return [UserInputQuestion.model_validate(entry) for entry in cast("list[Any]", value)]
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ToolArgumentsError(f"a question does not fit: {where}: {problem['msg']}") from None
