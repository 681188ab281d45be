"""Tasks that other processes do: which attempt is due, and under which settings it is done."""

from pathlib import Path
from typing import Any

import pytest

from codex_jupyter.errors import UsageError
from codex_jupyter.notebook.remote_task import (
    RemoteTask,
    attempt_id,
    choose_attempt,
    thread_params,
)
from codex_jupyter.settings import Settings

THREAD = "01a221f5-071d-7f2b-98e6-dd6b1b84a59e"


def settings(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "config.toml").write_text(text)
    environ = {"CODEX_JUPYTER_HOME": str(tmp_path), "CODEX_JUPYTER_MODEL_PROVIDER": "offline"}
    return Settings.load(environ=environ)


def params(tmp_path: Path, text: str, **task: Any) -> dict[str, Any]:
    remote = RemoteTask("host", THREAD, task, "deny", "topic")
    return thread_params(remote, settings(tmp_path, text))


@pytest.mark.parametrize(
    ("statuses", "number", "does"),
    [
        ([], 0, "begin"),
        (["completed"], 0, "show"),
        (["inProgress"], 0, "attach"),
        (["interrupted"], 1, "begin"),
        (["failed"], 1, "begin"),
        (["interrupted", "completed"], 1, "show"),
        (["interrupted", "interrupted"], 2, "begin"),
    ],
)
def test_the_newest_attempt_decides(statuses: list[str], number: int, does: str) -> None:
    known = {attempt_id(THREAD, n): status for n, status in enumerate(statuses)}
    attempt = choose_attempt(THREAD, {"another": "completed", **known})
    assert (attempt.turn_id, attempt.does) == (attempt_id(THREAD, number), does)


FLAGS = {
    "sandbox_approval": True,
    "rules": True,
    "mcp_elicitations": False,
    "request_permissions": False,
    "skill_approval": False,
}


@pytest.mark.parametrize(
    ("config", "task", "approval", "sandbox"),
    [
        ("", {}, "on-request", "workspace-write"),
        ("", {"approvalPolicy": "never"}, "never", "workspace-write"),
        (
            "",
            {"approvalPolicy": "never", "sandboxPolicy": {"type": "readOnly"}},
            "never",
            "read-only",
        ),
        ("", {"role": "explorer"}, "on-request", "read-only"),
        # What the worker's own settings refuse stays refused, and what they ask is asked.
        ('approval_policy = "never"', {"approvalPolicy": "on-request"}, "never", "workspace-write"),
        (
            "",
            {"approvalPolicy": {"granular": {**FLAGS, "rules": False}}},
            {"granular": {**FLAGS, "rules": False}},
            "workspace-write",
        ),
        (
            'approval_policy = "untrusted"',
            {"approvalPolicy": {"granular": FLAGS}},
            {"granular": {**FLAGS, "base": "untrusted"}},
            "workspace-write",
        ),
        (
            'sandbox_mode = "danger-full-access"',
            {"approvalPolicy": "never"},
            "on-request",
            "danger-full-access",
        ),
    ],
)
def test_a_task_is_allowed_no_more_than_its_worker(
    tmp_path: Path, config: str, task: dict[str, Any], approval: Any, sandbox: str
) -> None:
    asked = params(tmp_path, config, **task)
    assert (asked["approvalPolicy"], asked["sandbox"]) == (approval, sandbox)


def test_what_a_task_names_is_asked_for(tmp_path: Path) -> None:
    asked = params(
        tmp_path,
        'developer_instructions = "Be brief."',
        model="m",
        effort="high",
        cwd="/data",
        role="explorer",
    )
    assert (asked["model"], asked["cwd"], asked["threadId"]) == ("m", "/data", THREAD)
    assert asked["config"] == {"model_reasoning_effort": "high"}
    assert asked["developerInstructions"].startswith("Be brief.\n\nFind out")


def test_a_role_that_the_worker_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the worker knows no role 'x'; .* default, explorer"):
        params(tmp_path, "", role="x")
