import json
from typing import Any

import pytest

from codex_jupyter.model import failures
from codex_jupyter.model.failures import HttpRefusal, event_failure, refused

NO_ROOM = (
    "Codex ran out of room in the model's context window. "
    "Start a new thread or clear earlier history before retrying."
)
URL = "http://127.0.0.1:1/v1/responses"


def refusal(
    status: int,
    body: Any = "",
    headers: dict[str, str] | None = None,
    key_name: str = "OPENAI_API_KEY",
) -> HttpRefusal:
    text = body if isinstance(body, str) else json.dumps(body)
    return HttpRefusal(status, URL, headers or {}, text, received_at=0.0, key_name=key_name)


def coded(code: str, message: str = "", member: str = "code") -> dict[str, Any]:
    return {"error": {member: code, "message": message}}


def failed(code: str, message: str) -> dict[str, Any]:
    return {"type": "response.failed", "response": {"error": {"code": code, "message": message}}}


@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_a_server_error_may_pass(status: int) -> None:
    error = refused(refusal(status, coded("", "boom"), {"retry-after": "2"}))
    assert str(error) == (
        "We\u2019re currently experiencing high demand, which may cause temporary errors."
    )
    assert (error.info, error.retryable, error.retry_after) == ("internalServerError", True, 2.0)
    assert f"{URL} answered {status} " in (error.details or "")
    assert "boom" in (error.details or "")


@pytest.mark.parametrize("code", ["server_is_overloaded", "slow_down"])
def test_an_overloaded_model_does_not_pass_by_asking_again(code: str) -> None:
    for error in (refused(refusal(503, coded(code))), event_failure(failed(code, "busy"))):
        assert error is not None
        assert str(error) == "Selected model is at capacity. Please try a different model."
        assert (error.info, error.retryable) == ("serverOverloaded", False)


def test_too_many_requests_pass_after_the_pause_the_server_asks_for() -> None:
    error = refused(refusal(429, coded("rate_limit_exceeded", "slow"), {"retry-after": "1"}))
    assert str(error) == "exceeded retry limit, last status: 429 Too Many Requests"
    assert error.info == {"responseTooManyFailedAttempts": {"httpStatusCode": 429}}
    assert (error.retryable, error.retry_after, error.details) == (True, 1.0, "slow")


def test_too_many_requests_without_a_header_are_read_from_the_message() -> None:
    error = refused(refusal(429, coded("x", "Please try again in 250ms.")))
    assert error.retry_after == pytest.approx(0.25)


@pytest.mark.parametrize("member", ["code", "type"])
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("usage_limit_reached", "You've hit your usage limit."),
        ("usage_not_included", "Your plan does not include"),
        ("insufficient_quota", "Quota exceeded. Check your plan and billing details."),
    ],
)
def test_a_used_up_plan_does_not_pass(code: str, sentence: str, member: str) -> None:
    error = refused(refusal(429, coded(code, "no money", member)))
    assert str(error).startswith(sentence)
    assert (error.info, error.retryable, error.details) == ("usageLimitExceeded", False, "no money")


def test_a_bad_request_shows_the_body_as_it_came() -> None:
    body = '{"error": {"message": "Unknown parameter: \'include\'."}}'
    error = refused(refusal(400, body))
    assert (str(error), error.info, error.retryable) == (body, "other", False)


def test_a_bad_request_without_a_body_says_at_least_where() -> None:
    error = refused(refusal(400))
    assert str(error) == f"unexpected status 400 Bad Request: (no text), url: {URL}"


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "context_length_exceeded", "message": "too long"}},
        {"error": {"code": 400, "type": "exceed_context_size_error", "message": "too long"}},
    ],
)
def test_a_prompt_that_does_not_fit_is_told_apart_from_other_bad_requests(body: Any) -> None:
    assert refused(refusal(400, body)).info == "contextWindowExceeded"


@pytest.mark.parametrize(
    ("status", "phrase", "advice"),
    [
        (401, "Unauthorized", "did not accept the API key from OPENAI_API_KEY"),
        (403, "Forbidden", "the API key from OPENAI_API_KEY"),
        (404, "Not Found", "base_url"),
        (302, "Found", "moved to http://new/"),
    ],
)
def test_an_unexpected_status_names_itself_and_what_to_do(
    status: int, phrase: str, advice: str
) -> None:
    error = refused(refusal(status, "x" * 5000, {"location": "http://new/"}))
    assert str(error) == f"unexpected status {status} {phrase}: {'x' * 1000}, url: {URL}"
    assert error.info == {"httpConnectionFailed": {"httpStatusCode": status}}
    assert not error.retryable
    assert advice in (error.details or "")


