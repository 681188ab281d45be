"""What a plan shows and refuses; and that planning touches nothing."""

import contextlib
import os
from pathlib import Path

import pytest

from codex_jupyter.errors import PatchError
from codex_jupyter.tools.apply_patch import (
    MAX_FILE_BYTES,
    PatchPlan,
    parse_patch,
    plan_patch,
)


def plan(workspace: Path, body: str, cwd: Path | None = None) -> PatchPlan:
    return plan_patch(parse_patch(f"*** Begin Patch\n{body}*** End Patch\n"), workspace, cwd=cwd)


def shown(result: PatchPlan) -> list[tuple[str, str, str | None, bytes | None, bytes | None]]:
    top = result.workspace
    return [
        (
            change.kind,
            change.path.relative_to(top).as_posix(),
            change.move_path and change.move_path.relative_to(top).as_posix(),
            change.old,
            change.new,
        )
        for change in result.changes
    ]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    top = tmp_path / "ws"
    (top / "src").mkdir(parents=True)
    (top / "a.txt").write_bytes(b"one\ntwo\n")
    (top / "src" / "b.txt").write_bytes(b"b\n")
    return top


UPDATE_A = "*** Update File: a.txt\n-one\n+ONE\n"
ADD_N = "*** Add File: n.txt\n+n\n"

COMPOSED = {
    "two updates": (
        UPDATE_A + "*** Update File: a.txt\n-ONE\n+1\n",
        [("update", "a.txt", None, b"one\ntwo\n", b"1\ntwo\n")],
    ),
    "add then update": (
        ADD_N + "*** Update File: n.txt\n n\n+m\n",
        [("add", "n.txt", None, None, b"n\nm\n")],
    ),
    "move": (
        "*** Update File: a.txt\n*** Move to: d/c.txt\n-one\n+ONE\n",
        [("update", "a.txt", "d/c.txt", b"one\ntwo\n", b"ONE\ntwo\n")],
    ),
    "update then move": (
        UPDATE_A + "*** Update File: a.txt\n*** Move to: c.txt\n-two\n+2\n",
        [("update", "a.txt", "c.txt", b"one\ntwo\n", b"ONE\n2\n")],
    ),
    "move twice": (
        "*** Update File: a.txt\n*** Move to: c\n-one\n+1\n"
        "*** Update File: c\n*** Move to: d\n-two\n+2\n",
        [("update", "a.txt", "d", b"one\ntwo\n", b"1\n2\n")],
    ),
    "move and back": (
        "*** Update File: a.txt\n*** Move to: c\n-one\n+1\n"
        "*** Update File: c\n*** Move to: a.txt\n-two\n+2\n",
        [("update", "a.txt", None, b"one\ntwo\n", b"1\n2\n")],
    ),
    "move then delete": (
        "*** Update File: a.txt\n*** Move to: c\n-one\n+1\n*** Delete File: c\n",
        [("delete", "a.txt", None, b"one\ntwo\n", None)],
    ),
    "delete then add": (
        "*** Delete File: a.txt\n*** Add File: a.txt\n+new\n",
        [("update", "a.txt", None, b"one\ntwo\n", b"new\n")],
    ),
    "delete then move over": (
        "*** Delete File: a.txt\n*** Update File: src/b.txt\n*** Move to: a.txt\n-b\n+c\n",
        [
            ("update", "a.txt", None, b"one\ntwo\n", b"c\n"),
            ("delete", "src/b.txt", None, b"b\n", None),
        ],
    ),
    "move away then add": (
        "*** Update File: a.txt\n*** Move to: c\n-one\n+1\n*** Add File: a.txt\n+new\n",
        [
            ("update", "a.txt", None, b"one\ntwo\n", b"new\n"),
            ("add", "c", None, None, b"1\ntwo\n"),
        ],
    ),
    "add then delete": (
        UPDATE_A + ADD_N + "*** Delete File: n.txt\n",
        [("update", "a.txt", None, b"one\ntwo\n", b"ONE\ntwo\n")],
    ),
    "other spelling of one path": (
        UPDATE_A + "*** Update File: ./src/../a.txt\n-two\n+2\n",
        [("update", "a.txt", None, b"one\ntwo\n", b"ONE\n2\n")],
    ),
    "an undone change is dropped": (
        UPDATE_A + "*** Update File: a.txt\n-ONE\n+one\n" + ADD_N,
        [("add", "n.txt", None, None, b"n\n")],
    ),
    "an empty file": ("*** Add File: e\n", [("add", "e", None, None, b"")]),
}


