"""Which play answers a prompt, and what is said when none does."""

from pathlib import Path

import pytest

from codex_jupyter.model.offline.repertoire import Repertoire, load_repertoire


def write(folder: Path, name: str, keys: str) -> None:
    folder.mkdir(exist_ok=True)
    text = f'play = 1\ntitle = "{name}"\n{keys}\n[[step]]\nsay = "x"\n'
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")


def title(repertoire: Repertoire, prompt: str) -> str | None:
    play = repertoire.find(prompt)
    return play.title if play else None


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("please FIT a Line!", "two"),
        ("fit a line to `df`, now", "three"),
        ("fit a pipeline", None),
        ("outfit line", None),
        ("Wer fährt?", "exact"),
        ("wer fährt mit", None),
        ("draw  it", "exact"),
        ("fit a line: draw df", "three"),
        ("fit the line exactly so", "whole"),
        ("", None),
    ],
)
def test_the_play_that_fits_best_is_found(
    tmp_path: Path, prompt: str, expected: str | None
) -> None:
    write(tmp_path, "exact", 'prompt = "Wer fährt"\nexact = ["draw it"]')
    write(tmp_path, "three", 'prompt = "p three"\nmatch = [["nothing"], ["fit", "line", "df"]]')
    write(tmp_path, "two", 'prompt = "p two"\nmatch = [["fit", "line"]]')
    write(tmp_path, "whole", 'prompt = "Fit the line, exactly so."')
    assert title(load_repertoire([tmp_path]), prompt) == expected


def test_equal_plays_go_by_file_name_and_folders_by_order(tmp_path: Path) -> None:
    write(tmp_path / "a", "b_second", 'prompt = "p"\nmatch = [["fit"]]')
    write(tmp_path / "a", "a_first", 'prompt = "q"\nmatch = [["fit"]]')
    assert title(load_repertoire([tmp_path / "a"]), "fit") == "a_first"
    write(tmp_path / "z", "z", 'prompt = "r"\nmatch = [["fit"]]')
    assert title(load_repertoire([tmp_path / "z", tmp_path / "a"]), "fit") == "z"


def test_the_users_plays_win_over_the_shipped_ones(tmp_path: Path) -> None:
    write(tmp_path, "mine", 'prompt = "p"\nmatch = [["fit"]]')
    prompt = "Fit a line to points"
    assert title(load_repertoire([]), prompt) == "Fit a line to points"
    assert title(load_repertoire([tmp_path]), prompt) == "mine"


def test_a_file_with_the_name_of_a_shipped_play_replaces_it(tmp_path: Path) -> None:
    write(tmp_path, "07_hello", 'prompt = "Moin"')
    repertoire = load_repertoire([tmp_path])
    assert title(repertoire, "hello") is None
    assert "> Moin" in repertoire.stranger()
    assert "> Hello" not in repertoire.stranger()


def test_a_stranger_learns_what_this_is_what_it_knows_and_how_to_connect() -> None:
    repertoire = load_repertoire([])
    answer = repertoire.stranger()
    assert "offline stand-in" in answer
    assert "not a language model" in answer
    for play in repertoire.shipped:
        assert f"> {play.prompt}\n" in answer
    for way in ("OPENAI_API_KEY", "Ollama", "%codex use", "config.toml", "CODEX_JUPYTER_HOME"):
        assert way in answer
    assert "could not read" not in answer


def test_a_broken_play_is_named_and_keeps_no_other_from_playing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "broken", 'promt = "p"')
    write(tmp_path, "good", 'prompt = "works"')
    repertoire = load_repertoire([tmp_path, tmp_path / "none"])
    assert title(repertoire, "works") == "good"
    assert "did you mean `prompt`?" in repertoire.stranger()
    assert "broken.toml" in caplog.text
