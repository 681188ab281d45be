"""Applying a plan: all of it or nothing, at every possible failure."""

import errno
import fcntl
import functools
import inspect
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.errors import PatchError
from codex_jupyter.tools.apply_patch import (
    FileOps,
    PatchPlan,
    apply_plan,
    parse_patch,
    plan_patch,
    recover_workspace,
)

OPERATIONS = [
    name
    for name, value in vars(FileOps).items()
    if inspect.isfunction(value) and not name.startswith("_")
]

FIVE = """*** Begin Patch
*** Update File: a.txt
-one
+ONE
*** Add File: new/deep/n.txt
+n
*** Delete File: src/b.txt
*** Update File: run.sh
*** Move to: bin/run.sh
-echo
+printf
*** Add File: src/.vscode/c
+c
*** End Patch
"""


class Killed(BaseException):
    """The process is gone: nothing it would still do happens."""


class FaultyOps(FileOps):
    """Real operations, one of which fails.

    ``before``: it fails without effect; ``after``: it takes effect and fails; ``torn``: a file
    is written in part; ``kill``: this one and all later ones do not happen.
    """

    def __init__(self, at: int, how: str, *, links: bool = True) -> None:
        self.count = 0
        self.failed = False
        self._links = links
        for name in OPERATIONS:
            setattr(self, name, functools.partial(self._step, at, how, getattr(super(), name)))

    def _step(self, at: int, how: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        name = real.__name__
        if how.startswith("kill") and self.count >= at:
            if how == "kill torn" and self.count == at and name == "create":
                real(args[0], args[1][: len(args[1]) // 2], *args[2:], **kwargs)
            raise Killed
        if name == "link" and not self._links:
            return False
        if self.count != at:
            return real(*args, **kwargs)
        if how == "torn" and name == "create":
            real(args[0], args[1][: len(args[1]) // 2], *args[2:], **kwargs)
        elif how == "after":
            result = real(*args, **kwargs)
            if name.startswith("open"):
                os.close(result)
        self.failed = True
        raise OSError(errno.EIO, "injected")


def tree(top: Path) -> dict[str, object]:
    return {
        path.relative_to(top).as_posix(): (
            path.readlink()
            if path.is_symlink()
            else (stat.S_IMODE(path.stat().st_mode), path.read_bytes() if path.is_file() else None)
        )
        for path in sorted(top.rglob("*"))
    }


def make(tmp_path: Path, name: str) -> Path:
    top = tmp_path / name
    (top / "src").mkdir(parents=True)
    (top / "a.txt").write_bytes(b"one\ntwo\n")
    (top / "src" / "b.txt").write_bytes(b"b\n")
    (top / "run.sh").write_bytes(b"echo\n")
    (top / "run.sh").chmod(0o751)
    return top


def plan(workspace: Path, text: str = FIVE) -> PatchPlan:
    return plan_patch(parse_patch(text), workspace)


def update(name: str, old: str, new: str) -> str:
    return f"*** Begin Patch\n*** Update File: {name}\n-{old}\n+{new}\n*** End Patch\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return make(tmp_path, "ws")


def test_a_patch_does_what_its_plan_shows(workspace: Path) -> None:
    summary = apply_plan(plan(workspace))

    assert summary == (
        "Success. Updated the following files:\n"
        "A new/deep/n.txt\nA src/.vscode/c\nM a.txt\nM bin/run.sh\nD src/b.txt\n"
    )
    files = {name: value for name, value in tree(workspace).items() if "." in name}
    assert files == {
        "a.txt": (stat.S_IMODE((workspace / "a.txt").stat().st_mode), b"ONE\ntwo\n"),
        "new/deep/n.txt": (0o666 & ~umask(), b"n\n"),
        "bin/run.sh": (0o751, b"printf\n"),
        "src/.vscode": (0o777 & ~umask(), None),
        "src/.vscode/c": (0o666 & ~umask(), b"c\n"),
    }


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_mode_and_set_id_bits_of_a_file_are_kept(workspace: Path) -> None:
    (workspace / "a.txt").chmod(0o4755)

    apply_plan(plan(workspace, update("a.txt", "one", "1")))

    assert stat.S_IMODE((workspace / "a.txt").stat().st_mode) == 0o4755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_of_a_file_is_kept(workspace: Path) -> None:
    os.chown(workspace / "a.txt", 1234, 2345)

    apply_plan(plan(workspace, update("a.txt", "one", "1")))

    status = (workspace / "a.txt").stat()
    assert (status.st_uid, status.st_gid) == (1234, 2345)


def test_another_name_of_a_hard_linked_file_keeps_its_content(workspace: Path) -> None:
    outside = workspace.parent / "outside"
    os.link(workspace / "a.txt", outside)

    apply_plan(plan(workspace, update("a.txt", "one", "1")))

    assert outside.read_bytes() == b"one\ntwo\n"
    assert (workspace / "a.txt").read_bytes() == b"1\ntwo\n"


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
        except PatchError as error:
            assert tree(workspace) == before, at
            assert "undoing it failed" not in str(error)
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
    for at in range(1, 200):
        try:
            apply_plan(plan(before, text), FaultyOps(at, "kill"))
        except Killed:
            pass
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
    assert not [path for path in workspace.rglob(".codex-patch-*")]


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


def replace_content(top: Path) -> None:
    (top / "src" / "b.txt").write_text("the user was here\n")


def remove_file(top: Path) -> None:
    (top / "src" / "b.txt").unlink()


def link_file(top: Path) -> None:
    (top / "src" / "b.txt").unlink()
    (top / "src" / "b.txt").symlink_to(top.parent / "outside" / "b.txt")


def link_directory(top: Path) -> None:
    (top / "src").rename(top / "moved")
    (top / "src").symlink_to(top.parent / "outside")


def occupy_new_name(top: Path) -> None:
    (top / "n.txt").write_text("mine\n")


def link_new_name(top: Path) -> None:
    (top / "n.txt").symlink_to(top.parent / "outside" / "n.txt")


def replace_workspace(top: Path) -> None:
    top.rename(top.parent / "old")
    top.symlink_to(top.parent / "old")
    (top.parent / "old").rename(top.parent / "older")
    make(top.parent, "old")


SWAPS = [
    replace_content, remove_file, link_file, link_directory, occupy_new_name, link_new_name,
    replace_workspace,
]  # fmt: skip
SWAP_PATCH = (
    "*** Begin Patch\n*** Update File: a.txt\n-one\n+1\n*** Update File: src/b.txt\n-b\n+B\n"
    "*** Add File: n.txt\n+n\n*** End Patch\n"
)


@pytest.mark.parametrize("swap", SWAPS)
def test_what_changed_after_it_was_shown_stops_the_whole_patch(
    workspace: Path, swap: Callable[[Path], None]
) -> None:
    outside = workspace.parent / "outside"
    outside.mkdir()
    (outside / "b.txt").write_bytes(b"b\n")
    shown = plan(workspace, SWAP_PATCH)
    swap(workspace)
    before = tree(workspace.parent)

    with pytest.raises(PatchError, match=r"changed since|symbolic link|another one"):
        apply_plan(shown)

    assert tree(workspace.parent) == before


@pytest.mark.parametrize("swap", SWAPS[:-1])
def test_a_swap_at_any_moment_of_the_apply_never_reaches_outside(
    tmp_path: Path, swap: Callable[[Path], None]
) -> None:
    """The user's text survives too, whenever it was written."""

    class SwappingOps(FaultyOps):
        def __init__(self, at: int, act: Callable[[], None]) -> None:
            self.act = act
            super().__init__(at, "swap")

        def _step(
            self, at: int, how: str, real: Callable[..., Any], *args: Any, **kwargs: Any
        ) -> Any:
            if self.count + 1 == at:
                self.act()
            return super()._step(0, how, real, *args, **kwargs)

    at = 0
    while True:
        at += 1
        home = tmp_path / str(at)
        workspace = make(home, "ws")
        (home / "outside").mkdir()
        (home / "outside" / "b.txt").write_bytes(b"b\n")
        shown = plan(workspace, SWAP_PATCH)

        def act(workspace: Path = workspace) -> None:
            try:
                swap(workspace)
            except OSError:  # the patch has already made the name
                pass

        ops = SwappingOps(at, act)
        try:
            apply_plan(shown, ops)
        except PatchError:
            pass
        assert tree(home / "outside") == {"b.txt": tree(home / "outside")["b.txt"]}
        assert (home / "outside" / "b.txt").read_bytes() == b"b\n"
        if ops.count < at:
            break


def test_a_patch_waits_for_another_and_then_sees_its_result(workspace: Path) -> None:
    first, second = (plan(workspace, update("a.txt", "one", name)) for name in "12")
    apply_plan(first)

    with pytest.raises(PatchError, match="changed since"):
        apply_plan(second)
    assert (workspace / "a.txt").read_bytes() == b"1\ntwo\n"


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


def test_applying_leaves_no_descriptor_open(workspace: Path) -> None:
    listing = Path("/proc/self/fd")
    if not listing.exists():
        pytest.skip("needs /proc")
    before = len(list(listing.iterdir()))
    for at in (5, 15, 25, 35, 1000):
        try:
            apply_plan(plan(workspace), FaultyOps(at, "before"))
        except PatchError:
            pass
    assert len(list(listing.iterdir())) == before


LINE = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=5)


@st.composite
def edited(draw: st.DrawFn) -> tuple[str, str, str]:
    """Return a text, a patch made from random edits of it, and the text that must result."""
    end = draw(st.sampled_from(["\n", "\r\n"]))
    old = [f"{n}{draw(LINE)}" for n in range(draw(st.integers(1, 12)))]
    new: list[str] = []
    body: list[str] = []
    for line in old:
        for fresh in draw(st.lists(LINE.map(lambda text: f"+{text}"), max_size=2)):
            new.append(fresh)
            body.append("+" + fresh)
        if draw(st.booleans()):
            body.append("-" + line)
        else:
            new.append(line)
            body.append(" " + line)
    # a single line without its end does not tell which kind of file it is
    last = "" if draw(st.booleans()) and len(old) > 1 else end
    patch = "\n".join(["*** Begin Patch", "*** Update File: f", *body, "*** End Patch", ""])
    return end.join(old) + last, patch, "".join(line + end for line in new)


@given(edited())
def test_a_patch_made_from_an_edit_gives_the_edit(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[str, str, str]
) -> None:
    old, patch, new = case
    file = tmp_path_factory.mktemp("ws") / "f"
    file.write_bytes(old.encode())
    if new == old:
        with pytest.raises(PatchError, match="changes nothing"):
            plan(file.parent, patch)
        return
    apply_plan(plan(file.parent, patch))

    assert file.read_bytes() == new.encode()
