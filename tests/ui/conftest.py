"""What the browser tests share: a browser, a server with our extension, a page with one turn."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    # Without the extra `ui` this file is read as well.
    from playwright.sync_api import Browser

    from tests.ui.desk import Desk
    from tests.ui.turn_page import Page


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from tests.ui.lab import chromium

    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def desk(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Desk]":
    from tests.ui.desk import open_desk

    with open_desk(browser, tmp_path_factory.mktemp("desk")) as opened:
        yield opened


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the pages with one turn are."""
    from tests.ui.turn_page import served_pages

    with served_pages(tmp_path_factory.mktemp("page")) as served:
        yield served


@pytest.fixture(params=[("light", 900)])
def page(request: pytest.FixtureRequest, browser: "Browser", address: str) -> "Iterator[Page]":
    """A page of a theme and of a width in pixels, with one turn."""
    from tests.ui.turn_page import Page

    with Page.opened(browser, address, *request.param) as view:
        yield view
