"""Restart and Run All, twice: the same notebook, one set of turns, and no model asked again."""

import json
from typing import Any

import nbformat
import pytest

pytest.importorskip("playwright.sync_api", reason="the extra `ui` is not installed")


from tests.fake_answers import say
from tests.notebook.kernel_driver import TURN_MIME
from tests.ui.desk import RUN, Desk, python
from tests.ui.lab import Notebook

pytestmark = [pytest.mark.ui, pytest.mark.timeout(240)]

_RESTART = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
_RUN_ALL = "window.jupyterapp.commands.execute('notebook:run-all-cells') && null"
PROMPTS = ("%%codex\nMake y.", "print('y is', y)", "%%codex\nWhat is y?", "%codex status")


def restart_and_run_all(notebook: Notebook) -> None:
    notebook.page.evaluate(_RESTART)
    notebook.wait_idle()
    notebook.page.evaluate(_RUN_ALL)


def saved(desk: Desk, notebook: Notebook, name: str) -> Any:
    """Save and return the notebook without what a run must change."""
    notebook.save()
    book = json.loads((desk.folder / f"{name}.ipynb").read_text())
    for cell in book["cells"]:
        cell["metadata"].pop("execution", None)
        cell["execution_count"] = None
    book["cells"][0]["outputs"] = []  # prints the process id
    return book


def turns_of(book: Any) -> list[str]:
    outputs = [output for cell in book["cells"] for output in cell["outputs"]]
    return [o["data"][TURN_MIME]["turnId"] for o in outputs if TURN_MIME in o.get("data", {})]


def test_restart_and_run_all_twice_is_the_same_notebook(desk: Desk) -> None:
    answers = (python("y = 6 * 7"), say("y is made."), say("It is 42."))
    notebook = desk.open("twice", *answers, prompts=PROMPTS)
    notebook.page.evaluate(_RUN_ALL)
    notebook.agree(RUN)
    notebook.wait_for_text("It is 42.")
    notebook.wait_for_text("from the page")
    notebook.wait_idle()
    before = len(desk.fake.requests)
    first = saved(desk, notebook, "twice")
    for _ in range(2):
        restart_and_run_all(notebook)
        notebook.wait_for_text("y is 42")
        notebook.wait_idle()
        again = saved(desk, notebook, "twice")
        assert again["cells"] == first["cells"]
        assert turns_of(again) == turns_of(first)
    assert len(turns_of(first)) == len(set(turns_of(first))) == 2
    assert len(desk.fake.requests) == before == 3
    identity = first["metadata"]["codex_jupyter"]
    assert identity["path"] == "twice.ipynb"
    notebook.close()


def test_a_copied_notebook_asks_for_itself(desk: Desk) -> None:
    source = desk.folder / "twice.ipynb"
    book = nbformat.read(source, as_version=4)
    nbformat.write(book, desk.folder / "copy.ipynb")
    desk.script.clear()
    desk.script.extend((python("y = 43"), say("y is made anew."), say("It is 43.")))
    before = len(desk.fake.requests)
    notebook = Notebook.open(desk.browser, desk.address, "copy.ipynb", last="%codex status")
    restart_and_run_all(notebook)
    notebook.agree(RUN)
    notebook.wait_for_text("It is 43.")
    notebook.wait_idle()
    assert len(desk.fake.requests) == before + 3
    restart_and_run_all(notebook)
    notebook.wait_for_text("y is 43")
    notebook.wait_idle()
    assert len(desk.fake.requests) == before + 3, "all cells of a run must agree on the new id"
    copied = saved(desk, notebook, "copy")["metadata"]["codex_jupyter"]
    assert copied["path"] == "copy.ipynb"
    assert copied["id"] != book.metadata["codex_jupyter"]["id"]
    notebook.close()
