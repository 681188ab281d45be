"""The quick check of the greeting agrees with the model that documents it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.protocol.requests import InitializeParams, InitializeResult
from codex_jupyter.server.handshake import Greeting, greet, initialize_result

GOOD = {"clientInfo": {"name": "talk", "version": "1.0"}}

header_text = st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)
junk = st.none() | st.booleans() | st.integers() | st.just([]) | st.just({}) | st.just("text")


def member(name: str, good: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Sometimes there and right, sometimes missing, sometimes wrong."""
    value = good | good | junk
    return st.just({}) | value.map(lambda found: {name: found})


def merged(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {k: v for part in found for k, v in part.items()})


infos = merged(
    member("name", header_text),
    member("version", st.text(max_size=4)),
    member("title", header_text),
)
capabilities = merged(
    member("experimentalApi", st.booleans()),
    member("optOutNotificationMethods", st.lists(st.text(max_size=5) | junk, max_size=3)),
    member("somethingNew", junk),
)

patient = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
greetings = merged(member("clientInfo", infos), member("capabilities", capabilities)) | junk


def both(params: Any) -> tuple[Greeting | None, InitializeParams | None]:
    try:
        quick = greet(params)
    except InvalidRequestError:
        quick = None
    try:
        thorough = InitializeParams.model_validate(params, strict=True)
    except ValidationError:
        thorough = None
    return quick, thorough


@patient
@given(greetings)
def test_the_quick_check_agrees_with_the_model(params: Any) -> None:
    quick, thorough = both(params)
    assert (quick is None) == (thorough is None)
    if quick is None or thorough is None:
        return
    wanted = thorough.capabilities
    assert quick == Greeting(
        thorough.client_info.name,
        thorough.client_info.version,
        wanted.experimental_api if wanted else False,
        frozenset(wanted.opt_out_notification_methods or () if wanted else ()),
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (None, "Invalid request: missing field `params`"),
        ({}, "Invalid request: missing field `clientInfo`"),
        ({"clientInfo": {}}, "Invalid request: missing field `name`"),
        ({"clientInfo": {"name": "x"}}, "Invalid request: missing field `version`"),
        ([], "Invalid request: invalid type: sequence, expected struct InitializeParams"),
        (
            {"clientInfo": {"name": 7, "version": "1"}},
            "Invalid request: invalid type: integer `7`, expected a string",
        ),
        (
            {**GOOD, "capabilities": {"experimentalApi": "yes"}},
            'Invalid request: invalid type: string "yes", expected a boolean',
        ),
    ],
)
def test_a_refusal_names_the_member(params: Any, message: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        greet(params)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "\0", "\x7f", "a\x1b[0m"])
def test_control_characters_in_the_name_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequestError, match="Must be a valid HTTP header value") as caught:
        greet({"clientInfo": {"name": name, "version": "1"}})
    assert name not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "naïve", "Größe", "tab\there"])
def test_other_names_are_fine(name: str) -> None:
    assert greet({"clientInfo": {"name": name, "version": "1"}}).client_name == name


def test_the_answer_has_the_documented_shape(tmp_path: Path) -> None:
    result = initialize_result(greet(GOOD), tmp_path)
    assert InitializeResult.model_validate(result, strict=True).wire() == result


def test_the_version_is_the_one_threads_carry() -> None:
    from codex_jupyter.core.thread_shape import PROTOCOL_VERSION

    assert f"/{PROTOCOL_VERSION} " in initialize_result(greet(GOOD), Path("/"))["userAgent"]
