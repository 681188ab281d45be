"""`config.toml`: what is accepted, what is refused, and where a mistake is said to be."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codex_jupyter.errors import ConfigError
from codex_jupyter.settings.config_file import (
    find_key_line,
    parse_config,
    parse_value,
    read_config_file,
)

PATH = Path("/home/me/config.toml")


def refusal(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, PATH)
    return caught.value


def test_a_codex_file_with_tables_we_do_not_have_passes_without_a_warning() -> None:
    file = parse_config(
        """
        model = "mock-model"
        model_provider = "mock"
        approval_policy = "never"
        sandbox_mode = "danger-full-access"
        notify = ["python3", "notify.py"]
        [model_providers.mock]
        name = "mock"
        base_url = "http://127.0.0.1:9/v1"
        wire_api = "responses"
        env_key = "MOCK_KEY"
        request_max_retries = 0
        stream_max_retries = 0
        supports_websockets = false
        [features]
        enable_request_compression = false
        a_flag_of_next_year = true
        [analytics]
        enabled = false
        [mcp_servers.docs]
        command = "docs-server"
        [projects."/home/me/work"]
        trust_level = "trusted"
        [tui]
        theme = "dark"
        [shell_environment_policy]
        inherit = "all"
        """,
        PATH,
    )
    assert file.warnings == ()
    assert file.table["model_providers"]["mock"]["request_max_retries"] == 0


def test_a_missing_file_is_an_empty_one(tmp_path: Path) -> None:
    assert read_config_file(tmp_path / "config.toml").table == {}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('model = "a"\nmodel_provider = \n', 2),
        ('model = "a"\n\n[features]\n[features]\n', 4),
        ('model = "a"\nmodel = "b"\n', 2),
        ('model = "a"\ndeveloper_instructions = """never closed\n\n', 2),
        ("[model_providers.x\n", 1),
    ],
)
def test_broken_toml_is_refused_with_its_line(text: str, line: int) -> None:
    error = refusal(text)
    assert error.line == line
    assert str(error).startswith(f"{PATH}, line {line}: is not valid TOML: ")
    assert "(at " not in str(error)


@pytest.mark.parametrize(
    ("text", "line", "key", "problem"),
    [
        ("\nmodel = 5\n", 2, "model", "must be a string that is not empty; it is 5"),
        ('model = ""', 1, "model", "must be a string that is not empty"),
        (
            '# a comment\nsandbox_mode = "open"\n',
            2,
            "sandbox_mode",
            'must be one of "read-only", "workspace-write", "danger-full-access"; it is "open"',
        ),
        (
            'approval_policy = "on-failure"',
            1,
            "approval_policy",
            'must be one of "untrusted", "on-request", "never", or a table `granular`; '
            'it is "on-failure": it was removed; use on-request',
        ),
        (
            "[approval_policy.granular]\nrules = 3\n",
            2,
            "approval_policy.granular.rules",
            "must be true or false; it is 3",
        ),
        (
            "[model_providers.x]\nname = 'x'\nrequest_max_retries = -1\n",
            3,
            "model_providers.x.request_max_retries",
            "must be a whole number, at least 0; it is -1",
        ),
        (
            "[model_providers.x]\nstream_max_retries = true\n",
            2,
            "model_providers.x.stream_max_retries",
            "it is true",
        ),
        ("model_providers.x = 3", 1, "model_providers.x", "must be a table; it is 3"),
        ("model_providers = []", 1, "model_providers", "must be a table of tables; it is an array"),
        (
            '[model_providers.x]\nbase_url = "localhost:8000"\n',
            2,
            "model_providers.x.base_url",
            "must be an address that starts with http:// or https://",
        ),
        (
            '[profiles."my work"]\nmodel_verbosity = "loud"\n',
            2,
            'profiles."my work".model_verbosity',
            'must be one of "low", "medium", "high"; it is "loud"',
        ),
        (
            "[sandbox_workspace_write]\nwritable_roots = ['/a', 1]\n",
            2,
            "sandbox_workspace_write.writable_roots",
            "must be an array of strings",
        ),
        ("offline_pace = nan", 1, "offline_pace", "must be a number, at least 0"),
        ("model_context_window = 99999999999999999999", 1, "model_context_window", "whole number"),
        ("model = 2020-01-01", 1, "model", "it is a date or time"),
        ('headless = "allow"', 1, "headless", '"deny", "allow RULES" or "fail"'),
    ],
)
def test_a_wrong_value_is_refused_with_line_key_and_what_is_allowed(
    text: str, line: int, key: str, problem: str
) -> None:
    error = refusal(text)
    assert (error.line, error.key) == (line, key)
    assert problem in str(error)


