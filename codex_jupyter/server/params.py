"""Params of a request, validated, with the original's wording where a client may match on it."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from codex_jupyter.errors import InputTooLargeError, InvalidRequestError
from codex_jupyter.protocol._wire import WireModel
from codex_jupyter.protocol.items import UserInput, input_chars

__all__ = ["MAX_INPUT_CHARS", "check_input", "decoded", "page_of", "read_params"]

Params = TypeVar("Params", bound=WireModel)
Entry = TypeVar("Entry")

MAX_INPUT_CHARS: Final = 1_048_576
"""Characters of text in one input (0.107 and 0.169 alike)."""


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


def check_input(items: list[UserInput]) -> None:
    """Refuse input whose text is longer than the protocol allows.

    Raises:
        InputTooLargeError: It is.
    """
    chars = input_chars(items)
    if chars > MAX_INPUT_CHARS:
        raise InputTooLargeError(chars, MAX_INPUT_CHARS)


def page_of(
    entries: Sequence[Entry], cursor: str | None, limit: int | None, kind: str
) -> tuple[Sequence[Entry], str | None]:
    """Return one page of a list and the cursor of the next, ``None`` on the last.

    Args:
        entries: The whole list.
        cursor: Index of the first one, as a decimal number; default: the beginning.
        limit: Entries on a page, at least 1; default: all.
        kind: What is listed, for the error.

    Raises:
        InvalidRequestError: The cursor is none, or past the end.
    """
    total = len(entries)
    if cursor is not None and not (cursor.isascii() and cursor.isdecimal()):
        raise InvalidRequestError(f"invalid cursor: {cursor[:100]}")
    begin = 0 if cursor is None else int(cursor[:20])
    if begin > total:
        raise InvalidRequestError(f"cursor {begin} exceeds total {kind} {total}")
    end = total if limit is None else begin + max(1, limit)
    return entries[begin:end], str(end) if end < total else None


def decoded(text: str, member: str) -> bytes:
    """Return what a member holds in base64.

    Raises:
        InvalidRequestError: It is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestError(f"`{member}` is not base64") from None
