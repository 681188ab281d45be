"""Delegates and reviews in JupyterLab, the core in the server: opened, answered, stopped."""

import json
import re

import pytest

pytest.importorskip("playwright.sync_api", reason="the extra `ui` is not installed")

from playwright.sync_api import Locator, expect

from tests.fake_answers import Answer, say
from tests.notebook.kernel_driver import TURN_MIME
from tests.ui.desk import RUN, Desk, command
from tests.ui.lab import Notebook

pytestmark = [pytest.mark.ui, pytest.mark.timeout(240)]

CELL = """import codex_jupyter
m = codex_jupyter.delegate_map(["Read the north", "Touch the south", "Wait in the west"])
r = await m
print("states", [x.status for x in r])"""


def open_with(desk: Desk, name: str, answers: dict[str, list[Answer]], cell: str) -> Notebook:
    notebook = desk.open(name, prompts=[cell])
    desk.fake.fake.by_prompt(answers)
    return notebook


def row(notebook: Notebook, name: str) -> Locator:
    return notebook.page.locator(".jp-OutputArea .cxj-delegate").filter(has_text=name)


def three(desk: Desk, name: str) -> Notebook:
    """Run a cell with three delegates: one is done, one asks, one waits for its model."""
    answers = {
        "Read the north": [command("ls"), say("The north has **three** files.")],
        "Touch the south": [command("touch south"), say("The south is touched.")],
        "Wait in the west": [say("never said", deltas=9).hang(after=4)],
    }
    (desk.folder / "south").unlink(missing_ok=True)
    notebook = open_with(desk, name, answers, CELL)
    notebook.run("delegate_map")
    notebook.wait_for_text("Run this command?")
    return notebook


def test_rows_say_who_does_what_and_can_be_opened_answered_and_stopped(desk: Desk) -> None:
    notebook = three(desk, "rows")
    notebook.wait_for_text("1 of 3 done")
    expect(row(notebook, "#1")).to_contain_text("The north has three files.")
    row(notebook, "#1").get_by_role("button", expanded=False).first.click()
    notebook.wait_for_text("Read the north")
    expect(notebook.page.locator(".cxj-delegate-turn")).to_contain_text("ls")
    expect(notebook.page.locator(".cxj-card, .cxj-request").first).to_contain_text("#2")
    notebook.agree(RUN)
    expect(row(notebook, "#2")).to_contain_text("The south is touched.")
    assert (desk.folder / "south").exists()
    row(notebook, "#3").get_by_role("button", name=re.compile("^Stop")).click()
    notebook.wait_for_text("states ['completed', 'completed', 'interrupted']")
    notebook.wait_idle()
    notebook.save()
    turn = desk.saved("rows")[0]["data"][TURN_MIME]
    assert [r["status"] for r in turn["delegates"]] == ["completed", "completed", "interrupted"]
    notebook.close()


def test_a_page_that_comes_back_finds_rows_and_question(desk: Desk) -> None:
    notebook = three(desk, "reload")
    notebook.save()
    notebook.page.reload()
    notebook.wait_for_text("1 of 3 done")
    notebook.wait_for_text("Run this command?")
    notebook.agree(RUN)
    expect(row(notebook, "#2")).to_contain_text("The south is touched.")
    notebook.press("Stop")
    expect(row(notebook, "#3")).to_contain_text(re.compile("stopped", re.IGNORECASE))
    notebook.close()


def test_a_review_shows_findings_and_a_finding_opens_its_file(desk: Desk) -> None:
    code = desk.folder / "code.py"
    code.write_text("\n".join(f"line_{n} = {n}" for n in range(1, 60)))
    finding = {
        "title": "Line 42 is the answer",
        "body": "It should be `6 * 7`.",
        "priority": 1,
        "confidence_score": 0.9,
        "code_location": {
            "absolute_file_path": str(code),
            "line_range": {"start": 42, "end": 43},
        },
    }
    found = {
        "findings": [finding],
        "overall_correctness": "patch is incorrect",
        "overall_explanation": "One place wants a look.",
        "overall_confidence_score": 0.8,
    }
    answers = {"look at code.py": [command("cat code.py"), say(json.dumps(found))]}
    notebook = open_with(desk, "review", answers, "%codex review look at code.py")
    notebook.run("%codex review")
    notebook.wait_for_text("Line 42 is the answer")
    notebook.wait_for_text("code.py:42")
    notebook.wait_idle()
    notebook.page.locator(".jp-OutputArea a.cxj-file").first.click()
    expect(notebook.page.get_by_text("Ln 42, Col 1")).to_be_visible()
    notebook.close()
