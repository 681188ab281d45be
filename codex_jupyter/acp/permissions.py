"""The questions of a turn as permission requests, and their outcomes as answers: pure."""

from dataclasses import dataclass
from typing import Any, Final

from codex_jupyter.acp.tool_calls import is_tool, text_content, tool_call
from codex_jupyter.view.forms import ELICITATION, elicitation_answer, questions_of

__all__ = ["Permission", "permissions_for", "read_approval", "read_choices"]

Json = dict[str, Any]

_OPTIONS: Final = (
    {"optionId": "accept", "name": "Allow once", "kind": "allow_once"},
    {"optionId": "acceptForSession", "name": "Allow for this session", "kind": "allow_always"},
    {"optionId": "decline", "name": "Reject", "kind": "reject_once"},
)
_QUESTIONS: Final = ("item/tool/requestUserInput", ELICITATION)
_SKIP: Final = {"optionId": "skip", "name": "No answer", "kind": "reject_once"}


@dataclass(frozen=True, slots=True)
class Permission:
    """One permission request, in wire shape."""

    tool_call: Json
    options: list[Json]
    question_id: str | None = None
    """Which question it puts, of the model or of an MCP server; ``None`` for approvals."""


def permissions_for(method: str, params: Json, item: Json | None, cwd: str) -> list[Permission]:
    """Return what the person must be asked, in order.

    A question of the model's, or of an MCP server, is put if it offers choices: a permission has
    no field to type in.

    Args:
        method: ``item/commandExecution/requestApproval`` and so on.
        params: As the server sent them.
        item: What is asked about, as the client was told of it.
        cwd: Folder that relative paths of patches are relative to.
    """
    if method in _QUESTIONS:
        return [_question(params, asked) for asked in _questions(method, params) if _fits(asked)]
    shown: Json = {"toolCallId": params["itemId"], "title": "Approve this?", "kind": "other"}
    if item is not None and is_tool(item):
        shown = tool_call(item, cwd)
    if params.get("command"):
        shown["title"] = str(params["command"])
    remarks = [
        f"{name}: {params[key]}"
        for name, key in (("Reason", "reason"), ("Warning", "warning"), ("Sandbox", "sandboxing"))
        if params.get(key)
    ]
    content: list[Json] = shown.get("content") or []
    if remarks:
        content = [text_content("\n".join(remarks)), *content]
    return [Permission({**shown, "status": "pending", "content": content}, list(_OPTIONS))]


def read_approval(outcome: Json, digest: str | None) -> Json:
    """Return the server's answer for the outcome of an approval.

    A cancelled outcome stops the turn, as the client says the person did.
    """
    chosen = str(outcome.get("optionId")) if outcome.get("outcome") == "selected" else "cancel"
    known = {option["optionId"] for option in _OPTIONS} | {"cancel"}
    return {"decision": chosen if chosen in known else "decline", "digest": digest}


def read_choices(method: str, params: Json, chosen: dict[str, str]) -> Json:
    """Return the answers to the model's questions, or those of an MCP server.

    Args:
        method: What was asked.
        params: The request's.
        chosen: The option that was chosen, by the question's id.
    """
    answers: Json = {}
    for question in _questions(method, params):
        labels = [option["label"] for option in question.get("options") or ()]
        place = chosen.get(question["id"], "skip")
        answers[question["id"]] = {"answers": [] if place == "skip" else [labels[int(place)]]}
    said = {"answers": answers}
    return elicitation_answer(params, said) if method == ELICITATION else said


def _questions(method: str, params: Json) -> list[Json]:
    return questions_of(params) if method == ELICITATION else params["questions"]


def _fits(question: Json) -> bool:
    return bool(question.get("options")) and not question.get("isSecret")


def _question(params: Json, question: Json) -> Permission:
    options = [
        {"optionId": str(place), "name": str(option["label"]), "kind": "allow_once"}
        for place, option in enumerate(question["options"])
    ]
    lines = [
        f"- {option['label']}: {option['description']}"
        for option in question["options"]
        if option.get("description")
    ]
    shown = {
        "toolCallId": f"{params['itemId']}/{question['id']}",
        "title": str(question["question"]),
        "kind": "other",
        "status": "pending",
        "content": [text_content("\n".join(lines))] if lines else [],
    }
    return Permission(shown, [*options, _SKIP], question["id"])
