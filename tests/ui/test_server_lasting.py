"""What outlasts a page, a kernel or a server, when the core is in the Jupyter server."""

import os
import re
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("playwright.sync_api", reason="the extra `ui` is not installed")

from playwright.sync_api import Browser, expect

from tests.fake_answers import say
from tests.fake_model import run_in_thread
from tests.notebook.kernel_driver import TURN_MIME
from tests.ui.desk import RUN, Desk, command, server_environment
from tests.ui.lab import Notebook, lab_server

pytestmark = [pytest.mark.ui, pytest.mark.timeout(240)]


def test_a_reload_loses_neither_the_question_nor_the_output(desk: Desk) -> None:
    notebook = desk.open("reload", command("touch made"), say("After the reload."))
    notebook.run("Go.")
    notebook.wait_for_text("Run this command?")
    notebook.save()
    notebook.page.reload()
    notebook.wait_for_text("Run this command?")
    notebook.agree(RUN)
    notebook.wait_for_text("After the reload.")
    assert (desk.folder / "made").exists()
    (desk.folder / "made").unlink()
    # The kernel's last update found no page: this one writes the end into the notebook itself.
    expect(notebook.page.locator(".lm-mod-current.jp-mod-dirty")).to_have_count(1)
    notebook.save()
    output = next(o for o in desk.saved("reload") if TURN_MIME in o.get("data", {}))
    assert output["data"][TURN_MIME]["status"] == "completed"
    assert "After the reload." in output["data"]["text/markdown"]
    assert "text/html" in output["data"]
    notebook.close()


def test_a_second_browser_answers_and_the_first_one_sees_it(browser: Browser, desk: Desk) -> None:
    notebook = desk.open("second", command("touch made"), say("Seen by both."))
    notebook.run("Go.")
    notebook.wait_for_text("Run this command?")
    notebook.save()
    context = browser.new_context()
    other = Notebook.open(context, desk.address, "second.ipynb", last="Again.", idle=False)
    other.wait_for_text("Run this command?")
    other.agree(RUN)
    for page in (notebook, other):
        page.wait_for_text("Seen by both.")
        expect(page.page.locator(".jp-OutputArea .cxj-card")).to_have_count(0)
    notebook.wait_idle()
    (desk.folder / "made").unlink()
    other.close()
    context.close()
    notebook.close()


@pytest.mark.parametrize("way", ["kill", "restart"])
def test_a_turn_ends_with_its_kernel(desk: Desk, way: str) -> None:
    notebook = desk.open(f"gone-{way}", command("sleep 600"), say("never"))
    pid = int(notebook.cell("%load_ext").locator(".jp-OutputArea-output").inner_text())
    notebook.run("Go.")
    notebook.wait_for_text("Run this command?")
    notebook.open_panel()
    panel = notebook.page.locator(".jp-Codex-panel")
    expect(panel.locator(".cxj-card")).to_have_count(1)
    # Lab may say that the kernel has died; that is no surprise here.
    notebook.page.remove_locator_handler(notebook.page.locator(".jp-Dialog"))
    if way == "kill":
        os.kill(pid, signal.SIGKILL)
    else:
        notebook.page.evaluate(
            "window.jupyterapp.serviceManager.kernels.connectTo({model:"
            " window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.model}).restart()"
        )
    # Five seconds are what we promise, so it is also how long we wait.
    turn = notebook.page.locator(".jp-OutputArea .cxj-turn")
    expect(turn).to_have_attribute("data-status", "interrupted", timeout=5000)
    expect(turn.locator(".cxj-card")).to_have_count(0)
    expect(panel.locator(".cxj-card")).to_have_count(0)
    thread = panel.locator(".jp-Codex-thread").first
    expect(thread).not_to_have_attribute("data-state", re.compile("waiting|running"))
    notebook.close()


def test_after_a_server_restart_nothing_dead_looks_alive(browser: Browser, tmp_path: Path) -> None:
    script = deque([command("touch made"), say("never")])
    with run_in_thread(lambda _: script.popleft()) as fake:
        environment = server_environment(tmp_path, fake)
        with lab_server(tmp_path / "work", environment) as address:
            desk = Desk(browser, tmp_path / "work", address, fake, deque())
            notebook = desk.open("dead")
            notebook.run("Go.")
            notebook.wait_for_text("Run this command?")
            notebook.save()
            notebook.page.remove_locator_handler(notebook.page.locator(".jp-Dialog"))
        buttons = notebook.page.locator(".jp-OutputArea .cxj-card .cxj-button:enabled")
        expect(buttons).to_have_count(0)
        notebook.close()
        with lab_server(tmp_path / "work", environment) as address:
            again = Notebook.open(browser, address, "dead.ipynb", last="Again.")
            expect(again.page.locator(".jp-OutputArea .cxj-turn")).to_have_count(1)
            expect(
                again.page.locator(".jp-OutputArea .cxj-card .cxj-button:enabled")
            ).to_have_count(0)
            again.close()


def test_a_saved_turn_shows_without_a_kernel_and_has_no_buttons(
    browser: Browser, desk: Desk
) -> None:
    notebook = desk.open("saved", command("touch made"), say("Kept **well**."))
    notebook.run("Go.")
    notebook.agree(RUN)
    notebook.wait_for_text("Kept well.")
    notebook.wait_idle()
    notebook.save()
    notebook.close()
    (desk.folder / "made").unlink()
    made = nbformat.read(desk.folder / "saved.ipynb", as_version=4)
    made.metadata["kernelspec"] = {"name": "gone", "display_name": "gone", "language": "python"}
    nbformat.write(made, desk.folder / "saved.ipynb")
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{desk.address}/lab/tree/saved.ipynb?reset")
    turn = page.locator(".jp-OutputArea .cxj-turn")
    expect(turn).to_contain_text("Kept well.")
    expect(turn.locator(".cxj-card")).to_have_count(0)
    expect(turn.locator(".cxj-stop")).to_be_hidden()
    page.close()


def test_without_scripts_the_saved_turn_reads_well(browser: Browser, desk: Desk) -> None:
    notebook = desk.open("paper", command("touch made; echo on paper"), say("Kept **well**."))
    notebook.run("Go.")
    notebook.agree(RUN)
    notebook.wait_for_text("Kept well.")
    notebook.wait_idle()
    notebook.save()
    notebook.close()
    convert = [sys.executable, "-m", "nbconvert", "--to", "html", "paper.ipynb"]
    subprocess.run(convert, check=True, cwd=desk.folder, timeout=100, capture_output=True)
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((desk.folder / "paper.html").as_uri())
        output = page.locator(".jp-Cell", has_text="Go.").locator(".jp-OutputArea").first
        expect(output).to_contain_text("echo on paper")
        expect(output.locator("strong")).to_have_text("well")
        expect(output.locator("button, script, input")).to_have_count(0)
