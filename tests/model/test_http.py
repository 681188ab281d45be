from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import pytest

from codex_jupyter.model.failures import TransportError
from codex_jupyter.model.http import MAX_JSON_BYTES, HttpConnections, fetch_json
from tests.fake_model import FakeModel

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def answering(answer: bytes) -> AsyncGenerator[str, None]:
    """Give the address of a server that says ``answer`` to every request."""

    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(answer)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            with anyio.fail_after(30):
                yield f"http://127.0.0.1:{port}/"
            tasks.cancel_scope.cancel()


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def test_a_list_of_models_is_fetched() -> None:
    with anyio.fail_after(30):
        async with FakeModel(models=["a"]) as fake:
            listed = await fetch_json(f"{fake.base_url}/models", 5.0)
    assert [model["id"] for model in listed["data"]] == ["a"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"",
        ok(b"<html>"),
        ok(b" " * MAX_JSON_BYTES + b"{}"),
    ],
    ids=["redirect", "missing", "another protocol", "nothing", "a page", "endless"],
)
async def test_everything_else_is_an_error(answer: bytes) -> None:
    async with answering(answer) as url:
        with pytest.raises(TransportError):
            await fetch_json(url, 5.0)


async def test_a_silent_server_is_given_up() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        with anyio.fail_after(30), pytest.raises(TransportError, match="no answer in time"):
            await fetch_json(f"http://127.0.0.1:{port}/", 0.05)


async def test_json_of_any_type_is_returned() -> None:
    async with answering(ok(b"[1, 2]")) as url:
        assert await fetch_json(url, 5.0) == [1, 2]


async def test_a_kept_connection_that_closed_meanwhile_is_no_failure() -> None:
    """The server closes it while the next request is on its way."""
    accepted = 0

    async def answer_once(stream: anyio.abc.SocketStream) -> None:
        nonlocal accepted
        accepted += 1
        async with stream:
            await stream.receive()
            await stream.send(ok(b"done"))
            await stream.receive()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, answer_once)
            connections = HttpConnections(f"http://127.0.0.1:{port}/")
            with anyio.fail_after(30):
                for _ in range(3):
                    with await connections.post(b"{}", headers={}, params={}) as answer:
                        assert await answer.read() == b"done"
                        assert await answer.read() == b""
                await connections.aclose()
            tasks.cancel_scope.cancel()
    assert accepted == 3
