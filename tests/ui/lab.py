"""JupyterLab in a headless browser, driven as a person would: run cells, click, stop, look."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

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
def lab_server(folder: Path, environment: dict[str, str]) -> Generator[str]:
    """Run a Lab server on a free loopback port, rooted in ``folder``; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        f"--ServerApp.root_dir={folder}",
        "--IdentityProvider.token=",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=None",
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
            address = f"http://127.0.0.1:{port}"
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


class Notebook:
    """One open notebook."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @classmethod
    def open(cls, browser: Browser, address: str, name: str) -> "Notebook":
        """Open a notebook in a fresh workspace and wait for its kernel."""
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{address}/lab/tree/{name}?reset", timeout=PATIENCE)
        page.wait_for_selector(".jp-Notebook .jp-CodeCell .cm-content", timeout=PATIENCE)
        page.wait_for_selector(
            '.jp-NotebookPanel-toolbar [data-status="idle"]', timeout=PATIENCE
        )
        return cls(page)

    def cell(self, index: int) -> Any:
        """Return a cell, counted from 0 over all cells."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def run(self, index: int) -> None:
        """Select a cell and run it."""
        self.cell(index).locator(".jp-InputArea").first.click()
        self.page.keyboard.press("Escape")
        self.page.keyboard.press("Control+Enter")

    def wait_idle(self) -> None:
        """Wait until the kernel has nothing to do."""
        self.page.wait_for_selector(
            '.jp-NotebookPanel-toolbar [data-status="idle"]', timeout=PATIENCE
        )

    def save(self) -> None:
        """Save the notebook."""
        self.page.keyboard.press("Control+s")
        self.page.wait_for_timeout(500)
