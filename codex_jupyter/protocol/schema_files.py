"""The schema and the TypeScript of the protocol as files, laid out as the original does."""

import json
from collections.abc import Iterator
from typing import Any, Final

from codex_jupyter.protocol.method_names import notification_name, params_name, result_name
from codex_jupyter.protocol.schema import bundle, definition_of, method_of
from codex_jupyter.protocol.typescript import typescript

__all__ = ["BUNDLE_NAME", "json_schema_files", "typescript_files"]

Json = dict[str, Any]

BUNDLE_NAME: Final = "codex_app_server_protocol.schemas.json"
_MESSAGES: Final = ("ClientRequest", "ClientNotification", "ServerRequest", "ServerNotification")
_FIRST: Final = "initialize"


def json_schema_files(*, experimental: bool) -> dict[str, str]:
    """Return the text of each file by its path: a bundle, the messages, and one for each shape.

    Args:
        experimental: Whether to keep what needs `experimentalApi`.
    """
    whole = bundle(experimental=experimental)
    files = {BUNDLE_NAME: whole}
    files |= {f"{name}.json": definition_of(whole, name) for name in (*_MESSAGES, "RequestId")}
    for path, name in _shape_files(whole["definitions"]):
        files[path] = definition_of(whole, name)
    return {path: json.dumps(schema, indent=2) + "\n" for path, schema in files.items()}


def typescript_files(*, experimental: bool) -> dict[str, str]:
    """Return the text of each TypeScript file by its path."""
    return {
        "index.ts": "export * from './protocol';\n",
        "protocol.ts": typescript(bundle(experimental=experimental)),
    }


def _shape_files(definitions: Json) -> Iterator[tuple[str, str]]:
    """Yield the file and the name of each shape of a message."""
    for message in definitions["ClientRequest"]["oneOf"]:
        method = method_of(message)
        folder = "v1" if method == _FIRST else "v2"
        for name in (params_name(method), result_name(method)):
            yield f"{folder}/{name}.json", name
    for message in definitions["ServerNotification"]["oneOf"]:
        name = notification_name(method_of(message))
        yield f"v2/{name}.json", name
    for message in definitions["ServerRequest"]["oneOf"]:
        method = method_of(message)
        for name in (params_name(method), result_name(method)):
            yield f"{name}.json", name
