"""Params of a request, validated, with the original's wording where a client may match on it."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar, cast, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from codex_jupyter.errors import (
    InputTooLargeError,
    InvalidRequestError,
    MalformedParamsError,
    NotOfferedError,
)
from codex_jupyter.protocol._wire import Count, WireModel
from codex_jupyter.protocol.dynamic_tools import MIXED_FORMATS
from codex_jupyter.protocol.experimental import gated
from codex_jupyter.protocol.items import UserInput, input_chars
from codex_jupyter.protocol.ops import ToolMessage
from codex_jupyter.protocol.out_of_scope import OUT_OF_SCOPE
from codex_jupyter.protocol.requests import CLIENT_REQUESTS, TurnStartParams
from codex_jupyter.server.wording import (
    invalid_type,
    invalid_value,
    missing_field,
    unfit_policy,
    unknown_variant,
)

__all__ = [
    "MAX_INPUT_CHARS",
    "check_gate",
    "check_input",
    "check_request",
    "decoded",
    "read_params",
    "tool_message_of",
    "unknown_method",
]

Params = TypeVar("Params", bound=WireModel)

MAX_INPUT_CHARS: Final = 1_048_576
"""Characters of text in one input (0.107 and 0.169 alike)."""

_WITHOUT_PARAMS: Final = frozenset(
    {
        "account/logout",
        "config/mcpServer/reload",
        "configRequirements/read",
        "serverRequest/list",
    }
)
"""Methods that say all by their name. All others need the member, be it an empty object."""

_EXPECTED: Final[Mapping[str, str]] = {
    "string_type": "a string",
    "int_type": "i64",
    "int_from_float": "i64",
    "float_type": "f64",
    "bool_type": "a boolean",
    "list_type": "a sequence",
    "dict_type": "a map",
}
"""What the original says of a type, by pydantic's name for the mistake."""

_BOUNDED: Final[Mapping[int, str]] = {
    0: "u32",
    2**32 - 1: "u32",
    -(2**63): "i64",
    2**63 - 1: "i64",
}
"""And of a number, by the bound that it is beyond."""


