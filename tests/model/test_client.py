import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest

from codex_jupyter.errors import ConfigError, ModelError
from codex_jupyter.model.client import ResponsesClient, ResponsesEndpoint
from codex_jupyter.model.http import fetch_json
from codex_jupyter.model.interface import ModelCapabilities, ModelClient, ModelEvent, ModelRequest
from tests.fake_model import (
    Answer,
    FakeModel,
    call,
    failed,
    garbage,
    incomplete,
    raw,
    reason,
    say,
    status,
)

pytestmark = pytest.mark.anyio

KEY = "sk-secret-0123456789"
REQUEST = ModelRequest("m", "be brief", [{"type": "message", "role": "user"}], thread_id="t1")


@pytest.fixture
async def fake() -> AsyncGenerator[FakeModel, None]:
    async with FakeModel() as running:
        yield running


@asynccontextmanager
async def client_of(base_url: str, **changes: Any) -> AsyncGenerator[ResponsesClient, None]:
    endpoint = ResponsesEndpoint(
        "fake",
        base_url,
        KEY,
        "FAKE_KEY",
        request_max_retries=2,
        retry_base_delay=0.001,
        stream_idle_timeout=10.0,
    )
    client = ResponsesClient(replace(endpoint, **changes))
    try:
        with anyio.fail_after(30):
            yield client
    finally:
        await client.aclose()


async def receive(client: ModelClient, request: ModelRequest = REQUEST) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    async with client.stream(request) as batches:
        await collect(batches, events)
    return events


async def collect(batches: AsyncIterator[list[ModelEvent]], events: list[ModelEvent]) -> None:
    async for batch in batches:
        assert batch
        events += batch


async def failure_of(client: ModelClient, request: ModelRequest = REQUEST) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await receive(client, request)
    assert KEY not in f"{caught.value} {caught.value.details} {caught.value!r}"
    return caught.value


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")


async def test_an_answer_arrives_whole_and_in_order(fake: FakeModel) -> None:
    fake.add(reason("Looking") + say("hello there", deltas=4) + call("ls", {}, call_id="c1"))
    async with client_of(fake.base_url) as client:
        events = await receive(client)
    assert text_of(events) == "hello there"
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] == "response.completed"
    items = [e["item"]["type"] for e in events if e["type"] == "response.output_item.done"]
    assert items == ["reasoning", "message", "function_call"]


async def test_what_arrived_together_comes_as_one_batch(fake: FakeModel) -> None:
    fake.add(say("x" * 5000, deltas=5000))
    async with client_of(fake.base_url) as client, client.stream(REQUEST) as batches:
        sizes = [len(batch) async for batch in batches]
    assert sum(sizes) == 5004
    assert len(sizes) < 500


async def test_the_request_carries_body_key_and_headers(fake: FakeModel) -> None:
    fake.add(say("ok"))
    request = replace(REQUEST, headers={"X-OpenAI-Subagent": "review"})
    extra = {"X-Team": "blue"}
    async with client_of(fake.base_url + "/", headers=extra, query_params={"v": "1"}) as client:
        await receive(client, request)
    [body], [headers] = fake.requests, fake.headers
    assert (body["model"], body["stream"], body["prompt_cache_key"]) == ("m", True, "t1")
    assert headers["authorization"] == f"Bearer {KEY}"
    assert (headers["x-team"], headers["x-openai-subagent"]) == ("blue", "review")
    assert (headers["accept"], headers["accept-encoding"]) == ("text/event-stream", "identity")
    assert "cookie" not in headers


async def test_without_a_key_no_authorization_is_sent(fake: FakeModel) -> None:
    fake.add(say("ok"))
    async with client_of(fake.base_url, api_key=None) as client:
        await receive(client)
    assert "authorization" not in fake.headers[0]


async def test_cookies_are_not_kept(fake: FakeModel) -> None:
    fake.add(status(500, "", {"set-cookie": "a=b"}), say("ok"))
    # Of an address without a name no cookie is ever kept.
    async with client_of(fake.base_url.replace("127.0.0.1", "localhost")) as client:
        await receive(client)
    assert "cookie" not in fake.headers[1]


async def test_a_connection_is_used_again(fake: FakeModel) -> None:
    fake.add(say("one"), say("two"), status(429, "busy"), say("three"))
    async with client_of(fake.base_url) as client:
        await receive(client)
        await receive(client)
        await failure_of(client)
        await receive(client)
    assert fake.connections == 1


