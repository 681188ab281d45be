"""The look of a turn is several sheets, and JupyterLab's build has a list of its own."""

import re
from pathlib import Path

import pytest

from codex_jupyter.view.style import LIVE_SHEETS, SHEETS, style

ROOT = Path(__file__).parents[2]


def test_every_sheet_is_taken_once() -> None:
    there = (ROOT / "codex_jupyter" / "view" / "static").glob("*.css")
    assert sorted([*SHEETS, *LIVE_SHEETS]) == sorted(path.name for path in there)


@pytest.mark.parametrize("name", ["index.css", "index.js"])
def test_the_build_of_the_pages_takes_the_same_in_the_same_order(name: str) -> None:
    source = (ROOT / "labextension" / "view" / "style" / name).read_text(encoding="utf-8")
    assert tuple(re.findall(r"[a-z_]+\.css", source)) == (*SHEETS, *LIVE_SHEETS)


@pytest.mark.parametrize("sheet", [*SHEETS, *LIVE_SHEETS])
def test_no_rule_goes_over_the_end_of_its_sheet(sheet: str) -> None:
    source = style([sheet])
    assert source.count("{") == source.count("}") > 0
