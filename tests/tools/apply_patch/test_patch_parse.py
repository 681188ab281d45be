"""The patch language: what is accepted, and what an error says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.errors import PatchError
from codex_jupyter.tools.apply_patch import (
    MAX_PATCH_BYTES,
    MAX_PATCH_HUNKS,
    HeredocPatch,
    heredoc_patch,
    parse_patch,
)
from codex_jupyter.tools.apply_patch.parse import AddFile, Chunk, DeleteFile, UpdateFile

BODY = "*** Add File: a.txt\n+one\n"


def wrapped(body: str) -> str:
    return f"*** Begin Patch\n{body}*** End Patch\n"


def test_each_section_becomes_a_hunk_with_its_line() -> None:
    patch = parse_patch(
        wrapped(
            "*** Add File: a.txt\n+one\n+\n*** Delete File: b c.txt\n*** Update File: d.py\n"
            "*** Move to: e.py\n@@ class A\n@@ def f\n stay\n-go\n+come\n*** End of File\n"
        )
    )

    chunk = Chunk(("class A", "def f"), ((" ", "stay"), ("-", "go"), ("+", "come")), True, 8)
    assert patch.hunks == (
        AddFile("a.txt", "one\n\n", 2),
        DeleteFile("b c.txt", 5),
        UpdateFile("d.py", "e.py", (chunk,), 6),
    )


def test_chunks_are_separated_by_context_marks_and_the_first_mark_may_be_missing() -> None:
    patch = parse_patch(wrapped("*** Update File: a\n-x\n+y\n@@\n\n-z\n*** End of File\n+w\n"))

    (update,) = patch.hunks
    assert isinstance(update, UpdateFile)
    assert [chunk.lines for chunk in update.chunks] == [
        (("-", "x"), ("+", "y")),
        ((" ", ""), ("-", "z")),
        (("+", "w"),),
    ]
    assert [chunk.at_end for chunk in update.chunks] == [False, True, False]


@pytest.mark.parametrize(
    "text",
    [
        wrapped(BODY),
        "\n\n  *** Begin Patch  \n  *** Add File:   a.txt \t\n+one\n  *** End Patch  \n\n",
        f"<<EOF\n{wrapped(BODY)}EOF\n",
        f"<<'EOF'\n{wrapped(BODY)}EOF",
        f'\n<<"PATCH"\n{wrapped(BODY)}PATCH\n',
        wrapped(BODY).replace("\n", "\r\n"),
        wrapped(f"\n{BODY}\n\n"),
        wrapped(BODY).rstrip(),
    ],
)
def test_white_space_wrappers_and_crlf_are_accepted(text: str) -> None:
    assert [(hunk.path, hunk) for hunk in parse_patch(text).hunks] == [
        ("a.txt", AddFile("a.txt", "one\n", parse_patch(text).hunks[0].line))
    ]


def test_an_indented_end_ends_an_update_too() -> None:
    patch = parse_patch("*** Begin Patch\n*** Update File: a\n-x\n *** End Patch")

    assert patch.hunks == (UpdateFile("a", None, (Chunk((), (("-", "x"),), False, 3),), 2),)


def test_a_context_line_may_look_like_a_marker() -> None:
    patch = parse_patch(wrapped("*** Update File: a\n *** Add File: b\n-x\n"))

    (update,) = patch.hunks
    assert isinstance(update, UpdateFile)
    assert update.chunks[0].lines == ((" ", "*** Add File: b"), ("-", "x"))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("hello", 1, r"Begin Patch`, found 'hello'"),
        ("*** Begin Patch\n*** Add File: a\n+x\n", 4, "found the end of the patch"),
        (wrapped("*** Rename File: a\n"), 2, r"Add File: PATH.*found '\*\*\* Rename File: a'"),
        (wrapped("*** Add File: a\nx\n"), 3, "found 'x'"),
        (wrapped("*** Update File: a\n"), 3, "a change to `a`"),
        (wrapped("*** Update File: a\n*** Move to: b\n"), 4, "a change to `a`"),
        (wrapped("*** Update File: a\n@@ def f\n"), 4, "a line that starts with ` `"),
        (wrapped("*** Update File: a\n@@\n*** End of File\n"), 4, "a line that starts with ` `"),
        (wrapped("*** Update File: a\n-x\nfoo\n"), 4, "`@@`.*found 'foo'"),
        (wrapped("*** Delete File: \n"), 2, "a path"),
        (wrapped(BODY) + "more\n", 5, "nothing after"),
        (f"<<EOF\n{wrapped(BODY)}END", 1, "Begin Patch"),
        (wrapped("*** Add File: a\n+\ud800\n"), 3, "not valid Unicode"),
    ],
)
def test_an_error_names_the_line_and_what_was_expected(text: str, line: int, said: str) -> None:
    with pytest.raises(PatchError, match=rf"(?s)^invalid patch, line {line}: .*{said}"):
        parse_patch(text)


@pytest.mark.parametrize(
    "char", ["\0", "\t", "\r", "\x1b", "\x7f", "\x85", "\u202e", "\u2066", "\u200f"]
)
@pytest.mark.parametrize(
    "header", ["*** Add File: x{}y\n+a\n", "*** Update File: a\n*** Move to: x{}y\n-a\n"]
)
def test_a_path_with_characters_nobody_sees_is_refused(char: str, header: str) -> None:
    with pytest.raises(PatchError, match=f"U\\+{ord(char):04X}"):
        parse_patch(wrapped(header.format(char)))


def test_a_carriage_return_at_the_end_of_a_name_is_refused_in_a_patch_with_plain_newlines() -> None:
    with pytest.raises(PatchError, match="U\\+000D"):
        parse_patch(wrapped("*** Delete File: a\r\n"))


@pytest.mark.parametrize("text", ["", " \n", wrapped(""), wrapped("\n\n")])
def test_an_empty_patch_is_refused(text: str) -> None:
    with pytest.raises(PatchError, match="the patch is empty"):
        parse_patch(text)


def test_the_limits_hold_exactly() -> None:
    head = len(wrapped("*** Add File: a\n+\n").encode())
    fits = wrapped(f"*** Add File: a\n+{'x' * (MAX_PATCH_BYTES - head)}\n")
    many = [f"*** Delete File: {n}\n" for n in range(MAX_PATCH_HUNKS + 1)]

    assert len(fits.encode()) == MAX_PATCH_BYTES
    parse_patch(fits)
    with pytest.raises(PatchError, match=f"{MAX_PATCH_BYTES + 1} bytes"):
        parse_patch(fits.replace("+x", "+xx"))
    assert len(parse_patch(wrapped("".join(many[1:]))).hunks) == MAX_PATCH_HUNKS
    with pytest.raises(PatchError, match=f"more than {MAX_PATCH_HUNKS} files"):
        parse_patch(wrapped("".join(many)))


MARKERS = st.sampled_from(
    ["*** Begin Patch", "*** End Patch", "*** Add File: a", "*** Delete File: b",
     "*** Update File: c", "*** Move to: d", "*** End of File", "@@", "@@ x", "<<EOF", "EOF", ""]
)  # fmt: skip
LINES = st.one_of(MARKERS, MARKERS.map(lambda m: f" {m}\r"), st.text(max_size=6))


@given(st.lists(LINES, max_size=14), st.booleans())
def test_any_text_is_a_patch_or_a_patch_error(lines: list[str], framed: bool) -> None:
    text = "\n".join(lines)
    try:
        patch = parse_patch(wrapped(text + "\n") if framed else text)
    except PatchError:
        return
    assert patch.hunks


@pytest.mark.parametrize(
    ("script", "cd"),
    [
        (f"apply_patch <<'EOF'\n{wrapped(BODY)}EOF\n", None),
        (f"  applypatch <<'X1'\n{wrapped(BODY)}X1  \n", None),
        (f'apply_patch << "EOF"\n{wrapped(BODY)}EOF', None),
        (f"apply_patch <<EOF\n{wrapped(BODY)}EOF", None),
        (f"cd src/a-b && apply_patch <<'EOF'\n{wrapped(BODY)}EOF", "src/a-b"),
        (f"cd 'a b' && apply_patch <<'EOF'\n{wrapped(BODY)}EOF", "a b"),
        (f"cd \"/x y\" &&apply_patch <<'EOF'\n{wrapped(BODY)}EOF", "/x y"),
    ],
)
def test_a_script_that_only_feeds_a_patch_is_recognised(script: str, cd: str | None) -> None:
    assert heredoc_patch(script) == HeredocPatch(wrapped(BODY), cd)


@pytest.mark.parametrize(
    "script",
    [
        wrapped(BODY),
        "apply_patch",
        f"echo hi; apply_patch <<'EOF'\n{wrapped(BODY)}EOF",
        f"apply_patch <<'EOF'\n{wrapped(BODY)}EOF\nrm -rf x",
        f"apply_patch <<'EOF' && rm x\n{wrapped(BODY)}EOF",
        f"apply_patch <<'EOF' > out\n{wrapped(BODY)}EOF",
        f"apply_patch <<'EOF'\nEOF\nrm -rf x\n{wrapped(BODY)}EOF",
        f"apply_patch <<'EOF'\n{wrapped(BODY)}",
        f"apply_patch <<-'EOF'\n{wrapped(BODY)}EOF",
        f"apply_patch <<'EOF\n{wrapped(BODY)}EOF",
        f"apply_patch <<EOF\n{wrapped('*** Add File: a' + chr(10) + '+$(id)' + chr(10))}EOF",
        f"cd a; apply_patch <<'EOF'\n{wrapped(BODY)}EOF",
        f"cd a || apply_patch <<'EOF'\n{wrapped(BODY)}EOF",
        f"cd $HOME && apply_patch <<'EOF'\n{wrapped(BODY)}EOF",
        f"cd ~ && apply_patch <<'EOF'\n{wrapped(BODY)}EOF",
        f"cd - && apply_patch <<'EOF'\n{wrapped(BODY)}EOF",
        f"cd a b && apply_patch <<'EOF'\n{wrapped(BODY)}EOF",
        f"cd \"`id`\" && apply_patch <<'EOF'\n{wrapped(BODY)}EOF",
    ],
)
def test_any_other_script_is_left_to_a_shell(script: str) -> None:
    assert heredoc_patch(script) is None
