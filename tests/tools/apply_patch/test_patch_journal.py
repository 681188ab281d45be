"""All or nothing at every possible failure and kill, and the recovery afterwards."""

import contextlib
import fcntl
import os
from pathlib import Path

import pytest

from codex_jupyter.errors import PatchError
from codex_jupyter.tools.apply_patch import apply_plan, recover_workspace
from tests.tools.apply_patch.faults import FIVE, FaultyOps, Killed, make, plan, tree, update


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make(tmp_path, "ws")


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
@pytest.mark.parametrize("how", ["before", "after", "torn"])
def test_a_failure_at_any_operation_leaves_the_old_tree_or_the_new(
    tmp_path: Path, how: str, links: bool
) -> None:
    """Most failures undo everything; one while sweeping up cannot make an applied patch fail."""
    outcomes: list[str] = []
    at = 0
    while not outcomes or outcomes[-1] != "untouched":
        at += 1
        workspace = make(tmp_path, f"ws{at}")
        before = tree(workspace)
        shown = plan(workspace)
        ops = FaultyOps(at, how, links=links)
        try:
            apply_plan(shown, ops)
        except PatchError as caught:
            error = str(caught)
            assert tree(workspace) == before, at
            assert "undoing it failed" not in error
            outcomes.append("undone")
        else:
            if ops.failed or ops.count < at:  # else the operation failed by itself, as planned
                outcomes.append("applied" if ops.failed else "untouched")
            assert (workspace / "bin/run.sh").read_bytes() == b"printf\n"
            recover_workspace(workspace)
            assert not [name for name in tree(workspace) if ".codex-patch-" in name], at
            assert len([path for path in workspace.rglob("*") if path.is_file()]) == 4

    assert outcomes == sorted(outcomes, key=["undone", "applied", "untouched"].index)
    assert outcomes.count("undone") > 40
    assert "applied" in outcomes


@pytest.mark.parametrize("how", ["kill", "kill torn"])
def test_after_a_kill_at_any_operation_recovery_gives_the_old_tree_or_the_new(
    tmp_path: Path, how: str
) -> None:
    text = FIVE.replace(".vscode", "other")
    reference = make(tmp_path, "reference")
    apply_plan(plan(reference, text))
    new = tree(reference)
    seen: list[bool] = []
    at = 0
    while True:
        at += 1
        workspace = make(tmp_path, f"ws{at}")
        old = tree(workspace)
        try:
            apply_plan(plan(workspace, text), FaultyOps(at, how))
            break
        except Killed:
            pass
        again = 0
        while True:  # recovery may be killed as well, at every operation
            again += 1
            try:
                recover_workspace(workspace, FaultyOps(again, "kill"))
                break
            except Killed:
                pass
        assert tree(workspace) in (old, new), at
        seen.append(tree(workspace) == new)

    assert seen == sorted(seen)
    assert {True, False} == set(seen)


def test_the_next_patch_recovers_first(workspace: Path) -> None:
    kill_between_commits(workspace)
    assert (workspace / "a.txt").read_bytes() == b"ONE\ntwo\n"

    with pytest.raises(PatchError, match="changed since"):
        apply_plan(plan(workspace, update("a.txt", "ONE", "x")))

    assert (workspace / "a.txt").read_bytes() == b"one\ntwo\n"
    assert not list(workspace.glob(".codex-patch-*"))


def kill_between_commits(workspace: Path) -> None:
    """Leave a workspace in which a.txt is new, src/b.txt gone and n.txt not yet there."""
    text = (
        "*** Begin Patch\n*** Update File: a.txt\n-one\n+ONE\n*** Delete File: src/b.txt\n"
        "*** Add File: n.txt\n+n\n*** End Patch\n"
    )
    before = make(workspace.parent, f"{workspace.name}-probe")
    at = 0
    while True:
        at += 1
        with contextlib.suppress(Killed):
            apply_plan(plan(before, text), FaultyOps(at, "kill"))
        if (before / "a.txt").read_bytes() == b"ONE\ntwo\n" and not (before / "src/b.txt").exists():
            break
        recover_workspace(before)
    with pytest.raises(Killed):
        apply_plan(plan(workspace, text), FaultyOps(at, "kill"))


def test_recovery_keeps_what_the_user_wrote_after_the_crash(workspace: Path) -> None:
    kill_between_commits(workspace)
    (workspace / "a.txt").write_text("mine\n")
    (workspace / "src" / "b.txt").write_text("mine too\n")

    assert recover_workspace(workspace) == 1

    assert (workspace / "a.txt").read_text() == "mine\n"
    assert (workspace / "src" / "b.txt").read_text() == "mine too\n"
    assert not list(workspace.rglob(".codex-patch-*"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"[]",
        b'{"steps": [[["..", "x"], true, null]], "directories": []}',
        b'{"steps": [[["a/../../x"], false, null]], "directories": []}',
        b'{"steps": 1, "directories": []}',
        b'{"steps": [], "directories": [[]]}',
    ],
)
def test_a_journal_that_makes_no_sense_is_removed_and_does_nothing(
    workspace: Path, content: bytes
) -> None:
    before = tree(workspace)
    (workspace / f".codex-patch-{'0' * 32}.journal").write_bytes(content)

    recover_workspace(workspace)

    assert tree(workspace) == before


def test_a_forged_journal_cannot_change_protected_names(workspace: Path) -> None:
    token = "0" * 32
    empty = workspace / ".git" / "refs"
    empty.mkdir(parents=True)
    (workspace / f".codex-patch-{token}-0.old").write_text("evil\n")
    (workspace / f".codex-patch-{token}.journal").write_text(
        '{"steps": [[[".envrc"], true, null]], "directories": [[".git", "refs"]]}'
    )

    recover_workspace(workspace)

    assert empty.is_dir()
    assert not (workspace / ".envrc").exists()
    assert not list(workspace.glob(".codex-patch-*"))


def test_a_forged_journal_that_is_a_link_is_left_alone(workspace: Path) -> None:
    link = workspace / f".codex-patch-{'0' * 32}.journal"
    link.symlink_to(workspace / "a.txt")

    apply_plan(plan(workspace, update("a.txt", "one", "1")))

    assert link.is_symlink()


def test_recovery_does_not_disturb_a_patch_that_is_being_applied(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_jupyter.tools.apply_patch.beneath._LOCK_TIMEOUT", 0.02)
    holder = os.open(workspace, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(PatchError, match="another patch"):
            recover_workspace(workspace)
        with pytest.raises(PatchError, match="another patch"):
            apply_plan(plan(workspace))
    finally:
        os.close(holder)
    assert recover_workspace(workspace) == 0
