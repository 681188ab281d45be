"""Every message the server sends, held against its own schema and against the original's shapes.

`tests/data/app_server_0.169.json` has the shapes of what the original sends, and nothing else: no
texts, no defaults.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema
from jsonschema import Draft7Validator, ValidationError

from codex_jupyter.protocol.method_names import notification_name, params_name, result_name
from codex_jupyter.protocol.schema import bundle, definition_of

__all__ = ["DIFFERENCES", "check_notification", "check_request", "check_result", "mismatches"]

Json = dict[str, Any]
Kind = str
"""``results``, ``notifications`` or ``requests``: a part of the original's shapes."""

_DATA = Path(__file__).parents[1] / "data" / "app_server_0.169.json"

DIFFERENCES: dict[tuple[str, str], str] = {
    ("item/commandExecution/requestApproval", "kind"): "code for the kernel is asked for with its "
    "own kind, so that clients can show it as code",
    ("thread/settings/updated", "threadSettings.collaborationMode"): "there are no such modes here",
    ("item/completed", "item.status"): "the tools of a client may ask for approval here, and then "
    "the user may decline",
    ("model/rerouted", "reason"): "the original knows one reason, which is its product's",
}
"""Where we send something else than the original would, by method and place, and why."""


def check_result(method: str, result: Any) -> None:
    _check("results", method, result_name(method), result)


def check_notification(method: str, params: Any) -> None:
    _check("notifications", method, notification_name(method), params)


def check_request(method: str, params: Any) -> None:
    _check("requests", method, params_name(method), params)


def mismatches(kind: Kind, method: str, value: Any) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the places where a message does not fit the original's shape, and what is wrong."""
    schema = _original(kind, method)
    if schema is not None:
        for error in Draft7Validator(schema).iter_errors(value):
            deepest = _deepest(error)
            yield (method, _place(deepest)), deepest.message[:300]


def _check(kind: Kind, method: str, name: str, value: Any) -> None:
    _own(name)(value)
    fits = _compiled(kind, method)
    if fits is None:
        return
    try:
        fits(value)
    except fastjsonschema.JsonSchemaValueException:
        found = [m for m in mismatches(kind, method, value) if m[0] not in DIFFERENCES]
        assert not found, f"{kind} `{method}` differs from the original: {found}"


@cache
def _own(name: str) -> Callable[[Any], Any]:
    return fastjsonschema.compile(definition_of(_bundle(), name), use_default=False)


@cache
def _bundle() -> Json:
    return bundle(experimental=True)


@cache
def _shapes() -> Json:
    return json.loads(_DATA.read_text(encoding="utf-8"))


def _original(kind: Kind, method: str) -> Json | None:
    name = _shapes()[kind].get(method)
    if name is None:
        return None
    return {"$ref": f"#/definitions/{name}", "definitions": _shapes()["definitions"]}


@cache
def _compiled(kind: Kind, method: str) -> Callable[[Any], Any] | None:
    schema = _original(kind, method)
    return None if schema is None else fastjsonschema.compile(schema, use_default=False)


def _deepest(error: ValidationError) -> ValidationError:
    """Return the error in the alternative that was meant: that of the same ``type``, if any."""
    while error.context:
        others = {e.schema_path[0] for e in error.context if list(e.path)[-1:] == ["type"]}
        meant = [e for e in error.context if e.schema_path[0] not in others]
        error = max(meant or error.context, key=lambda e: len(e.absolute_path))
    return error


def _place(error: ValidationError) -> str:
    """Name a place, with ``*`` for the numbers in lists; what is missing as if it were there."""
    path = ["*" if isinstance(part, int) else str(part) for part in error.absolute_path]
    if error.validator == "required":
        path.append(error.message.split("'")[1])
    return ".".join(path)
