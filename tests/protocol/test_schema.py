"""What the program writes of its protocol is whole, true to the models, laid out as expected."""

import json
import subprocess
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from jsonschema import Draft7Validator

from codex_jupyter import cli
from codex_jupyter.protocol.experimental import EXPERIMENTAL_MEMBERS, EXPERIMENTAL_METHODS
from codex_jupyter.protocol.notifications import NOTIFICATIONS
from codex_jupyter.protocol.requests import CLIENT_REQUESTS
from codex_jupyter.protocol.schema import EXTENSION, bundle, definition_of, method_of
from codex_jupyter.protocol.schema_files import (
    BUNDLE_NAME,
    FLAT_BUNDLE_NAME,
    json_schema_files,
    typescript_files,
)
from codex_jupyter.protocol.server_requests import SERVER_REQUESTS

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
SHAPES = ROOT / "tests" / "data" / "app_server_0.169.json"
TYPES = ROOT / "labextension" / "view" / "src" / "protocol.ts"
TSC = ROOT / "labextension" / "node_modules" / "typescript" / "bin" / "tsc"

WHOLE = bundle(experimental=True)
STABLE = bundle(experimental=False)
FILES = {path: json.loads(text) for path, text in json_schema_files(experimental=True).items()}


@pytest.mark.parametrize("path", FILES)
def test_every_file_is_a_schema_that_needs_no_other(path: str) -> None:
    Draft7Validator.check_schema(FILES[path])
    schema = FILES[path]
    named = set(refs(schema))
    definitions: Json = schema.get("definitions", {})
    below = definitions.get("v2", {}) if path == BUNDLE_NAME else {}
    places = [*definitions, *(f"v2/{name}" for name in below)]
    assert named <= {f"#/definitions/{name}" for name in places}
    fastjsonschema.compile(schema)


def refs(node: Any) -> list[str]:
    if isinstance(node, list):
        return [ref for element in node for ref in refs(element)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [ref for value in node.values() for ref in refs(value)]


def methods(whole: Json, name: str) -> list[str]:
    return [method_of(message) for message in whole["definitions"][name]["oneOf"]]


def test_every_method_is_in_the_bundle() -> None:
    assert methods(WHOLE, "ClientRequest") == list(CLIENT_REQUESTS)
    assert methods(WHOLE, "ServerRequest") == list(SERVER_REQUESTS)
    assert methods(WHOLE, "ServerNotification") == list(NOTIFICATIONS)
    assert methods(WHOLE, "ClientNotification") == ["initialized"]


def test_what_needs_the_capability_is_left_out_unless_it_is_asked_for() -> None:
    kept, all_of_them = set(methods(STABLE, "ClientRequest")), set(methods(WHOLE, "ClientRequest"))
    assert all_of_them - kept == EXPERIMENTAL_METHODS & set(CLIENT_REQUESTS) != set()
    for method, names in EXPERIMENTAL_MEMBERS.items():
        shape = CLIENT_REQUESTS[method][0].__name__
        assert not names & set(STABLE["definitions"][shape]["properties"])
    assert "dynamicTools" in WHOLE["definitions"]["ThreadStartParams"]["properties"]
    # A shape that only they name goes with them.
    kept, whole = (
        definition_of(s, "ThreadStartParams").get("definitions", {}) for s in (STABLE, WHOLE)
    )
    assert "DynamicToolNamespace" not in kept
    assert "DynamicToolNamespace" in whole


def test_files_have_the_names_by_which_other_programs_look_for_them() -> None:
    expected = {
        BUNDLE_NAME,
        "ClientRequest.json",
        "ServerNotification.json",
        "CommandExecutionRequestApprovalResponse.json",
        "v1/InitializeParams.json",
        "v2/TurnStartParams.json",
        "v2/ThreadStartResponse.json",
        "v2/ThreadSetNameParams.json",
        "v2/ItemCompletedNotification.json",
        "v2/AgentMessageDeltaNotification.json",
    }
    assert expected <= set(FILES)
    turn_start = FILES["v2/TurnStartParams.json"]
    assert {"threadId", "input", "outputSchema"} <= set(turn_start["properties"])
    assert turn_start["title"] == "TurnStartParams"


def test_the_files_are_where_the_original_has_them() -> None:
    shapes = json.loads(SHAPES.read_text(encoding="utf-8"))
    for kind, methods_here in (
        ("results", CLIENT_REQUESTS),
        ("notifications", NOTIFICATIONS),
        ("requests", SERVER_REQUESTS),
    ):
        for method in methods_here.keys() & shapes[kind].keys():
            name = shapes[kind][method]
            folder = "v2/"
            if method.startswith("fuzzyFileSearch") or kind == "requests":
                folder = ""
            elif method == "initialize":
                folder = "v1/"
            assert f"{folder}{name}.json" in FILES
    assert "v2/LogoutAccountResponse.json" in FILES
    assert "v2/AccountLogoutParams.json" not in FILES
    assert "JSONRPCMessage.json" in FILES


def test_the_bundle_keeps_version_2_apart_and_the_other_does_not() -> None:
    definitions = FILES[BUNDLE_NAME]["definitions"]
    below = definitions["v2"]
    assert {"TurnStartParams", "ThreadItem", "TurnCompletedNotification", "RequestId"} <= set(below)
    outside = {"ClientRequest", "InitializeParams", "FuzzyFileSearchParams", "JSONRPCError"}
    assert outside <= set(definitions)
    assert not outside & set(below)
    assert not set(below) & (set(definitions) - {"v2"})
    assert all(ref.startswith("#/definitions/v2/") for ref in refs(below))
    flat = FILES[FLAT_BUNDLE_NAME]
    assert flat["title"] == "CodexAppServerProtocolV2"
    assert {*below, "ClientRequest", "ServerNotification"} <= set(flat["definitions"])
    assert "ServerRequest" not in flat["definitions"]


def test_what_is_ours_is_marked() -> None:
    shapes = WHOLE["definitions"]
    start = shapes["TurnStartParams"]["properties"]
    assert start["turnId"][EXTENSION] is True
    assert EXTENSION not in start["threadId"]
    assert shapes["TurnWatchParams"][EXTENSION] is True
    assert shapes["Turn"]["properties"]["plan"] == {
        **{key: shapes["Turn"]["properties"]["plan"][key] for key in ("anyOf",)},
        EXTENSION: True,
        "description": "Of ended turns: the last plan.",
    }
    (watch,) = [m for m in shapes["ClientRequest"]["oneOf"] if method_of(m) == "turn/watch"]
    assert watch[EXTENSION] is True


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("TurnStartParams", {"threadId": "x", "input": [{"type": "text", "text": "hi"}]}, True),
        ("TurnStartParams", {"threadId": "x", "input": [{"text": "hi"}]}, False),
        ("TurnStartParams", {"threadId": "x", "input": [{"type": "image", "text": "hi"}]}, False),
        ("TurnStartParams", {"threadId": 1, "input": []}, False),
        ("TurnStartParams", {"threadId": "x", "input": [], "effort": ""}, False),
        ("TurnStartParams", {"threadId": "x", "input": [], "new": 1, "model": None}, True),
        ("ClientRequest", {"id": 1, "method": "thread/list", "params": {}}, True),
        ("ClientRequest", {"id": 1.5, "method": "thread/list", "params": {}}, False),
        ("ClientRequest", {"id": 1, "method": "thread/dance", "params": {}}, False),
    ],
)
def test_the_schema_says_what_fits(name: str, value: Any, fits: bool) -> None:
    assert Draft7Validator(definition_of(WHOLE, name)).is_valid(value) == fits


