"""`docs/protocol.md` is what the code renders, and the rendering leaves nothing out."""

import re
from pathlib import Path

import pytest

from codex_jupyter.protocol.document import protocol_page
from codex_jupyter.protocol.dynamic_tools import DynamicToolFunction
from codex_jupyter.protocol.notifications import NOTIFICATIONS
from codex_jupyter.protocol.requests import CLIENT_REQUESTS
from codex_jupyter.protocol.server_requests import SERVER_REQUESTS

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"


def test_the_page_in_the_repository_is_the_one_the_code_renders() -> None:
    assert PAGE.read_text(encoding="utf-8") == protocol_page(), "say `make docs`"


@pytest.mark.parametrize("method", [*CLIENT_REQUESTS, *NOTIFICATIONS, *SERVER_REQUESTS])
def test_every_method_has_a_heading(method: str) -> None:
    assert re.search(rf"^### .*`{method}`", protocol_page(), re.MULTILINE)


def test_our_own_members_are_marked() -> None:
    line = next(line for line in protocol_page().splitlines() if line.startswith("| `readOnly`"))
    assert line == (
        "| `readOnly` | boolean | default `false` | **Ours.** The tool changes nothing, so that no "
        "approval is asked for. |"
    )


def test_every_shape_that_a_table_names_is_shown() -> None:
    page = protocol_page()
    cells = re.findall(r"^\| `\w+` \| (.*?) \|", page, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([A-Z]\w+)`", cell)}
    assert DynamicToolFunction.__name__ in named
    assert {name for name in named if f"\n### `{name}`\n" not in page} == set()


def test_tables_have_four_cells_in_every_row() -> None:
    members = [line for line in protocol_page().splitlines() if re.match(r"\| `[a-z]\w*` \|", line)]
    assert members
    assert {len(re.split(r"(?<!\\)\|", line)) for line in members} == {6}