async def test_many_requests_run_at_once(fake: FakeModel) -> None:
    fake.add(*[say("ok").hang(after=2)] * 150)
    async with client_of(fake.base_url) as client, anyio.create_task_group() as tasks:
        for _ in range(150):
            tasks.start_soon(receive, client)
        await fake.wait_for_hang(150)
        fake.resume()


@pytest.mark.parametrize("code", [500, 502, 503])
async def test_server_errors_are_repeated_until_the_server_recovers(
    fake: FakeModel, code: int
) -> None:
    fake.add(status(code, "boom"), status(code, "boom"), say("ok"))
    async with client_of(fake.base_url) as client:
        assert text_of(await receive(client)) == "ok"


async def test_server_errors_are_told_when_the_repeats_are_used_up(fake: FakeModel) -> None:
    fake.add(*[status(500, f"boom {KEY}")] * 3)
    async with client_of(fake.base_url) as client:
        error = await failure_of(client)
    assert len(fake.requests) == 3
    assert (error.info, error.retryable) == ("internalServerError", True)
    assert "boom [redacted]" in (error.details or "")


@pytest.mark.parametrize(
    "answer",
    [
        status(429, "busy", {"retry-after": "1"}),
        status(503, {"error": {"code": "server_is_overloaded"}}),
        status(500, "boom", {"retry-after": "3600"}),
        status(401, "who are you"),
        status(400, "nonsense"),
    ],
    ids=["429", "overloaded", "long pause", "401", "400"],
)
async def test_other_refusals_are_told_at_once(fake: FakeModel, answer: Answer) -> None:
    fake.add(answer)
    async with client_of(fake.base_url) as client:
        await failure_of(client)
    assert len(fake.requests) == 1


async def test_a_wrong_key_is_named_but_not_shown(fake: FakeModel) -> None:
    fake.add(status(401, f"Incorrect API key provided: {KEY}"))
    async with client_of(fake.base_url) as client:
        error = await failure_of(client)
    assert str(error) == (
        "unexpected status 401 Unauthorized: Incorrect API key provided: [redacted], "
        f"url: {fake.base_url}/responses"
    )
    assert "FAKE_KEY" in (error.details or "")


async def test_redirects_are_not_followed(fake: FakeModel) -> None:
    fake.add(status(307, "", {"location": f"{fake.base_url}/responses"}))
    async with client_of(fake.base_url) as client:
        error = await failure_of(client)
    assert error.info == {"httpConnectionFailed": {"httpStatusCode": 307}}


@pytest.mark.parametrize("stated", ["query_params", "address"])
async def test_a_redirect_that_repeats_a_key_is_told_without_it(
    fake: FakeModel, stated: str
) -> None:
    secret = "k/0123+456="
    written = "k%2F0123%2B456%3D"
    fake.add(
        status(308, "", {"location": f"https://other.example/v1/responses?key={written}"}),
        status(404, {"error": {"message": f"no route /v1/responses?key={written} ({secret})"}}),
    )
    params = {"key": secret} if stated == "query_params" else {}
    base_url = fake.base_url + ("" if params else f"?key={written}")
    async with client_of(base_url, query_params=params) as client:
        errors = [await failure_of(client), await failure_of(client)]
    told = " ".join(f"{error} {error.details}" for error in errors)
    assert "https://other.example/v1/responses" in told
    assert "no route" in told
    assert written not in told
    assert secret not in told


async def test_a_server_that_does_not_run_is_named() -> None:
    async with FakeModel() as gone:
        url = gone.base_url
    async with client_of(url) as client:
        error = await failure_of(client)
    assert str(error) == (
        f"cannot reach {url}/responses (Connection refused): the server may not be running"
    )
    assert error.info == {"httpConnectionFailed": {"httpStatusCode": None}}
    assert error.retryable


async def test_a_connection_that_breaks_before_the_answer_is_tried_again() -> None:
    accepted = 0

    async def slam(stream: anyio.abc.SocketStream) -> None:
        nonlocal accepted
        accepted += 1
        async with stream:
            await stream.receive()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, slam)
            async with client_of(f"http://127.0.0.1:{port}") as client:
                error = await failure_of(client)
                assert str(error).startswith("cannot reach http://127.0.0.1:")
            tasks.cancel_scope.cancel()
    assert accepted == 3


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            say("abcdef", deltas=3).cut_after(4),
            "Transport error: network error: error decoding response body",
        ),
        (
            say("abcdef", deltas=3).end_without_completed(),
            "stream closed before response.completed",
        ),
        (say("ab") + raw(b"data: {broken\n\n"), "data of an event is not a JSON object: {broken"),
    ],
    ids=["cut", "ended", "broken"],
)
async def test_a_stream_that_goes_wrong_is_told_and_can_be_repeated(
    fake: FakeModel, answer: Answer, reason: str
) -> None:
    fake.add(answer)
    async with client_of(fake.base_url) as client:
        error = await failure_of(client)
    assert str(error).startswith("stream disconnected before completion: ")
    assert reason in str(error)
    assert error.info == {"responseStreamDisconnected": {"httpStatusCode": None}}
    assert error.retryable
    assert len(fake.requests) == 1


