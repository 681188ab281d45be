"""The pictures of docs/img, taken of real pages: ``python -m tests.ui.screenshots [NAME...]``."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat

from tests.fake_answers import Answer, call, reason, say, status
from tests.ui.desk import ROOT, RUN, Desk, command, open_desk, python
from tests.ui.lab import PATIENCE, Notebook, chromium

IMAGES = ROOT / "docs" / "img"

PROMPT = "%%codex\nFit the prices in prices.csv, and write down what you find."
PLAN = ["Look at the data", "Fit the prices", "Write report.md"]
PRICES = "price,area,rooms\n412,98,4\n,61,3\n287,64,2\n530,131,5\n"
MODEL = '''"""Prices of flats."""


def fit(rows):
    """Return a function that guesses a price."""
    return mean(row.price for row in rows)
'''
PATCH = """*** Begin Patch
*** Update File: model.py
@@
 def fit(rows):
     \"\"\"Return a function that guesses a price.\"\"\"
-    return mean(row.price for row in rows)
+    priced = [row for row in rows if row.price is not None]
+    return least_squares(priced, "price ~ area + rooms")
*** Add File: report.md
+# Prices
+
+- rows used: 1187
+- R²: 0.83
*** End Patch"""
FOUND = """The data has **1,204 rows**; 17 of them lack a price. I propose to

1. drop the rows without a price,
2. fit `price ~ area + rooms`,
3. write the coefficients to `report.md`.

| column | type | missing |
|---|---|--:|
| price | float | 17 |
| area | float | 0 |
| rooms | int | 0 |

The fit explains most of what moves a price: the area alone gives 0.79, and the rooms add little.
"""
DONE = """Done. The fit uses **1,187 rows** and explains 83 % of the variance; see `report.md`.

```python
price = 3.91 * area + 4.2 * rooms + 11.7
```
"""
CHECK = (
    r"printf '\033[32m✓\033[0m 3 rows with a price\n\033[33m!\033[0m 1 row without\n'"
    "; head -3 prices.csv"
)
CODE = """import csv

with open("prices.csv") as file:
    rows = [row for row in csv.DictReader(file) if row["price"]]
