"""The plays that come with the package: every way through them, and their code for real."""

import contextlib
import io
import json
import re
import statistics
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import nbformat
import pytest

from codex_jupyter.errors import PatchError
from codex_jupyter.model.interface import ModelRequest
from codex_jupyter.model.offline import SHIPPED_PLAYS, OfflineModel, load_play
from codex_jupyter.model.offline.moves import CallTool, End, Move, Offer, Say, next_moves
from codex_jupyter.model.offline.play import Play, ToolUse
from codex_jupyter.model.offline.repertoire import load_repertoire
from codex_jupyter.model.offline.transcript import ToolResult
from codex_jupyter.tools.apply_patch import apply_plan, parse_patch, plan_patch

ROOT = Path(__file__).parents[3]
PLAYS = [load_play(path) for path in sorted(SHIPPED_PLAYS.glob("*.toml"))]
TOOLS = (
    "run_python",
    "list_variables",
    "inspect_variable",
    "shell_command",
    "apply_patch",
    "update_plan",
    "request_user_input",
)
GOOD = """\
slope=2.5 intercept=-1.0 n=20
farthest x=1.0 y=2.0 distance=0.5 side=above
steepest=b c slope=-1.5 groups=3
groups=3 apart=4.1
total=400 best=March orders=3
"""
BAD = (
    "exec command rejected by user",
    "Traceback (most recent call last):\nNameError: name 'points' is not defined",
    "aborted by user after 1.0s",
)


def text_of(move: Move) -> str:
    match move:
        case CallTool():
            return move.payload
        case End():
            return ""
        case _:
            return move.text


def ways(play: Play, offered: Offer) -> Iterator[tuple[list[ToolResult], list[Move]]]:
    """Walk every way through a play, where each call succeeds or ends in each other way."""
    open_ways: list[list[ToolResult]] = [[]]
    while open_ways:
        past = open_ways.pop()
        moves = list(next_moves(play, past, offered, load_repertoire([]).values()))
        yield past, moves
        if isinstance(moves[-1], CallTool):
            name = moves[-1].name
            # A plan goes on whatever happened; trying one way keeps the number of ways small.
            outputs = (GOOD,) if name == "update_plan" else (GOOD, *BAD)
            open_ways += [[*past, ToolResult(name, output)] for output in outputs]


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.path.stem)
def test_every_way_through_a_play_ends_with_an_answer_and_no_hole(play: Play) -> None:
    full: Offer = dict.fromkeys(TOOLS, "function")
    offers: list[Offer] = [full, {}]
    offers.extend(
        {name: kind for name, kind in full.items() if name != missing} for missing in TOOLS
    )
    ends = 0
    for past, moves in (way for offered in offers for way in ways(play, offered)):
        assert isinstance(moves[-1], CallTool | End)
        texts = [text_of(move) for move in moves]
        assert not any(re.search(r"\bunknown\b|\{[a-z]+\.[a-z_]+\}", text) for text in texts), past
        if moves[-1] == End():
            ends += 1
            assert isinstance(moves[-2], Say)
            assert "took 200 steps" not in moves[-2].text
    assert ends >= len(offers)


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.path.stem)
def test_every_play_answers_its_own_example_and_has_no_dead_step(play: Play) -> None:
    found = load_repertoire([]).find(play.prompt)
    assert found is not None
    assert found.path == play.path
    every_way = list(ways(play, dict.fromkeys(TOOLS, "function")))
    heard = {text_of(move) for _, moves in every_way for move in moves}
    for step in play.steps:
        if not isinstance(step.action, ToolUse):
            start = step.action.text.partition("{")[0]
            assert any(text.startswith(start) for text in heard), start


@pytest.mark.parametrize(
    "prompt", ["Write hello world in C", "help me fit a suit", "list comprehension"]
)
def test_plays_do_not_jump_at_prompts_they_cannot_answer(prompt: str) -> None:
    assert load_repertoire([]).find(prompt) is None