async def test_what_came_before_a_cut_is_delivered(fake: FakeModel) -> None:
    fake.add(say("abcdef", deltas=3).cut_after(4))
    events: list[dict[str, Any]] = []
    async with client_of(fake.base_url) as client, client.stream(REQUEST) as batches:
        with pytest.raises(ModelError):
            await collect(batches, events)
        with pytest.raises(ModelError, match="Transport error"):
            await anext(aiter(batches))
    assert text_of(events) == "abcd"


async def test_a_stream_that_went_wrong_stays_wrong(fake: FakeModel) -> None:
    fake.add(raw(b"data: {broken\n\n") + say("more"))
    async with client_of(fake.base_url) as client, client.stream(REQUEST) as batches:
        for _ in range(2):
            with pytest.raises(ModelError, match="broken"):
                await collect(batches, [])


@pytest.mark.parametrize("after", [0, 2])
async def test_a_silent_stream_is_given_up(fake: FakeModel, after: int) -> None:
    fake.add(say("ok").hang(after))
    async with client_of(fake.base_url, stream_idle_timeout=0.05) as client:
        error = await failure_of(client)
        assert str(error) == "stream disconnected before completion: idle timeout waiting for SSE"
        assert error.retryable
        await fake.closed_early.wait()


async def test_comments_do_not_keep_a_silent_stream_alive(fake: FakeModel) -> None:
    fake.add(raw(*[b": ping\n\n"] * 1000).slow(0.01))
    async with client_of(fake.base_url, stream_idle_timeout=0.1) as client:
        error = await failure_of(client)
    assert "idle timeout" in str(error)


async def test_a_server_that_does_not_answer_at_all_is_given_up() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        url = f"http://127.0.0.1:{port}"
        async with client_of(url, stream_idle_timeout=0.05) as client:
            error = await failure_of(client)
    assert "idle timeout" in str(error)


async def test_a_failure_is_told_at_once_and_after_what_came_before_it(fake: FakeModel) -> None:
    """The server keeps the connection open after `response.failed`; nobody waits for it."""
    fake.add((say("abc") + failed("invalid_prompt", "bad prompt")).hang(after=5))
    events: list[dict[str, Any]] = []
    async with client_of(fake.base_url) as client, client.stream(REQUEST) as batches:
        with pytest.raises(ModelError, match=r"^bad prompt$"):
            await collect(batches, events)
    assert text_of(events) == "abc"
    assert events[-1]["type"] == "response.output_item.done"


async def test_an_incomplete_answer_is_a_failure(fake: FakeModel) -> None:
    fake.add(say("abc") + incomplete("max_output_tokens"))
    async with client_of(fake.base_url) as client:
        error = await failure_of(client)
    assert str(error) == "Incomplete response returned, reason: max_output_tokens"


@pytest.mark.parametrize("kind", ["response.completed", "response.done"])
async def test_the_end_does_not_wait_for_the_server_to_close(fake: FakeModel, kind: str) -> None:
    fake.add(raw({"type": kind, "response": {}}, {"type": "too.late"}).hang(after=3))
    async with client_of(fake.base_url) as client:
        events = await receive(client)
    assert [event["type"] for event in events] == ["response.created", kind]


async def test_a_page_instead_of_a_stream_is_shown(fake: FakeModel) -> None:
    fake.add(garbage(f"<html>{KEY} Please log in" + "x" * 5000), garbage("{}", "application/json"))
    async with client_of(fake.base_url) as client:
        error = await failure_of(client)
        second = await failure_of(client)
    assert "but with text/html: <html>[redacted] Please log in" in str(error)
    assert len(str(error)) < 400
    assert not error.retryable
    assert "but with application/json: {}" in str(second)


async def test_a_stream_under_another_content_type_is_still_a_stream(fake: FakeModel) -> None:
    fake.add(replace(say("ok"), headers={"content-type": "text/plain"}))
    async with client_of(fake.base_url) as client:
        assert text_of(await receive(client)) == "ok"


