"""From recorded talks of the original to what our tests replay: messages in, kinds of messages out.

    python tests/replay/normalise.py FOLDER_OF_TALKS tests/data/transcripts

A talk is `NAME.jsonl` beside `NAME.model.json`. What comes out is one gzipped JSON lines file each:
the model's answers, then one line a step, with what a client sent and, until one sent again, the
kinds of what was heard, in order. No text of the original's is kept but what the clients sent.
"""

import gzip
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]

IGNORED = re.compile(
    r"remoteControl/|account/|thread/goal/|thread/readState/|thread/tokenUsage/|thread/status/|thread/started"
    r"|deprecationNotice|turn/diff/|warning|.*[dD]elta$|item/reasoning/summaryPartAdded|mcpServer/"
    r"|configWarning|codex/event/"
)
"""Notifications whose number or moment says nothing, or that ours never sends."""

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
PARTS = {"text", "chunk", "phase", "gate", "gate_after", "reasoning", "raw", "failed"} | {
    *("call", "args", "call_id", "custom", "input"),
    *("flood", "delta", "unfinished", "cut", "incomplete", "bytes", "event"),
}
"""Of what a model's answer may be made; `recorded_model.py` does the same with our fake."""

PATIENCE = re.compile(r"^((?:request|stream)_max_retries) = (\d+)$", re.M)
CHOICES = re.compile(r'^(?:approval_policy|sandbox_mode) = ".*"$', re.M)


@dataclass(slots=True)
class _Connection:
    """What one client has asked and been asked."""

    process: int
    name: str
    asked: dict[Any, str] = field(default_factory=dict[Any, str])
    questions: list[Any] = field(default_factory=list[Any])


def normalised(talk: Path) -> list[Json]:
    """Return the lines of one talk.

    Raises:
        ValueError: Its model does what our fake cannot do.
    """
    messages = [json.loads(line) for line in talk.read_text(encoding="utf-8").splitlines()]
    model = json.loads(talk.with_suffix(".model.json").read_text(encoding="utf-8"))
    script: Json = {"answers": model["script"]}
    if isinstance(model["script"], dict):
        script = model["script"]
    answers = [_answer(answer) for answer in script["answers"]]
    # The recorder's model had something to say for ever.
    default = _answer(script.get("default", {"steps": [{"text": "done"}]}))
    config = model["config.toml"]
    head: Json = {"answers": answers, "default": default, "config": CHOICES.findall(config)}
    head["patience"] = {name: int(number) for name, number in PATIENCE.findall(config)}
    return [head, *_steps(messages)]


def _answer(recorded: Json) -> Json | list[Json]:
    """Return the parts of an answer, or the HTTP failure that it is."""
    if "http" in recorded:
        return recorded["http"]
    if unknown := {name for part in recorded["steps"] for name in part} - PARTS:
        raise ValueError(f"our fake model does not do {unknown}")
    return recorded["steps"]


def _steps(messages: list[Json]) -> Iterator[Json]:
    ids = _chosen_by_the_server([(m["dir"], m["msg"]) for m in messages if m["dir"] != "note"])
    processes = 0
    connections: dict[str, _Connection] = {}
    step: Json | None = None
    for line in messages:
        name, message = line.get("conn") or "", line["msg"]
        if line["dir"] == "note":
            if message["note"] == "spawn":
                processes += 1
            elif message["note"] == "connection closed by the server":
                connections.pop(message.get("conn") or "", None)
            continue
        speaker = connections.setdefault(name, _Connection(processes - 1, name))
        if line["dir"] == "out":
            if step is not None:
                yield _finished(step)
            step = _said(speaker, message, ids)
            step["alive"] = sorted({c.process for c in connections.values()})
        elif step is not None:
            _heard(step, speaker, message, ids)
    if step is not None:
        yield _finished(step)


def _said(speaker: _Connection, message: Json, ids: dict[str, str]) -> Json:
    sent = json.loads(_named(json.dumps(message), ids))
    if "method" in message:
        speaker.asked[message.get("id")] = message["method"]
    else:
        sent["id"] = speaker.questions.index(message["id"])
    place = {"process": speaker.process, "connection": speaker.name}
    return {**place, "send": sent, "hear": [], "bind": {}}


def _heard(step: Json, by: _Connection, message: Json, ids: dict[str, str]) -> None:
    if "method" in message and "id" in message:
        by.questions.append(message["id"])
    if (kind := kind_of(message, by.asked)) is not None:
        step["hear"].append((by.name, kind))
        _note(step, message, ids)


def _finished(step: Json) -> Json:
    """Group what was heard by who heard it, the speaker first: no order is promised among them."""
    own = step["connection"]
    heard = sorted(step["hear"], key=lambda pair: (pair[0] != own, pair[0]))
    return {**step, "hear": [kind if name == own else f"{name}: {kind}" for name, kind in heard]}


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
        if talk.stem.endswith(".requests"):
            continue
        text = "".join(json.dumps(line) + "\n" for line in normalised(talk))
        # No name and no time inside: the same talk gives the same bytes.
        (target / f"{talk.stem}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
