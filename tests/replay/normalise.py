"""From recorded talks of the original to what our tests replay: messages in, kinds of messages out.

    python tests/replay/normalise.py FOLDER_OF_TALKS tests/data/transcripts

A talk is `NAME.jsonl` beside `NAME.model.json`. What comes out is one gzipped JSON lines file each:
the model's answers, then one line a step, with what the client sent and, until it sent again, the
kinds of what it heard, in order. No text of the original's is kept but what the client sent.
"""

import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ONE_TALK = ("scenario", "spawn", "connection closed by the server")
IGNORED = re.compile(
    r"remoteControl/|account/|thread/goal/|thread/readState/|thread/tokenUsage/|thread/status/|thread/started"
    r"|deprecationNotice|turn/diff/|warning|.*[dD]elta$|item/reasoning/summaryPartAdded|mcpServer/"
    r"|configWarning"
)
"""Notifications whose number or moment says nothing, or that ours never sends."""

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
PARTS = {"text", "chunk", "phase", "gate", "gate_after", "reasoning", "raw", "failed"} | {
    *("call", "args", "call_id", "custom", "input"),
}


def normalised(talk: Path) -> list[Json] | str:
    """Return the lines of one talk, or why it cannot be replayed."""
    messages = [json.loads(line) for line in talk.read_text(encoding="utf-8").splitlines()]
    said = [m for m in messages if m["dir"] != "note"]
    spawns = sum(m["msg"].get("note") == "spawn" for m in messages if m["dir"] == "note")
    if spawns != 1 or {m.get("conn") for m in said} != {None}:
        return "it has several connections or processes"
    model = json.loads(talk.with_suffix(".model.json").read_text(encoding="utf-8"))
    script = model["script"]
    is_plain = isinstance(script, list) and all({*p} <= PARTS for a in script for p in a["steps"])
    if not is_plain:
        return "its model does what our fake does otherwise"
    config = re.findall(r'^(?:approval_policy|sandbox_mode) = ".*"$', model["config.toml"], re.M)
    head = {"answers": [answer["steps"] for answer in script], "config": config}
    return [head, *_steps([(m["dir"], m["msg"]) for m in said])]


def _steps(said: list[tuple[str, Json]]) -> Iterator[Json]:
    ids = _chosen_by_the_server(said)
    asked: dict[Any, str] = {}
    questions: list[Any] = []
    step: Json | None = None
    for direction, message in said:
        if direction == "out":
            if step is not None:
                yield step
            sent = json.loads(_named(json.dumps(message), ids))
            if "method" in message:
                asked[message.get("id")] = message["method"]
            else:
                sent["id"] = questions.index(message["id"])
            step = {"send": sent, "hear": [], "bind": {}}
        elif step is not None:
            if "method" in message and "id" in message:
                questions.append(message["id"])
            _note(step, message, ids)
            if (kind := kind_of(message, asked)) is not None:
                step["hear"].append(kind)
    if step is not None:
        yield step


def _note(step: Json, message: Json, ids: dict[str, str]) -> None:
    """Write down which ids the client can learn from a message, and where in it."""
    for value, name in ids.items():
        if (path := _place(message, value)) is not None:
            step["bind"].setdefault(name, [message.get("method"), *path])


def kind_of(message: Json, asked: dict[Any, str]) -> str | None:
    """Return what a message is, in a word or two, or ``None`` for what is not compared."""
    method, params = message.get("method"), message.get("params") or {}
    if method is None:
        answered = asked.get(message["id"], "?")
        code = message.get("error", {}).get("code")
        return f"={answered}" if code is None else f"={answered} {code}"
    if "id" in message:
        return f"?{method}"
    if IGNORED.fullmatch(method) or IGNORED.match(method):
        return None
    if method == "error":
        return f"error {'again' if params['willRetry'] else 'final'}"
    if method == "turn/completed":
        return f"{method} {params['turn']['status']}"
    if method.startswith("item/"):
        item = params.get("item") or {}
        status = item.get("status") if method == "item/completed" else None
        return " ".join(filter(None, [method, item.get("type"), status]))
    return method


def _chosen_by_the_server(said: list[tuple[str, Json]]) -> dict[str, str]:
    """Return the ids that the client learnt and used, each with a name."""
    heard, own, used = set[str](), set[str](), dict[str, str]()
    for direction, message in said:
        found = {match.lower() for match in UUID.findall(json.dumps(message))}
        if direction == "in":
            heard |= found - own
        else:
            own |= found - heard
            new = sorted(found & heard - {*used})
            used |= {value: f"$id{len(used) + n}" for n, value in enumerate(new)}
    return used


def _named(text: str, ids: dict[str, str]) -> str:
    def name(match: re.Match[str]) -> str:
        known = ids.get(match[0].lower())
        if known is None:
            return match[0]
        return known if match[0] == match[0].lower() else known.upper()

    text = UUID.sub(name, text)
    for value, known in ids.items():
        text = text.replace(value.replace("-", ""), known.replace("$id", "$hex"))
    return text.replace("/lab/ws", "$WS").replace("/lab", "$LAB")


def _place(value: Any, wanted: str) -> list[str | int] | None:
    """Return where in a message a text stands, as keys and indices."""
    if value == wanted:
        return []
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, inner in pairs:
        if (path := _place(inner, wanted)) is not None:
            return [key, *path]
    return None


def main(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for talk in sorted(source.glob("*.jsonl")):
        if talk.name.startswith("seed_") or talk.stem.endswith(".requests"):
            continue
        lines = normalised(talk)
        if isinstance(lines, str):
            print(f"{talk.stem}: left out, because {lines}")  # noqa: T201
            continue
        text = "".join(json.dumps(line) + "\n" for line in lines)
        # No name and no time inside: the same talk gives the same bytes.
        (target / f"{talk.stem}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
