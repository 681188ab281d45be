"""Turns whose core is in the Jupyter server: what a person sees, allows, answers and stops."""

import json

import pytest

pytest.importorskip("playwright.sync_api", reason="the extra `ui` is not installed")

from playwright.sync_api import expect

from tests.fake_answers import call, say
from tests.notebook.kernel_driver import TURN_MIME, WIDGET_MIME
from tests.ui.desk import AGAIN, KERNELS, RUN, Desk, command, python

pytestmark = [pytest.mark.ui, pytest.mark.timeout(240)]

WAYS = ["toolbar", "view", "panel"]
DURING = ["stream", "command", "kernel"]


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


STOPS = [
    *((way, what, "newest") for way in WAYS for what in DURING),
    *(("toolbar", what, kernel) for what in DURING for kernel in KERNELS if kernel != "newest"),
]


@pytest.mark.parametrize(("way", "during", "kernel"), STOPS)
def test_stopping_ends_the_turn_and_the_cell(
    desk: Desk, way: str, during: str, kernel: str
) -> None:
    answers = {
        "stream": [say("one two three", deltas=3).hang(after=4)],
        "command": [command("echo going; sleep 600")],
        "kernel": [python("import time\nprint('going', flush=True)\ntime.sleep(600)")],
    }[during]
    notebook = desk.open(f"stop-{way}-{during}-{kernel}", *answers, kernel=kernel)
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


def test_stopping_one_notebook_leaves_the_other_alone(desk: Desk) -> None:
    first = desk.open("first", command("touch made"))
    first.run("Go.")
    first.wait_for_text("Run this command?")
    other = desk.open("other", say("one two three", deltas=3).hang(after=4))
    other.run("Go.")
    other.wait_for_text("one")
    other.interrupt()
    other.wait_for_text("Stopped by you")
    other.wait_idle()
    desk.fake.resume()
    other.close()
    desk.script.append(say("Not disturbed."))
    first.agree(RUN)
    first.wait_for_text("Not disturbed.")
    first.wait_idle()
    (desk.folder / "made").unlink()
    first.close()


def test_a_turn_in_the_background_is_stopped_in_its_view(desk: Desk) -> None:
    prompts = ["import codex_jupyter\nhandle = codex_jupyter.start('Go.')", "6 * 7"]
    notebook = desk.open("background", command("echo going; sleep 600"), prompts=prompts)
    notebook.run("start(")
    notebook.agree(RUN)
    notebook.wait_for_text("going")
    notebook.run("6 * 7")
    notebook.wait_for_text("42")
    notebook.press("Stop")
    notebook.wait_for_text("Stopped by you")
    notebook.close()
