"""Messages as no client should send them: made from the schema, then spoilt. Seeded, endless."""

import json
import random
from collections.abc import Iterator
from typing import Any

from codex_jupyter.protocol.method_names import params_name
from codex_jupyter.protocol.requests import CLIENT_REQUESTS
from codex_jupyter.protocol.schema import bundle

__all__ = ["THREADS", "answered_id", "noise"]

Json = dict[str, Any]

THREADS = [f"0190a0b0-0000-7000-8000-00000000000{n}" for n in range(4)]
_UNSAFE = ("command/", "process/", "fs/", "thread/shellCommand", "config/", "account/")
"""Methods that would do to this machine what noise says."""

_MAX_DEPTH = 100
"""Deeper is nested too deeply for readers that take it as well-formed to be sure of."""

_WORDS = ["", "x", "hello", "0", "é", "🐍", "\0", "a b", "../..", "x" * 5_000, "untrusted", "never"]
_NUMBERS: list[Any] = [0, -1, 1.5, 2**31, 2**63, -(2**63), 10**40]
_ODD: list[Any] = [None, True, False, "", "x", [], {}, [[]], {"a": {}}, [None], *_NUMBERS]
_LARGE = "x" * 20_000
_ODD_IDS = [None, True, 1.5, 2**63, -(2**63) - 1, [], {}, [1], {"id": 1}]
_LINES = [
    "",
    " ",
    "null",
    "{}",
    "[]",
    "7",
    '"text"',
    "{",
    '{"id": NaN, "method": "thread/list"}',
    '{"id": "x", "method": "thread/list", "params": {"limit": Infinity}}',
    '{"id": "x", "method": "\\ud800", "params": {}}',
    '{"id": "\\udc00", "method": "thread/list", "params": {}}',
    '{"id": 1e400, "method": "thread/list"}',
    '{"method": "initialized"}',
    '{"method": "turn/held", "params": {"threadId": 1}}',
    '{"id": "nobody asked", "result": {}}',
    '{"id": 0, "error": {"code": "x"}}',
    "[" * 10_000,
    '{"a":' * 10_000,
    '{"id": 5, "method": ' + "[" * 300 + "]" * 300 + "}",
    "9" * 6_000,
    "\ufeff{}",
]


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._definitions = bundle(experimental=True)["definitions"]
        self._methods = [m for m in CLIENT_REQUESTS if not m.startswith(_UNSAFE)]
        self._count = 0

    def line(self) -> bytes:
        roll = self._chance.random()
        if roll < 0.08:
            return self._chance.choice(_LINES).encode()
        message = self._message()
        if roll < 0.3:
            self._spoil(message)
        text = json.dumps(message, ensure_ascii=self._chance.random() < 0.5)
        if roll > 0.97:
            text = text[:-1] + ', "id": "twice", "params": {}, "method": "thread/list"}'
        data = text.encode("utf-8", "replace")
        return self._cut(data) if 0.3 <= roll < 0.42 else data

    def _message(self) -> Json:
        self._count += 1
        method = self._chance.choice(self._methods)
        request_id: Any = f"n{self._count}" if self._chance.random() < 0.5 else self._count
        schema = {"$ref": f"#/definitions/{params_name(method)}"}
        params = self._value(schema, 0)
        if method == "thread/start" and isinstance(params, dict):
            # Few threads, or what they rightly hold would hide what leaks.
            params |= {"threadId": self._chance.choice(THREADS), "config": None}
        message: Json = {"id": request_id, "method": method, "params": params}
        if self._chance.random() < 0.1:
            message["jsonrpc"] = "2.0"
        return message

    def _spoil(self, message: Json) -> None:
        match self._chance.randrange(6):
            case 0:
                message["id"] = self._chance.choice(_ODD_IDS)
            case 1:
                message["method"] = self._chance.choice(["thread/dance", "", "x" * 10_000, *_WORDS])
            case 2:
                message["params"] = self._chance.choice(_ODD)
            case 3:
                del message[self._chance.choice(list(message))]
            case 4:
                message["id"] = self._chance.choice(["x" * 10_000, "", "é", -5])
            case _:
                message[self._chance.choice(["result", "error", "seq"])] = {}

    def _cut(self, data: bytes) -> bytes:
        """Change some bytes; never into a line break, which would make two messages of one."""
        spoilt = bytearray(data)
        for _ in range(self._chance.randint(1, 4)):
            at = self._chance.randrange(len(spoilt))
            match self._chance.randrange(4):
                case 0:
                    spoilt[at] = self._chance.choice(b'{}[]",:0\\ \xff\x80\x01')
                case 1:
                    del spoilt[at:]
                case 2:
                    del spoilt[at : at + self._chance.randint(1, 9)]
                case _:
                    spoilt[at:at] = self._chance.choice([b'"', b"\\u0000", b"\xc3", b"[", b"null"])
            if not spoilt:
                break
        return bytes(spoilt).replace(b"\n", b" ")

    def _value(self, schema: Json, depth: int) -> Any:  # noqa: C901, PLR0911, PLR0912 - one table
        if depth > 1 and self._chance.random() < 0.04:
            return self._chance.choice([*_ODD, _LARGE, "\U0010ffff"])
        if "$ref" in schema:
            schema = self._definitions[schema["$ref"].rpartition("/")[2]]
        for kind in ("anyOf", "oneOf"):
            if kind in schema:
                return self._value(self._chance.choice(schema[kind]), depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        match schema.get("type"):
            case "object":
                required = schema.get("required", [])
                return {
                    name: self._named(name, member, depth)
                    for name, member in schema.get("properties", {}).items()
                    if self._chance.random() < (0.97 if name in required else 0.3)
                }
            case "array":
                count = self._chance.choice([0, 1, 1, 2, 5])
                return [self._value(schema.get("items", {}), depth + 1) for _ in range(count)]
            case "string":
                return self._chance.choice(_WORDS)
            case "integer":
                return self._chance.choice([0, 1, 2, 25, -1, 10_000, 2**40])
            case "boolean":
                return self._chance.random() < 0.5
            case "null":
                return None
            case _:
                return self._chance.choice(_ODD)

    def _named(self, name: str, schema: Json, depth: int) -> Any:
        if name == "threadId" and self._chance.random() < 0.8:
            return self._chance.choice(THREADS)
        return self._value(schema, depth + 1)


def noise(seed: int) -> Iterator[bytes]:
    """Yield messages without their line breaks; the same for the same seed."""
    maker = _Maker(random.Random(seed))
    while True:
        yield maker.line()


def answered_id(line: bytes) -> str | int | None:
    """Return the id under which a message has to be answered; ``None`` if it is no request.

    Decides by the standard library's parser, not by the one that is tested. What strict readers
    need not take (half surrogate pairs, deep nesting, numbers without end) counts as no request.
    """
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not _is_plain(message, _MAX_DEPTH):
        return None
    found = message.get("id")
    is_id = isinstance(found, str) or (type(found) is int and -(2**63) <= found < 2**63)
    return found if is_id and isinstance(message.get("method"), str) else None


def _is_plain(value: Any, depth: int) -> bool:
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    if not isinstance(value, dict | list):
        return True
    if depth == 0:
        return False
    parts = [*value, *value.values()] if isinstance(value, dict) else value
    return all(_is_plain(part, depth - 1) for part in parts)


def _refuse(name: str) -> Any:
    raise ValueError(name)
