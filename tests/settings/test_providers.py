"""The provider table: built-in entries, entries of a file, and keys."""

from typing import Any

import pytest

from codex_jupyter.errors import ConfigError
from codex_jupyter.settings.providers import (
    LOCAL_SERVERS,
    Provider,
    built_in_providers,
    provider_from_table,
)


def made(table: dict[str, Any], provider_id: str = "mine") -> Provider:
    return provider_from_table(provider_id, table, built_in_providers())


def test_local_servers_are_looked_for_on_loopback_only() -> None:
    providers = built_in_providers()
    for name in LOCAL_SERVERS:
        assert (providers[name].base_url or "").startswith("http://127.0.0.1:")
        assert providers[name].env_key is None


def test_a_table_becomes_a_provider() -> None:
    provider = made(
        {
            "name": "Mine",
            "base_url": "http://host/v1/",
            "env_key": "MY_KEY",
            "query_params": {"api-version": "1"},
            "http_headers": {"X-A": "a"},
            "env_http_headers": {"X-B": "B_VARIABLE"},
            "request_max_retries": 0,
            "stream_max_retries": 5000,
            "stream_idle_timeout_ms": 1500,
        }
    )
    assert provider.base_url == "http://host/v1"
    assert (provider.id, provider.name, provider.kind) == ("mine", "Mine", "http")
    assert (provider.request_max_retries, provider.stream_max_retries) == (0, 100)
    assert provider.stream_idle_timeout == 1.5
    assert provider.query_params == {"api-version": "1"}
    assert (provider.freeform_tools, provider.reasoning) == (False, False)


def test_absurd_numbers_are_capped_and_not_an_overflow() -> None:
    assert made({"stream_idle_timeout_ms": 10**400}).stream_idle_timeout == 86400


def test_a_table_of_a_built_in_server_changes_only_what_it_states() -> None:
    provider = made({"base_url": "http://127.0.0.1:9999/v1"}, "ollama")
    assert (provider.name, provider.base_url) == ("Ollama", "http://127.0.0.1:9999/v1")
    assert made({"stream_max_retries": 1}, "openai").env_key == "OPENAI_API_KEY"


def test_a_table_without_an_address_is_openai_under_another_name() -> None:
    provider = made({"env_key": "TEAM_KEY"})
    assert provider.base_url == "https://api.openai.com/v1"
    assert (provider.id, provider.env_key, provider.freeform_tools) == ("mine", "TEAM_KEY", True)


def test_the_name_local_may_be_a_server_of_the_users() -> None:
    assert made({"base_url": "http://127.0.0.1:1/v1"}, "local").kind == "http"


def test_a_key_comes_from_its_variable() -> None:
    provider = made({"base_url": "http://h", "env_key": "MY_KEY"})
    assert provider.api_key({"MY_KEY": " secret\n"}) == "secret"
    assert made({"base_url": "http://h"}).api_key({"OPENAI_API_KEY": "x"}) is None


def test_a_key_may_stand_in_the_file_or_be_openais() -> None:
    token = {"base_url": "http://h", "experimental_bearer_token": "t"}
    assert made(token).api_key({}) == "t"
    assert made(token, "openai").api_key({"OPENAI_API_KEY": "x"}) == "t"
    assert made({**token, "env_key": "K"}).api_key({"K": "k"}) == "k"
    login = made({"base_url": "http://h", "requires_openai_auth": True})
    assert login.api_key({"OPENAI_API_KEY": "x"}) == "x"


@pytest.mark.parametrize("environ", [{}, {"MY_KEY": " \n"}])
def test_a_missing_key_says_which_variable_and_what_to_do(environ: dict[str, str]) -> None:
    provider = made({"name": "Mine", "base_url": "http://h", "env_key": "MY_KEY"})
    with pytest.raises(ConfigError) as caught:
        provider.api_key(environ)
    assert str(caught.value) == (
        "model provider `mine`: the environment variable MY_KEY, which holds the key for Mine, is "
        "not set. Set it before Jupyter starts, or choose another model with `%codex use`."
    )


def test_the_providers_own_instructions_come_first() -> None:
    table = {"base_url": "http://h", "env_key": "K", "env_key_instructions": "Ask Ann."}
    with pytest.raises(ConfigError, match=r"is not set\. Ask Ann\.$"):
        made(table).api_key({})


@pytest.mark.parametrize("value", ["canary\nX-Evil: 1", "canäry", "canary\x00"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(ConfigError, match="copy the key again") as caught:
        made({"base_url": "http://h", "env_key": "K"}).api_key({"K": value})
    assert "can" not in str(caught.value).replace("cannot", "")


def test_the_text_form_shows_no_credential() -> None:
    provider = made(
        {
            "base_url": "http://me:canary@h/v1",
            "experimental_bearer_token": "canary",
            "http_headers": {"Authorization": "canary"},
            "query_params": {"key": "canary"},
        }
    )
    assert "canary" not in repr(provider)


def test_providers_can_be_keys_of_a_table() -> None:
    first, second = (made({"base_url": "http://h", "http_headers": {"a": "b"}}) for _ in range(2))
    assert {first: 1}[second] == 1