@pytest.mark.parametrize(("body", "changes"), COMPOSED.values(), ids=list(COMPOSED))
def test_sections_compose_and_everything_is_shown(
    workspace: Path, body: str, changes: list[object]
) -> None:
    assert shown(plan(workspace, body)) == changes


def test_planning_touches_nothing(workspace: Path) -> None:
    before = {path: path.stat() for path in [workspace, *workspace.rglob("*")]}

    plan(workspace, UPDATE_A + ADD_N + "*** Delete File: src/b.txt\n")

    after = {path: path.stat() for path in [workspace, *workspace.rglob("*")]}
    assert {p: (s.st_mtime_ns, s.st_size) for p, s in after.items()} == {
        p: (s.st_mtime_ns, s.st_size) for p, s in before.items()
    }


def test_the_wire_form_is_that_of_a_file_change_item(workspace: Path) -> None:
    result = plan(
        workspace,
        ADD_N
        + "*** Update File: a.txt\n*** Move to: c\n-one\n+1\n"
        + "*** Delete File: src/b.txt\n",
    )

    assert [change.wire() for change in result.changes] == [
        {"path": f"{workspace}/n.txt", "kind": {"type": "add"}, "diff": "n\n"},
        {
            "path": f"{workspace}/a.txt",
            "kind": {"type": "update", "move_path": f"{workspace}/c"},
            "diff": "@@ -1,2 +1,2 @@\n-one\n+1\n two\n",
        },
        {"path": f"{workspace}/src/b.txt", "kind": {"type": "delete"}, "diff": "b\n"},
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("*** Add File: a.txt\n+x\n", "patch line 2: a.txt already exists"),
        (ADD_N + ADD_N, "patch line 4: n.txt already exists"),
        ("*** Update File: src/b.txt\n*** Move to: a.txt\n-b\n+c\n", "a.txt already exists"),
        ("*** Delete File: no\n", "patch line 2: cannot delete no, there is no such file"),
        ("*** Update File: no\n-x\n", "patch line 2: cannot update no, there is no such file"),
        ("*** Delete File: a.txt\n" + UPDATE_A, "patch line 3: cannot update a.txt"),
        ("*** Update File: a.txt\n-nope\n", "^a.txt: the lines of the chunk"),
        ("*** Update File: a.txt\n-one\n+one\n", "the patch changes nothing"),
        (ADD_N + "*** Delete File: n.txt\n", "the patch changes nothing"),
        ("*** Add File: src\n+x\n", "src cannot be read: it is not a regular file"),
        ("*** Add File: fifo\n+x\n", "fifo cannot be read: it is not a regular file"),
        ("*** Add File: a.txt/x\n+x\n", "a.txt is not a directory"),
        ("*** Add File: n/x\n+x\n*** Add File: n\n+x\n", "a file and a directory at once"),
        ("*** Delete File: bin\n*** Add File: bin/x\n+x\n", "bin is not a directory"),
        ("*** Update File: bin\n-x\n", "bin is not UTF-8 text .byte 1."),
        ("*** Delete File: huge\n", f"huge cannot be read: it is larger than {MAX_FILE_BYTES}"),
        (f"*** Add File: {'n' * 300}\n+x\n", "File name too long"),
        ("*** Add File: .codex-patch-x\n+x\n", "reserved"),
        ("*** Add File: new/\n+x\n", "names a directory"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_reason(workspace: Path, body: str, said: str) -> None:
    (workspace / "bin").write_bytes(b"a\xff\n")
    os.mkfifo(workspace / "fifo")
    os.truncate(os.open(workspace / "huge", os.O_CREAT | os.O_WRONLY), MAX_FILE_BYTES + 1)

    with pytest.raises(PatchError, match=said):
        plan(workspace, body)


@pytest.mark.parametrize(
    "name",
    ["../out.txt", "src/../../out.txt", "/etc/passwd", "/proc/self/cwd/a.txt", "..", ".", "src/..",
     "//etc/x", "../ws2/a.txt"],
)  # fmt: skip
def test_a_path_outside_the_workspace_is_refused(workspace: Path, name: str) -> None:
    with pytest.raises(PatchError, match="not a file inside the workspace"):
        plan(workspace, f"*** Add File: {name}\n+x\n")
    with pytest.raises(PatchError, match="not a file inside the workspace"):
        plan(workspace, f"*** Update File: a.txt\n*** Move to: {name}\n-one\n")


def test_a_tilde_is_not_taken_for_a_directory(workspace: Path) -> None:
    with pytest.raises(PatchError, match="not expanded"):
        plan(workspace, "*** Add File: ~/x\n+x\n")


def test_absolute_paths_and_paths_from_a_cwd_may_lie_inside(workspace: Path) -> None:
    link = workspace.parent / "link"
    link.symlink_to(workspace)

    absolute = plan(workspace, f"*** Update File: {workspace}/a.txt\n-one\n+x\n")
    through_link = plan(link, f"*** Update File: {workspace}/a.txt\n-one\n+x\n")
    from_cwd = plan(workspace, "*** Update File: b.txt\n-b\n+c\n", Path("src"))
    upward = plan(workspace, "*** Update File: ../a.txt\n-one\n+c\n", workspace / "src")

    assert absolute.changes[0].path == workspace / "a.txt"
    assert through_link.changes[0].path == link / "a.txt"
    assert from_cwd.changes[0].path == workspace / "src" / "b.txt"
    assert upward.changes[0].path == workspace / "a.txt"
    with pytest.raises(PatchError, match="not a file inside"):
        plan(workspace, "*** Update File: x\n-b\n+c\n", Path(".."))


@pytest.mark.parametrize("name", ["dir/x", "file", "inside/b.txt", "dangling"])
def test_symbolic_links_are_never_followed(workspace: Path, name: str) -> None:
    outside = workspace.parent / "outside"
    outside.mkdir()
    (outside / "x").write_text("x\n")
    (workspace / "dir").symlink_to(outside)
    (workspace / "inside").symlink_to("src")
    (workspace / "file").symlink_to(outside / "x")
    (workspace / "dangling").symlink_to(outside / "new")

    for body in (
        f"*** Update File: {name}\n-x\n+y\n",
        f"*** Add File: {name}\n+y\n",
        f"*** Delete File: {name}\n",
        f"*** Update File: a.txt\n*** Move to: {name}\n-one\n",
    ):
        with pytest.raises(PatchError, match="symbolic link"):
            plan(workspace, body)


@pytest.mark.parametrize(
    "name",
    [".git/config", ".GIT/hooks/x", "src/.vscode/tasks.json", ".codex/config.toml", ".agents",
     ".jupyter/x.py", ".g\u200bit/config", ".git./x", "git~1/config", ".envrc"],
)  # fmt: skip
def test_protected_names_ask_whether_or_not_they_exist(workspace: Path, name: str) -> None:
    (ask,) = plan(workspace, f"*** Add File: {name}\n+x\n").asks
    (move,) = plan(workspace, f"*** Update File: a.txt\n*** Move to: {name}\n-one\n").asks

    assert ask == move
    assert ask.startswith(f"{name} is in or named like the protected ")


@pytest.mark.parametrize("name", [".gitignore", ".github/x", "git/x", "codex", "~x.py"[1:]])
def test_ordinary_names_do_not_ask(workspace: Path, name: str) -> None:
    assert plan(workspace, f"*** Add File: {name}\n+x\n").asks == ()


def test_a_hard_linked_file_asks(workspace: Path) -> None:
    os.link(workspace / "a.txt", workspace.parent / "outside.txt")

    (ask,) = plan(workspace, UPDATE_A).asks

    assert ask.startswith("a.txt has 2 hard links")
    assert plan(workspace, ADD_N).asks == ()


def test_two_names_of_one_file_are_refused(workspace: Path) -> None:
    os.link(workspace / "a.txt", workspace / "c.txt")

    with pytest.raises(PatchError, match=r"c\.txt and a\.txt are the same file"):
        plan(workspace, UPDATE_A + "*** Update File: c.txt\n-two\n+2\n")


def test_the_digest_changes_with_every_effect(workspace: Path, tmp_path: Path) -> None:
    bodies = [body for body, _ in COMPOSED.values()]
    digests = {body: plan(workspace, body).digest for body in bodies}

    assert len(set(digests.values())) == len(bodies)
    assert digests[COMPOSED["add then delete"][0]] == plan(workspace, UPDATE_A).digest
    (workspace / "a.txt").write_bytes(b"one\ntwo!\n")
    assert plan(workspace, UPDATE_A).digest != digests[COMPOSED["add then delete"][0]]


def test_a_workspace_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PatchError, match="cannot be opened"):
        plan(tmp_path / "no", ADD_N)


def test_plans_leave_no_descriptor_open(workspace: Path) -> None:
    listing = Path("/proc/self/fd")
    if not listing.exists():
        pytest.skip("needs /proc")
    os.mkfifo(workspace / "fifo")
    before = len(list(listing.iterdir()))
    for body in (UPDATE_A, "*** Add File: fifo\n+x\n", "*** Add File: a.txt/b/c\n+x\n"):
        with contextlib.suppress(PatchError):
            plan(workspace, body)

    assert len(list(listing.iterdir())) == before
