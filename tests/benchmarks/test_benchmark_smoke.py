"""The benchmark still runs against this app server, hears every text and reports every row."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.app_server import medians, table
from benchmarks.model import TOKEN, Answer, answer_events, read_answer
from benchmarks.rows import UNITS, Samples

ROOT = Path(__file__).parents[2]
LYING_SERVER = """
import json, sys

def write(**message):
    print(json.dumps(message), flush=True)

for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method = asked["method"]
    place = {"threadId": "t", "turnId": "u"}
    result = {"thread": {"id": "t"}} if method == "thread/start" else {"turn": {"id": "u"}}
    write(id=asked["id"], result=result)
    if method == "turn/start":
        lost = {**place, "itemId": "i", "delta": "not what the model said"}
        write(method="item/agentMessage/delta", params=lost)
        ended = {"threadId": "t", "turn": {"id": "u", "status": "completed"}}
        write(method="turn/completed", params=ended)
"""


def run_benchmark(tmp_path: Path, *servers: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.app_server", "--quick"]
    options = ["--home-root", str(tmp_path), "--json", str(tmp_path / "figures.json")]
    return subprocess.run(
        [*command, *options, *servers], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


@pytest.mark.slow
def test_a_quick_run_measures_every_row_of_our_app_server(tmp_path: Path) -> None:
    run = run_benchmark(tmp_path)
    assert run.returncode == 0, run.stderr
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    ours = figures["median"]["ours"]
    assert list(ours) == list(UNITS)
    assert all(value is None or value > 0 for value in ours.values())
    assert {row for row, value in ours.items() if value is None} <= {"review_inline"}
    assert [line.split()[0] for line in run.stdout.splitlines()] == ["row", *UNITS]
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_a_server_that_changes_the_text_gets_no_figures(tmp_path: Path) -> None:
    program = tmp_path / "lying_server.py"
    program.write_text(LYING_SERVER, encoding="utf-8")
    run = run_benchmark(tmp_path, f"liar={sys.executable} {program}")
    assert run.returncode == 1
    assert "do not say the same" in run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize(
    ("text", "tools", "answer"),
    [
        ("deltas=7", ["shell"], Answer(deltas=7)),
        ("deltas=3 delay=0.5", [], Answer(deltas=3, delay=0.5)),
        ("shell=sleep 1;;", ["shell"], Answer(command="sleep 1", tool="shell")),
        ("shell=ls;;", ["shell", "exec_command"], Answer(command="ls", tool="exec_command")),
        ("hello", [], Answer()),
    ],
)
def test_the_last_user_message_decides_the_answer(
    text: str, tools: list[str], answer: Answer
) -> None:
    said = {"role": "user", "content": [{"type": "input_text", "text": text}]}
    around = {"role": "user", "content": [{"type": "input_text", "text": "<environment>"}]}
    body = {"input": [said, around], "tools": [{"name": name} for name in tools]}
    assert read_answer(body) == answer


def test_after_the_output_of_a_tool_the_model_answers_with_text() -> None:
    said = {"role": "user", "content": [{"type": "input_text", "text": "shell=ls;;"}]}
    output = {"type": "function_call_output", "call_id": "c", "output": ""}
    assert read_answer({"input": [said, output]}) == Answer()


@pytest.mark.parametrize("delay", [0.0, 0.1])
@pytest.mark.parametrize("deltas", [1, 63, 64, 65, 200])
def test_an_answer_streams_exactly_its_deltas(deltas: int, delay: float) -> None:
    stream = b"".join(answer_events(Answer(deltas, delay), "r"))
    events = [json.loads(block.partition(b"data: ")[2]) for block in stream.split(b"\n\n") if block]
    pieces = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    assert pieces == [TOKEN] * deltas
    assert events[-2]["item"]["content"][0]["text"] == "".join(pieces)
    assert events[-1]["type"] == "response.completed"


def test_a_ratio_is_the_others_figure_over_the_firsts_and_an_unknown_row_has_none() -> None:
    first, other = Samples(), Samples()
    for row in UNITS:
        first.add(row, 2.0)
        for value in (9.0, 3.0, 1.0):
            other.add(row, value)
    first.missing.add("review_inline")
    lines = table({"ours": medians(first), "codex": medians(other)}).splitlines()
    assert lines[0].split() == ["row", "unit", "ours", "codex", "codex/ours"]
    cells = {line.split()[0]: line.split()[2:] for line in lines}
    assert cells["turn_total"] == ["2.000", "3.000", "1.50"]
    assert cells["review_inline"] == ["n/a", "3.000", "n/a"]
