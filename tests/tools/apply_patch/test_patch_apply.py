"""Applying a plan, and what happens if the workspace changed since it was shown."""

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_jupyter.errors import PatchError
from codex_jupyter.tools.apply_patch import apply_plan
from tests.tools.apply_patch.faults import FaultyOps, InterruptedOps, make, plan, tree, update


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


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


def replace_content(top: Path) -> None:
    (top / "src" / "b.txt").write_text("the user was here\n")


def save_over(top: Path) -> None:
    (top / "saved").write_text("the user was here\n")
    (top / "saved").replace(top / "src" / "b.txt")


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


def touch_new_name(top: Path) -> None:
    (top / "n.txt").touch()


def link_new_name(top: Path) -> None:
    (top / "n.txt").symlink_to(top.parent / "outside" / "n.txt")


def replace_workspace(top: Path) -> None:
    top.rename(top.parent / "old")
    top.symlink_to(top.parent / "old")
    (top.parent / "old").rename(top.parent / "older")
    make(top.parent, "old")


SWAPS = [
    replace_content, save_over, remove_file, link_file, link_directory, occupy_new_name,
    touch_new_name, link_new_name, replace_workspace,
]  # fmt: skip
SWAP_PATCH = (
    "*** Begin Patch\n*** Update File: a.txt\n-one\n+1\n*** Update File: src/b.txt\n-b\n+B\n"
    "*** Add File: n.txt\n+n\n*** End Patch\n"
)
DELETE_PATCH = SWAP_PATCH.replace(
    "*** Update File: src/b.txt\n-b\n+B\n", "*** Delete File: src/b.txt\n"
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


@pytest.mark.parametrize("text", [SWAP_PATCH, DELETE_PATCH], ids=["update", "delete"])
@pytest.mark.parametrize("swap", SWAPS[:-1])
def test_a_swap_at_any_moment_of_the_apply_reaches_nothing_outside_and_loses_no_text(
    tmp_path: Path, swap: Callable[[Path], None], text: str
) -> None:
    at = 0
    while True:
        at += 1
        home = tmp_path / str(at)
        workspace = make(home, "ws")
        (home / "outside").mkdir()
        (home / "outside" / "b.txt").write_bytes(b"b\n")
        shown = plan(workspace, text)

        def act(workspace: Path = workspace) -> None:
            with contextlib.suppress(FileExistsError, FileNotFoundError):  # the patch was first
                swap(workspace)

        ops = InterruptedOps(at, act)
        with contextlib.suppress(PatchError):
            apply_plan(shown, ops)
        assert [path.name for path in (home / "outside").iterdir()] == ["b.txt"]
        assert (home / "outside" / "b.txt").read_bytes() == b"b\n"
        if ops.moment is None:
            break
        # the one documented moment: a file renamed over ours just before we rename over it
        if swap is save_over and ops.moment[0] == "rename" and ops.moment[2] == "b.txt":
            continue
        if swap in (replace_content, save_over):
            assert (workspace / "src" / "b.txt").read_text() == "the user was here\n", ops.moment
        assert swap is not touch_new_name or (workspace / "n.txt").exists(), ops.moment
        if swap is occupy_new_name:
            assert (workspace / "n.txt").read_text() == "mine\n", ops.moment


def test_a_patch_waits_for_another_and_then_sees_its_result(workspace: Path) -> None:
    first, second = (plan(workspace, update("a.txt", "one", name)) for name in "12")
    apply_plan(first)

    with pytest.raises(PatchError, match="changed since"):
        apply_plan(second)
    assert (workspace / "a.txt").read_bytes() == b"1\ntwo\n"


def test_applying_leaves_no_descriptor_open(workspace: Path) -> None:
    listing = Path("/proc/self/fd")
    if not listing.exists():
        pytest.skip("needs /proc")
    before = len(list(listing.iterdir()))
    for at in (5, 15, 25, 35, 1000):
        with contextlib.suppress(PatchError):
            apply_plan(plan(workspace), FaultyOps(at, "before"))
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
@settings(max_examples=60)
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
