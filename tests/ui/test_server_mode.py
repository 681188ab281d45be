"""Turns whose core is in the Jupyter server: what a person sees, does, reloads and stops."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

pytest.importorskip("playwright.sync_api", reason="the extra `ui` is not installed")

from playwright.sync_api import Browser, expect

from tests.fake_answers import Answer, call, say, status
from tests.fake_model import FakeModelInThread, run_in_thread
from tests.notebook.kernel_driver import TURN_MIME, WIDGET_MIME, provider_config
from tests.ui.lab import Notebook, chromium, lab_server, write_kernelspecs

pytestmark = [pytest.mark.server_ui, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
KERNELS = {"newest": sys.executable} | {
    path.parents[1].name: str(path) for path in sorted(ROOT.glob(".venvs/ipykernel-6*/bin/python"))
}
RUN = re.compile(r"^(Run|Apply)$")
AGAIN = re.compile(r"^Run, and don't ask again")


@dataclass
class Desk:
    """A Jupyter server with our extension, its folder, and the model that answers."""

    browser: Browser
    folder: Path
    address: str
    fake: FakeModelInThread
    script: "deque[Answer]"

    def open(self, name: str, *answers: Answer, kernel: str = "newest") -> Notebook:
        """Open a new notebook whose model will answer so; its first cell has run."""
        self.script.clear()
        self.script.extend(answers)
        cells = [
            nbformat.v4.new_code_cell("%load_ext codex_jupyter\nimport os; print(os.getpid())"),
            nbformat.v4.new_code_cell("%%codex\nGo."),
            nbformat.v4.new_code_cell("%%codex\nAgain."),
        ]
        made = nbformat.v4.new_notebook(cells=cells)
        made.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
        nbformat.write(made, self.folder / f"{name}.ipynb")
        notebook = Notebook.open(self.browser, self.address, f"{name}.ipynb", last="Again.")
        notebook.run("%load_ext")
        notebook.wait_idle()
        return notebook

    def saved(self, name: str) -> list[dict[str, Any]]:
        """Return the outputs of the second cell, as they are on disk."""
        made = nbformat.read(self.folder / f"{name}.ipynb", as_version=4)
        return list(made.cells[1].get("outputs", []))


def command(script: str, call_id: str = "c1") -> Answer:
    return call("shell_command", {"command": script}, call_id=call_id)


def python(code: str, call_id: str = "k1") -> Answer:
    return call("run_python", {"code": code}, call_id=call_id)


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def desk(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Generator[Desk]:
    top = tmp_path_factory.mktemp("server")
    script: deque[Answer] = deque()

    def answer(_body: dict[str, Any]) -> Answer:
        return script.popleft() if script else status(400, "the script has no answer")

    with run_in_thread(answer) as fake:
        environment = server_environment(top, fake)
        with lab_server(top / "work", environment) as address:
            yield Desk(browser, top / "work", address, fake, script)
        fake.resume()


def server_environment(top: Path, fake: FakeModelInThread) -> dict[str, str]:
    """Return what a server needs to answer by ``fake``; its folders are made."""
    (top / "work").mkdir()
    (top / "home").mkdir()
    (top / "home" / "config.toml").write_text(provider_config(fake.base_url))
    write_kernelspecs(top / "data", KERNELS)
    return {
        "CODEX_JUPYTER_HOME": str(top / "home"),
        "CODEX_JUPYTER_MODEL_PROVIDER": "",
        "FAKE_KEY": "key",
        "JUPYTER_PATH": os.pathsep.join([str(top / "data"), os.environ.get("JUPYTER_PATH", "")]),
    }


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_busy_cell_is_approved_and_finishes(desk: Desk, kernel: str) -> None:
    name = f"approve-{kernel}"
    notebook = desk.open(name, command("touch made"), say("All is done."), kernel=kernel)
    notebook.run("Go.")
    notebook.wait_for_text("Run this command?")
    notebook.wait_for_text("touch made")
    assert not (desk.folder / "made").exists()
    notebook.agree(RUN)
    notebook.wait_for_text("All is done.")
    notebook.wait_idle()
    assert (desk.folder / "made").exists()
    (desk.folder / "made").unlink()
    notebook.save()
    (output,) = desk.saved(name)
    assert output["data"][TURN_MIME]["status"] == "completed"
    assert {"text/html", "text/markdown", "text/plain"} <= set(output["data"])
    assert WIDGET_MIME not in output["data"]
    notebook.close()


def test_declining_runs_nothing(desk: Desk) -> None:
    notebook = desk.open("decline", command("touch made"), say("Then not."))
    notebook.run("Go.")
    notebook.press("Don't run")
    notebook.wait_for_text("Then not.")
    notebook.wait_idle()
    assert not (desk.folder / "made").exists()
    notebook.close()


def test_for_the_session_means_that_the_same_is_not_asked_again(desk: Desk) -> None:
    notebook = desk.open(
        "session", command("touch made"), command("touch made", "c2"), say("Twice done.")
    )
    notebook.run("Go.")
    notebook.agree(AGAIN)
    notebook.wait_for_text("Twice done.")
    notebook.wait_idle()
    (desk.folder / "made").unlink()
    notebook.close()


def test_a_question_is_answered_in_a_form(desk: Desk) -> None:
    question = {
        "id": "colour",
        "header": "Colour",
        "question": "Which colour?",
        "options": [
            {"label": "Red", "description": "Warm."},
            {"label": "Blue", "description": "Cold."},
        ],
    }
    ask = call("request_user_input", {"questions": [question]}, call_id="q1")
    notebook = desk.open("question", ask, say("As you like."))
    notebook.run("Go.")
    notebook.wait_for_text("Which colour?")
    notebook.page.locator(".jp-OutputArea .cxj-option", has_text="Blue").first.click()
    notebook.press("Send")
    notebook.wait_for_text("As you like.")
    notebook.wait_idle()
    outputs = [i for i in desk.fake.requests[-1]["input"] if i.get("call_id") == "q1"]
    assert "Blue" in json.dumps(outputs)
    notebook.close()


@pytest.mark.parametrize("way", ["toolbar", "view", "panel"])
@pytest.mark.parametrize("during", ["stream", "command", "kernel"])
def test_stopping_ends_the_turn_and_the_cell(desk: Desk, way: str, during: str) -> None:
    answers = {
        "stream": [say("one two three", deltas=3).hang(after=4)],
        "command": [command("echo going; sleep 600")],
        "kernel": [python("import time\nprint('going', flush=True)\ntime.sleep(600)")],
    }[during]
    notebook = desk.open(f"stop-{way}-{during}", *answers)
    notebook.run("Go.")
    if during == "stream":
        notebook.wait_for_text("one")
    else:
        notebook.agree(RUN)
        notebook.wait_for_text("going")
    if way == "toolbar":
        notebook.interrupt()
    elif way == "view":
        notebook.press("Stop")
    else:
        notebook.open_panel()
        notebook.page.locator(".jp-Codex-stop").first.click()
    notebook.wait_idle()
    notebook.wait_for_text("TurnInterrupted")
    notebook.wait_for_text("Stopped by you")
    desk.fake.resume()
    desk.script.append(say("Still here."))
    notebook.run("Again.")
    notebook.wait_for_text("Still here.")
    notebook.wait_idle()
    notebook.close()


def test_the_panel_answers_too(desk: Desk) -> None:
    notebook = desk.open("panel", command("touch made"), say("By the panel."))
    notebook.open_panel()
    notebook.run("Go.")
    panel = notebook.page.locator(".jp-Codex-panel")
    expect(panel.locator(".cxj-card", has_text="touch made")).to_be_visible()
    expect(panel.locator(".jp-Codex-name")).to_have_text("panel.ipynb")
    notebook.scroll_all_to_their_ends()
    panel.locator("button").filter(has_text=RUN).click()
    notebook.wait_for_text("By the panel.")
    notebook.wait_idle()
    expect(panel.locator(".cxj-card")).to_have_count(0)
    (desk.folder / "made").unlink()
    notebook.close()


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


def test_a_second_browser_answers_and_the_first_one_sees_it(desk: Desk) -> None:
    notebook = desk.open("second", command("touch made"), say("Seen by both."))
    notebook.run("Go.")
    notebook.wait_for_text("Run this command?")
    notebook.save()
    context = desk.browser.new_context()
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
    if way == "kill":
        os.kill(pid, signal.SIGKILL)
    else:
        notebook.page.evaluate(
            "window.jupyterapp.serviceManager.kernels.connectTo({model:"
            " window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.model}).restart()"
        )
    expect(panel.locator(".cxj-card")).to_have_count(0)
    expect(panel.locator(".jp-Codex-thread").first).not_to_have_attribute("data-state", "waiting")
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


def test_a_saved_turn_shows_without_a_kernel_and_has_no_buttons(desk: Desk) -> None:
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
    page = desk.browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{desk.address}/lab/tree/saved.ipynb?reset")
    turn = page.locator(".jp-OutputArea .cxj-turn")
    expect(turn).to_contain_text("Kept well.")
    expect(turn.locator(".cxj-card")).to_have_count(0)
    expect(turn.locator(".cxj-stop")).to_be_hidden()
    page.close()


def test_notebook_7_shows_it_live_and_answers(desk: Desk) -> None:
    desk.open("classic", command("touch made"), say("In Notebook 7.")).close()
    page = desk.browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{desk.address}/notebooks/classic.ipynb")
    page.locator(".jp-CodeCell", has_text="Go.").first.click()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Enter")
    page.locator(".cxj-card", has_text="touch made").first.wait_for()
    notebook = Notebook(page)
    notebook.agree(RUN)
    notebook.wait_for_text("In Notebook 7.")
    (desk.folder / "made").unlink()
    page.close()


def test_voila_shows_it_live_and_answers(desk: Desk) -> None:
    desk.open("voila", command("touch made"), say("In Voila.")).close()
    made = nbformat.read(desk.folder / "voila.ipynb", as_version=4)
    # Voilà runs all cells before it sends the page, so a cell must not wait for an answer.
    del made.cells[2]
    made.cells[1].source = "import codex_jupyter\nhandle = codex_jupyter.start('Go.')"
    nbformat.write(made, desk.folder / "voila.ipynb")
    page = desk.browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{desk.address}/voila/render/voila.ipynb", wait_until="commit")
    card = page.locator(".cxj-card", has_text="touch made").first
    card.wait_for()
    Notebook(page).scroll_all_to_their_ends()
    card.locator("button").filter(has_text=RUN).click()
    expect(page.locator(".cxj-turn")).to_contain_text("In Voila.")
    (desk.folder / "made").unlink()
    page.close()


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
