"""Looking for model servers: real HTTP on loopback, friendly and not."""

import json
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.model.discovery import FoundServer, find_local_servers, model_names

pytestmark = pytest.mark.anyio

MODELS = json.dumps({"object": "list", "data": [{"id": "qwen3"}, {"id": "phi4"}]}).encode()


async def fetch_json(url: str, timeout: float) -> Any:  # noqa: ASYNC109
    def get() -> Any:
        parts = urlsplit(url)
        with closing(HTTPConnection(parts.netloc, timeout=timeout)) as connection:
            connection.request("GET", parts.path)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise OSError(answer.status)
            return json.loads(body)

    return await anyio.to_thread.run_sync(get)


@contextmanager
def server(
    body: bytes, *, status: int = 200, together: threading.Barrier | None = None
) -> Generator[str]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if together is not None:
                together.wait(5)
            right = self.path == "/v1/models"
            self.send_response(status if right else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


async def found(base_urls: dict[str, str], timeout: float = 5) -> list[FoundServer]:  # noqa: ASYNC109
    with anyio.fail_after(30):
        return await find_local_servers(fetch_json, base_urls=base_urls, timeout=timeout)


async def test_a_server_with_models_is_found_with_their_names() -> None:
    with server(MODELS) as url:
        assert await found({"ollama": url + "/"}) == [FoundServer("ollama", url, ("qwen3", "phi4"))]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"object": "list", "data": []}', 200),
        (b"<html>a wiki</html>", 200),
        (b'{"data": "models"}', 200),
        (b"[1, 2]", 200),
        (MODELS, 404),
        (MODELS, 500),
    ],
)
async def test_what_lists_no_model_is_no_model_server(body: bytes, status: int) -> None:
    with server(body, status=status) as url:
        assert await found({"vllm": url}) == []


async def test_a_port_where_nobody_listens_is_quietly_passed_over() -> None:
    with server(MODELS) as gone:
        pass
    with server(MODELS) as url:
        servers = await found({"lmstudio": gone, "vllm": url})
    assert [one.provider_id for one in servers] == ["vllm"]


async def test_all_servers_are_asked_at_once_and_named_in_a_fixed_order() -> None:
    together = threading.Barrier(3)
    with (
        server(MODELS, together=together) as first,
        server(MODELS, together=together) as second,
        server(MODELS, together=together) as third,
    ):
        servers = await found({"llamacpp": third, "ollama": first, "vllm": second})
    assert [one.provider_id for one in servers] == ["llamacpp", "ollama", "vllm"]


async def test_a_server_that_hangs_does_not_hold_up_the_others() -> None:
    async def fetch(url: str, timeout: float) -> Any:  # noqa: ASYNC109
        if "hung" in url:
            await anyio.sleep_forever()
        return json.loads(MODELS)

    urls = {"ollama": "http://hung/v1", "vllm": "http://quick/v1"}
    with anyio.fail_after(30):
        servers = await find_local_servers(fetch, base_urls=urls, timeout=0.05)
    assert [one.provider_id for one in servers] == ["vllm"]


async def test_cancelling_the_search_cancels_the_questions() -> None:
    asked = anyio.Event()
    cancelled = anyio.Event()

    async def fetch(url: str, timeout: float) -> Any:  # noqa: ASYNC109
        asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            urls = {"ollama": "http://h/v1"}

            async def search() -> None:
                await find_local_servers(fetch, base_urls=urls, timeout=60)

            tasks.start_soon(search)
            await asked.wait()
            tasks.cancel_scope.cancel()
    assert cancelled.is_set()


async def test_the_usual_ports_of_this_machine_are_asked() -> None:
    asked: list[str] = []

    async def fetch(url: str, timeout: float) -> Any:  # noqa: ASYNC109
        asked.append(url)
        raise OSError(url)

    with anyio.fail_after(30):
        assert await find_local_servers(fetch) == []
    assert sorted(asked) == [
        "http://127.0.0.1:11434/v1/models",
        "http://127.0.0.1:1234/v1/models",
        "http://127.0.0.1:8000/v1/models",
        "http://127.0.0.1:8080/v1/models",
    ]


def test_names_that_would_spoil_an_output_are_left_out() -> None:
    entries = [{"id": name} for name in ("ok", "a\nb", "\x1b[31m", "", "x" * 201, "ok")]
    assert model_names({"data": [*entries, {"id": 5}, {}, None]}) == ("ok",)
    assert len(model_names({"data": [{"id": str(n)} for n in range(500)]})) == 200


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", "id"]), inner)
    ),
    max_leaves=6,
)


@given(JSON)
def test_any_answer_is_read_or_passed_over(answer: Any) -> None:
    assert all(isinstance(name, str) and name for name in model_names(answer))
