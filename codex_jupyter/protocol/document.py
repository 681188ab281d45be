"""The protocol as a page to read: `docs/protocol.md`, rendered from the tables of methods.

`python -m codex_jupyter.protocol.document` writes the page to standard output.
"""

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import to_json

from codex_jupyter.errors import CodexError
from codex_jupyter.protocol import jsonrpc
from codex_jupyter.protocol._wire import WireModel
from codex_jupyter.protocol.experimental import EXPERIMENTAL_MEMBERS, EXPERIMENTAL_METHODS
from codex_jupyter.protocol.items import ThreadItem, UserInput
from codex_jupyter.protocol.notifications import NOTIFICATIONS
from codex_jupyter.protocol.out_of_scope import out_of_scope_section
from codex_jupyter.protocol.requests import CLIENT_REQUESTS
from codex_jupyter.protocol.server_requests import SERVER_REQUESTS
from codex_jupyter.protocol.shape_notes import docstring, field_notes, models_in, reachable
from codex_jupyter.settings.approval import GRANULAR

__all__ = ["protocol_page"]

Pairs = Mapping[str, tuple[type[WireModel], type[WireModel]]]
Shape = type[WireModel]

_INTRODUCTION = """\
# The protocol

This page is generated from `codex_jupyter/protocol/` by `make docs`; do not edit it.

codex_jupyter speaks Codex app-server v2: JSON-RPC 2.0 without the `jsonrpc` member. On standard
input and output (`codex-jupyter app-server`) a message is one line of JSON, on a WebSocket one text
frame; inside one process it is one object. Both sides ask, answer and tell. A request has an `id`
(a string or a 64-bit integer) and gets exactly one answer with the same `id`: a `result` or an
`error`. A notification has no `id` and no answer.

A client asks `initialize` first, then tells `initialized`; before that every other method is
refused. After `thread/start` or `thread/resume` a connection hears the notifications of that
thread and is asked its questions. What this page does not name is refused as a request and ignored
as a member. A request that does not parse is refused before anything else is looked at. A server
that has too much to do answers -32001, and nothing was done; what stops or answers something is
never refused for that, and waits behind nothing. `codex-jupyter app-server generate-json-schema`
writes all this for programs. Where a member is optional, `null` means the same as leaving it out.

Members and methods that the original does not have, or that mean more here, are marked **Ours.**
`threadId` and `turnId` chosen by the caller are UUIDs in one of four spellings: hyphenated, 32 hex
digits, in braces, or as `urn:uuid:`, in either case of letters. Everywhere else an id appears in
the hyphenated lower-case form. The nil UUID and an id that was used before are refused."""

_PLAIN: Mapping[object, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    NoneType: "null",
}
_CODES = {
    jsonrpc.PARSE_ERROR: "What came is no message; the answer has `id: null`.",
    jsonrpc.INVALID_REQUEST: "The request cannot be done as asked; nothing was changed.",
    jsonrpc.METHOD_NOT_FOUND: "A client says that it does not answer this question.",
    jsonrpc.INVALID_PARAMS: "A member is outside of its limits.",
    jsonrpc.INTERNAL_ERROR: "It failed on this side.",
}


def protocol_page() -> str:
    """Return the whole page as Markdown, which ends with a line break."""
    named = [
        ("Requests of a client", _requests(CLIENT_REQUESTS, "Result")),
        ("What needs `experimentalApi`", _experimental()),
        ("Methods that are not offered", out_of_scope_section()),
        ("Notifications of the server", _notifications()),
        ("Requests of the server", _requests(SERVER_REQUESTS, "Answer")),
        ("Thread items", _alternatives(ThreadItem, "An item of a turn; `type` tells which.")),
        ("User input", _alternatives(UserInput, "An element of `input`; `type` tells which.")),
        ("Shapes", _shapes()),
        ("Errors", _errors()),
    ]
    parts = [_INTRODUCTION]
    for title, texts in named:
        parts += [f"## {title}", *texts]
    return "\n\n".join(parts) + "\n"


def _requests(table: Pairs, answer: str) -> Iterator[str]:
    results = [result for _, result in table.values()]
    for method, (params, result) in table.items():
        yield f"### `{method}`"
        yield docstring(params)
        yield _members(params)
        if results.count(result) > 1:
            yield f"{answer}: `{result.__name__}`, see [Shapes](#shapes)."
        else:
            yield f"{answer}, `{result.__name__}`: {_one_paragraph(docstring(result))}"
            yield _members(result)