def test_a_key_pasted_where_its_variable_belongs_is_not_repeated() -> None:
    error = refusal('[model_providers.x]\nenv_key = "sk-canary-1234"\n')
    assert "the name of an environment variable, not the key itself" in str(error)
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    "line",
    [
        'http_headers = {Authorization = ["canary"]}',
        "experimental_bearer_token = ['canary']",
        'query_params = "canary"',
        'base_url = "me:canary@host"',
    ],
)
def test_values_that_may_be_credentials_are_not_repeated(line: str) -> None:
    assert "canary" not in str(refusal(f"[model_providers.x]\n{line}\n"))


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ('\nmodle = "x"\n', "line 2, `modle`: unknown key, ignored; did you mean `model`?"),
        ("[model_providers.x]\nbase_ur = 1\n", "did you mean `base_url`?"),
        ("[profiles.x]\nsandbox_mod = 1\n", "did you mean `sandbox_mode`?"),
        ("[tuii]\ntheme = 1\n", "line 1, `tuii`: unknown key, ignored; did you mean `tui`?"),
        ("zzzzqqqq = 1", "`zzzzqqqq`: unknown key, ignored"),
        ("[model_providers.x.auth]\ncommand = 'a'\n", "keys from a command are not supported"),
        ('model_reasoning_effort = "enormous"', '"enormous" is unusual'),
    ],
)
def test_what_is_not_known_is_one_warning_and_never_an_error(text: str, warning: str) -> None:
    [only] = parse_config(text, PATH).warnings
    assert warning in only
    assert str(PATH) in only


def test_control_characters_of_a_file_do_not_reach_a_message() -> None:
    error = refusal('sandbox_mode = "a\\u001b[31m\\nb"')
    assert str(error).isprintable()
    [warning] = parse_config('"a\\u001b\\nb" = 1', PATH).warnings
    assert warning.isprintable()


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config_file(path)


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b'model = "a"\n# caf\xe9\n')
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        read_config_file(path)
    assert caught.value.line == 2


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b'\xef\xbb\xbfmodel = "a"\r\nmodle = 1\r\n')
    file = read_config_file(path)
    assert file.table["model"] == "a"
    assert "line 2" in file.warnings[0]


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="bytes long"):
        read_config_file(path)


LINES = r"""
model = "a" # [features]
developer_instructions = QQQ
model_provider = "not this one"
[profiles.x]
QQQ
notify = [
  "sandbox_mode = 1",
  ["]", "profiles"], # ]
  ["sandbox_mode"],
]
model_providers . "b.c" = { name = 1, base_url = "x" }

[ profiles . 'x y' ]
model = 2
[[hooks.list]]
name = 3
[model_providers.a]
base_url = '''
name = 4
'''
name = 5
model_provider = 6
""".lstrip().replace("QQQ", '"' * 3)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (["model"], 1),
        (["model_provider"], None),
        (["sandbox_mode"], None),
        (["notify"], 6),
        (["model_providers", "b.c"], 11),
        (["model_providers", "b.c", "base_url"], 11),
        (["model_providers"], 11),
        (["profiles"], 13),
        (["profiles", "x y", "model"], 14),
        (["profiles", "x y", "missing"], 13),
        (["hooks", "list", "name"], 16),
        (["model_providers", "a", "name"], 21),
        (["model_providers", "a", "model_provider"], 22),
        (["missing"], None),
    ],
)
def test_the_line_of_a_key_is_found(path: list[str], line: int | None) -> None:
    tomllib.loads(LINES)
    assert find_key_line(LINES, path) == line


@given(st.text(alphabet="ab\"'\n=[]{}.,# \\\\1_é", max_size=60))
@example("a.b = 1\n[a.c]\n")
@example('"" = 1')
def test_any_text_is_read_or_refused_and_every_key_has_a_line(text: str) -> None:
    lines: list[int | None] = [1]
    try:
        lines += [find_key_line(text, [key]) for key in parse_config(text, PATH).table]
    except ConfigError as error:
        lines.append(error.line)
    assert all(line is not None and 1 <= line <= text.count("\n") + 1 for line in lines)


KEYS = st.sampled_from(
    [
        "model",
        "profile",
        "profiles",
        "profiles.p",
        "model_providers",
        "model_providers.p",
        "model_providers.p.env_key",
        "model_providers.p.http_headers",
        "sandbox_workspace_write",
        "offline_pace",
        "features.a.b",
        "nonsense",
    ]
)
VALUES = st.sampled_from(
    ["1", "-1.5", "inf", '"p"', '"on-failure"', "true", "[]", "[[1]]", "{}", "{p = {a = 1}}", "1:2"]
)


@given(st.lists(st.tuples(KEYS, VALUES), max_size=4), st.lists(KEYS, max_size=2))
def test_documents_of_known_keys_never_fail_otherwise(
    pairs: list[tuple[str, str]], headers: list[str]
) -> None:
    text = "\n".join(f"{key} = {value}" for key, value in pairs)
    text += "".join(f"\n[{header}]\nname = 1" for header in headers)
    line: int | None = 1
    try:
        parse_config(text, PATH)
    except ConfigError as error:
        line = error.line
    assert line is not None


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 5000, "a" + ".a" * 3000 + " = 1", "a = " + "9" * 5000, "\0", "a = '\0'"],
)
def test_hostile_documents_do_not_crash(text: str) -> None:
    try:
        parse_config(text, PATH)
    except ConfigError:
        return


@pytest.mark.parametrize(("text", "value"), [("1", 1), ('"x"', "x"), ("{a = [1]}", {"a": [1]})])
def test_a_toml_value_is_parsed(text: str, value: Any) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize("text", ["word", "1\nother = 2", "1\n[table]", "[" * 5000, ""])
def test_what_is_not_one_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_value(text)
