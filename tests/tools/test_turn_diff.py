"""The diff of a turn."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codex_jupyter.errors import PatchError
from codex_jupyter.tools.apply_patch import apply_plan, parse_patch, plan_patch
from codex_jupyter.tools.turn_diff import TurnDiff


class Turn:
    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.diff = TurnDiff(workspace)

    def patch(self, body: str) -> str:
        text = f"*** Begin Patch\n{body}*** End Patch\n"
        plan = plan_patch(parse_patch(text), self.workspace)
        apply_plan(plan)
        self.diff.record(plan)
        return self.diff.unified()


@pytest.fixture
def turn(tmp_path: Path) -> Turn:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    return Turn(tmp_path)


def test_a_new_file_looks_as_a_real_server_shows_it(turn: Turn) -> None:
    assert turn.patch("*** Add File: hello.txt\n+hello\n+world\n") == (
        "diff --git a/hello.txt b/hello.txt\n"
        "new file mode 100644\n"
        "index 0000000000000000000000000000000000000000..94954abda49de8615a048f8d2e64b5de848e27a1\n"
        "--- /dev/null\n"
        "+++ b/hello.txt\n"
        "@@ -0,0 +1,2 @@\n"
        "+hello\n"
        "+world\n"
    )


def test_nothing_recorded_is_an_empty_diff(turn: Turn) -> None:
    assert turn.diff.unified() == ""


def test_patches_of_one_file_are_one_diff_from_the_first_baseline(turn: Turn) -> None:
    turn.patch("*** Update File: a.txt\n-one\n+1\n")

    diff = turn.patch("*** Update File: a.txt\n-two\n+2\n")

    assert diff == (
        "diff --git a/a.txt b/a.txt\n"
        "index 814f4a422927b82f5f8a43f8fab6d3839e3983f2..1191247b6d9a206f6ba3d8ac79e26d041dd86941\n"
        "--- a/a.txt\n"
        "+++ b/a.txt\n"
        "@@ -1,2 +1,2 @@\n-one\n-two\n+1\n+2\n"
    )


def test_a_file_back_at_its_baseline_disappears(turn: Turn) -> None:
    turn.patch("*** Update File: a.txt\n-one\n+1\n*** Add File: n\n+n\n")

    diff = turn.patch("*** Update File: a.txt\n-1\n+one\n*** Delete File: n\n")

    assert diff == ""


def test_deleting_and_adding_again_is_an_update(turn: Turn) -> None:
    assert "deleted file mode 100644\n" in turn.patch("*** Delete File: a.txt\n")
    assert turn.patch("*** Add File: a.txt\n+one\n+two\n") == ""


def test_a_move_is_a_rename_and_a_move_back_is_nothing(turn: Turn) -> None:
    diff = turn.patch("*** Update File: a.txt\n*** Move to: d/b c.txt\n-one\n+1\n")

    assert diff.startswith(
        "diff --git a/a.txt b/d/b c.txt\nrename from a.txt\nrename to d/b c.txt\nindex 814f4a4"
    )
    assert "\n--- a/a.txt\n+++ b/d/b c.txt\t\n@@" in diff
    assert turn.patch("*** Update File: d/b c.txt\n*** Move to: a.txt\n-1\n+one\n") == ""


def test_a_rename_ends_when_its_old_name_is_used_again(turn: Turn) -> None:
    turn.patch("*** Update File: a.txt\n*** Move to: b.txt\n-one\n+1\n")

    diff = turn.patch("*** Add File: a.txt\n+new\n")

    assert "rename" not in diff
    assert "diff --git a/a.txt b/a.txt\nindex " in diff
    assert "diff --git a/b.txt b/b.txt\nnew file mode" in diff
    again = turn.patch("*** Delete File: a.txt\n")
    assert "rename from a.txt\nrename to b.txt\n" in again


def test_a_moved_file_that_is_deleted_is_missing_under_its_old_name(turn: Turn) -> None:
    turn.patch("*** Update File: a.txt\n*** Move to: c.txt\n-one\n+1\n")

    diff = turn.patch("*** Delete File: c.txt\n")

    assert diff.startswith("diff --git a/a.txt b/a.txt\ndeleted file mode 100644\n")


def test_a_new_file_that_moves_is_a_new_file(turn: Turn) -> None:
    turn.patch("*** Add File: n\n+n\n")

    diff = turn.patch("*** Update File: n\n*** Move to: m\n-n\n+m\n")

    assert diff.startswith("diff --git a/m b/m\nnew file mode 100644\n")
    assert "a/n" not in diff


def test_binary_files_are_named_only(turn: Turn) -> None:
    (turn.workspace / "bin").write_bytes(b"\xff\xfe")

    assert turn.patch("*** Delete File: bin\n").endswith(
        "Binary files a/bin and /dev/null differ\n"
    )


def test_an_executable_keeps_its_mode(turn: Turn) -> None:
    (turn.workspace / "a.txt").chmod(0o755)

    assert "deleted file mode 100755\n" in turn.patch("*** Delete File: a.txt\n")


def test_only_touched_files_are_compared_again(turn: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    turn.patch("*** Update File: a.txt\n-one\n+1\n")
    compared: list[str] = []

    def counting(old: str, new: str) -> str:
        compared.append(new)
        return "@@ counted\n"

    monkeypatch.setattr("codex_jupyter.tools.turn_diff.unified_hunks", counting)
    diff = turn.patch("*** Add File: n\n+n\n")
    turn.diff.unified()

    assert compared == ["n\n"]
    assert "-one" in diff


NAMES = ["a.txt", "b", "d/c d", 'q"\\x', "ä"]
STEP = st.tuples(
    st.sampled_from(["add", "delete", "update", "move", "swap"]),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.integers(0, 2),
)


def body(step: tuple[str, str, str, int], workspace: Path) -> str:
    kind, name, other, value = step
    first = (workspace / name).read_text().split("\n")[0] if (workspace / name).is_file() else "x"
    match kind:
        case "add":
            return f"*** Add File: {name}\n+{value}\n+same\n"
        case "delete":
            return f"*** Delete File: {name}\n"
        case "update":
            return f"*** Update File: {name}\n-{first}\n+{value}\n"
        case "move":
            return f"*** Update File: {name}\n*** Move to: {other}\n-{first}\n+{value}\n"
        case _:
            return f"*** Delete File: {name}\n*** Add File: {name}\n+{value}\n"


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
@given(st.lists(STEP, max_size=8), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_git_can_apply_the_diff_to_the_baseline(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str, int]], often: bool
) -> None:
    home = tmp_path_factory.mktemp("turn")
    for top in (home / "now", home / "base"):
        top.mkdir()
        (top / "a.txt").write_text("0\nsame\n")
        (top / "b").write_text("b\nsame\nrest\n")
        (top / "b").chmod(0o755)
    turn = Turn(home / "now")
    for step in steps:
        try:
            text = f"*** Begin Patch\n{body(step, turn.workspace)}*** End Patch\n"
            plan = plan_patch(parse_patch(text), turn.workspace)
        except PatchError:
            continue
        apply_plan(plan)
        turn.diff.record(plan)
        if often:
            turn.diff.unified()

    diff = turn.diff.unified()
    if diff:
        # without an index of its own, git would look for a repository above and skip the files
        command = ["git", f"--git-dir={home}/none", "apply", "-p1", "-"]
        subprocess.run(command, cwd=home / "base", input=diff.encode(), check=True)
    assert files(home / "base") == files(home / "now")


def files(top: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        path.relative_to(top).as_posix(): (path.read_bytes(), os.access(path, os.X_OK))
        for path in top.rglob("*")
        if path.is_file()
    }
