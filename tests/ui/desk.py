"""A Jupyter server with our extension, whose model says what a test has written down."""

import os
import re
import sys
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, BrowserContext

from tests.fake_answers import Answer, call, status
from tests.fake_model import FakeModelInThread, run_in_thread
from tests.notebook.kernel_driver import provider_config
from tests.ui.lab import Notebook, lab_server, write_kernelspecs

ROOT = Path(__file__).parents[2]
OLDEST = "ipykernel-6.31.0"
KERNELS = {"newest": sys.executable} | {
    path.parents[1].name: str(path) for path in sorted(ROOT.glob(".venvs/ipykernel-6*/bin/python"))
}
"""Kernelspecs by name; the older one only where `make` has made it."""

RUN = re.compile(r"^(Run|Apply)$")
AGAIN = re.compile(r"^Run, and don't ask again")


@dataclass
class Desk:
    """A Jupyter server with our extension, its folder, and the model that answers."""

    browser: Browser | BrowserContext
    folder: Path
    address: str
    fake: FakeModelInThread
    script: "deque[Answer]"

    def open(
        self,
        name: str,
        *answers: Answer,
        kernel: str = "newest",
        prompts: Sequence[str] = ("%%codex\nGo.", "%%codex\nAgain."),
    ) -> Notebook:
        """Open a new notebook whose model will answer so; its first cell has run."""
        self.script.clear()
        self.script.extend(answers)
        first = "%load_ext codex_jupyter\nimport os; print(os.getpid())"
        cells = [nbformat.v4.new_code_cell(source) for source in (first, *prompts)]
        made = nbformat.v4.new_notebook(cells=cells)
        made.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": "python"}
        nbformat.write(made, self.folder / f"{name}.ipynb")
        last = prompts[-1].splitlines()[-1]
        notebook = Notebook.open(self.browser, self.address, f"{name}.ipynb", last=last)
        notebook.run("%load_ext")
        notebook.wait_idle()
        return notebook

    def saved(self, name: str) -> list[dict[str, Any]]:
        """Return the outputs of the second cell, as they are on disk."""
        made = nbformat.read(self.folder / f"{name}.ipynb", as_version=4)
        return list(made.cells[1].get("outputs", []))


@contextmanager
def open_desk(
    browser: Browser | BrowserContext,
    top: Path,
    *arguments: str,
    base: str = "/",
    token: str = "",
) -> Generator[Desk]:
    """Run a server in ``top``; the rest is as in `lab_server`."""
    script: deque[Answer] = deque()

    def answer(_body: dict[str, Any]) -> Answer:
        return script.popleft() if script else status(400, "the script has no answer")

    with run_in_thread(answer) as fake:
        environment = server_environment(top, fake)
        with lab_server(top / "work", environment, *arguments, base=base, token=token) as address:
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


def command(script: str, call_id: str = "c1") -> Answer:
    """The model runs a shell command."""
    return call("shell_command", {"command": script}, call_id=call_id)


def python(code: str, call_id: str = "k1") -> Answer:
    """The model runs code in the kernel."""
    return call("run_python", {"code": code}, call_id=call_id)
