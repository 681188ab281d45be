"""Finding old lines and editing a text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.errors import PatchError
from codex_jupyter.tools.apply_patch.match import LineFinder, edit_text
from codex_jupyter.tools.apply_patch.parse import UpdateFile, parse_patch


def edit(text: str, update: str) -> str:
    patch = parse_patch(f"*** Begin Patch\n*** Update File: f\n{update}*** End Patch\n")
    (hunk,) = patch.hunks
    assert isinstance(hunk, UpdateFile)
    return edit_text(text, hunk.chunks, "f")


SCENARIOS = {
    "replace": ("a\nb\nc\n", " a\n-b\n+B\n c\n", "a\nB\nc\n"),
    "insert": ("a\nc\n", " a\n+b\n c\n", "a\nb\nc\n"),
    "insert first": ("b\n", "+a\n b\n", "a\nb\n"),
    "delete": ("a\nb\n", "-a\n", "b\n"),
    "delete all": ("a\n", "-a\n", ""),
    "two chunks": ("a\nb\na\nb\n", "@@\n-a\n+1\n@@\n-a\n+2\n", "1\nb\n2\nb\n"),
    "context jumps": ("f\nx\ng\nx\n", "@@ g\n-x\n+y\n", "f\nx\ng\ny\n"),
    "contexts nest": ("A\nf\nx\nB\nf\nx\n", "@@ B\n@@ f\n-x\n+y\n", "A\nf\nx\nB\nf\ny\n"),
    "first match wins": ("x\nx\n", "-x\n+y\n", "y\nx\n"),
    "end of file": ("x\nx\n", "-x\n+y\n*** End of File\n", "x\ny\n"),
    "pure addition goes last": ("a\nb\n", "+c\n", "a\nb\nc\n"),
    "pure addition after context": ("a\nb\n", "@@ a\n+c\n", "a\nc\nb\n"),
    "pure addition with both": ("a\nb\n", "@@ a\n+c\n*** End of File\n", "a\nb\nc\n"),
    "addition, then earlier change": ("a\n", "+z\n@@\n-a\n+b\n", "b\nz\n"),
    "addition to an empty file": ("", "+a\n", "a\n"),
    "exact below beats lenient above": ("x \nx\n", "-x\n+y\n", "x \ny\n"),
    "trailing space": ("a  \n", "-a\n+b\n", "b\n"),
    "outer space": ("\t a\n", "-a\n+b\n", "b\n"),
    "unicode": ("x \u2013 \u201cy\u201d\u00a0z\n", '-x - "y" z\n+w\n', "w\n"),
    "kept lines keep their spelling": (
        "  a  \nb\n\u2014\n",
        " a\n-b\n+c\n -\n",
        "  a  \nc\n\u2014\n",
    ),
    "last newline is added": ("a\nb", "-a\n+A\n", "A\nb\n"),
    "last line without newline": ("a\nb", " b\n+c\n", "a\nb\nc\n"),
    "blank old line for the end": ("a\nb\n", " b\n+c\n \n", "a\nb\nc\n"),
    "blank line before the next marker": ("a\nb\n", "-b\n+c\n\n", "a\nc\n"),
    "blank pair for the end": ("a\n", "-a\n-\n+b\n+\n", "b\n"),
    "crlf is kept": ("a\r\nb\r\n", " a\n-b\n+c\n+d\n", "a\r\nc\r\nd\r\n"),
    "crlf of the patch is not doubled": ("a\r\nb\r\n", " a\r\n-b\r\n+c\r\n", "a\r\nc\r\n"),
    "crlf without last newline": ("a\r\nb\r\nc", "+d\n", "a\r\nb\r\nc\r\nd\r\n"),
    "mixed ends stay": ("a\r\nb\nc\n", "-b\n+B\n", "a\r\nB\nc\n"),
    "byte order mark": ("\ufeffa\nb\n", "-a\n+A\n", "\ufeffA\nb\n"),
    "form feed is no line end": ("a\fb\u2028c\nd\n", "-d\n+e\n", "a\fb\u2028c\ne\n"),
}


@pytest.mark.parametrize(("text", "update", "result"), SCENARIOS.values(), ids=list(SCENARIOS))
def test_an_update_gives_the_text(text: str, update: str, result: str) -> None:
    assert edit(text, update) == result


@pytest.mark.parametrize(
    ("text", "update", "said"),
    [
        ("a\n", "-b\n", r"^f: the lines of the chunk at patch line 3 were not found\. .*\nb$"),
        ("a\n", "@@ g\n-a\n", r"not found\. .*\ng$"),
        ("a\nb\n", "@@\n-b\n@@\n-a\n", "after line 2, only before it.*\na$"),
        ("x\ny\n", "-x\n*** End of File\n", "at the end of the file"),
        ("a\n", "-a\n-b\n", "not found"),
        ("", "-a\n", "not found"),
        ("f\nx\n", "@@ f\n f\n-x\n", "only before it"),
    ],
)
def test_old_lines_that_are_not_there_are_an_error(text: str, update: str, said: str) -> None:
    with pytest.raises(PatchError) as caught:
        edit(text, update)
    assert re.search(said, str(caught.value), re.DOTALL)


def test_an_error_repeats_only_the_beginning_of_a_long_chunk() -> None:
    with pytest.raises(PatchError) as caught:
        edit("a\n", "".join(f"-{n}\n" for n in range(50)))
    assert str(caught.value).endswith("\n10\n11\n…")


def naive(lines: list[str], wanted: list[str], start: int, at_end: bool) -> int | None:
    for fold in (str, str.rstrip, str.strip):
        for at in range(start, len(lines) - len(wanted) + 1):
            if at_end and at + len(wanted) != len(lines):
                continue
            if [fold(x) for x in lines[at : at + len(wanted)]] == [fold(x) for x in wanted]:
                return at
    return None


LINE = st.sampled_from(["", "a", "b", " a", "a ", "ab"])


@given(
    st.lists(LINE, max_size=8),
    st.lists(LINE, min_size=1, max_size=3),
    st.integers(0, 8),
    st.booleans(),
)
def test_the_finder_agrees_with_the_plain_definition(
    lines: list[str], wanted: list[str], start: int, at_end: bool
) -> None:
    found = LineFinder(lines).find(wanted, start, at_end=at_end)

    assert found == naive(lines, wanted, start, at_end)


def test_a_hostile_chunk_is_searched_in_linear_time() -> None:
    finder = LineFinder(["a"] * 100_000)

    assert finder.find(["a"] * 20_000 + ["b"], 0) is None
    assert finder.find(["a"] * 20_000, 70_000) == 70_000