def read_params(model: type[Params], params: Any) -> Params:
    """Validate ``params`` as ``model``; only methods of `_WITHOUT_PARAMS` may leave them out.

    Raises:
        MalformedParamsError: Something is missing or does not fit; the text names the first.
    """
    if getattr(model, "METHOD", None) in _WITHOUT_PARAMS:
        if params is not None and not isinstance(params, dict):
            raise MalformedParamsError(invalid_type(params, "unit"), "params")
        params = {}
    if params is None:
        raise MalformedParamsError(missing_field("params"), "params")
    try:
        return model.model_validate(params, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        member = ".".join(_path(problem["loc"], params)) or "params"
        raise MalformedParamsError(_worded(problem, model), member) from None


def _path(place: tuple[int | str, ...], params: Any) -> Iterator[str]:
    """Yield the steps to a member, without those that only tell which of several shapes it is."""
    here = params
    for step in place[:-1]:
        match here, step:
            case (dict(), str()) if step in here:
                here = cast("dict[str, Any]", here)[step]
            case (list(), int()):
                here = cast("list[Any]", here)[step]
            case _:
                continue
        yield str(step)
    yield from map(str, place[-1:])


def check_request(method: str, params: Any) -> None:
    """Refuse what is no request at all, whoever asks.

    Raises:
        InvalidRequestError: The method is unknown, or its params do not fit.
    """
    shapes = CLIENT_REQUESTS.get(method)
    if shapes is None:
        if method in OUT_OF_SCOPE:
            return
        raise unknown_method(method)
    read_params(shapes[0], params)


def check_gate(method: str, params: Any) -> None:
    """Refuse what needs `experimentalApi`, for a connection that has not asked for it.

    Raises:
        InvalidRequestError: It does; or it is no request at all, which is found first.
    """
    if (what := gated(method, params)) is not None:
        # A way to sign in that we do not offer has no shape of ours to be checked against.
        if method in CLIENT_REQUESTS and method != "account/login/start":
            check_request(method, params)
        raise InvalidRequestError(f"{what} requires experimentalApi capability")


def unknown_method(method: str) -> InvalidRequestError:
    """Return the refusal of a method that there is not, which names those that there are."""
    if (reason := OUT_OF_SCOPE.get(method)) is not None:
        return NotOfferedError(method, reason)
    return InvalidRequestError(unknown_variant(method, tuple(CLIENT_REQUESTS)))


def _worded(problem: ErrorDetails, model: type[WireModel]) -> str:  # noqa: C901, PLR0911, PLR0912 - one table
    kind, value = problem["type"], problem["input"]
    match kind:
        case "missing":
            return missing_field(str(problem["loc"][-1]))
        case "approval_policy":
            return unfit_policy(value)
        case "union_tag_not_found":
            return missing_field("type")
        case "literal_error" if isinstance(value, str):
            return unknown_variant(value, _words(problem, "expected"))
        case "union_tag_invalid" if isinstance(tag := problem.get("ctx", {}).get("tag"), str):
            return unknown_variant(tag, _words(problem, "expected_tags"))
        case "literal_error":
            return invalid_type(value, "a string")
        case _ if kind == MIXED_FORMATS:
            return f"Invalid request: {problem['msg']}"
        case "model_type" | "model_attributes_type" if value == []:
            shape = problem.get("ctx", {}).get("class_name", model.__name__)
            return f"Invalid request: invalid length 0, expected struct {_of(shape, model)}"
        case "model_type" | "model_attributes_type":
            shape = problem.get("ctx", {}).get("class_name", model.__name__)
            return invalid_type(value, f"struct {shape}")
        case "int_type" | "int_from_float" if _is_count(problem, model):
            return invalid_type(value, "u32")
        case _ if (expected := _EXPECTED.get(kind)) is not None:
            return invalid_type(value, expected)
        case "greater_than_equal" | "less_than_equal" if (
            expected := _BOUNDED.get(_bound(problem))
        ) is not None:
            return invalid_value(value, expected)
        case _:
            member = ".".join(str(part) for part in problem["loc"])
            return f"Invalid request: `{member}`: {problem['msg'][:300]}"


def _is_count(problem: ErrorDetails, model: type[WireModel]) -> bool:
    names = {field.alias: field.annotation for field in model.model_fields.values()}
    kind = names.get(str(problem["loc"][0])) if len(problem["loc"]) == 1 else None
    return Count in get_args(kind)


def _bound(problem: ErrorDetails) -> int:
    bounds = problem.get("ctx", {})
    return int(bounds.get("ge", bounds.get("le", -1)))


def _of(shape: str, model: type[WireModel]) -> str:
    if shape != model.__name__:
        return shape
    count = len(model.model_fields)
    return f"{shape} with {count} element{'' if count == 1 else 's'}"


def _words(problem: ErrorDetails, name: str) -> tuple[str, ...]:
    """Return the words of pydantic's ``'a', 'b' or 'c'``."""
    stated = str(problem.get("ctx", {}).get(name, ""))
    return tuple(part.strip().strip("'") for part in stated.replace(" or ", ", ").split(","))


def check_input(items: list[UserInput]) -> None:
    """Refuse input whose text is longer than the protocol allows.

    Raises:
        InputTooLargeError: It is.
    """
    chars = input_chars(items)
    if chars > MAX_INPUT_CHARS:
        raise InputTooLargeError(chars, MAX_INPUT_CHARS)


def tool_message_of(asked: TurnStartParams) -> ToolMessage | None:
    """Return what a tool delivers with a turn, if one does.

    Raises:
        InvalidRequestError: It has no name, no known kind of content, or comes beside input.
        InputTooLargeError: Its text is longer than the protocol allows.
    """
    told = asked.tool_output
    if told is None:
        return None
    if asked.input:
        raise InvalidRequestError("`toolOutput` cannot be combined with nonempty `input`")
    if not told.name.strip():
        raise InvalidRequestError("`toolOutput.name` must not be empty")
    parts = [told.output] if isinstance(told.output, str) else told.output
    chars = 0
    for place, part in enumerate(parts):
        match part:
            case str(text) | {"type": "input_text", "text": str(text)}:
                chars += len(text)
            case {"type": "input_image", "image_url": str()}:
                pass
            case _:
                raise InvalidRequestError(
                    f"`toolOutput.output[{place}]` must be an `input_text` with a `text`, or an "
                    "`input_image` with an `image_url`"
                )
    if chars > MAX_INPUT_CHARS:
        raise InputTooLargeError(chars, MAX_INPUT_CHARS)
    return ToolMessage(told.name, told.namespace, told.output)


def decoded(
    text: str, complaint: str, refusal: type[InvalidRequestError] = InvalidRequestError
) -> bytes:
    """Return what a member holds in base64.

    Args:
        text: The member.
        complaint: What the refusal begins with.
        refusal: Its kind.

    Raises:
        InvalidRequestError: It is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise refusal(f"{complaint}: {str(error)[:200]}") from None
