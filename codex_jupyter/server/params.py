"""Params of a request, validated, with the original's wording where a client may match on it."""

from typing import Any, TypeVar

from pydantic import ValidationError

from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.protocol._wire import WireModel

__all__ = ["read_params"]

Params = TypeVar("Params", bound=WireModel)


def read_params(model: type[Params], params: Any) -> Params:
    """Validate ``params`` as ``model``.

    Raises:
        InvalidRequestError: Something is missing or does not fit; the text names the first.
    """
    if params is None:
        raise InvalidRequestError("Invalid request: missing field `params`")
    try:
        return model.model_validate(params)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "missing":
            raise InvalidRequestError(f"Invalid request: missing field `{where}`") from None
        raise InvalidRequestError(f"Invalid request: `{where}`: {problem['msg'][:300]}") from None
