"""A model that answers at once: Responses API over HTTP and SSE, for measuring what is around it.

The last user message with one of these words decides the answer:

* ``deltas=N``: N text deltas, each `TOKEN` (default 1).
* ``delay=SECONDS``: a pause after every delta.
* ``shell=COMMAND;;``: call the shell tool first; the answer to its output is text.

Run ``python -m benchmarks.model``: it prints its port on 127.0.0.1 and serves until it is ended.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

__all__ = ["TOKEN", "Answer", "answer_events", "read_answer"]

Json = dict[str, Any]

TOKEN = "tok "
"""The text of every delta."""

_DELTAS_A_PIECE = 64
_WRITE_BYTES = 8 * 1024
_MAX_HEAD_BYTES = 64 * 1024
_MAX_LINE_BYTES = 1024
_USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 15,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request is answered with: a call of the shell tool, or text."""

    deltas: int = 1
    delay: float = 0.0
    """Seconds after each delta."""

    command: str | None = None
    tool: str = "shell"


def read_answer(body: Mapping[str, Any]) -> Answer:
    """Decide the answer to a request.

    Output of a tool behind the deciding message means that its command has run: text follows.
    """
    for item in reversed(body.get("input", [])):
        if str(item.get("type")).endswith("_call_output"):
            return Answer()
        if item.get("role") == "user":
            text = " ".join(part.get("text", "") for part in item.get("content", []))
            # Clients put messages of their own behind and before the user's: they do not decide.
            if "deltas=" in text or "shell=" in text:
                return _answer_to(text, [tool.get("name") for tool in body.get("tools", [])])
    return Answer()


def _answer_to(text: str, tools: Sequence[str | None]) -> Answer:
    command = re.search(r"shell=(.*?);;", text)
    if command is not None:
        known = ("exec_command", "shell_command", "shell")
        tool = next((name for name in known if name in tools), "local_shell")
        return Answer(command=command[1], tool=tool)
    deltas, delay = re.search(r"deltas=(\d+)", text), re.search(r"delay=([\d.]+)", text)
    return Answer(int(deltas[1]) if deltas else 1, float(delay[1]) if delay else 0.0)


def answer_events(answer: Answer, response_id: str) -> Iterator[bytes]:
    """Yield the SSE stream of an answer, in pieces that are not taken apart.

    With a delay each delta is a piece of its own, without one 64 of them are.
    """
    yield _event("response.created", response={"id": response_id})
    if answer.command is not None:
        item = _shell_call(answer.tool, answer.command, response_id)
        yield _event("response.output_item.done", item=item, output_index=0)
    else:
        yield from _text_events(answer, f"msg_{response_id}")
    done = {"id": response_id, "usage": _USAGE, "status": "completed", "output": []}
    yield _event("response.completed", response=done)


def _text_events(answer: Answer, item_id: str) -> Iterator[bytes]:
    message: Json = {"type": "message", "id": item_id, "role": "assistant", "content": []}
    started = {**message, "status": "in_progress"}
    yield _event("response.output_item.added", item=started, output_index=0)
    place = {"item_id": item_id, "output_index": 0, "content_index": 0}
    delta = _event("response.output_text.delta", **place, delta=TOKEN)
    at_once = 1 if answer.delay else _DELTAS_A_PIECE
    for sent in range(0, answer.deltas, at_once):
        yield delta * min(at_once, answer.deltas - sent)
    text = {"type": "output_text", "text": TOKEN * answer.deltas, "annotations": []}
    finished = {**message, "status": "completed", "content": [text]}
    yield _event("response.output_item.done", item=finished, output_index=0)


def _shell_call(tool: str, command: str, response_id: str) -> Json:
    arguments: Json = {
        "exec_command": {"cmd": command},
        "shell_command": {"command": command},
    }.get(tool, {"command": ["bash", "-c", command]})
    return {
        "type": "function_call",
        "id": f"fc_{response_id}",
        "call_id": f"call_{response_id}",
        "name": tool,
        "arguments": json.dumps(arguments),
    }


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


async def _serve(stream: SocketStream, ids: Iterator[int]) -> None:
    reader = BufferedByteReceiveStream(stream)
    gone = (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError)
    async with stream:
        with suppress(*gone):
            while True:
                path, body = await _read_request(reader)
                if path.endswith("/responses"):
                    await _stream(stream, read_answer(json.loads(body)), f"resp_{next(ids)}")
                elif "/models" in path:
                    await _reply(stream, "200 OK", b'{"object":"list","data":[],"models":[]}')
                else:
                    await _reply(stream, "404 Not Found", b"{}")


async def _read_request(reader: BufferedByteReceiveStream) -> tuple[str, bytes]:
    head = (await reader.receive_until(b"\r\n\r\n", _MAX_HEAD_BYTES)).decode("latin-1")
    first, *rest = head.split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in map(_field, rest)}
    path = first.split(" ")[1].partition("?")[0]
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return path, await _read_chunks(reader)
    size = int(headers.get("content-length", 0))
    return path, await reader.receive_exactly(size) if size else b""


def _field(line: str) -> tuple[str, str, str]:
    return line.partition(":")


async def _read_chunks(reader: BufferedByteReceiveStream) -> bytes:
    body = bytearray()
    while size := int(await reader.receive_until(b"\r\n", _MAX_LINE_BYTES), 16):
        body += await reader.receive_exactly(size)
        await reader.receive_exactly(2)
    await reader.receive_exactly(2)
    return bytes(body)


async def _stream(stream: SocketStream, answer: Answer, response_id: str) -> None:
    head = b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    ready = bytearray(b"HTTP/1.1 200 OK\r\n" + head)
    for piece in answer_events(answer, response_id):
        ready += b"%x\r\n%b\r\n" % (len(piece), piece)
        # A short answer is one write: on a busy machine this process might not be woken between
        # two, and its absence would be taken for the time of the server that is measured.
        if answer.delay or len(ready) >= _WRITE_BYTES:
            await stream.send(bytes(ready))
            ready.clear()
        if answer.delay:
            await anyio.sleep(answer.delay)
    await stream.send(bytes(ready) + b"0\r\n\r\n")


async def _reply(stream: SocketStream, status: str, body: bytes) -> None:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    await stream.send(head.encode() + b"\r\n\r\n" + body)


async def main() -> None:
    """Serve until the process is ended; the first line on standard output is the port."""
    ids = count(1)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    print(listener.extra(SocketAttribute.local_port), flush=True)
    async with listener:
        await listener.serve(lambda stream: _serve(stream, ids))


if __name__ == "__main__":
    anyio.run(main)
