"""An MCP server by hand, whose one tool asks the user: starts in no time, needs no library."""

import json
import sys
from typing import Any

Json = dict[str, Any]

FORM: Json = {
    "mode": "form",
    "message": "What shall it be?",
    "requestedSchema": {
        "type": "object",
        "properties": {
            "colour": {"type": "string", "enum": ["red", "blue"]},
            "count": {"type": "integer"},
        },
        "required": ["colour"],
    },
}
TOOL: Json = {"name": "form", "description": "Ask.", "inputSchema": {"type": "object"}}


def send(message: Json) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def main() -> None:
    call_id: Any = None
    for line in sys.stdin:
        message = json.loads(line)
        match message.get("method"):
            case "initialize":
                version = message["params"]["protocolVersion"]
                info = {"name": "things", "version": "1"}
                result = {"protocolVersion": version, "capabilities": {"tools": {}}}
                send({"id": message["id"], "result": {**result, "serverInfo": info}})
            case "tools/list":
                send({"id": message["id"], "result": {"tools": [TOOL]}})
            case "tools/call":
                call_id = message["id"]
                send({"id": "form-1", "method": "elicitation/create", "params": FORM})
            case None:
                text = json.dumps(message.get("result"))
                result = {"content": [{"type": "text", "text": text}]}
                send({"id": call_id, "result": result})
            case _:
                pass


if __name__ == "__main__":
    main()
