"""The replay: which moves follow from a play and the tool results so far."""

import json
from pathlib import Path

import pytest

from codex_jupyter.model.offline.moves import CallTool, End, Move, Offer, Reason, Say, next_moves
from codex_jupyter.model.offline.play import load_play
from codex_jupyter.model.offline.transcript import ToolResult

ALL: Offer = {
    "run_python": "function",
    "shell_command": "function",
    "apply_patch": "function",
    "update_plan": "function",
}
KNOWN = {"offline": {"prompts": "P", "connect": "C"}}

PLAY = r"""
play = 1
title = "T"
prompt = "go"
[[step]]
reason = "Thinking."
[[step]]
say = "First."
[[step]]
name = "fit"
run = "fit()"
capture = 'slope=(?P<slope>\S+)(?: name=(?P<name>\S+))?'
on.declined = "no"
on.failed = "oops"
[[step]]
say = "Slope {fit.slope}, {fit.name}."
[[step]]
name = "ls"
shell = "echo {fit.slope} ${HOME} {other.thing}"
[[step]]
say = "Saw: {ls.output}"
then = "end"
[[step]]
label = "oops"
say = "It said {fit.last_line}; listing gave {ls.output}."
then = "end"
[[step]]
label = "no"
say = "Fine."
"""


def moves(
    folder: Path, results: list[tuple[str, str]], *, text: str = PLAY, offered: Offer = ALL
) -> list[Move]:
    path = folder / "play.toml"
    path.write_text(text, encoding="utf-8")
    past = [ToolResult(name, output) for name, output in results]
    return list(next_moves(load_play(path), past, offered, KNOWN))


def test_a_play_runs_up_to_its_first_call(tmp_path: Path) -> None:
    assert moves(tmp_path, []) == [
        Reason("Thinking."),
        Say("First."),
        CallTool("run_python", '{"code": "fit()"}'),
    ]


def test_after_a_result_only_what_is_new_is_said_and_captures_fill_words_and_arguments(
    tmp_path: Path,
) -> None:
    said, call = moves(tmp_path, [("run_python", "noise\nslope=2.5 name={ls.output}")])
    assert said == Say("Slope 2.5, {ls.output}.")
    assert isinstance(call, CallTool)
    assert json.loads(call.payload) == {"command": "echo 2.5 ${HOME} {other.thing}"}


def test_a_group_that_matched_nothing_reads_unknown(tmp_path: Path) -> None:
    assert moves(tmp_path, [("run_python", "slope=2.5")])[0] == Say("Slope 2.5, unknown.")


def test_output_leaves_out_the_lines_about_exit_code_and_time(tmp_path: Path) -> None:
    listing = "Exit code: 0\nWall time: 0.1 seconds\nOutput:\na\nb\n"
    past = [("run_python", "slope=1"), ("shell_command", listing)]
    assert moves(tmp_path, past) == [Say("Saw: a\nb"), End()]


def test_a_long_output_is_cut(tmp_path: Path) -> None:
    past = [("run_python", "slope=1"), ("shell_command", "x" * 5000)]
    said = moves(tmp_path, past)[0]
    assert isinstance(said, Say)
    assert len(said.text) == len("Saw: ") + 4000 + 1


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("exec command rejected by user", "Fine."),
        (
            "Traceback (most recent call last):\nNameError: points",
            "It said NameError: points; listing gave unknown.",
        ),
        ("slop=3", "It said slop=3; listing gave unknown."),
        ("aborted by user after 2.0s", "`run_python` was stopped before it was done"),
    ],
)
def test_a_play_branches_on_the_outcome(tmp_path: Path, output: str, answer: str) -> None:
    said, end = moves(tmp_path, [("run_python", output)])
    assert isinstance(said, Say)
    assert said.text.startswith(answer)
    assert end == End()


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("exec command rejected by user", "You did not allow `shell_command`"),
        ("Exit code: 2\nOutput:\nno {0} such\n\n", "> no {0} such"),
        ("Exit code: 2", "> Exit code: 2"),
    ],
)
def test_without_a_branch_a_sentence_says_what_happened(
    tmp_path: Path, output: str, answer: str
) -> None:
    said, end = moves(tmp_path, [("run_python", "slope=1"), ("shell_command", output)])
    assert isinstance(said, Say)
    assert answer in said.text
    assert end == End()