def _experimental() -> Iterator[str]:
    yield (
        "Without that capability these methods, and these members where they say something, are "
        "refused with code `-32600` and the text `<method> requires experimentalApi capability`, "
        "or `<method>.<member> requires …`, as the original does. An `approvalPolicy` with flags "
        f"is refused as `askForApproval.{GRANULAR} requires …`."
    )
    whole = ", ".join(f"`{method}`" for method in sorted(EXPERIMENTAL_METHODS))
    rows = [
        f"| `{method}` | {', '.join(f'`{name}`' for name in sorted(names))} |"
        for method, names in sorted(EXPERIMENTAL_MEMBERS.items())
    ]
    yield f"Methods: {whole}."
    yield "\n".join(["| method | members |", "|---|---|", *rows])


def _notifications() -> Iterator[str]:
    methods: dict[Shape, list[str]] = {}
    for method, params in NOTIFICATIONS.items():
        methods.setdefault(params, []).append(f"`{method}`")
    for params, names in methods.items():
        yield f"### {', '.join(names)}"
        yield docstring(params)
        yield _members(params)


def _alternatives(union: Any, title: str) -> Iterator[str]:
    yield title
    for shape in models_in(union):
        yield from _shape(shape)


def _shapes() -> Iterator[str]:
    """Render what the other parts name without showing it."""
    pairs = [*CLIENT_REQUESTS.values(), *SERVER_REQUESTS.values()]
    results = [result for _, result in pairs]
    unions = [*models_in(ThreadItem), *models_in(UserInput)]
    roots = [*(params for params, _ in pairs), *results, *NOTIFICATIONS.values(), *unions]
    shown = {*roots} - {result for result in results if results.count(result) > 1}
    for shape in reachable(roots):
        if shape not in shown:
            yield from _shape(shape)


def _shape(shape: Shape) -> Iterator[str]:
    yield f"### `{shape.__name__}`"
    yield docstring(shape)
    yield _members(shape)


def _errors() -> Iterator[str]:
    yield (
        "An `error` has a `code`, a `message` that says what to do, and for some a `data` member "
        "for programs. The codes, and what this package raises under each:"
    )
    rows = [f"| `{code}` | | {meaning} |" for code, meaning in _CODES.items()]
    rows += [
        f"| `{error.rpc_code}` | `{error.__name__}` | {_one_paragraph(docstring(error))} |"
        for error in sorted(_subclasses(CodexError), key=lambda e: (-e.rpc_code, e.__name__))
    ]
    yield "\n".join(["| code | raised as | meaning |", "|---|---|---|", *rows])


def _members(shape: Shape) -> str:
    """Render the members of one shape as a table."""
    if not shape.model_fields:
        return "No members."
    notes = field_notes(shape)
    rows = [
        f"| `{field.alias or name}` | {_type(field.annotation)} | {_presence(field)} "
        f"| {_note(notes.get(name, ''))} |"
        for name, field in shape.model_fields.items()
    ]
    return "\n".join(["| member | type | presence | meaning |", "|---|---|---|---|", *rows])


def _presence(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    return "optional" if default is None else f"default `{to_json(default).decode()}`"


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin in (Union, UnionType):
        kinds = [_type(member) for member in inner if member is not NoneType]
        return _union_name(inner) or " or ".join(dict.fromkeys(kinds))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin is list:
        return f"array of {_type(inner[0])}"
    if origin is dict:
        return "object" if inner[1] is Any else f"object of {_type(inner[1])}"
    if inspect.isclass(annotation) and issubclass(annotation, WireModel):
        return f"`{annotation.__name__}`"
    return _PLAIN.get(annotation, "any")


def _union_name(members: tuple[Any, ...]) -> str | None:
    for name, union in (("thread item", ThreadItem), ("user input", UserInput)):
        if set(members) - {NoneType} == set(models_in(union)):
            return name
    return None


def _note(text: str) -> str:
    words = _one_paragraph(text)
    return re.sub(r"^Ours: (.)", lambda found: f"**Ours.** {found[1].upper()}", words)


def _one_paragraph(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def _subclasses(error: type[CodexError]) -> Iterator[type[CodexError]]:
    for below in error.__subclasses__():
        if below.__module__ == CodexError.__module__:
            yield below
            yield from _subclasses(below)


if __name__ == "__main__":
    sys.stdout.write(protocol_page())
