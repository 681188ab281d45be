"""JupyterLab in a headless browser, driven as a person would: run cells, click, stop, look."""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.ports import free_port

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000
"""Milliseconds to wait for anything a page does; a busy machine loads Lab slowly."""

_RUN_TRIES = 6

expect.set_options(timeout=PATIENCE)


@contextmanager
def chromium() -> Generator[Browser]:
    """Start a browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def lab_server(
    folder: Path,
    environment: dict[str, str],
    *arguments: str,
    base: str = "/",
    token: str = "",
) -> Generator[str]:
    """Run a Lab server on a free loopback port, rooted in ``folder``; yields its address.

    Args:
        folder: Its root; its log is ``lab.log`` there.
        environment: Variables beside our own.
        arguments: More of its command line.
        base: Its base URL, with a slash at both ends.
        token: What a page must show at first; nothing if empty.
    """
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
        "--LabApp.news_url=None",
        f"--ServerApp.base_url={base}",
        *arguments,
    ]
    with (folder / "lab.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}{base.rstrip('/')}"
            _wait_until_up(address, server)
            yield address
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                server.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


def _wait_until_up(address: str, server: "subprocess.Popen[bytes]") -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"the server left with status {server.returncode}")
        with suppress(OSError):
            opener.open(f"{address}/api", timeout=1).close()
            return
        time.sleep(0.1)
    raise RuntimeError("the server did not come up")


def write_kernelspecs(folder: Path, pythons: Mapping[str, str]) -> None:
    """Describe one kernel for each Python below ``folder``, a place of ``JUPYTER_PATH``."""
    for name, python in pythons.items():
        spec = folder / "kernels" / name
        spec.mkdir(parents=True)
        argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        described = {"argv": argv, "display_name": name, "language": "python"}
        (spec / "kernel.json").write_text(json.dumps(described))


class Notebook:
    """One open notebook."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @classmethod
    def open(
        cls,
        browser: Browser | BrowserContext,
        address: str,
        name: str,
        *,
        last: str,
        idle: bool = True,
        page_of: str = "lab/tree",
    ) -> "Notebook":
        """Open a notebook in a fresh workspace; wait for its kernel and for the text ``last``.

        Args:
            browser: Where to open it.
            address: The server.
            name: The notebook's file.
            last: What stands in its last cell.
            idle: Whether to wait until the kernel has nothing to do.
            page_of: ``notebooks`` for Notebook 7.
        """
        page = browser.new_page()
        page.set_viewport_size({"width": 1280, "height": 1600})
        page.set_default_timeout(PATIENCE)
        place = f"{page_of}/{name}"
        if page_of == "lab/tree":
            # Of its own: a page that was closed may still write what was open in the shared one.
            place = f"lab/workspaces/{secrets.token_hex(4)}/tree/{name}"
        page.goto(f"{address}/{place}?reset")
        page.add_locator_handler(page.locator(".jp-Dialog"), _refuse_unexpected_dialog)
        page.wait_for_selector(f"text={last}")
        notebook = cls(page)
        if idle:
            notebook.wait_idle()
        return notebook

    def cell(self, text: str) -> Locator:
        """Return the code cell whose input holds ``text``."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").filter(
            has=self.page.locator(".jp-InputArea", has_text=text)
        )

    def run(self, text: str) -> None:
        """Select the cell whose input holds ``text``, and run it; returns once it has begun."""
        prompt = self.cell(text).locator(".jp-InputPrompt").first
        before = prompt.inner_text()
        self.cell(text).locator(".jp-InputArea-editor").first.click()
        # By its command, not by its keys: a page that is still busy loading may swallow those.
        # Again if nothing came of it: the page may have had no kernel to run it in yet.
        for _ in range(_RUN_TRIES):
            self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell') && null")
            with suppress(AssertionError):
                expect(prompt).not_to_have_text(before, timeout=PATIENCE / _RUN_TRIES)
                return
        expect(prompt).not_to_have_text(before)

    def wait_idle(self) -> None:
        """Wait until no cell runs and the kernel is there with nothing to do.

        The kernel's own status is not enough: it also says "idle" after each control message, with
        a cell still running. Nor is the toolbar's: it says "idle" before there is a kernel, and a
        cell that is run then starts a second one, asks for one, or does nothing.
        """
        expect(self.page.locator(".jp-InputPrompt", has_text="[*]:")).to_have_count(0)
        self.page.wait_for_function(_KERNEL_IS_IDLE)

    def wait_for_text(self, text: str) -> None:
        """Wait until some output says ``text``."""
        self.page.locator(".jp-OutputArea", has_text=text).filter(visible=True).first.wait_for()

    def press(self, label: "str | re.Pattern[str]") -> None:
        """Press a button in an output, once it can be pressed."""
        exact = re.compile(f"^{re.escape(label)}$") if isinstance(label, str) else label
        self.page.locator(".jp-OutputArea button").filter(has_text=exact).first.click()

    def agree(self, label: "re.Pattern[str]") -> None:
        """Read what is asked to its end, as the card demands, and press ``label``."""
        button = self.page.locator(".jp-OutputArea button").filter(has_text=label).first
        button.wait_for()
        button.scroll_into_view_if_needed()
        self.scroll_all_to_their_ends()
        button.click()
        button.wait_for(state="hidden")

    def scroll_all_to_their_ends(self) -> None:
        """Read what is asked to its end, as its card demands."""
        self.page.evaluate(_SCROLL_TO_ENDS)

    def open_panel(self) -> None:
        """Open the side panel of ours."""
        self.page.evaluate("window.jupyterapp.commands.execute('codex:open-panel')")
        self.page.locator(".jp-Codex-panel").wait_for()

    def interrupt(self) -> None:
        """Press the stop button of the notebook's toolbar."""
        self.page.locator('[data-command="notebook:interrupt-kernel"]').first.click()

    def save(self) -> None:
        """Save the notebook and wait until it is saved."""
        self.page.keyboard.press("Escape")
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
        self.page.wait_for_selector(".lm-mod-current:not(.jp-mod-dirty)")

    def close(self) -> None:
        """Close the page."""
        self.page.close()


_KERNEL_IS_IDLE = """() =>
    window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'
"""

_SCROLL_TO_ENDS = """() => document.querySelectorAll(
    '.jp-OutputArea *, .jp-Codex-panel *, .cxj-card *').forEach(e => {
    const hidden = e.scrollHeight > e.clientHeight + 4;
    if (hidden && getComputedStyle(e).overflowY !== 'visible') e.scrollTop = e.scrollHeight;
})"""


def _refuse_unexpected_dialog(dialog: Locator) -> None:
    """Fail with the dialog's words instead of waiting behind it."""
    raise AssertionError(f"JupyterLab asks: {dialog.inner_text()}")
