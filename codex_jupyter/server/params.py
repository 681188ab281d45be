"""Params of a request, validated, with the original's wording where a client may match on it."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from codex_jupyter.errors import InvalidRequestError, MalformedParamsError
from codex_jupyter.protocol._wire import WireModel
from codex_jupyter.protocol.experimental import gated
from codex_jupyter.protocol.requests import CLIENT_REQUESTS
from codex_jupyter.server.wording import invalid_type, missing_field, unknown_variant

__all__ = ["check_gate", "check_request", "read_params", "unknown_method"]

Params = TypeVar("Params", bound=WireModel)

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


def read_params(model: type[Params], params: Any) -> Params:
    """Validate ``params`` as ``model``.

    Raises:
        MalformedParamsError: Something is missing or does not fit; the text names the first.
    """
    if params is None:
        raise MalformedParamsError(missing_field("params"), "params")
    try:
        return model.model_validate(params, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        member = ".".join(str(part) for part in problem["loc"]) or "params"
        raise MalformedParamsError(_worded(problem, model), member) from None


def check_request(method: str, params: Any) -> None:
    """Refuse what is no request at all, whoever asks.

    Raises:
        InvalidRequestError: The method is unknown, or its params do not fit.
    """
    shapes = CLIENT_REQUESTS.get(method)
    if shapes is None:
        raise unknown_method(method)
    if params is not None or shapes[0].model_fields:
        read_params(shapes[0], params)


def check_gate(method: str, params: Any) -> None:
    """Refuse what needs `experimentalApi`, for a connection that has not asked for it.

    Raises:
        InvalidRequestError: It does; or it is no request at all, which is found first.
    """
    if (what := gated(method, params)) is not None:
        if method in CLIENT_REQUESTS:
            check_request(method, params)
        raise InvalidRequestError(f"{what} requires experimentalApi capability")


def unknown_method(method: str) -> InvalidRequestError:
    """Return the refusal of a method that does not exist, which names those that do."""
    return InvalidRequestError(unknown_variant(method, tuple(CLIENT_REQUESTS)))


def _worded(problem: ErrorDetails, model: type[WireModel]) -> str:  # noqa: PLR0911 - one table
    kind, value = problem["type"], problem["input"]
    match kind:
        case "missing":
            return missing_field(str(problem["loc"][-1]))
        case "union_tag_not_found":
            return missing_field("type")
        case "literal_error" if isinstance(value, str):
            return unknown_variant(value, _words(problem, "expected"))
        case "union_tag_invalid" if isinstance(tag := problem.get("ctx", {}).get("tag"), str):
            return unknown_variant(tag, _words(problem, "expected_tags"))
        case "literal_error":
            return invalid_type(value, "a string")
        case "model_type" | "model_attributes_type" if value == []:
            shape = problem.get("ctx", {}).get("class_name", model.__name__)
            return f"Invalid request: invalid length 0, expected struct {_of(shape, model)}"
        case "model_type" | "model_attributes_type":
            shape = problem.get("ctx", {}).get("class_name", model.__name__)
            return invalid_type(value, f"struct {shape}")
        case _ if (expected := _EXPECTED.get(kind)) is not None:
            return invalid_type(value, expected)
        case _:
            return f"Invalid request: {problem['msg'][:300]}"


def _of(shape: str, model: type[WireModel]) -> str:
    if shape != model.__name__:
        return shape
    count = len(model.model_fields)
    return f"{shape} with {count} element{'' if count == 1 else 's'}"


def _words(problem: ErrorDetails, name: str) -> tuple[str, ...]:
    """Return the words of pydantic's ``'a', 'b' or 'c'``."""
    stated = str(problem.get("ctx", {}).get(name, ""))
    return tuple(part.strip().strip("'") for part in stated.replace(" or ", ", ").split(","))