def test_a_missing_key_is_told_apart_from_a_wrong_one() -> None:
    assert "none was sent" in (refused(refusal(401, key_name="")).details or "")


def test_a_status_nobody_knows_has_no_phrase() -> None:
    assert "unexpected status 499 <unknown status code>:" in str(refused(refusal(499)))


def test_a_request_timeout_may_pass() -> None:
    assert refused(refusal(408)).retryable


@pytest.mark.parametrize(
    ("code", "message", "text", "info", "retryable"),
    [
        (
            "context_length_exceeded",
            "too long",
            NO_ROOM,
            "contextWindowExceeded",
            False,
        ),
        (
            "insufficient_quota",
            "no money",
            "Quota exceeded. Check your plan and billing details.",
            "usageLimitExceeded",
            False,
        ),
        ("invalid_prompt", "bad prompt", "bad prompt", "other", False),
        (
            "rate_limit_exceeded",
            "Please try again in 0.1s.",
            "rate limit exceeded: Please try again in 0.1s.",
            "rateLimitExceeded",
            True,
        ),
        ("weird", "odd thing", "stream disconnected before completion: odd thing", "other", True),
    ],
)
def test_a_failed_response_is_worded_by_its_code(
    code: str, message: str, text: str, info: str, retryable: bool
) -> None:
    error = event_failure(failed(code, message))
    assert error is not None
    assert (str(error), error.info, error.retryable) == (text, info, retryable)


def test_a_rate_limit_inside_a_stream_says_when_to_come_back() -> None:
    error = event_failure(failed("rate_limit_exceeded", "try again in 0.1s"))
    assert error is not None
    assert error.retry_after == pytest.approx(0.1)


def test_an_incomplete_response_says_why_and_is_not_asked_for_again() -> None:
    event = {
        "type": "response.incomplete",
        "response": {"incomplete_details": {"reason": "max_output_tokens"}},
    }
    error = event_failure(event)
    assert error is not None
    assert str(error) == "Incomplete response returned, reason: max_output_tokens"
    assert (error.info, error.retryable) == ("other", False)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "insufficient_quota", "message": "x"},
        {"type": "error", "error": {"type": "insufficient_quota"}},
        {"type": "message", "error": {"code": "insufficient_quota"}},
    ],
)
def test_errors_that_are_no_response_events_are_understood(event: dict[str, Any]) -> None:
    error = event_failure(event)
    assert error is not None
    assert error.info == "usageLimitExceeded"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.failed"},
        {"type": "response.failed", "response": None},
        {"type": "response.failed", "response": {"error": "text"}},
        {"type": "response.failed", "response": {"error": {"code": ["list"], "message": 7}}},
        {"type": "response.incomplete", "response": {"incomplete_details": None}},
        {"type": "error", "code": None, "message": None},
    ],
)
def test_a_failure_with_members_missing_is_still_a_failure(event: dict[str, Any]) -> None:
    assert event_failure(event) is not None


@pytest.mark.parametrize(
    "event",
    [{"type": "response.created"}, {"type": "message"}, {"type": "response.output_text.delta"}],
)
def test_other_events_are_no_failures(event: dict[str, Any]) -> None:
    assert event_failure(event) is None


def test_what_happens_to_a_stream_is_told_in_the_words_clients_know() -> None:
    start = "stream disconnected before completion: "
    errors = {
        "stream closed before response.completed": failures.closed_early(),
        "Transport error: network error: error decoding response body": failures.cut_off("reset"),
        "idle timeout waiting for SSE": failures.idle(2.0),
    }
    for text, error in errors.items():
        assert str(error) == start + text
        assert error.info == {"responseStreamDisconnected": {"httpStatusCode": None}}
        assert error.retryable


def test_only_unreachable_servers_and_server_errors_are_repeated_silently() -> None:
    assert failures.is_request_level(failures.unreachable(URL, "refused"))
    assert failures.is_request_level(refused(refusal(502)))
    for error in (
        refused(refusal(429)),
        refused(refusal(408)),
        refused(refusal(503, coded("slow_down"))),
        failures.unusable(URL, "certificate"),
        failures.idle(1.0),
    ):
        assert not failures.is_request_level(error)


def test_secrets_are_cut_out_longest_first() -> None:
    text = failures.redacted("a sk-1234-5678 b sk-1234 c", ["sk-1234", "sk-1234-5678"])
    assert text == "a [redacted] b [redacted] c"
