"""Unified diffs."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codex_jupyter.tools.apply_patch import unified_hunks


def replay(old: str, diff: str) -> str:
    """Apply hunks by their line numbers alone, checking every old line."""
    source = [line + "\n" for line in old.split("\n")]
    source[-1] = source[-1][:-1]
    out: list[str] = []
    at = 0
    for line in (
        diff.replace("\n\\ No newline at end of file\n", "\0")
        .replace("\0", "\0\n")
        .split("\n")[:-1]
    ):
        text = line[1:].removesuffix("\0") + ("" if line.endswith("\0") else "\n")
        if line.startswith("@@"):
            begin, _, length = line.split()[1][1:].partition(",")
            start = int(begin) - (length != "0")
            out += source[at:start]
            at = start
        elif line[0] in " -":
            assert source[at] == text
            at += 1
            if line[0] == " ":
                out.append(text)
        else:
            out.append(text)
    return "".join(out + source[at:])


TEXT = st.lists(st.sampled_from(["a", "b", "c", "dd", ""]), max_size=40).map("\n".join)


@given(TEXT, TEXT, st.integers(0, 3))
def test_a_diff_leads_from_the_old_text_to_the_new(old: str, new: str, context: int) -> None:
    assert replay(old, unified_hunks(old, new, context)) == new


@given(st.lists(st.integers(0, 400), max_size=700), st.data())
@settings(max_examples=15)
def test_large_texts_are_diffed_by_their_unique_lines(rows: list[int], data: st.DataObject) -> None:
    old = [f"{n}:{row}" for n, row in enumerate(rows * 2)] + [str(row) for row in rows]
    keep = data.draw(st.sets(st.integers(0, max(len(old) - 1, 0)), max_size=30))
    new = [f"new {n}" if n in keep else line for n, line in enumerate(old)] + ["end"]
    a, b = "\n".join(old) + "\n", "\n".join(new) + "\n"

    assert replay(a, unified_hunks(a, b)) == b


def test_two_far_edits_in_a_large_file_give_two_small_hunks() -> None:
    old = [f"line {n}" for n in range(20_000)]
    new = [*old]
    new[10], new[19_990] = "first", "last"

    diff = unified_hunks("\n".join(old) + "\n", "\n".join(new) + "\n")

    assert diff.count("\n") == 2 * (1 + 3 + 2 + 3)
    assert diff.startswith("@@ -8,7 +8,7 @@\n")


def test_repeated_lines_after_the_last_unique_one_are_compared_too() -> None:
    middle = [f"line {n}" for n in range(300)] + ["a", "b"] * 20
    old, new = ["x", *middle, "x"], ["y", *middle, "y"]

    diff = unified_hunks("\n".join(old) + "\n", "\n".join(new) + "\n")

    assert diff.count("\n") == 2 * (1 + 3 + 2)


def test_hostile_texts_do_not_take_quadratic_time() -> None:
    old, new = "a\nb\n" * 30_000, "b\nb\na\n" * 30_000

    assert replay(old, unified_hunks(old, new)) == new


@pytest.mark.parametrize(
    ("old", "new", "diff"),
    [
        ("a\n", "a\n", ""),
        ("", "a\n", "@@ -0,0 +1 @@\n+a\n"),
        ("a\n", "", "@@ -1 +0,0 @@\n-a\n"),
        ("a", "a\n", "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+a\n"),
        ("a\nb\n", "a\nc\n", "@@ -1,2 +1,2 @@\n a\n-b\n+c\n"),
        ("a\r\n", "b\r\n", "@@ -1 +1 @@\n-a\r\n+b\r\n"),
    ],
)
def test_small_diffs_look_as_usual(old: str, new: str, diff: str) -> None:
    assert unified_hunks(old, new) == diff


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_git_agrees_with_the_hunks(tmp_path: Path) -> None:
    old = "".join(f"{n}\n" for n in range(40))
    new = old.replace("3\n", "three\n", 1).replace("30\n", "30\nmore\n").replace("39\n", "")
    (tmp_path / "old").write_text(old)
    (tmp_path / "new").write_text(new)

    run = subprocess.run(
        ["git", "diff", "--no-index", "old", "new"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    # git adds what it takes for the function's name after the second @@
    theirs = ["@@" + part for part in run.stdout.split("\n@@")[1:]]
    plain = "\n".join(theirs)
    ours = unified_hunks(old, new)
    assert [line for line in ours.split("\n") if not line.startswith("@@")] == [
        line for line in plain.split("\n") if not line.startswith("@@")
    ]
    assert [line.split("@@")[1] for line in ours.split("\n") if line.startswith("@@")] == [
        line.split("@@")[1] for line in plain.split("\n") if line.startswith("@@")
    ]
