"""What an MCP server asks the user, as questions that a page can put, and the answers. Pure."""

import math
from collections.abc import Mapping
from typing import Any, Final, cast

__all__ = ["ELICITATION", "content_of", "elicitation_answer", "is_tool_approval", "questions_of"]

Json = dict[str, Any]

ELICITATION: Final = "mcpServer/elicitation/request"

_YES, _NO = "Yes", "No"
_CONSENT: Final = "consent"
_HEADER_CHARS: Final = 40


def is_tool_approval(params: Mapping[str, Any]) -> bool:
    """Whether this asks if a tool may run: so the original asks for calls of MCP servers."""
    meta: Any = params.get("_meta")
    return isinstance(meta, dict) and cast("Json", meta).get("codex_approval_kind") is not None


def questions_of(params: Mapping[str, Any]) -> list[Json]:
    """Return what a server asks as questions, one for each field of its form.

    What has no fields, such as an address to visit, is a question to say yes or no to.
    """
    message = str(params.get("message") or params.get("description") or "")
    asker = str(params.get("serverName") or "")
    if params.get("url"):
        return [_consent(f"{message}\n{params['url']}\nHave you opened this address?", asker)]
    fields = _fields(params)
    if not fields:
        return [_consent(message, asker)]
    required = _required(params)
    return [
        _question(
            name,
            asked,
            f"{message}\n" if place == 0 else "",
            is_optional=name not in required or asked.get("default") is not None,
        )
        for place, (name, asked) in enumerate(fields.items())
    ]


def elicitation_answer(params: Mapping[str, Any], answer: Mapping[str, Any]) -> Json:
    """Return the answer to a server for what a page said.

    Args:
        params: The request's.
        answer: A ``decision``, or ``answers`` by the questions' ids. Nothing of either means that
            the question was taken back.
    """
    match answer:
        case {"action": _}:
            return dict(answer)
        case {"decision": "accept"} if is_tool_approval(params):
            return {"action": "accept", "content": {}}
        case {"decision": "acceptForSession"} if is_tool_approval(params):
            return {"action": "accept", "content": {}, "_meta": {"persist": "session"}}
        case {"decision": decision}:
            return {"action": "cancel" if decision == "cancel" else "decline"}
        case {"answers": dict(answers)}:
            content = content_of(params, cast("Json", answers))
            if content is None:
                return {"action": "decline"}
            return {"action": "accept", **({} if params.get("url") else {"content": content})}
        case _:
            return {"action": "cancel"}


def content_of(params: Mapping[str, Any], answers: Mapping[str, Any]) -> Json | None:
    """Return the content of the form, typed as its schema says.

    ``None`` stands for a no: consent was not given, a required field was left open, or what was
    typed does not fit its field.
    """
    fields = _fields(params)
    if params.get("url") or not fields:
        return {} if _texts(answers.get(_CONSENT)) == [_YES] else None
    content: Json = {}
    for name, asked in fields.items():
        texts = _texts(answers.get(name))
        try:
            value = _typed(texts, asked) if texts else asked.get("default")
        except ValueError:
            return None
        if value is not None:
            content[name] = value
    return content if _required(params) <= content.keys() else None


def _fields(params: Mapping[str, Any]) -> Mapping[str, Json]:
    schema: Any = params.get("requestedSchema")
    fields: Any = cast("Json", schema).get("properties") if isinstance(schema, dict) else None
    # A field without a description may be anything: what is typed is its value.
    return {str(name): _object(asked) for name, asked in _object(fields).items()}


def _required(params: Mapping[str, Any]) -> set[str]:
    schema: Any = params.get("requestedSchema")
    names: Any = cast("Json", schema).get("required") if isinstance(schema, dict) else None
    return {str(name) for name in cast("list[Any]", names)} if isinstance(names, list) else set()


def _object(value: Any) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _consent(text: str, asker: str) -> Json:
    options = [{"label": _YES, "description": ""}, {"label": _NO, "description": ""}]
    return {
        "id": _CONSENT,
        "header": asker[:_HEADER_CHARS],
        "question": text,
        "isOther": False,
        "isSecret": False,
        "options": options,
    }


def _question(name: str, asked: Json, before: str, *, is_optional: bool) -> Json:
    described = str(asked.get("description") or asked.get("title") or name)
    choices = _choices(asked)
    if asked.get("type") == "array":
        described += f" (one or more of {', '.join(choices)}; separate them by commas)"
    elif asked.get("default") is not None:
        described += f" (if you say nothing: {asked['default']})"
    offered = [] if asked.get("type") == "array" else list(choices)
    return {
        "id": name,
        "header": str(asked.get("title") or name)[:_HEADER_CHARS],
        "question": before + described,
        "isOptional": is_optional,
        "isOther": not offered,
        "isSecret": asked.get("format") == "password",
        "options": [{"label": label, "description": ""} for label in offered] or None,
    }


def _choices(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values there are to choose from, by what is shown for each."""
    if asked.get("type") == "boolean":
        return {_YES: True, _NO: False}
    among: Mapping[str, Any] = _object(asked.get("items")) or asked
    titled = map(_object, _list(among.get("oneOf") or among.get("anyOf")))
    constants = [entry for entry in titled if "const" in entry]
    if constants:
        return {str(entry.get("title") or entry["const"]): entry["const"] for entry in constants}
    values = _list(among.get("enum"))
    names = _list(among.get("enumNames"))
    shown = names if len(names) == len(values) else values
    return {str(name): value for name, value in zip(shown, values, strict=True)}


def _texts(answer: Any) -> list[str]:
    if isinstance(answer, dict):
        answer = cast("Json", answer).get("answers")
    given = cast("list[Any]", answer) if isinstance(answer, list) else [answer]
    return [text for text in given if isinstance(text, str) and text]


def _typed(texts: list[str], asked: Json) -> Any:
    choices = _choices(asked)
    match asked.get("type"):
        case "array":
            named = [part.strip() for text in texts for part in text.split(",")]
            return [_chosen(part, choices) for part in named if part]
        case "integer":
            return int(texts[0])
        case "number":
            return _finite(float(texts[0]))
        case "boolean":
            return texts[0].lower() in ("true", "yes", "1")
        case _:
            return _chosen(texts[0], choices) if choices else texts[0]


def _finite(number: float) -> float:
    """Return a number that JSON can carry.

    Raises:
        ValueError: It is infinite, or none.
    """
    if not math.isfinite(number):
        raise ValueError(f"{number} is no number of JSON")
    return number


def _chosen(text: str, choices: Mapping[str, Any]) -> Any:
    """Return the value of a choice.

    Raises:
        ValueError: It is none of those offered.
    """
    if text in choices:
        return choices[text]
    if not choices or text in list(choices.values()):
        return text
    raise ValueError(f"{text!r} is not among {list(choices)}")