@pytest.mark.parametrize("command", ["generate-json-schema", "generate-ts"])
@pytest.mark.parametrize("options", [(), ("--experimental",)])
def test_the_command_writes_the_files(
    command: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "folder"
    assert cli.main(["app-server", command, "--out", str(out), *options]) == 0
    make = typescript_files if command == "generate-ts" else json_schema_files
    written = {str(p.relative_to(out)): p.read_text() for p in out.rglob("*") if p.is_file()}
    assert written == make(experimental=bool(options))


def test_a_folder_that_cannot_be_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "below"
    assert cli.main(["app-server", "generate-json-schema", "--out", str(out)]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_the_types_of_the_pages_are_those_the_code_renders() -> None:
    rendered = typescript_files(experimental=True)["protocol.ts"]
    assert TYPES.read_text(encoding="utf-8") == rendered, "say `make docs`"


_USE = """\
import type { ClientRequests, ServerNotifications, ThreadItem, TurnStartParams } from './index';

export function call<M extends keyof ClientRequests>(
  method: M,
  params: ClientRequests[M]['params']
): ClientRequests[M]['result'] {
  throw new Error(`${method} ${String(params)}`);
}
export const params: TurnStartParams = { threadId: 'x', input: [{ type: 'text', text: 'hi' }] };
export const turnId: string = call('turn/start', params).turn.id;
export function words(item: ThreadItem): string {
  return item.type === 'agentMessage' ? item.text : item.type;
}
export type Delta = ServerNotifications['item/agentMessage/delta']['delta'];
export const delta: Delta = 'text';
"""


_MISTAKES = {
    "params.ts": "import { call } from './use';\ncall('turn/start', { threadId: 'x' });\n",
    "method.ts": "import { call } from './use';\ncall('turn/dance', {});\n",
    "value.ts": "import { type Delta } from './use';\nexport const wrong: Delta = 7;\n",
}


@pytest.mark.skipif(not TSC.exists(), reason="the pages' compiler is not installed: make jstest")
def test_the_types_compile_and_catch_mistakes(tmp_path: Path) -> None:
    files = {**typescript_files(experimental=True), "use.ts": _USE, **_MISTAKES}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    options = ["--strict", "--noEmit", "--target", "ES2022", "--module", "esnext"]
    options += ["--moduleResolution", "bundler", "--noUnusedLocals", "--pretty", "false"]
    done = subprocess.run(
        ["node", str(TSC), *options, "use.ts", *_MISTAKES],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    wrong = {line.partition("(")[0] for line in done.stdout.splitlines() if ": error " in line}
    assert wrong == set(_MISTAKES), done.stdout
