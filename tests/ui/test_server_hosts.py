"""The pages and the places that turns of the Jupyter server live in, beside plain JupyterLab."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("playwright.sync_api", reason="the extra `ui` is not installed")

from playwright.sync_api import Browser, expect

from tests.fake_answers import say
from tests.ui.desk import ROOT, RUN, Desk, command, open_desk
from tests.ui.lab import Notebook

pytestmark = [pytest.mark.ui, pytest.mark.timeout(240)]


def test_notebook_7_shows_it_live_and_answers(browser: Browser, desk: Desk) -> None:
    desk.open("classic", command("touch made"), say("In Notebook 7.")).close()
    notebook = Notebook.open(
        browser, desk.address, "classic.ipynb", last="Again.", page_of="notebooks"
    )
    notebook.run("Go.")
    notebook.agree(RUN)
    notebook.wait_for_text("In Notebook 7.")
    notebook.wait_idle()
    (desk.folder / "made").unlink()
    notebook.close()


def test_voila_shows_it_live_and_answers(browser: Browser, desk: Desk) -> None:
    desk.open("voila", command("touch made"), say("In Voila.")).close()
    made = nbformat.read(desk.folder / "voila.ipynb", as_version=4)
    # Voilà runs all cells before it sends the page, so a cell must not wait for an answer.
    del made.cells[2]
    made.cells[1].source = "import codex_jupyter\nhandle = codex_jupyter.start('Go.')"
    nbformat.write(made, desk.folder / "voila.ipynb")
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{desk.address}/voila/render/voila.ipynb", wait_until="commit")
    card = page.locator(".cxj-card", has_text="touch made").first
    card.wait_for()
    Notebook(page).scroll_all_to_their_ends()
    card.locator("button").filter(has_text=RUN).click()
    expect(page.locator(".cxj-turn")).to_contain_text("In Voila.")
    (desk.folder / "made").unlink()
    page.close()


def test_below_a_base_url_and_behind_a_login(browser: Browser, tmp_path: Path) -> None:
    with (
        browser.new_context() as context,
        open_desk(
            context,
            tmp_path,
            "--ServerApp.allow_unauthenticated_access=False",
            base="/user/a%40b/",
            token="secret",
        ) as desk,
    ):
        # The token is given once; from then on the page has its cookie.
        context.new_page().goto(f"{desk.address}/api/status?token=secret")
        notebook = desk.open("login", command("touch made"), say("Let in."))
        notebook.run("Go.")
        notebook.agree(RUN)
        notebook.wait_for_text("Let in.")
        notebook.wait_idle()
        assert (desk.folder / "made").exists()


def test_the_wheel_brings_both_labextensions_without_node(tmp_path: Path) -> None:
    environment = {**os.environ, "HATCH_JUPYTER_BUILDER_SKIP_NPM": "1"}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = [*pip, "wheel", "--no-deps", "-w", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, env=environment, timeout=200)
    (wheel,) = tmp_path.glob("*.whl")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv), "--without-pip"], check=True)
    install = [*pip, "--python", str(venv / "bin" / "python"), "install", "--no-deps", str(wheel)]
    subprocess.run(install, check=True, timeout=200)
    for name in ("view", "lab"):
        found = venv / "share" / "jupyter" / "labextensions" / "@codex-jupyter" / name
        package = json.loads((found / "package.json").read_text())
        assert (found / package["jupyterlab"]["_build"]["load"]).is_file()
    config = venv / "etc" / "jupyter" / "jupyter_server_config.d" / "codex_jupyter.json"
    assert json.loads(config.read_text())["ServerApp"]["jpserver_extensions"]["codex_jupyter"]
