"""The protocol as a page to read: `docs/protocol.md`, rendered from the tables of methods.

`python -m codex_jupyter.protocol.document` writes the page to standard output.
"""

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import to_json

from codex_jupyter.errors import CodexError
from codex_jupyter.protocol import jsonrpc
from codex_jupyter.protocol._wire import WireModel
from codex_jupyter.protocol.items import ThreadItem, UserInput
from codex_jupyter.protocol.notifications import NOTIFICATIONS
from codex_jupyter.protocol.out_of_scope import out_of_scope_section
from codex_jupyter.protocol.requests import CLIENT_REQUESTS
from codex_jupyter.protocol.server_requests import SERVER_REQUESTS

__all__ = ["protocol_page"]

Pairs = Mapping[str, tuple[type[WireModel], type[WireModel]]]
Shape = type[WireModel]

_INTRODUCTION = """\
# The protocol

This page is generated from `codex_jupyter/protocol/` by `make docs`; do not edit it.

codex_jupyter speaks Codex app-server v2: JSON-RPC 2.0 without the `jsonrpc` member. On standard
input and output (`codex-jupyter app-server`) a message is one line of JSON; inside one process it
is one object. Both sides ask, answer and tell. A request has an `id` (a string or a 64-bit
integer) and gets exactly one answer with the same `id`: a `result` or an `error`. A notification
has no `id` and no answer.

A client asks `initialize` first, then tells `initialized`; before that every other method is
refused. After `thread/start` or `thread/resume` a connection hears the notifications of that
thread and is asked its questions. What this page does not name is refused as a request and ignored
as a member. Where a member is optional, `null` means the same as leaving it out.

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
        yield _docstring(params)
        yield _members(params)
        if results.count(result) > 1:
            yield f"{answer}: `{result.__name__}`, see [Shapes](#shapes)."
        else:
            yield f"{answer}, `{result.__name__}`: {_one_paragraph(_docstring(result))}"
            yield _members(result)


def _notifications() -> Iterator[str]:
    methods: dict[Shape, list[str]] = {}
    for method, params in NOTIFICATIONS.items():
        methods.setdefault(params, []).append(f"`{method}`")
    for params, names in methods.items():
        yield f"### {', '.join(names)}"
        yield _docstring(params)
        yield _members(params)


def _alternatives(union: Any, title: str) -> Iterator[str]:
    yield title
    for shape in _models_in(union):
        yield from _shape(shape)


def _shapes() -> Iterator[str]:
    """Render what the other parts name without showing it."""
    pairs = [*CLIENT_REQUESTS.values(), *SERVER_REQUESTS.values()]
    results = [result for _, result in pairs]
    unions = [*_models_in(ThreadItem), *_models_in(UserInput)]
    roots = [*(params for params, _ in pairs), *results, *NOTIFICATIONS.values(), *unions]
    shown = {*roots} - {result for result in results if results.count(result) > 1}
    for shape in _reachable(roots):
        if shape not in shown:
            yield from _shape(shape)


def _shape(shape: Shape) -> Iterator[str]:
    yield f"### `{shape.__name__}`"
    yield _docstring(shape)
    yield _members(shape)


def _errors() -> Iterator[str]:
    yield (
        "An `error` has a `code`, a `message` that says what to do, and for some a `data` member "
        "for programs. The codes, and what this package raises under each:"
    )
    rows = [f"| `{code}` | | {meaning} |" for code, meaning in _CODES.items()]
    rows += [
        f"| `{error.rpc_code}` | `{error.__name__}` | {_one_paragraph(_docstring(error))} |"
        for error in sorted(_subclasses(CodexError), key=lambda e: (-e.rpc_code, e.__name__))
    ]
    yield "\n".join(["| code | raised as | meaning |", "|---|---|---|", *rows])


def _members(shape: Shape) -> str:
    """Render the members of one shape as a table."""
    if not shape.model_fields:
        return "No members."
    notes = _field_notes(shape)
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
        if set(members) - {NoneType} == set(_models_in(union)):
            return name
    return None


def _note(text: str) -> str:
    words = _one_paragraph(text)
    return re.sub(r"^Ours: (.)", lambda found: f"**Ours.** {found[1].upper()}", words)


def _one_paragraph(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def _docstring(thing: type) -> str:
    """Return the summary and what follows it, without the list of Python attributes."""
    text = inspect.cleandoc(thing.__doc__ or "").partition("\n\nAttributes:")[0]
    return text.replace("``", "`")


def _models_in(annotation: Any) -> list[Shape]:
    """Return the shapes that an annotation names, in order."""
    if inspect.isclass(annotation) and issubclass(annotation, WireModel):
        return [annotation]
    return [shape for inner in get_args(annotation) for shape in _models_in(inner)]


def _reachable(shapes: list[Shape]) -> list[Shape]:
    """Return ``shapes`` and all they name, directly or not, each once, breadth first."""
    found = list(dict.fromkeys(shapes))
    for shape in found:  # grows while it is walked
        for field in shape.model_fields.values():
            found += [s for s in dict.fromkeys(_models_in(field.annotation)) if s not in found]
    return found


def _subclasses(error: type[CodexError]) -> Iterator[type[CodexError]]:
    for below in error.__subclasses__():
        if below.__module__ == CodexError.__module__:
            yield below
            yield from _subclasses(below)


def _field_notes(shape: Shape) -> dict[str, str]:
    """Return the text under each field, those of the bases included."""
    notes: dict[str, str] = {}
    for base in reversed(shape.__mro__):
        if issubclass(base, WireModel):
            notes |= _notes_of_module(base.__module__).get(base.__name__, {})
    return notes


@cache
def _notes_of_module(module: str) -> dict[str, dict[str, str]]:
    """Read the texts from the source: Python keeps them nowhere else."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {
        node.name: dict(_notes_of_class(node))
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


def _notes_of_class(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, after in zip(node.body, node.body[1:], strict=False):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)
            case _:
                pass


if __name__ == "__main__":
    sys.stdout.write(protocol_page())
