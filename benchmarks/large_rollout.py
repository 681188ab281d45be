"""How long a thread of 50 MB takes to its first page of turns, and what memory it costs.

    python -m benchmarks.large_rollout [--megabytes 50]

A fresh app server resumes the thread over its pipes, without turns, and lists the newest 25. Twice:
with a compaction near the end of the thread, and without one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from codex_jupyter.rollout.records import Record, encode_lines

__all__ = ["main"]

Json = dict[str, Any]

CALLS = 6
COMPACTED_AT = 0.97


def turn_records(number: int) -> Iterator[Record]:
    """Yield one turn: a wish, six commands with 6 KB of output each, an answer."""
    turn_id = str(uuid.uuid4())
    settings = {"turn_id": turn_id, "cwd": "/", "approval_policy": "never", "model": "m"}
    yield Record("turn_context", {**settings, "sandbox_policy": {"type": "readOnly"}})
    yield Record("event_msg", {"type": "task_started", "turn_id": turn_id, "started_at_ms": 1})
    content = [{"type": "input_text", "text": f"wish {number}"}]
    yield Record("response_item", {"type": "message", "role": "user", "content": content})
    said = [{"type": "text", "text": f"wish {number}"}]
    yield _done(turn_id, {"type": "userMessage", "id": f"u{number}", "content": said})
    for n in range(CALLS):
        call_id, output = f"c{number}-{n}", f"line {number} of output {n}\n" * 250
        call = {"type": "function_call", "call_id": call_id, "name": "x", "arguments": "{}"}
        yield Record("response_item", call)
        item = {"type": "commandExecution", "id": call_id, "command": "x", "cwd": "/"}
        yield _done(turn_id, {**item, "status": "completed", "aggregatedOutput": output})
        told = {"type": "function_call_output", "call_id": call_id, "output": output}
        yield Record("response_item", told)
    answer = "An answer of some length. " * 40
    parts = [{"type": "output_text", "text": answer}]
    yield Record("response_item", {"type": "message", "role": "assistant", "content": parts})
    yield _done(turn_id, {"type": "agentMessage", "id": f"a{number}", "text": answer})
    yield Record("event_msg", {"type": "task_complete", "turn_id": turn_id})


def _done(turn_id: str, item: Json) -> Record:
    return Record("event_msg", {"type": "item_completed", "turn_id": turn_id, "item": item})


def write_rollout(home: Path, megabytes: float, *, compacted: bool) -> tuple[str, int]:
    """Write a thread; return its id and the bytes since its last compaction."""
    thread_id = str(uuid.uuid4())
    folder = home / "sessions" / "2026" / "01" / "01"
    folder.mkdir(parents=True)
    path = folder / f"rollout-2026-01-01T00-00-00-{thread_id}.jsonl"
    size, place, number = 0, 0, 0
    with path.open("wb") as file:
        meta = {"id": thread_id, "timestamp": "2026-01-01T00:00:00.000Z", "cwd": "/"}
        size += file.write(encode_lines([Record("session_meta", meta)]))
        while size < megabytes * 1e6:
            number += 1
            size += file.write(encode_lines(turn_records(number)))
            if compacted and not place and size > COMPACTED_AT * megabytes * 1e6:
                kept = [{"type": "message", "role": "user", "content": []}]
                payload = {"message": "s", "replacement_history": kept}
                size += file.write(encode_lines([Record("compacted", payload)]))
                place = size
    return thread_id, size - place


def measure(home: Path, thread_id: str) -> tuple[float, float]:
    """Resume the thread in a fresh server; return seconds to the first page, and bytes of RSS."""
    env = {**os.environ, "CODEX_JUPYTER_HOME": str(home), "CODEX_JUPYTER_MODEL_PROVIDER": "offline"}
    command = [sys.executable, "-m", "codex_jupyter.cli", "app-server"]
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(number: int, method: str, params: Json) -> Json:
            assert process.stdin is not None
            assert process.stdout is not None
            message = {"id": number, "method": method, "params": params}
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                answer = json.loads(line)
                if answer.get("id") == number:
                    return answer["result"]
            raise SystemExit("the server ended")

        ask(1, "initialize", {"clientInfo": {"name": "bench", "version": "1"}})
        ask(2, "thread/loaded/list", {})
        rss = psutil.Process(process.pid).memory_info
        before, started = rss().rss, time.perf_counter()
        ask(3, "thread/resume", {"threadId": thread_id, "excludeTurns": True})
        page = ask(4, "thread/turns/list", {"threadId": thread_id})
        seconds, grown = time.perf_counter() - started, rss().rss - before
        assert len(page["data"]) == 25
        process.stdin.close()
    return seconds, grown


def main() -> None:
    """Measure both threads and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=50)
    megabytes = parser.parse_args().megabytes
    for compacted in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            thread_id, live = write_rollout(Path(folder), megabytes, compacted=compacted)
            seconds, grown = measure(Path(folder), thread_id)
        bar = 2 * live / 1e6 + 20
        print(
            f"{'compacted' if compacted else 'not compacted':>13}: {megabytes:g} MB, "
            f"first page after {seconds:.2f} s, memory +{grown / 1e6:.1f} MB (bar {bar:.0f} MB)"
        )


if __name__ == "__main__":
    main()