def test_a_missing_tool_is_named_and_not_called(tmp_path: Path) -> None:
    *_, said, end = moves(tmp_path, [], offered={"shell_command": "function"})
    assert isinstance(said, Say)
    assert "needs the tool `run_python`, which is not offered here" in said.text
    assert end == End()


def test_a_missing_tool_may_have_its_own_branch(tmp_path: Path) -> None:
    text = PLAY.replace('on.failed = "oops"', 'on.missing = "no"')
    assert moves(tmp_path, [], text=text, offered={})[-2:] == [Say("Fine."), End()]


def test_a_plan_that_cannot_be_shown_stops_nothing(tmp_path: Path) -> None:
    plan = '[[step]]\nplan = [{ step = "s", status = "pending" }]\n'
    text = PLAY.replace("[[step]]\nname", plan + "[[step]]\nname", 1)
    without: Offer = {name: kind for name, kind in ALL.items() if name != "update_plan"}
    assert moves(tmp_path, [], text=text, offered=without)[-1] == CallTool(
        "run_python", '{"code": "fit()"}'
    )
    past = [("run_python", "slope=1")]
    assert moves(tmp_path, past, text=text, offered=without) == moves(tmp_path, past)
    for output in ("Plan updated", "failed to parse", "aborted", "rejected by user"):
        assert moves(tmp_path, [("update_plan", output)], text=text) == [moves(tmp_path, [])[-1]]


@pytest.mark.parametrize("kind", ["function", "custom"])
def test_a_patch_goes_out_as_the_kind_of_tool_it_is_offered_as(tmp_path: Path, kind: str) -> None:
    text = 'play = 1\ntitle = "T"\nprompt = "go"\n[[step]]\npatch = """*** Begin\n+"é"\n"""\n'
    offered: Offer = {"apply_patch": "custom" if kind == "custom" else "function"}
    [call] = moves(tmp_path, [], text=text, offered=offered)
    patch = '*** Begin\n+"é"\n'
    payload = patch if kind == "custom" else json.dumps({"input": patch}, ensure_ascii=False)
    assert call == CallTool("apply_patch", payload, offered["apply_patch"])


def test_calls_that_are_not_the_plays_are_not_taken_over(tmp_path: Path) -> None:
    said, end = moves(tmp_path, [("inspect_variable", "x")])
    assert isinstance(said, Say)
    assert "a call of `inspect_variable` where my play has `run_python`" in said.text
    assert end == End()


def test_jumping_back_over_a_call_tries_again_and_uses_the_next_result(tmp_path: Path) -> None:
    text = PLAY.replace('name = "fit"', 'name = "fit"\nlabel = "again"').replace(
        '"oops"\n[[step]]\nsay = "Slope', '"again"\n[[step]]\nsay = "Slope'
    )
    assert moves(tmp_path, [("run_python", "Error")], text=text) == [
        CallTool("run_python", '{"code": "fit()"}')
    ]
    past = [("run_python", "Error"), ("run_python", "slope=7")]
    assert moves(tmp_path, past, text=text)[0] == Say("Slope 7, unknown.")


def test_a_play_that_goes_round_for_ever_is_stopped(tmp_path: Path) -> None:
    text = 'play = 1\ntitle = "T"\nprompt = "go"\n[[step]]\nsay = "x"\nlabel = "a"\nthen = "a"\n'
    *_, said, end = moves(tmp_path, [], text=text)
    assert isinstance(said, Say)
    assert "took 200 steps" in said.text
    assert end == End()
