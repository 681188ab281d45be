"""`Settings`: put together from a home directory, an environment and overrides."""

import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.errors import ConfigError
from codex_jupyter.settings import Settings, remember_choice
from codex_jupyter.settings.approval import Granular

MOCK = """
model = "mock-model"
model_provider = "mock"
approval_policy = "never"
sandbox_mode = "danger-full-access"
[model_providers.mock]
name = "mock"
base_url = "http://127.0.0.1:9/v1"
wire_api = "responses"
env_key = "MOCK_KEY"
request_max_retries = 0
"""


def load(home: Path, *overrides: str, text: str | None = None, **environ: str) -> Settings:
    if text is not None:
        (home / "config.toml").write_text(text)
    return Settings.load(environ={"CODEX_JUPYTER_HOME": str(home), **environ}, overrides=overrides)


def test_without_any_file_the_defaults_hold_and_nothing_is_written(tmp_path: Path) -> None:
    home = tmp_path / "home"
    settings = load(home)
    assert settings.home == home
    assert (settings.model_provider, settings.require_model()) == ("offline", "offline")
    assert (settings.approval_policy, settings.sandbox_mode) == ("on-request", "workspace-write")
    assert (settings.offline_pace, settings.tool_output_token_limit) == (40, 10_000)
    assert settings.warnings == ()
    assert not home.exists()


def test_a_codex_file_is_taken_over(tmp_path: Path) -> None:
    settings = load(tmp_path, text=MOCK, MOCK_KEY="k")
    assert (settings.model, settings.provider.id) == ("mock-model", "mock")
    assert (settings.approval_policy, settings.sandbox_mode) == ("never", "danger-full-access")
    assert settings.provider is settings.providers["mock"]
    assert settings.provider.api_key(settings.environment) == "k"


def test_all_other_keys_arrive(tmp_path: Path) -> None:
    (tmp_path / "base.md").write_text("Be brief.")
    settings = load(
        tmp_path,
        text="""
        model_reasoning_effort = "high"
        model_reasoning_summary = "detailed"
        model_verbosity = "low"
        model_context_window = 1000
        model_auto_compact_token_limit = 900
        model_instructions_file = "base.md"
        developer_instructions = "Use pandas."
        review_model = "r"
        tool_output_token_limit = 0
        offline_pace = 2.5
        headless = "allow ls *"
        [sandbox_workspace_write]
        writable_roots = ["/data"]
        network_access = true
        """,
    )
    assert settings.model_reasoning_effort == "high"
    assert settings.model_reasoning_summary == "detailed"
    assert settings.model_verbosity == "low"
    assert settings.model_context_window == 1000
    assert settings.model_auto_compact_token_limit == 900
    assert settings.base_instructions == "Be brief."
    assert settings.developer_instructions == "Use pandas."
    assert settings.review_model == "r"
    assert settings.tool_output_token_limit == 0
    assert settings.offline_pace == 2.5
    assert settings.headless == "allow ls *"
    assert settings.sandbox_workspace_write.writable_roots == ("/data",)
    assert settings.sandbox_workspace_write.network_access


def test_options_outrank_variables_and_variables_the_file(tmp_path: Path) -> None:
    env = {"CODEX_JUPYTER_HEADLESS": "fail", "CODEX_JUPYTER_OFFLINE_PACE": "0"}
    settings = load(tmp_path, "offline_pace=7", text='headless = "deny"\noffline_pace = 1', **env)
    assert (settings.headless, settings.offline_pace) == ("fail", 7)


def test_a_profile_outranks_the_file_and_an_option_the_profile(tmp_path: Path) -> None:
    text = 'sandbox_mode = "read-only"\n[profiles.p]\nsandbox_mode = "danger-full-access"\n'
    assert load(tmp_path, text=text).sandbox_mode == "read-only"
    assert load(tmp_path, "profile=p").sandbox_mode == "danger-full-access"
    options = ("profile=p", "sandbox_mode=workspace-write")
    assert load(tmp_path, *options).sandbox_mode == "workspace-write"


def test_overrides_of_a_request_are_laid_on_top_and_leave_the_original(tmp_path: Path) -> None:
    base = load(tmp_path, "model=from-option", text=MOCK)
    changed = base.with_overrides(
        {
            "model": "m2",
            "model_providers.mock.base_url": "http://127.0.0.1:10/v1",
            "model_providers": {"mock": {"stream_max_retries": 2}},
            "modle": 1,
        }
    )
    assert (base.model, changed.model) == ("from-option", "m2")
    assert base.provider.base_url == "http://127.0.0.1:9/v1"
    assert changed.provider.base_url == "http://127.0.0.1:10/v1"
    assert (changed.provider.request_max_retries, changed.provider.stream_max_retries) == (0, 2)
    assert base.warnings == ()
    assert changed.warnings == (
        "the request's config, `modle`: unknown key, ignored; did you mean `model`?",
    )
    assert changed.with_overrides({"approval_policy": "untrusted"}).model == "m2"
    assert base.with_overrides({}) is base