async def test_cancelling_closes_the_connection_at_once(fake: FakeModel) -> None:
    fake.add(say("ok").hang(after=2))
    async with client_of(fake.base_url) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive, client)
            await fake.wait_for_hang()
            tasks.cancel_scope.cancel()
        await fake.closed_early.wait()


async def test_leaving_early_closes_the_connection_at_once(fake: FakeModel) -> None:
    fake.add(say("ok").hang(after=2))
    async with client_of(fake.base_url) as client:
        async with client.stream(REQUEST) as batches:
            await anext(batches)
        await fake.closed_early.wait()


async def wait_for_pause(fake: FakeModel) -> None:
    """Wait until a client has read the first refusal: a later exchange takes longer than that."""
    await fake.wait_for_requests(1)
    await fetch_json(f"{fake.base_url}/models", 5.0)


async def test_cancelling_ends_the_pause_between_repeats(fake: FakeModel) -> None:
    fake.add(*[status(500)] * 3)
    slow = client_of(fake.base_url, retry_base_delay=30.0)
    async with slow as client, anyio.create_task_group() as tasks:
        tasks.start_soon(receive, client)
        await wait_for_pause(fake)
        tasks.cancel_scope.cancel()
    assert len(fake.requests) == 1


async def test_closing_the_client_ends_a_stream_somebody_waits_for(fake: FakeModel) -> None:
    fake.add(say("ok").hang(after=2))
    async with client_of(fake.base_url) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(failure_of, client)
        await fake.wait_for_hang()
        await client.aclose()


async def test_closing_the_client_ends_a_pause_between_repeats(fake: FakeModel) -> None:
    fake.add(*[status(500)] * 3)
    slow = client_of(fake.base_url, retry_base_delay=30.0)
    async with slow as client, anyio.create_task_group() as tasks:
        tasks.start_soon(failure_of, client)
        await wait_for_pause(fake)
        await client.aclose()


async def test_closing_the_client_ends_open_streams(fake: FakeModel) -> None:
    fake.add(say("ok").hang(after=2))
    async with client_of(fake.base_url) as client, client.stream(REQUEST) as batches:
        await anext(batches)
        await client.aclose()
        with pytest.raises(ModelError, match="closed here"):
            await anext(batches)
        with pytest.raises(ModelError, match="closed here"):
            await receive(client)


async def test_a_client_closed_before_its_first_request_opens_nothing(fake: FakeModel) -> None:
    async with client_of(fake.base_url) as client:
        await client.aclose()
        await failure_of(client)
    assert fake.connections == 0


async def test_proxies_of_the_environment_are_not_used_for_this_machine(
    fake: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    fake.add(say("ok"))
    async with client_of(fake.base_url) as client:
        assert text_of(await receive(client)) == "ok"


async def test_proxies_of_the_environment_are_used_for_other_hosts(
    fake: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", fake.base_url.removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)
    async with client_of("http://model.invalid/v1") as client:
        error = await failure_of(client)
    assert "does not know POST http://model.invalid/v1/responses" in str(error)


@pytest.mark.parametrize("base_url", ["", "localhost:8000/v1", "ftp://x", "http://", "http://h:x"])
def test_an_address_that_is_none_is_refused_when_it_is_configured(base_url: str) -> None:
    with pytest.raises(ConfigError, match=r"model provider p, `base_url`.*http://host:port/v1"):
        ResponsesClient(ResponsesEndpoint("p", base_url))


def test_secrets_are_not_in_the_repr() -> None:
    endpoint = ResponsesEndpoint("p", "http://h", KEY, headers={"k": KEY}, query_params={"k": KEY})
    assert KEY not in repr(endpoint)


async def test_credentials_in_the_address_are_not_shown() -> None:
    async with FakeModel() as gone:
        url = gone.base_url.replace("http://", "http://me:hidden-word@") + "?key=hidden-word"
    async with client_of(url, api_key=None) as client:
        error = await failure_of(client)
    assert "hidden-word" not in str(error)


async def test_a_key_that_cannot_be_a_header_is_an_error_without_the_key(fake: FakeModel) -> None:
    async with client_of(fake.base_url, api_key=f"{KEY}\nx") as client:
        error = await failure_of(client)
    assert not error.retryable
    assert fake.requests == []


def test_capabilities_are_those_of_the_endpoint() -> None:
    capabilities = ModelCapabilities(reasoning=True, context_window=9)
    endpoint = ResponsesEndpoint("p", "http://h", capabilities=capabilities)
    assert ResponsesClient(endpoint).capabilities is capabilities


def test_the_http_library_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, codex_jupyter.model.client; sys.exit('aiohttp' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
