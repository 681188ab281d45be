"""The protocol as JSON Schema (draft 7), from the same models that read and write it.

What the original does not have is marked with ``x-codex-jupyter-extension``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from pydantic.json_schema import models_json_schema

from codex_jupyter.protocol._wire import WireModel
from codex_jupyter.protocol.experimental import EXPERIMENTAL_MEMBERS, EXPERIMENTAL_METHODS
from codex_jupyter.protocol.method_names import notification_name, params_name, result_name
from codex_jupyter.protocol.notifications import NOTIFICATIONS
from codex_jupyter.protocol.requests import CLIENT_REQUESTS
from codex_jupyter.protocol.server_requests import SERVER_REQUESTS
from codex_jupyter.protocol.shape_notes import (
    UNIONS,
    docstring,
    field_notes,
    models_in,
    reachable,
)

__all__ = ["EXTENSION", "bundle", "definition_of", "method_of", "names_below"]

Json = dict[str, Any]
Shape = type[WireModel]

EXTENSION: Final = "x-codex-jupyter-extension"
"""The mark of what the original does not have."""

_DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_REF: Final = "#/definitions/"
_ID: Final = {"$ref": f"{_REF}RequestId"}
_OURS: Final = re.compile(r"Ours(?:, ([^:]*))?: ")


def bundle(*, experimental: bool) -> Json:
    """Return one schema with every shape and message under ``definitions``.

    Args:
        experimental: Whether to keep the methods and members that need `experimentalApi`.
    """
    methods = _client_methods(experimental=experimental)
    definitions = _definitions(_roots(methods))
    if not experimental:
        _leave_out_members(definitions)
    definitions |= dict(_aliases(methods))
    definitions["RequestId"] = {"type": ["string", "integer"]}
    definitions["ClientRequest"] = _any_of(
        _request(method, shapes) for method, shapes in methods.items()
    )
    definitions["ClientNotification"] = _any_of([_message("initialized", None)])
    definitions["ServerRequest"] = _any_of(
        _request(method, shapes) for method, shapes in SERVER_REQUESTS.items()
    )
    definitions["ServerNotification"] = _any_of(
        _message(method, shape) for method, shape in NOTIFICATIONS.items()
    )
    return {
        "$schema": _DRAFT,
        "title": "CodexAppServerProtocol",
        "type": "object",
        "definitions": dict(sorted(definitions.items())),
    }


def definition_of(whole: Json, name: str) -> Json:
    """Return one definition of a bundle as a schema of its own, with all that it names.

    Raises:
        KeyError: There is no such definition.
    """
    definitions = cast("Json", whole["definitions"])
    root = definitions[name]
    while set(root) == {"$ref"}:
        root = definitions[root["$ref"].removeprefix(_REF)]
    needed = names_below(whole, dict.fromkeys(_refs_in(root)))
    rest = {other: definitions[other] for other in sorted(needed)}
    schema: Json = {"$schema": _DRAFT, "title": name, **root}
    return {**schema, "definitions": rest} if rest else schema


def names_below(whole: Json, names: Iterable[str]) -> list[str]:
    """Return the names of definitions, and of all that these name, however far."""
    needed = list(names)
    known = set(needed)
    for name in needed:  # grows while it is walked
        for ref in _refs_in(whole["definitions"][name]):
            if ref not in known:
                known.add(ref)
                needed.append(ref)
    return needed


def method_of(message: Json) -> str:
    """Return the method of one alternative of `ClientRequest` and its like."""
    return message["properties"]["method"]["enum"][0]


def _client_methods(*, experimental: bool) -> Mapping[str, tuple[Shape, Shape]]:
    return {
        method: shapes
        for method, shapes in CLIENT_REQUESTS.items()
        if experimental or method not in EXPERIMENTAL_METHODS
    }


def _roots(methods: Mapping[str, tuple[Shape, Shape]]) -> list[Shape]:
    pairs = [*methods.values(), *SERVER_REQUESTS.values()]
    unions = [shape for _, union in UNIONS for shape in models_in(union)]
    return [*(shape for pair in pairs for shape in pair), *NOTIFICATIONS.values(), *unions]


def _definitions(roots: list[Shape]) -> Json:
    """Return the schemas of all shapes, by name."""
    shapes = {shape.__name__: shape for shape in reachable(roots)}
    _, made = models_json_schema(
        [(shape, "validation") for shape in shapes.values()],
        by_alias=True,
        ref_template=f"{_REF}{{model}}",
    )
    definitions = cast("Json", made["$defs"])
    for name, schema in definitions.items():
        _annotate(schema, shapes[name])
    unions = {name: {"oneOf": _refs_of(union)} for name, union in UNIONS}
    plain = {name: _plain(schema, unions) for name, schema in definitions.items()}
    return plain | unions


def _annotate(schema: Json, shape: Shape) -> None:
    """Put the texts of the source into the schema of a shape."""
    _describe(schema, docstring(shape))
    notes = field_notes(shape)
    members = cast("dict[str, Json]", schema.get("properties", {}))
    required = cast("list[str]", schema.get("required", []))
    for name, field in shape.model_fields.items():
        alias = field.alias or name
        member = members[alias]
        _describe(member, notes.get(name, ""))
        if "const" in member and alias not in required:
            required.append(alias)  # what tells the alternatives of a union apart is always there
    if required:
        schema["required"] = required


def _describe(schema: Json, text: str) -> None:
    schema.pop("description", None)
    words = " ".join(text.replace("``", "`").split())
    if (ours := _OURS.match(words)) is not None:
        schema[EXTENSION] = True
        words = f"{ours[1]}: {words[ours.end() :]}" if ours[1] else words[ours.end() :]
        words = words[:1].upper() + words[1:]
    if words:
        schema["description"] = words


def _plain(node: Any, unions: Mapping[str, Json]) -> Any:
    """Return a schema without what only pydantic or OpenAPI reads, unions by their names."""
    if isinstance(node, list):
        return [_plain(element, unions) for element in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    schema = cast("Json", node)
    for name, union in unions.items():
        if schema.get("oneOf") == union["oneOf"]:
            return {"$ref": f"{_REF}{name}"}
    return {
        key: _members(value, unions) if key == "properties" else _plain(value, unions)
        for key, value in schema.items()
        if key not in ("title", "discriminator") and not (key == "default" and value is None)
    }


def _members(properties: Json, unions: Mapping[str, Json]) -> Json:
    """Do so for members, among whose names everything may be."""
    return {name: _plain(schema, unions) for name, schema in properties.items()}


def _leave_out_members(definitions: Json) -> None:
    for method, names in EXPERIMENTAL_MEMBERS.items():
        members = definitions[CLIENT_REQUESTS[method][0].__name__]["properties"]
        for name in names:
            members.pop(name, None)


def _aliases(methods: Mapping[str, tuple[Shape, Shape]]) -> Iterator[tuple[str, Json]]:
    """Name the shapes as the original does, where we name them otherwise."""
    named: list[tuple[str, Shape]] = []
    for method, (params, result) in [*methods.items(), *SERVER_REQUESTS.items()]:
        named += [(params_name(method), params), (result_name(method), result)]
    named += [(notification_name(method), shape) for method, shape in NOTIFICATIONS.items()]
    for name, shape in named:
        if name != shape.__name__:
            yield name, _ref(shape)


def _request(method: str, shapes: tuple[Shape, Shape]) -> Json:
    message = _message(method, shapes[0])
    message["properties"] = {"id": _ID, **message["properties"]}
    message["required"] = ["id", *message["required"]]
    return message


def _message(method: str, shape: Shape | None) -> Json:
    members: Json = {"method": {"type": "string", "enum": [method]}}
    message: Json = {"type": "object", "properties": members, "required": ["method"]}
    if shape is not None:
        members["params"] = _ref(shape)
        message["required"].append("params")
        if _OURS.match(docstring(shape)):
            message[EXTENSION] = True
    return message


def _any_of(messages: Any) -> Json:
    return {"oneOf": list(messages)}


def _ref(shape: Shape) -> Json:
    return {"$ref": f"{_REF}{shape.__name__}"}


def _refs_of(union: Any) -> list[Json]:
    return [_ref(shape) for shape in models_in(union)]


def _refs_in(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in cast("Json", node).items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(_REF)
            else:
                yield from _refs_in(value)
    elif isinstance(node, list):
        for element in cast("list[Any]", node):
            yield from _refs_in(element)