FLAGS = """
[approval_policy.granular]
sandbox_approval = false
rules = true
mcp_elicitations = true
"""


def test_flags_of_the_approval_policy_are_put_together_from_all_places(tmp_path: Path) -> None:
    stated = Granular(sandbox_approval=False, rules=True, mcp_elicitations=True)
    assert load(tmp_path, text=FLAGS).approval_policy == stated
    changed = load(tmp_path, "approval_policy.granular.rules=false").approval_policy
    assert changed == replace(stated, rules=False)
    assert load(tmp_path, "approval_policy=never").approval_policy == "never"
    profile = "[profiles.p.approval_policy.granular]\nskill_approval = true\n"
    named = load(tmp_path, "profile=p", text=FLAGS + profile).approval_policy
    assert named == replace(stated, skill_approval=True)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("\n[approval_policy.granular]\nrules = true", 2, "must say `granular.sandbox_approval`"),
        ("[approval_policy.fine]\nrules = true", 1, "must be a word, or a table of which"),
        (FLAGS + "[approval_policy.fine]\n", 2, "must be a word, or a table of which"),
    ],
)
def test_flags_that_are_not_whole_are_refused_where_they_stand(
    tmp_path: Path, text: str, line: int, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        load(tmp_path, text=text)
    assert (caught.value.line, caught.value.key) == (line, "approval_policy")


def test_a_role_may_have_flags_and_no_others_than_there_are(tmp_path: Path) -> None:
    text = f"[agents.quiet]\ndescription = 'd'\nconfig_file = '{tmp_path / 'quiet.toml'}'\n"
    (tmp_path / "quiet.toml").write_text(FLAGS)
    role = load(tmp_path, text=text).agents.roles["quiet"]
    assert role.approval_policy == Granular(
        sandbox_approval=False, rules=True, mcp_elicitations=True
    )
    (tmp_path / "quiet.toml").write_text("[approval_policy.granular]\nrules = true\n")
    with pytest.raises(ConfigError, match=r"quiet\.toml, `approval_policy`: must say `granular"):
        load(tmp_path, text=text)


def test_equal_settings_have_equal_providers(tmp_path: Path) -> None:
    base = load(tmp_path, text=MOCK)
    assert base.with_overrides({"approval_policy": "untrusted"}).provider == base.provider


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"approval_policy": "sometimes"}, "the request's config, `approval_policy`: must be one"),
        ({"model": 5}, "the request's config, `model`: must be a string"),
        ({"model_provider": "nope"}, "Model provider `nope` not found"),
        ({"profile": "nope"}, "profile `nope` not found"),
        ({"model_providers.offline.base_url": "http://h"}, "is the id of the built-in model"),
        ({"model_instructions_file": "missing.md"}, "`model_instructions_file`: "),
    ],
)
def test_a_wrong_override_names_the_key(
    tmp_path: Path, overrides: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text=MOCK).with_overrides(overrides)
    assert words in str(caught.value)


def test_the_offline_model_cannot_be_replaced_under_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"line 2, `model_providers\.offline`: is the id of the"):
        load(tmp_path, text='\n[model_providers.offline]\nbase_url = "http://h"\n')


def test_the_address_of_openai_can_be_changed(tmp_path: Path) -> None:
    env = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://proxy/v1/"}
    assert load(tmp_path, **env).provider.base_url == "http://proxy/v1"
    settings = load(tmp_path, text='openai_base_url = "https://eu.example/v1"', **env)
    assert settings.provider.base_url == "https://eu.example/v1"
    with pytest.raises(ConfigError, match="OPENAI_BASE_URL: must start with"):
        load(tmp_path, text="", OPENAI_BASE_URL="proxy")


def test_a_remembered_server_is_used_where_it_was_found(tmp_path: Path) -> None:
    remember_choice(tmp_path, "vllm", model="m", base_url="http://127.0.0.1:8001/v1")
    settings = load(tmp_path)
    assert (settings.provider.id, settings.require_model()) == ("vllm", "m")
    assert settings.provider.base_url == "http://127.0.0.1:8001/v1"
    moved = load(tmp_path, text='[model_providers.vllm]\nbase_url = "http://127.0.0.1:8002/v1"\n')
    assert moved.provider.base_url == "http://127.0.0.1:8002/v1"


def test_a_remembered_address_never_redirects_a_provider_with_a_key(tmp_path: Path) -> None:
    remember_choice(tmp_path, "openai", base_url="http://127.0.0.1:1/v1")
    settings = load(tmp_path, OPENAI_API_KEY="k")
    assert settings.provider.base_url == "https://api.openai.com/v1"


