"""Settings from options, variables and requests."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.errors import ConfigError
from codex_jupyter.settings.overrides import (
    merge_tables,
    overrides_from_environment,
    overrides_from_request,
    parse_option,
)


@pytest.mark.parametrize(
    ("option", "table"),
    [
        ("model=gpt-5.5", {"model": "gpt-5.5"}),
        ('model="5"', {"model": "5"}),
        ("model = spaced out ", {"model": "spaced out"}),
        ("model='half", {"model": "half"}),
        ("offline_pace=0", {"offline_pace": 0}),
        ("model_providers.x.name=a=b", {"model_providers": {"x": {"name": "a=b"}}}),
        (
            'model_providers.x={name = "X", request_max_retries = 1}',
            {"model_providers": {"x": {"name": "X", "request_max_retries": 1}}},
        ),
        ("features.web=true", {"features": {"web": True}}),
        ('model="a"\nsandbox_mode="read-only"', {"model": 'a"\nsandbox_mode="read-only'}),
    ],
)
def test_an_option_is_toml_or_else_a_string(option: str, table: dict[str, Any]) -> None:
    assert parse_option(option).table == table


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("model", "-c model: must be written key=value"),
        ("=x", '"" is not a key'),
        ("a..b=1", '"a..b" is not a key'),
        (".".join("a" * 40) + "=1", "is not a key"),
        ("model=5", "-c model=5, `model`: must be a string that is not empty; it is 5"),
        ("model.x=1", "-c model.x=1, `model`: must be a string that is not empty; it is a table"),
        (
            "sandbox_mode=open",
            '-c sandbox_mode=open, `sandbox_mode`: must be one of "read-only", "workspace-write", '
            '"danger-full-access"; it is "open"',
        ),
        ("model_providers.x=y", "`model_providers.x`: must be a table"),
    ],
)
def test_a_wrong_option_is_refused_as_it_was_typed(option: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_option(option)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "option",
    [
        "model_providers.x.experimental_bearer_token=5 # canary",
        "model_providers.x={experimental_bearer_token = 1, name='canary'}",
        "model_providers.x.http_headers.Authorization=[1] # canary",
        "model_providers.x.env_key=sk-canary",
    ],
)
def test_an_option_with_a_credential_is_not_repeated(option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_option(option)
    assert "canary" not in str(caught.value)
    assert "model_providers.x" in str(caught.value)


def test_an_unknown_key_of_an_option_is_a_warning() -> None:
    [warning] = parse_option("modle=x").warnings
    assert warning == "-c modle=x, `modle`: unknown key, ignored; did you mean `model`?"


def test_variables_state_keys_and_blank_ones_do_not() -> None:
    found = overrides_from_environment(
        {
            "CODEX_JUPYTER_MODEL_PROVIDER": "offline",
            "CODEX_JUPYTER_MODEL": "5",
            "CODEX_JUPYTER_HEADLESS": " ",
            "CODEX_JUPYTER_OFFLINE_PACE": "0",
        }
    )
    assert [override.table for override in found] == [
        {"model_provider": "offline"},
        {"model": "5"},
        {"offline_pace": 0},
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("CODEX_JUPYTER_HEADLESS", "yes"), ("CODEX_JUPYTER_OFFLINE_PACE", "fast")],
)
def test_a_wrong_variable_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=value) as caught:
        overrides_from_environment({variable: value})
    assert caught.value.source == variable


def test_a_request_may_mix_dotted_and_nested_keys_and_null_states_nothing() -> None:
    found = overrides_from_request(
        {
            "model_providers.x.name": "X",
            "model_providers": {"x": {"base_url": "http://h/v1", "env_key": None}},
            "model": None,
        }
    )
    assert merge_tables(override.table for override in found) == {
        "model_providers": {"x": {"name": "X", "base_url": "http://h/v1"}}
    }


KEYS = st.sampled_from(["a", "b"])
TABLES = st.recursive(st.integers(), lambda inner: st.dictionaries(KEYS, inner), max_leaves=6)


@given(st.lists(st.dictionaries(KEYS, TABLES), max_size=4))
def test_merging_keeps_what_the_last_table_says_and_changes_no_argument(
    tables: list[dict[str, Any]],
) -> None:
    before = repr(tables)
    merged = merge_tables(tables)
    assert repr(tables) == before
    for name in ("a", "b"):
        stated = [table[name] for table in tables if name in table]
        if stated and not isinstance(stated[-1], dict):
            assert merged[name] == stated[-1]
        assert (name in merged) == bool(stated)


def test_merging_is_not_limited_by_the_depth_of_the_stack() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = {"a": deep}
    node: Any = merge_tables([deep, deep])
    while isinstance(node, dict):
        node = node["a"]
    assert node == 1
