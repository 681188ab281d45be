"""The delegates of a turn as static HTML: a row each, its task and its answer folded."""

from html import escape
from typing import Any, Final

from codex_jupyter.view.delegate_words import (
    DELEGATE_MARKS,
    delegate_depths,
    delegate_facts,
    delegate_line,
    delegates_head,
)
from codex_jupyter.view.markdown_html import markdown_html
from codex_jupyter.view.terminal_text import visible

__all__ = ["delegates_html"]

Row = dict[str, Any]

_DEEPEST: Final = 6
"""Levels that are indented; the style has no more."""


def delegates_html(rows: list[Row], *, live: bool = False) -> str:
    """Return the rows as a table that needs neither style nor script; nothing for no rows.

    Args:
        rows: Of a turn.
        live: Whether the turn runs and this is drawn again when something changes.
    """
    if not rows:
        return ""
    lines = "".join(_row(row, depth, live=live) for row, depth in delegate_depths(rows))
    return (
        '<div class="cxj-delegates"><div class="cxj-delegates-head">'
        f'<strong class="cxj-label">Delegates · {escape(delegates_head(rows))}</strong></div>'
        f'<table class="cxj-delegate-table"><tbody>{lines}</tbody></table></div>'
    )


def _row(row: Row, depth: int, *, live: bool) -> str:
    status = escape(row["status"])
    mark = DELEGATE_MARKS.get(row["status"], "○")
    role = f' <span class="cxj-role">{escape(visible(row["role"]))}</span>' if row["role"] else ""
    gist = delegate_line(row, live=live)
    summary = (
        f'<summary><span class="cxj-mark cxj-mark-{status}">{mark}</span> '
        f"<strong>{escape(visible(row['name']))}</strong>{role}"
        + (f' <span class="cxj-gist">{escape(gist)}</span>' if gist else "")
        + "</summary>"
    )
    return (
        f'<tr class="cxj-depth-{min(depth, _DEEPEST)}"><td>'
        f'<details class="cxj-delegate">{summary}{_body(row)}</details></td>'
        f'<td class="cxj-delegate-facts">{escape(delegate_facts(row, live=live))}</td></tr>'
    )


def _body(row: Row) -> str:
    task, message = row["task"], row["message"]
    parts = [
        '<div class="cxj-added"><span class="cxj-label">Task</span>'
        f"<div>{escape(visible(task))}</div></div>"
        if task
        else "",
        f'<div class="cxj-md">{markdown_html(message)}</div>' if message else "",
    ]
    shown = "".join(parts) or '<div class="cxj-quiet">It said nothing.</div>'
    return f'<div class="cxj-delegate-body">{shown}</div>'
