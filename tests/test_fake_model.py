import http.client
import json
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fake_model import FakeModelInThread, custom_call, reason, run_in_thread, say, status


@contextmanager
def connected(fake: FakeModelInThread) -> Generator[http.client.HTTPConnection, None, None]:
    connection = http.client.HTTPConnection(urlsplit(fake.base_url).netloc, timeout=5)
    with closing(connection):
        yield connection


def post(connection: http.client.HTTPConnection, body: object, *, chunked: bool = False) -> str:
    data = json.dumps(body).encode()
    connection.request(
        "POST",
        "/v1/responses",
        iter([data[:3], data[3:]]) if chunked else data,
        encode_chunked=chunked,
    )
    return connection.getresponse().read().decode()


def events_of(stream: str) -> list[dict[str, Any]]:
    lines = [line for line in stream.splitlines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


@pytest.mark.parametrize("chunked", [False, True])
def test_it_serves_programs_without_an_event_loop(chunked: bool) -> None:
    script = [say("one", deltas=3), say("two").with_usage(7, 3, cached=2)]
    with run_in_thread(script) as fake, connected(fake) as connection:
        first = events_of(post(connection, {"input": ["a"]}, chunked=chunked))
        second = events_of(post(connection, {"input": ["b"]}, chunked=chunked))
        fake.wait_for_requests(2)
        assert fake.requests == [{"input": ["a"]}, {"input": ["b"]}]
    assert [e["delta"] for e in first if "delta" in e] == ["o", "n", "e"]
    usage = second[-1]["response"]["usage"]
    assert (usage["total_tokens"], usage["input_tokens_details"]) == (10, {"cached_tokens": 2})


def test_a_function_may_answer_by_what_it_is_asked() -> None:
    with run_in_thread(lambda body: say(body["input"])) as fake, connected(fake) as connection:
        assert '"delta": "echo"' in post(connection, {"input": "echo"})


def test_a_script_that_is_used_up_says_so() -> None:
    with run_in_thread([status(418, {"tea": 1})]) as fake, connected(fake) as connection:
        assert post(connection, {}) == '{"tea": 1}'
        assert "no answer for request 2: last" in post(connection, {"input": ["first", "last"]})
        fake.add(say("more"))
        assert "more" in post(connection, {})


def test_items_of_one_answer_have_their_own_ids_and_indexes() -> None:
    script = [reason("a", "b", raw_text="c") + custom_call("apply_patch", "p")]
    with run_in_thread(script) as fake, connected(fake) as connection:
        events = events_of(post(connection, {}))
    done = [e for e in events if e["type"] == "response.output_item.done"]
    assert [e["output_index"] for e in done] == [0, 1]
    assert len({e["item"]["id"] for e in done}) == 2


def test_a_client_that_leaves_is_noticed() -> None:
    with run_in_thread([say("never").hang(after=2)]) as fake:
        with connected(fake) as connection:
            connection.request("POST", "/v1/responses", b"{}")
            fake.wait_for_hang()
        fake.wait_closed_early()


def test_a_hanging_answer_goes_on_when_it_is_told_to() -> None:
    with run_in_thread([say("late").hang(after=2)]) as fake, connected(fake) as connection:
        connection.request("POST", "/v1/responses", b"{}")
        fake.wait_for_hang()
        fake.resume()
        assert "response.completed" in connection.getresponse().read().decode()


def test_models_are_listed() -> None:
    with run_in_thread(models=["a", "b"]) as fake, connected(fake) as connection:
        connection.request("GET", "/v1/models")
        data = json.loads(connection.getresponse().read())["data"]
    assert [model["id"] for model in data] == ["a", "b"]