print(f"{len(rows)} rows with a price")
"""
LINES = {"start": 6, "end": 6}
QUESTION = {
    "id": "missing",
    "header": "Missing prices",
    "question": "What shall become of the 17 rows without a price?",
    "options": [
        {"label": "Drop them", "description": "The fit uses 1,187 rows."},
        {"label": "Fill with the median", "description": "Keeps every row, biases the fit."},
    ],
}


def plan(done: int) -> Answer:
    """The model says how far it has come."""
    states = ["completed"] * done + ["inProgress"] + ["pending"] * len(PLAN)
    words = {"inProgress": "in_progress"}
    steps = [{"step": s, "status": words.get(t, t)} for s, t in zip(PLAN, states, strict=False)]
    return call("update_plan", {"plan": steps}, call_id=f"plan{done}")


def patch() -> Answer:
    """The model edits files."""
    return call("apply_patch", {"input": PATCH}, call_id="p1")


def ready(
    desk: Desk,
    name: str,
    *answers: Answer,
    theme: str = "JupyterLab Light",
    cell: str = PROMPT,
) -> Notebook:
    """Open a notebook with the panel, in one theme, at the size of the pictures."""
    (desk.folder / "model.py").write_text(MODEL)
    (desk.folder / "prices.csv").write_text(PRICES)
    (desk.folder / "report.md").unlink(missing_ok=True)
    notebook = desk.open(name, *answers, prompts=[cell])
    notebook.page.set_viewport_size({"width": 1280, "height": 900})
    change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
    notebook.page.evaluate(change, theme)
    notebook.open_panel()
    return notebook


def shoot(notebook: Notebook, name: str) -> None:
    """Bring what is new into view and take the picture."""
    page = notebook.page
    page.mouse.move(640, 5)
    for news in page.locator(".Toastify__toast button", has_text="No").all():
        news.click()
    turn = page.locator(".jp-OutputArea .cxj-turn")
    if turn.count():
        turn.last.evaluate("turn => turn.scrollIntoView({block: 'nearest'})")
        turn.last.evaluate("turn => turn.scrollIntoView({block: 'end'})")
    # Nothing in the page tells when its last transition is over.
    page.wait_for_timeout(1500)
    IMAGES.mkdir(exist_ok=True)
    page.screenshot(path=IMAGES / f"server-{name}.png")


def idle(desk: Desk) -> None:
    notebook = ready(desk, "idle")
    shoot(notebook, "idle")
    notebook.close()


def streaming(desk: Desk) -> None:
    notebook = ready(
        desk, "streaming", plan(0), reason("**Looking**") + say(FOUND, deltas=60).hang(40)
    )
    notebook.run("Fit the")
    notebook.wait_for_text("fit price")
    shoot(notebook, "streaming")
    notebook.press("Stop")
    notebook.wait_idle()
    desk.fake.resume()
    notebook.close()


def approval(desk: Desk) -> None:
    notebook = ready(desk, "approval", say(FOUND.split("\n\n", maxsplit=1)[0]) + patch(), say(DONE))
    notebook.run("Fit the")
    notebook.wait_for_text("Apply this patch?")
    shoot(notebook, "approval-diff")
    notebook.press("Don't apply")
    notebook.wait_idle()
    notebook.close()


def question(desk: Desk) -> None:
    ask = call("request_user_input", {"questions": [QUESTION]}, call_id="q1")
    notebook = ready(desk, "question", say("Before I fit, one question.") + ask, say("Thank you."))
    notebook.run("Fit the")
    notebook.wait_for_text("What shall become")
    shoot(notebook, "question")
    notebook.press("Stop")
    notebook.wait_idle()
    notebook.close()


def stopped(desk: Desk) -> None:
    script = "for fold in 1 2 3; do echo fold $fold of 10; done; sleep 600"
    notebook = ready(
        desk, "stopped", plan(1), say("I check the fit on ten folds.") + command(script)
    )
    notebook.run("Fit the")
    notebook.agree(RUN)
    notebook.wait_for_text("fold 3")
    notebook.press("Stop")
    notebook.wait_for_text("Stopped by you")
    notebook.wait_idle()
    shoot(notebook, "stopped")
    notebook.close()


def failed(desk: Desk) -> None:
    wrong = {"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}}
    notebook = ready(desk, "failed", say("I look at the data.") + plan(0), status(401, wrong))
    notebook.run("Fit the")
    notebook.wait_idle()
    shoot(notebook, "failed")
    notebook.close()


def reopened(desk: Desk) -> None:
    notebook = ready(desk, "reopened", plan(1), command(CHECK), patch(), say(DONE))
    notebook.run("Fit the")
    notebook.agree(RUN)
    notebook.wait_for_text("Apply this patch?")
    notebook.agree(RUN)
    notebook.wait_for_text("Done. The fit")
    notebook.wait_idle()
    notebook.save()
    notebook.close()
    path = desk.folder / "reopened.ipynb"
    made = nbformat.read(path, as_version=4)
    made.metadata["kernelspec"] = {"name": "gone", "display_name": "gone", "language": "python"}
    nbformat.write(made, path)
    page = desk.browser.new_page()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.goto(f"{desk.address}/lab/tree/reopened.ipynb?reset")
    page.locator(".jp-Dialog select").select_option(label="No Kernel")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    page.locator(".jp-OutputArea .cxj-turn").wait_for()
    again = Notebook(page)
    again.open_panel()
    shoot(again, "reopened")
    again.close()


def dark(desk: Desk) -> None:
    answers = [plan(0), command(CHECK), plan(1), reason("**Counting**") + python(CODE), say(DONE)]
    notebook = ready(desk, "dark", *answers, theme="JupyterLab Dark")
    notebook.run("Fit the")
    notebook.agree(RUN)
    notebook.wait_for_text("Run this in your kernel?")
    shoot(notebook, "dark")
    notebook.press("Don't run")
    notebook.wait_idle()
    notebook.close()


def delegates(desk: Desk) -> None:
    counted = "The area alone explains 79 % of the variance, on 1,187 rows."
    desk_of = {
        "How much does the area explain?": [say(counted)],
        "Are there outliers?": [
            say("Three flats cost twice what their area suggests; I write their ids down.")
            + command("cut -d, -f1,2 prices.csv | sort -r | head -3 > outliers.csv")
        ],
        "What do the rooms add?": [
            reason("**Comparing the two fits**")
            + say("With the rooms the fit gains four points, most of them", deltas=9).hang(after=8)
        ],
    }
    lines = ["import codex_jupyter", "", "prompts = ["]
    lines += [f"    {prompt!r}," for prompt in desk_of]
    lines += ["]", "results = await codex_jupyter.delegate_map(prompts, limit=8)"]
    cell = "\n".join(lines)
    notebook = ready(desk, "delegates", cell=cell)
    desk.fake.fake.by_prompt(desk_of)
    notebook.run("delegate_map")
    notebook.wait_for_text("1 of 3 done")
    notebook.page.locator(".jp-OutputArea .cxj-delegate").first.locator("button").first.click()
    notebook.wait_for_text("Run this command?")
    shoot(notebook, "delegates")
    notebook.press("Stop")
    notebook.wait_idle()
    desk.fake.resume()
    notebook.close()


def review(desk: Desk) -> None:
    where = {"absolute_file_path": str(desk.folder / "model.py"), "line_range": LINES}
    finding = {
        "title": "[P1] A missing price makes the mean fail",
        "body": "`row.price` is `None` for 17 rows, so `mean` raises. Leave them out first.",
        "priority": 1,
        "confidence_score": 0.9,
        "code_location": where,
    }
    answer = {
        "findings": [finding],
        "overall_correctness": "patch is incorrect",
        "overall_explanation": "The fit is sound apart from the rows without a price.",
        "overall_confidence_score": 0.8,
    }
    notebook = ready(
        desk, "review", command("cat model.py"), say(json.dumps(answer)), cell="%codex review"
    )
    notebook.run("%codex review")
    notebook.wait_for_text("makes the mean fail")
    notebook.wait_idle()
    shoot(notebook, "review")
    notebook.close()


# The delegates last: from then on the model answers by what it is asked.
SCENES: list[Callable[[Desk], None]] = [
    *(idle, streaming, approval, question, stopped, failed, reopened, dark, review, delegates)
]


def main() -> None:
    """Take the pictures that are named, or all."""
    with (
        TemporaryDirectory(prefix="codex-pictures-") as top,
        chromium() as browser,
        open_desk(browser, Path(top)) as desk,
    ):
        for scene in SCENES:
            if scene.__name__ in (sys.argv[1:] or [scene.__name__]):
                scene(desk)


if __name__ == "__main__":
    main()
