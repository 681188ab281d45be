import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.tools.visible import visible

TEXTS = st.text(
    st.one_of(
        st.sampled_from(" \\u{}⟨⟩⏎\n\r\t0123456789spaces\u202e\u200b\xa0\u0430a\u0431é漢\x00\x1b"),
        st.characters(exclude_categories=()),
    ),
    max_size=60,
) | st.lists(
    st.sampled_from([" " * 8, " " * 9, " " * 3000, "\\u{20}", "⟨9 spaces⟩", "⏎", "\n", "x", "\\"])
).map("".join)


def original(shown: str) -> str:
    """Undo `visible`; that this can be written is what makes it injective."""
    return re.sub(
        r"\\u\{([0-9a-f]+)\}|⟨(\d+) spaces⟩|⏎\n",
        lambda m: chr(int(m[1], 16)) if m[1] else " " * int(m[2]) if m[2] else "\n",
        shown,
    )


@given(TEXTS)
def test_the_shown_form_leads_back_to_exactly_one_text(text: str) -> None:
    assert original(visible(text)) == text


@given(TEXTS)
def test_nothing_in_the_shown_form_is_unseen_or_moves_its_neighbours(text: str) -> None:
    for char in visible(text).replace("⏎\n", ""):
        assert char == " " or unicodedata.category(char)[0] not in "CZM"
        assert unicodedata.bidirectional(char) not in {"R", "AL", "AN"}


@given(TEXTS)
def test_blanks_never_push_the_rest_out_of_sight(text: str) -> None:
    assert " " * 9 not in visible(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ls -la 'a b'", "ls -la 'a b'"),
        ("grep '\\w\\u00e9' x", "grep '\\w\\u00e9' x"),
        ("echo a\nrm b", "echo a⏎\nrm b"),
        ("ls\r\x1b[2K", "ls\\u{d}\\u{1b}[2K"),
        ("ls" + " " * 3000 + ";rm x", "ls⟨3000 spaces⟩;rm x"),
        ("ls" + " " * 8 + "x", "ls" + " " * 8 + "x"),
        ("echo \\u{7f}", "echo \\u{5c}u{7f}"),
        ("a\u202eb", "a\\u{202e}b"),
        ("a\u200bb", "a\\u{200b}b"),
        ("a\xa0b", "a\\u{a0}b"),
        ("\ta", "\\u{9}a"),
        ("x\u3164y \u115f", "x\\u{3164}y \\u{115f}"),
        ("éch\u043e", "éch\\u{43e}"),
        ("a\ufb01\u0436", "a\\u{fb01}\\u{436}"),
        ("foo_\u0430", "foo_\\u{430}"),
        ("привет мир", "привет мир"),
        ("データdata.csv", "データdata.csv"),
        ("漢字 한글 ñ ß", "漢字 한글 ñ ß"),
        ("\uff52\uff4d \U0001d42b", "\\u{ff52}\\u{ff4d} \\u{1d42b}"),
        ("e\u0301", "e\\u{301}"),
        ("שלום", "\\u{5e9}\\u{5dc}\\u{5d5}\\u{5dd}"),
        ("\ud800", "\\u{d800}"),
        ("⏎⟨9 spaces⟩", "\\u{23ce}\\u{27e8}9 spaces\\u{27e9}"),
        ("a \u01c3 b", "a \\u{1c3} b"),
    ],
)
def test_a_command_is_shown_as(text: str, shown: str) -> None:
    assert visible(text) == shown