def test_a_choice_that_is_gone_is_a_warning(tmp_path: Path) -> None:
    remember_choice(tmp_path, "gone")
    settings = load(tmp_path)
    assert settings.provider.id == "offline"
    assert "`gone`, chosen with `%codex use`, is no longer configured" in settings.warnings[0]


def test_a_server_without_a_model_is_an_error_only_when_a_model_is_needed(tmp_path: Path) -> None:
    settings = load(tmp_path, "model_provider=ollama")
    with pytest.raises(ConfigError, match=r"Ollama offers several models.*`%codex use`"):
        settings.require_model()
    assert settings.with_overrides({"model": "qwen3"}).require_model() == "qwen3"


def test_a_stated_effort_reaches_a_server_unless_it_says_it_has_none(tmp_path: Path) -> None:
    assert not load(tmp_path, text=MOCK).provider.reasoning
    assert load(tmp_path, "model_reasoning_effort=low", text=MOCK).provider.reasoning
    stated = MOCK + "reasoning = false\n"
    assert not load(tmp_path, "model_reasoning_effort=low", text=stated).provider.reasoning


def test_commands_do_not_see_the_variables_of_providers(tmp_path: Path) -> None:
    text = MOCK.replace("MOCK_KEY", "PLAIN") + 'env_http_headers = {"X-Org" = "MY_ORG"}\n'
    env = {"PLAIN": "k", "MY_ORG": "o", "OPENAI_API_KEY": "k", "PATH": "/bin"}
    settings = load(tmp_path, text=text, **env)
    assert set(settings.child_env) == {"PATH", "CODEX_JUPYTER_HOME"}
    assert settings.environment["PLAIN"] == "k"


def test_the_text_form_shows_no_secret(tmp_path: Path) -> None:
    text = MOCK + 'http_headers = {A = "canary"}\nexperimental_bearer_token = "canary"\n'
    settings = load(
        tmp_path,
        "model_providers.mock.query_params.k=canary",
        text=text,
        MOCK_KEY="canary",
        OTHER="canary",
    )
    assert "canary" not in repr(settings)
    assert "canary" not in repr(settings.sources)


def test_instructions_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "long.md").write_text("x" * (1024 * 1024 + 1))
    (tmp_path / "odd.md").write_bytes(b"\xff")
    for name, words in (
        ("long.md", "longer than"),
        ("odd.md", "cannot be read"),
        ("no\\u0000.md", "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            load(tmp_path, text=f'model_instructions_file = "{name}"')
        assert (caught.value.line, caught.value.key) == (1, "model_instructions_file")
        assert str(caught.value).isprintable()


TEXTS = st.lists(
    st.sampled_from(
        [
            'model_provider = "p"',
            'model_provider = "local"',
            'profile = "p"',
            "model = 1",
            'model_instructions_file = "\\u0000"',
            "profiles.p.model_providers = 1",
            "profiles.p.profile = 1",
            'profiles.p.model_provider = "offline"',
            "profiles.p.sandbox_workspace_write.writable_roots = []",
            "model_providers.p = {}",
            "model_providers.p.stream_idle_timeout_ms = 99999999999999999",
            'model_providers.p.base_url = "http://["',
            "model_providers.local.requires_openai_auth = true",
            "model_providers.openai.env_http_headers = {a = ''}",
            "[model_providers.offline]",
            "offline_pace = 1e400",
        ]
    ),
    unique=True,
)


@given(text=TEXTS, overrides=TEXTS)
def test_loading_fails_with_config_errors_only(
    tmp_path_factory: pytest.TempPathFactory, text: list[str], overrides: list[str]
) -> None:
    home = tmp_path_factory.getbasetemp() / "hypothesis-home"
    home.mkdir(exist_ok=True)
    try:
        settings = load(home, *overrides, text="\n".join(text))
        settings.require_model()
        settings.provider.api_key(settings.environment)
    except ConfigError:
        return
    assert settings.why_provider.endswith(".")


def test_without_arguments_the_process_environment_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_JUPYTER_HOME", str(tmp_path))
    monkeypatch.setenv("CODEX_JUPYTER_MODEL_PROVIDER", "ollama")
    assert Settings.load().provider.id == "ollama"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs file modes that bind")
def test_a_file_of_somebody_else_is_a_config_error(tmp_path: Path) -> None:
    load(tmp_path, text=MOCK)
    (tmp_path / "config.toml").chmod(stat.S_IWUSR)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_importing_settings_pulls_in_nothing_heavy() -> None:
    code = (
        "import sys; import codex_jupyter.settings; "
        "print({'tomllib', 'difflib', 'pydantic', 'aiohttp', 'anyio', 'jupyter_core', 'asyncio'}"
        " & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
