"""Reading a play file: what it becomes, and what each mistake is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_jupyter.errors import PlayError
from codex_jupyter.model.offline.play import Play, Speech, ToolUse, load_play
from codex_jupyter.model.offline.transcript import Outcome

HEAD = 'play = 1\ntitle = "T"\nprompt = "Do it."\n'
SAY = HEAD + '[[step]]\nsay = "Done."\n'


def read(folder: Path, text: str) -> Play:
    path = folder / "a.toml"
    path.write_text(text, encoding="utf-8")
    return load_play(path)


def test_a_play_becomes_what_its_file_says(tmp_path: Path) -> None:
    play = read(
        tmp_path,
        HEAD
        + """
match = [["Fit", "LINE"]]
exact = ["just do it!"]
[[step]]
reason = "Hm."
[[step]]
name = "fit"
label = "again"
run = '''
x = 1
'''
arguments = { timeout_ms = 5 }
capture = 'x=(?P<x>\\d)'
on.declined = "end"
on.failed = "again"
then = "next"
[[step]]
say = "{fit.x} {fit.output} {fit.last_line} {offline.prompts}"
then = "end"
""",
    )
    assert (play.title, play.prompt) == ("T", "Do it.")
    assert play.match == (frozenset({"fit", "line"}),)
    assert play.exact == (("do", "it"), ("just", "do", "it"))
    assert play.labels == {"again": 1}
    assert play.steps[0].action == Speech("reason", "Hm.")
    run = play.steps[1].action
    assert isinstance(run, ToolUse)
    assert (run.tool, run.arguments) == ("run_python", {"code": "x = 1", "timeout_ms": 5})
    assert run.on == {Outcome.DECLINED: "end", Outcome.FAILED: "again"}
    assert play.steps[2].then == "end"


@pytest.mark.parametrize(
    ("step", "tool", "arguments"),
    [
        ('run = "x = 1"', "run_python", {"code": "x = 1"}),
        ('shell = "ls"', "shell_command", {"command": "ls"}),
        ('patch = "*** Begin Patch\\n"', "apply_patch", {"input": "*** Begin Patch\n"}),
        ('tool = "list_variables"', "list_variables", {}),
        ('tool = "t"\narguments = { a = [1, { b = true }] }', "t", {"a": [1, {"b": True}]}),
        (
            'plan = [{ step = "s", status = "pending" }]',
            "update_plan",
            {"plan": [{"step": "s", "status": "pending"}]},
        ),
        (
            'ask = [{ id = "i", header = "h", question = "q?", options = [{ label = "l" }] }]',
            "request_user_input",
            {
                "questions": [
                    {"id": "i", "header": "h", "question": "q?", "options": [{"label": "l"}]}
                ]
            },
        ),
    ],
)
def test_every_kind_of_tool_step_calls_its_tool(
    tmp_path: Path, step: str, tool: str, arguments: dict[str, object]
) -> None:
    action = read(tmp_path, f"{HEAD}[[step]]\n{step}\n").steps[0].action
    assert isinstance(action, ToolUse)
    assert (action.tool, action.arguments) == (tool, arguments)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must say `play = 1`"),
        ("play = true\n", "has True"),
        (SAY.replace("play = 1", "play = 2"), "has 2"),
        (SAY + "sya = 1\n", "step 1: unknown key `sya`; did you mean `say`?"),
        ("titel = 'x'\n" + SAY, "unknown key `titel`; did you mean `title`?"),
        ("zzz = 1\n" + SAY, "unknown key `zzz`; known are `play`"),
        (HEAD, "`step` must be a list of tables"),
        (HEAD + "step = []\n", "`step` must be a list of tables"),
        (SAY.replace('"T"', "3"), "`title` must be a text"),
        (SAY.replace('"Do it."', '"a\\nb"'), "`prompt` must be one line"),
        (SAY.replace('"Do it."', '"..."'), "`prompt` must be one line with at least one word"),
        (HEAD + '[[step]]\nlabel = "a"\n', "step 1: needs exactly one of"),
        (SAY + 'run = "x"\n', "has `say` and `run`"),
        (SAY + 'capture = "x"\n', "`capture` belongs to steps that call a tool, not to `say`"),
        (SAY + 'then = "ende"\n', "no step has the label `ende`"),
        (SAY + 'label = "again"\n[[step]]\nsay = "x"\nthen = "agian"\n', "did you mean `again`?"),
        (SAY + 'label = "a"\n[[step]]\nsay = "x"\nlabel = "a"\n', "two steps have the label `a`"),
        (SAY + 'label = "end"\n', "`end` cannot be a label"),
        (HEAD + '[[step]]\nsay = " "\n', "`say` must be a text that is not empty"),
        (HEAD + '[[step]]\nsay = "{a.b}"\n', "no step has the name `a`"),
        (HEAD + '[[step]]\nsay = "{offline.x}"\n', "`offline` has only `connect`, `prompts`"),
        (HEAD + '[[step]]\nrun = "x"\nname = "r"\n[[step]]\nsay = "{r.y}"\n', "`r` has only"),
        (HEAD + '[[step]]\nrun = "x"\nname = "r"\n[[step]]\nshell = "{r.y}"\n', "`r` has only"),
        (HEAD + '[[step]]\nrun = "x"\nname = "offline"\n', "other than `offline`"),
        (HEAD + '[[step]]\nrun = "x"\nname = "a b"\n', "`name` must be an identifier"),
        (HEAD + '[[step]]\nrun = "x"\ncapture = "(?P<a>b)"\n', "`capture` needs a `name`"),
        (HEAD + '[[step]]\nrun = "x"\nname = "r"\ncapture = "(b)"\n', "no named group"),
        (HEAD + '[[step]]\nrun = "x"\nname = "r"\ncapture = "("\n', "not a regular expression"),
        (HEAD + '[[step]]\nrun = "x"\non.decline = "end"\n', "did you mean `declined`?"),
        (HEAD + '[[step]]\nrun = "x"\non.failed = "x"\n', "no step has the label `x`"),
        (HEAD + '[[step]]\nrun = "x"\non = "end"\n', "`on` must be a table"),
        (HEAD + '[[step]]\nrun = "x"\narguments.code = "y"\n', "`arguments` repeats `code`"),
        (HEAD + '[[step]]\ntool = "x"\narguments.a = nan\n', "JSON cannot carry"),
        (HEAD + '[[step]]\ntool = "x"\narguments.a = 2020-01-01\n', "JSON cannot carry"),
        (HEAD + '[[step]]\nplan = [{ step = "a", status = "done" }]\n', "`status` must be one of"),
        (HEAD + '[[step]]\nplan = [{ stp = "a" }]\n', "did you mean `step`?"),
        (HEAD + '[[step]]\nask = [{ id = "a", header = "b", question = "c" }]\n', "`options`"),
        (HEAD + "match = [[]]\n" + '[[step]]\nsay = "x"\n', "holds an empty list"),
        (HEAD + 'match = ["fit"]\n[[step]]\nsay = "x"\n', "`match` must be a list of lists"),
        (HEAD + 'match = [["a line"]]\n[[step]]\nsay = "x"\n', "takes single words; 'a line'"),
        (HEAD + 'exact = "x"\n[[step]]\nsay = "x"\n', "`exact` must be a list of prompts"),
        ("play = = 1", "is not valid TOML"),
    ],
)
def test_a_mistake_is_told_with_file_and_place(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(PlayError) as caught:
        read(tmp_path, text)
    assert caught.value.path == tmp_path / "a.toml"
    assert str(caught.value).startswith(f"{tmp_path / 'a.toml'}: ")
    assert complaint in str(caught.value)


def test_an_f_string_in_code_is_not_taken_for_a_placeholder(tmp_path: Path) -> None:
    action = read(tmp_path, HEAD + "[[step]]\nrun = '''print(f\"{df.shape}\")'''\n").steps[0].action
    assert isinstance(action, ToolUse)
    assert action.arguments == {"code": 'print(f"{df.shape}")'}


def test_files_that_are_no_plays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlayError, match="cannot be read"):
        load_play(tmp_path / "none.toml")
    big, binary = tmp_path / "big.toml", tmp_path / "binary.toml"
    big.write_text(SAY + "#" * 300_000)
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(PlayError, match="larger than 256 KiB"):
        load_play(big)
    with pytest.raises(PlayError, match="not UTF-8"):
        load_play(binary)


KEYS = ["say", "run", "plan", "ask", "tool", "arguments", "name", "capture", "on", "label", "then"]
VALUES = ['"x"', "1", "true", "[]", "{}", "[1]", '["a"]', "{ a = 1 }", '[[""]]', "1.5", '"{a.b}"']


@given(
    st.lists(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)), max_size=3),
    st.dictionaries(st.sampled_from(["match", "exact"]), st.sampled_from(VALUES)),
)
def test_whatever_is_in_the_tables_is_read_or_refused_properly(
    tmp_path_factory: pytest.TempPathFactory, steps: list[dict[str, str]], top: dict[str, str]
) -> None:
    lines = [HEAD, *(f"{key} = {value}" for key, value in top.items())]
    for step in steps:
        lines += ["[[step]]", *(f"{key} = {value}" for key, value in step.items())]
    try:
        play = read(tmp_path_factory.mktemp("play"), "\n".join(lines))
    except PlayError:
        return
    assert len(play.steps) == len(steps)
