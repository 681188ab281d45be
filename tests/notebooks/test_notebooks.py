"""The notebooks we ship run as they are, in every kernel, with the offline model."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest

from codex_jupyter.errors import UsageError
from codex_jupyter.notebook.execute import execute_notebook
from tests.notebook.kernel_driver import ROOT, TURN_MIME, WIDGET_MIME, kernel_pythons

pytestmark = pytest.mark.notebook

Json = dict[str, Any]

STATIC = {TURN_MIME, "text/markdown", "text/html", "text/plain"}
PYTHONS = kernel_pythons()
NEWEST = next(iter(PYTHONS))
QUICKSTART = ROOT / "notebooks" / "quickstart.ipynb"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")

one_kernel = pytest.mark.parametrize("environment", [NEWEST], indirect=True)


@pytest.fixture(params=list(PYTHONS))
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Mapping[str, str]:
    """Return an environment in which the kernel `tested` is one of the ipykernels."""
    spec = tmp_path / "jupyter" / "kernels" / "tested"
    spec.mkdir(parents=True)
    argv = [str(PYTHONS[request.param]), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "Tested", "language": "python"})
    )
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text("offline_pace = 0\n")
    ours = ("CODEX_JUPYTER_", "OPENAI_", "JUPYTER_", "JPY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {
        **kept,
        "JUPYTER_PATH": str(tmp_path / "jupyter"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "CODEX_JUPYTER_HOME": str(tmp_path / "home"),
        "CODEX_JUPYTER_MODEL_PROVIDER": "offline",
        "PYTHONPATH": str(ROOT),
    }


def execute(
    notebook: Path, environment: Mapping[str, str], out: Path, *options: str
) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "codex_jupyter.cli", "execute", str(notebook)]
    return subprocess.run(
        [*command, "--out", str(out), "--kernel", "tested", *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        stdin=subprocess.DEVNULL,
    )


def outputs_of(path: Path) -> list[Json]:
    cells = nbformat.read(path, as_version=4).cells
    return [output for cell in cells for output in cell.get("outputs", [])]


def check_turns(outputs: list[Json], count: int = 2) -> None:
    """Check that every turn is complete, and reads without a kernel or JavaScript."""
    assert not [output for output in outputs if output["output_type"] == "error"]
    bundles = [output["data"] for output in outputs if "data" in output]
    assert not any(WIDGET_MIME in data for data in bundles)
    turns = [data for data in bundles if TURN_MIME in data]
    assert len(turns) == count
    for data in turns:
        assert set(data) == STATIC
        assert data[TURN_MIME]["status"] == "completed"
        assert all(data[kind] for kind in STATIC)
        assert "<script" not in data["text/html"]


def test_the_quickstart_finds_the_slope_and_saves_the_picture(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    out, before = tmp_path / "out", QUICKSTART.read_bytes()
    done = execute(QUICKSTART, environment, out, "--html")
    assert done.returncode == 0, done.stderr
    assert QUICKSTART.read_bytes() == before
    outputs = outputs_of(out / "quickstart.ipynb")
    check_turns(outputs)
    slope, _, _ = eval(outputs[-1]["data"]["text/plain"])
    assert slope == pytest.approx(2.5, abs=0.15)
    assert f"{slope:.4f}" in done.stdout
    pictures = list(out.glob("*.svg"))
    assert len(pictures) == 1
    assert "<svg" in pictures[0].read_text()
    page = (out / "quickstart.html").read_text()
    assert f"{slope:.4f}" in page
    assert "%%codex" in done.stdout or "Fit a line" in done.stdout


@pytest.mark.slow
def test_the_pandas_quickstart_finds_the_steepest_group(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    if not all(map(importlib.util.find_spec, ("pandas", "matplotlib"))):
        pytest.skip("needs the extra `demo`")
    out = tmp_path / "out"
    done = execute(ROOT / "notebooks" / "quickstart_pandas.ipynb", environment, out)
    assert done.returncode == 0, done.stderr
    outputs = outputs_of(out / "quickstart_pandas.ipynb")
    check_turns(outputs)
    assert float(outputs[-1]["data"]["text/plain"].strip("np.float64()")) == pytest.approx(
        2.4, abs=0.15
    )
    assert len(list(out.glob("*.png"))) == 1


def test_delegates_work_side_by_side_and_leave_their_results(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = execute(ROOT / "notebooks" / "delegates.ipynb", environment, out)
    assert done.returncode == 0, done.stderr
    outputs = outputs_of(out / "delegates.ipynb")
    check_turns(outputs, 3)
    turns = [o["data"][TURN_MIME] for o in outputs if TURN_MIME in o.get("data", {})]
    shown = [[row["name"] for row in turn["delegates"]] for turn in turns]
    assert shown == [["#1", "#2", "#3"], ["#1"], ["Nora", "Sid"]]
    assert all(row["status"] == "completed" for turn in turns for row in turn["delegates"])
    values = [o["data"]["text/plain"] for o in outputs if o["output_type"] == "execute_result"]
    assert eval(values[2]) == {"north": 400, "south": 255, "west": 440}


@one_kernel
def test_a_cell_that_fails_ends_the_run_with_what_there_is(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    cells = ["print('first')", "1 / 0", "print('never')"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    path, out = tmp_path / "failing.ipynb", tmp_path / "out"
    nbformat.write(notebook, path)
    done = execute(path, environment, out, "--html")
    assert done.returncode == 1
    assert "first" in done.stdout
    assert "ZeroDivisionError: division by zero" in COLOURS.sub("", done.stdout)
    assert "never" not in done.stdout.replace("print('never')", "")
    assert [output["output_type"] for output in outputs_of(out / "failing.ipynb")] == [
        "stream",
        "error",
    ]
    assert (out / "failing.html").exists()


@one_kernel
@pytest.mark.slow
def test_where_nobody_can_be_asked_and_nothing_was_stated_the_run_fails(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    notebook = nbformat.read(QUICKSTART, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("%codex headless", "# %codex headless")
    path, out = tmp_path / "unstated.ipynb", tmp_path / "out"
    nbformat.write(notebook, path)
    done = execute(path, environment, out)
    assert done.returncode == 1
    assert "NobodyToAskError: the turn asks for approval of `run_python`" in done.stdout
    assert "%codex headless" in done.stdout
    assert not list(out.glob("*.svg"))


@pytest.mark.parametrize("content", [None, "not json", "{}", "[]", '{"cells": 3}', b"\xff\xfe"])
def test_what_is_no_notebook_is_named(tmp_path: Path, content: str | bytes | None) -> None:
    path = tmp_path / "no.ipynb"
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageError, match=r"no\.ipynb cannot be read as a notebook: .+"):
        execute_notebook(path, out=tmp_path / "out")


def test_a_kernel_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no kernel 'no_such_kernel'"):
        execute_notebook(QUICKSTART, out=tmp_path / "out", kernel="no_such_kernel")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file"):
        execute_notebook(QUICKSTART, out=tmp_path / "file")