class Stage:
    """A client that really does what a play asks for, in one folder and one namespace."""

    def __init__(self, folder: Path, play_dirs: tuple[Path, ...] = ()) -> None:
        self.folder = folder
        self.namespace: dict[str, Any] = {}
        self.calls: list[str] = []
        self._model = OfflineModel(pace=0, play_dirs=play_dirs)

    async def ask(self, prompt: str) -> str:
        """Take one turn and return the last message."""
        items: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
        while True:
            done = await self._answer(items)
            items += done
            calls = [item for item in done if item["type"] == "function_call"]
            if not calls:
                return done[-1]["content"][0]["text"]
            for call in calls:
                self.calls.append(call["name"])
                output = self._do(call["name"], json.loads(call["arguments"]))
                items.append(
                    {"type": "function_call_output", "call_id": call["call_id"], "output": output}
                )

    async def _answer(self, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        tools = [{"type": "function", "name": name} for name in TOOLS]
        request = ModelRequest(model="offline", instructions="", input=items, tools=tools)
        async with self._model.stream(request) as stream:
            events = [event async for batch in stream for event in batch]
        return [e["item"] for e in events if e["type"] == "response.output_item.done"]

    def _do(self, tool: str, arguments: dict[str, Any]) -> str:
        match tool:
            case "run_python":
                return self._run(arguments["code"])
            case "shell_command":
                done = subprocess.run(
                    arguments["command"],
                    shell=True,
                    cwd=self.folder,
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=10,
                )
                return f"Exit code: {done.returncode}\nOutput:\n{done.stdout}{done.stderr}"
            case "apply_patch":
                return self._patch(arguments["input"])
            case "update_plan":
                return "Plan updated"
            case _:
                return "\n".join(name for name in self.namespace if not name.startswith("_"))

    def _run(self, code: str) -> str:
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.chdir(self.folder):
                exec(code, self.namespace)
        except Exception:  # noqa: BLE001 - the user's code may raise anything
            out.write(traceback.format_exc())
        return out.getvalue()

    def _patch(self, text: str) -> str:
        try:
            return apply_plan(plan_patch(parse_patch(text), self.folder))
        except PatchError as error:
            return f"apply_patch verification failed: {error}"


def cells(name: str) -> tuple[list[str], list[str]]:
    """Return the prompts of a notebook's turns, and its plain Python cells."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    prompts = [source.partition("\n")[2] for source in code if source.startswith("%%codex\n")]
    return prompts, [source for source in code if not source.startswith("%")]


@pytest.mark.anyio
async def test_the_quickstart_really_fits_draws_saves_and_reports(tmp_path: Path) -> None:
    (fit, farthest), (make, show) = cells("quickstart")
    stage = Stage(tmp_path)
    exec(make, stage.namespace)
    points = stage.namespace["points"]
    xs, ys = zip(*points, strict=True)
    expected = statistics.linear_regression(xs, ys)

    answer = await stage.ask(fit)
    assert f"**The slope is {expected.slope:.4f}.**" in answer
    assert f"+ {expected.intercept:.4f}" in answer
    assert stage.calls == ["update_plan", "run_python", "update_plan", "shell_command",
                           "apply_patch", "update_plan"]  # fmt: skip
    svg = ET.parse(tmp_path / "fit.svg").getroot()
    assert len(svg.findall("{*}circle")) == len(points)
    assert all(
        0 <= float(dot.get(side, "-1")) <= float(svg.get(length, "0"))
        for dot in svg.findall("{*}circle")
        for side, length in (("cx", "width"), ("cy", "height"))
    )
    # Two dots give the picture's scale; by it, both ends of the line must lie on the fit.
    heights = {
        y: float(dot.get("cy", "")) for y, dot in zip(ys, svg.findall("{*}circle"), strict=True)
    }
    low, high = min(ys), max(ys)
    [line] = svg.findall("{*}line")
    for x, end in ((min(xs), "y1"), (max(xs), "y2")):
        share = (expected.slope * x + expected.intercept - low) / (high - low)
        drawn = heights[low] + share * (heights[high] - heights[low])
        assert float(line.get(end, "")) == pytest.approx(drawn, abs=0.3)
    report = (tmp_path / "fit_report.md").read_text()
    assert f"slope: {expected.slope:.4f}" in report

    answer = await stage.ask(farthest)
    misses = {p: abs(p[1] - expected.slope * p[0] - expected.intercept) for p in points}
    worst = max(points, key=lambda point: misses[point])
    assert f"**({worst[0]:.3f}, {worst[1]:.3f})**" in answer
    assert eval(show, stage.namespace)[2] == worst


@pytest.mark.anyio
async def test_a_second_run_replaces_the_report_of_the_first(tmp_path: Path) -> None:
    (fit, _), _ = cells("quickstart")
    stage = Stage(tmp_path)
    for slope in (1, 3):
        stage.namespace["points"] = [(x, slope * x) for x in range(4)]
        assert "the numbers are in `fit_report.md`" in await stage.ask(fit)
        assert f"slope: {slope}.0000" in (tmp_path / "fit_report.md").read_text()
    assert stage.calls.count("apply_patch") == 1 + 2
    assert "this run wrote no report" in await stage.ask(fit)
    assert f"slope: {slope}.0000" in (tmp_path / "fit_report.md").read_text()


@pytest.mark.anyio
async def test_without_points_the_user_is_told_which_cell_to_run(tmp_path: Path) -> None:
    (fit, farthest), _ = cells("quickstart")
    answer = await Stage(tmp_path).ask(fit)
    assert "NameError: name 'points' is not defined" in answer
    assert "Run the cell above" in answer
    answer = await Stage(tmp_path).ask(farthest)
    assert "NameError: name 'points' is not defined" in answer
    stage = Stage(tmp_path)
    stage.namespace["points"] = [(1, 2), (1, 3)]
    assert "two different x" in await stage.ask(fit)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.anyio
async def test_the_pandas_quickstart_really_plots_and_tabulates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pandas")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    (plot, table), (make, show) = cells("quickstart_pandas")
    stage = Stage(tmp_path)
    assert "name 'df' is not defined" in await stage.ask(plot)
    assert "name 'fits' is not defined" in await stage.ask(table)
    exec(make, stage.namespace)
    answer = await stage.ask(plot)
    slope = eval(show, stage.namespace)
    assert f"**Group c is steepest**, with a slope of {slope:.4f}, among 3 groups" in answer
    assert slope == pytest.approx(2.4, abs=0.3)
    assert (tmp_path / "df_fit.png").read_bytes().startswith(b"\x89PNG")
    assert "the 3 groups, steepest first" in await stage.ask(table)


@pytest.mark.anyio
async def test_small_prompts_get_their_answers(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.namespace["weight"] = 3
    (tmp_path / "here.txt").touch()
    assert "weight" in await stage.ask("List my variables")
    assert "here.txt" in await stage.ask("show the files in this folder")
    for prompt in ("Hi!", "what can you do?"):
        answer = await stage.ask(prompt)
        assert "offline stand-in" in answer
        assert "> List my variables." in answer
        assert "OPENAI_API_KEY" in answer


@pytest.mark.anyio
async def test_the_example_of_the_manual_plays_as_it_says(tmp_path: Path) -> None:
    manual = (ROOT / "docs" / "plays.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```toml\n(.*?)```", manual, re.DOTALL)
    plays = tmp_path / "plays"
    plays.mkdir()
    (plays / "count.toml").write_text(example, encoding="utf-8")
    folder = tmp_path / "work"
    folder.mkdir()
    stage = Stage(folder, (plays,))
    (folder / "other.csv").touch()
    answer = await stage.ask("How many rows has data.csv?")
    assert "I could not count the rows. The folder holds:\n\n    other.csv" in answer
    (folder / "data.csv").write_text("a,b\n1,2\n3,4\n")
    assert "has **2** rows" in await stage.ask("count the lines of data.csv")


def test_the_mistake_shown_in_the_manual_reads_like_that(tmp_path: Path) -> None:
    manual = (ROOT / "docs" / "plays.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```toml\n(.*?)```", manual, re.DOTALL)
    path = tmp_path / "plays" / "count.toml"
    path.parent.mkdir()
    path.write_text(example.replace("capture =", "captrue ="), encoding="utf-8")
    [error] = load_repertoire([path.parent]).broken
    assert str(error).removeprefix(str(tmp_path)) in manual
