"""A page with one turn, in a real browser; `page_driver.js` plays its model and its kernel."""

import functools
import http.server
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api", reason="the extra `ui` is not installed")

from codex_jupyter.notebook.page_script import page_script, page_style
from tests.ui.lab import CHROMIUM
from tests.view.turn_stories import Story

__all__ = ["IN_A_BROWSER", "Page", "served_pages"]

IN_A_BROWSER = [
    pytest.mark.ui,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs /usr/bin/chromium"),
    # playwright's own loop leaves transports to the collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
LIGHT = {
    "--jp-layout-color1": "#fff",
    "--jp-content-font-color1": "rgba(0,0,0,.87)",
    "--jp-ui-font-color2": "rgba(0,0,0,.54)",
    "--jp-brand-color1": "#1976d2",
}
DARK = {
    "--jp-layout-color1": "#111",
    "--jp-content-font-color1": "#fff",
    "--jp-ui-font-color2": "rgba(255,255,255,.7)",
    "--jp-brand-color1": "#1e88e5",
}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def guess_type(self, path: Any) -> str:
        return "text/javascript" if str(path).endswith(".mjs") else super().guess_type(path)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


def page_source(theme: str, variables: dict[str, str]) -> str:
    declared = "".join(f"{name}:{value};" for name, value in variables.items())
    return (
        "<!doctype html><meta charset=utf-8><link rel=icon href=data:,>"
        "<link rel=stylesheet href=turn_view.css>"
        f"<style>:root{{{declared}}}body{{background:var(--jp-layout-color1)}}</style>"
        f'<body data-jp-theme-light="{str(theme == "light").lower()}">'
        f'<div id="out" style="padding:8px 16px"></div><script src="page_driver.js"></script>'
    )


@contextmanager
def served_pages(folder: Path) -> Generator[str]:
    """Serve `light.html` and `dark.html` with the page's code and style; yields the address."""
    (folder / "turn_view.mjs").write_text(page_script(), encoding="utf-8")
    driver = Path(__file__).with_name("page_driver.js").read_text(encoding="utf-8")
    (folder / "page_driver.js").write_text(driver, encoding="utf-8")
    (folder / "turn_view.css").write_text(page_style(), encoding="utf-8")
    for theme, variables in (("light", LIGHT), ("dark", DARK)):
        (folder / f"{theme}.html").write_text(page_source(theme, variables), encoding="utf-8")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Page:
    """A page with one turn on it; fails the test when a script of the page fails."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        self.seq = 0
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: self.errors.append(f"dialog: {dialog.message}"))
        page.set_default_timeout(5_000)

    @classmethod
    @contextmanager
    def opened(cls, browser: Any, address: str, theme: str, width: int = 900) -> "Generator[Page]":
        """Open a page of one theme; the width is in pixels."""
        page = browser.new_page(viewport={"width": width, "height": 700})
        page.goto(f"{address}/{theme}.html")
        view = cls(page)
        yield view
        page.close()
        assert view.errors == []

    def start(self, story: Story | None = None, **settings: Any) -> "Page":
        settings.setdefault("snapshot", Story().state.snapshot())
        self.page.evaluate("(settings) => window.start(settings)", settings)
        return self.tell(story.ops) if story else self

    def tell(self, ops: list[dict[str, Any]]) -> "Page":
        self.seq += 1
        self.page.evaluate("([ops, seq]) => window.tell(ops, seq)", [ops, self.seq])
        return self

    def reply(self, action: str, reply: Any) -> None:
        self.page.evaluate("([a, r]) => (window.replies[a] = r)", [action, reply])

    def text(self) -> str:
        return self.page.locator("#out").inner_text()

    def see(self, text: str) -> None:
        self.page.locator("#out").get_by_text(text).first.wait_for()

    def asked(self, action: str) -> list[dict[str, Any]]:
        self.page.wait_for_function("(a) => window.asked.some((c) => c.action === a)", arg=action)
        return [c for c in self.page.evaluate("window.asked") if c["action"] == action]

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def until(self, expression: str) -> None:
        self.page.wait_for_function(expression)
