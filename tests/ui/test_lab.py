"""The quickstart with the core in the kernel, in JupyterLab, on every ipykernel we promise."""

import os
import re
import shutil
import sys
from collections.abc import Generator
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("playwright.sync_api", reason="the extra `ui` is not installed")

from playwright.sync_api import Browser

from tests.ui.lab import Notebook, lab_server, write_kernelspecs

pytestmark = [pytest.mark.ui, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
KERNELS = {"newest": sys.executable} | {
    path.parents[1].name: str(path) for path in sorted(ROOT.glob(".venvs/ipykernel-*/bin/python"))
}
YES = re.compile(r"^(Run|Apply)$")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Path, str]]:
    """A Lab server over an empty folder, with one kernelspec per ipykernel."""
    top = tmp_path_factory.mktemp("lab")
    write_kernelspecs(top / "data", KERNELS)
    folder = top / "work"
    folder.mkdir()
    environment = {
        "CODEX_JUPYTER_CORE": "embedded",
        "CODEX_JUPYTER_HOME": str(top / "home"),
        "CODEX_JUPYTER_MODEL_PROVIDER": "offline",
        "JUPYTER_PATH": os.pathsep.join([str(top / "data"), os.environ.get("JUPYTER_PATH", "")]),
    }
    with lab_server(folder, environment) as address:
        yield folder, address


def quickstart(browser: Browser, desk: tuple[Path, str], kernel: str, name: str) -> Notebook:
    """Open a copy of the quickstart on ``kernel`` and run its first two code cells."""
    folder, address = desk
    made = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", as_version=4)
    made.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
    nbformat.write(made, folder / f"{name}.ipynb")
    notebook = Notebook.open(browser, address, f"{name}.ipynb", last="slope, intercept, farthest")
    for start in ("%load_ext", "import random"):
        notebook.run(start)
        notebook.wait_idle()
    return notebook


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_busy_cell_asks_takes_the_answer_and_finishes(
    browser: Browser, desk: tuple[Path, str], kernel: str
) -> None:
    notebook = quickstart(browser, desk, kernel, f"ask-{kernel}")
    notebook.run("Fit a line")
    notebook.wait_for_text("Run this in your kernel?")
    notebook.wait_for_text("not sandboxed")
    notebook.agree(YES)
    notebook.wait_for_text("Apply this patch?")
    notebook.agree(YES)
    notebook.wait_for_text("The slope is 2.4266")
    notebook.wait_idle()
    folder, _ = desk
    assert (folder / "fit.svg").is_file()
    assert "2.4266" in (folder / "fit_report.md").read_text()
    (folder / "fit.svg").unlink()
    (folder / "fit_report.md").unlink()
    notebook.close()


def test_declining_is_told_to_the_model_and_runs_nothing(
    browser: Browser, desk: tuple[Path, str]
) -> None:
    notebook = quickstart(browser, desk, "newest", "decline")
    notebook.run("Fit a line")
    notebook.press("Don't run")
    notebook.wait_for_text("You declined the Python code")
    notebook.wait_idle()
    assert not (desk[0] / "fit.svg").exists()
    notebook.close()


@pytest.mark.parametrize("way", ["toolbar", "view"])
def test_stopping_ends_the_cell_and_the_next_turn_goes_on(
    browser: Browser, desk: tuple[Path, str], way: str
) -> None:
    notebook = quickstart(browser, desk, "newest", f"stop-{way}")
    notebook.run("Fit a line")
    notebook.wait_for_text("Run this in your kernel?")
    if way == "toolbar":
        notebook.interrupt()
    else:
        notebook.press("Stop")
    notebook.wait_for_text("TurnInterrupted")
    notebook.wait_idle()
    notebook.wait_for_text("stopped")
    notebook.run("Which point")
    notebook.wait_for_text("Run this in your kernel?")
    notebook.press("Don't run")
    notebook.wait_for_text("You declined the Python code, so I did not look")
    notebook.close()


def test_a_saved_notebook_reads_well_and_holds_no_live_control(
    browser: Browser, desk: tuple[Path, str]
) -> None:
    notebook = quickstart(browser, desk, "newest", "saved")
    notebook.run("Fit a line")
    notebook.agree(YES)
    notebook.agree(YES)
    notebook.wait_for_text("The slope is 2.4266")
    notebook.wait_idle()
    notebook.save()
    notebook.close()
    folder, address = desk
    saved = nbformat.read(folder / "saved.ipynb", as_version=4)
    outputs = [output for cell in saved.cells for output in cell.get("outputs", [])]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "application/vnd.codex-jupyter.turn+json" in kinds
    assert {"text/html", "text/markdown", "text/plain"} <= kinds
    assert "application/vnd.jupyter.widget-view+json" not in kinds

    again = Notebook.open(browser, address, "saved.ipynb", last="slope, intercept, farthest")
    again.wait_for_text("The slope is 2.4266")
    assert again.page.locator(".jp-OutputArea button").filter(has_text=YES).count() == 0
    again.close()
    shutil.rmtree(folder / ".ipynb_checkpoints", ignore_errors=True)
