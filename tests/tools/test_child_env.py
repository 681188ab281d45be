from codex_jupyter.tools.child_env import TAG_VARIABLE, child_environment, secret_values

PARENT = {
    "PATH": "/usr/bin",
    "HOME": "/home/ada",
    "NO_COLOR": "1",
    "PAGER": "less",
    "TERM": "xterm-256color",
    "OPENAI_API_KEY": "sk-canary-1",
    "JUPYTER_TOKEN": "canary-token-2",
    "JUPYTERHUB_API_TOKEN": "canary-token-3",
    "db_password": " canary-pass-4 ",
    "MYSQL_PASSWD": "short",
    "AWS_SECRET_ACCESS_ID": "canary-aws-5",
    "GOOGLE_APPLICATION_CREDENTIALS": "/home/ada/key.json",
    "JPY_PARENT_PID": "17",
    "JPY_API_SESSION": "x",
    "CODEX_JUPYTER_HOME": "/x",
    "codex_jupyter_port": "1",
    "BASH_ENV": "/home/ada/hang.sh",
    "ENV": "/home/ada/hang.sh",
}


def test_a_command_sees_no_secret_and_nothing_of_ours() -> None:
    env = child_environment(PARENT, "turn1")
    assert env == {
        "PATH": "/usr/bin",
        "HOME": "/home/ada",
        "NO_COLOR": "1",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "TERM": "dumb",
        TAG_VARIABLE: "turn1",
    }


def test_the_parent_is_left_as_it_was() -> None:
    before = dict(PARENT)
    child_environment(PARENT, "turn1")
    assert before == PARENT


def test_the_tag_of_an_outer_agent_stays_in_front() -> None:
    assert child_environment({TAG_VARIABLE: "outer"}, "inner")[TAG_VARIABLE] == "outer:inner"


def test_secret_values_are_those_long_enough_to_be_struck_out() -> None:
    assert secret_values(PARENT) == {
        "sk-canary-1",
        "canary-token-2",
        "canary-token-3",
        "canary-pass-4",
        "canary-aws-5",
        "/home/ada/key.json",
    }
