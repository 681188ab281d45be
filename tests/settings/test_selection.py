"""Who answers: the order of the places that may say so."""

from pathlib import Path

import pytest

from codex_jupyter.errors import ConfigError
from codex_jupyter.settings.choice import Choice
from codex_jupyter.settings.config_file import parse_config
from codex_jupyter.settings.overrides import overrides_from_environment, parse_option
from codex_jupyter.settings.providers import Provider, built_in_providers
from codex_jupyter.settings.selection import Selection, layers_of, select_provider

PATH = Path("/home/me/config.toml")
KEY = {"OPENAI_API_KEY": "k"}


def select(
    text: str = "",
    *options: str,
    choice: Choice | None = None,
    environ: dict[str, str] | None = None,
) -> Selection:
    env = environ or {}
    overrides = (*overrides_from_environment(env), *map(parse_option, options))
    providers = built_in_providers() | {"mock": Provider("mock", "Mock", base_url="http://h")}
    return select_provider(layers_of(parse_config(text, PATH), overrides), providers, choice, env)


def test_with_nothing_configured_the_offline_model_answers_and_says_so() -> None:
    selection = select()
    assert selection.provider.id == "offline"
    assert selection.why == (
        "The built-in offline model answers, because no other model is configured. "
        "Set OPENAI_API_KEY, run `%codex use`, or write a config.toml."
    )


def test_each_place_outranks_the_ones_before_it() -> None:
    choice = Choice("ollama", "qwen3")
    file = 'model_provider = "mock"\nmodel = "m"\nprofile = "p"\n[profiles.p]\n'
    env = KEY | {"CODEX_JUPYTER_MODEL_PROVIDER": "lmstudio"}
    profile = file + 'model_provider = "vllm"\n'
    found = [
        select(environ=KEY),
        select(environ=KEY, choice=choice),
        select(file, environ=KEY, choice=choice),
        select(profile, environ=KEY, choice=choice),
        select(profile, environ=env, choice=choice),
        select(profile, "model_provider=llamacpp", environ=env, choice=choice),
    ]
    assert [selection.provider.id for selection in found] == [
        "openai",
        "ollama",
        "mock",
        "vllm",
        "lmstudio",
        "llamacpp",
    ]
    assert [selection.why for selection in found] == [
        "OpenAI (gpt-5.5) answers, because OPENAI_API_KEY is set.",
        "Ollama (qwen3) answers, because it was chosen with `%codex use`.",
        "Mock (m) answers, because /home/me/config.toml says so.",
        "vLLM answers, because profile `p` in /home/me/config.toml says so.",
        "LM Studio answers, because CODEX_JUPYTER_MODEL_PROVIDER says so.",
        "llama.cpp answers, because -c model_provider=llamacpp says so.",
    ]


def test_a_model_does_not_follow_to_another_provider() -> None:
    file = 'model_provider = "mock"\nmodel = "m"\n'
    assert select(file).model == "m"
    assert select(file, "model_provider=mock").model == "m"
    assert select(file, "model_provider=ollama").model is None
    assert select(file, "model_provider=ollama", "model=x").model == "x"
    assert select(file, "model=x", "model_provider=ollama").model is None


def test_a_model_without_a_provider_goes_to_whichever_server_is_named_but_not_offline() -> None:
    assert select('model = "m"', "model_provider=ollama").model == "m"
    assert select('model = "m"', environ=KEY).model == "m"
    pinned = {"CODEX_JUPYTER_MODEL_PROVIDER": "offline"}
    assert select('model = "m"', environ=pinned).model is None
    assert select('model = "m"\nmodel_provider = "offline"').model == "m"


def test_a_model_nobody_can_run_is_named_when_the_offline_model_steps_in() -> None:
    selection = select('model = "gpt-5.5"')
    assert (selection.provider.id, selection.model) == ("offline", None)
    assert "not `gpt-5.5`: no provider is named for it" in selection.why


def test_the_chosen_model_outranks_the_files_but_not_an_option() -> None:
    choice = Choice("ollama", "qwen3")
    assert select('model = "m"', choice=choice).model == "qwen3"
    assert select('model = "m"', "model=x", choice=choice).model == "x"
    assert select('model = "m"', choice=Choice("ollama")).model == "m"


def test_a_blank_key_is_no_key() -> None:
    assert select(environ={"OPENAI_API_KEY": " "}).provider.id == "offline"


@pytest.mark.parametrize(
    ("text", "options", "where"),
    [
        ('\nmodel_provider = "nope"', (), f"{PATH}, line 2, `model_provider`: "),
        (
            'profile = "p"\n[profiles.p]\nmodel_provider = "nope"',
            (),
            f"{PATH}, line 3, `profiles.p.model_provider`: ",
        ),
        ("", ("model_provider=nope",), "-c model_provider=nope, `model_provider`: "),
    ],
)
def test_an_unknown_provider_is_refused_where_it_was_stated(
    text: str, options: tuple[str, ...], where: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        select(text, *options)
    assert str(caught.value).startswith(f"{where}Model provider `nope` not found; known: `openai`")


def test_a_profile_may_come_from_an_option_and_must_exist() -> None:
    file = 'profile = "a"\n[profiles.a]\nmodel = "ma"\n[profiles.b]\nmodel = "mb"\n'
    assert select(file, "model_provider=mock").model == "ma"
    assert select(file, "model_provider=mock", "profile=b").model == "mb"
    assert select(file, "model_provider=mock", "profiles.a.model=mc").model == "mc"
    with pytest.raises(ConfigError, match=r"profile `c` not found.*known: a, b"):
        select(file, "profile=c")
    with pytest.raises(ConfigError, match=r"line 1, `profile`: profile `x` not found.*known: none"):
        select('profile = "x"')


def test_a_profile_cannot_smuggle_in_what_only_the_top_level_may_state() -> None:
    text = 'profile = "a"\n[profiles.a]\nmodel_providers = 5\nprofile = 7\n'
    layers = layers_of(parse_config(text, PATH), ())
    assert [dict(layer.table) for layer in layers[1:]] == [{}]
