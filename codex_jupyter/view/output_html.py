"""A finished turn as static HTML: escaped, no script, the look of the live view."""

import re
from functools import cache
from html import escape
from typing import Any, Final

from codex_jupyter.view.delegate_words import asked_by, delegates_of
from codex_jupyter.view.delegates_html import delegates_html
from codex_jupyter.view.diff_rows import Row, change_rows, counts, diff_changes
from codex_jupyter.view.markdown_html import markdown_html
from codex_jupyter.view.python_code import python_runs
from codex_jupyter.view.review_html import review_html
from codex_jupyter.view.review_words import review_of
from codex_jupyter.view.snapshot_size import clip
from codex_jupyter.view.style import SHEETS, style
from codex_jupyter.view.terminal_text import Run, styled_lines, visible
from codex_jupyter.view.turn_words import (
    PLAN_MARKS,
    command_status,
    command_text,
    head_facts,
    is_kernel_python,
    last_title,
    outcome_of,
    quiet_words,
    reasoning_text,
    result_text,
    shown_items,
    tool_label,
    tool_source,
    user_text,
)

__all__ = ["html"]

_OUTPUT_CHARS: Final = 8_000
_DIFF_CHARS: Final = 40_000
_OPEN_ROWS: Final = 60
_SIGNS: Final = {"add": "+", "delete": "-", "same": " ", "hunk": "@@ ", "note": "  "}

Item = dict[str, Any]
Snapshot = dict[str, Any]


def html(snapshot: Snapshot, *, live: bool = False) -> str:
    """Return the turn as one ``<div>`` with its style; without the style it still reads well.

    Args:
        snapshot: Of the turn.
        live: Whether this is drawn again as the turn goes on, beside the questions that wait.
    """
    live = live and snapshot["status"] == "inProgress"
    items = "".join(_item(snapshot, item) for item in shown_items(snapshot))
    facts = escape(head_facts(snapshot, live=live))
    parts = [
        f'<div class="cxj-head"><span class="cxj-dot"></span>{facts}</div>',
        *(_notice(notice) for notice in snapshot["notices"]),
        _plan(snapshot["plan"]) if snapshot["plan"] else "",
        delegates_html(delegates_of(snapshot), live=live),
        f'<div class="cxj-items">{items}</div>',
        f'<div class="cxj-ending">{"".join(_ending(snapshot, live=live))}</div>',
    ]
    status = escape(snapshot["status"])
    body = "".join(parts)
    return f'<div class="cxj-turn" data-status="{status}"><style>{_style()}</style>{body}</div>'


@cache
def _style() -> str:
    """The shared look, without comments and needless space: it is stored with every turn."""
    compact = re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", style(SHEETS), flags=re.S))
    return re.sub(r" ?([{};,]) ?", r"\1", compact).strip()


def _notice(notice: dict[str, str]) -> str:
    level, text = escape(notice["level"]), escape(notice["text"])
    return f'<div class="cxj-notice cxj-notice-{level}">{text}</div>'


def _plan(plan: dict[str, Any]) -> str:
    steps = plan["plan"]
    done = sum(step["status"] == "completed" for step in steps)
    lines = "".join(
        f'<li class="cxj-step-{escape(step["status"])}"><span class="cxj-mark">'
        f"{PLAN_MARKS.get(step['status'], '○')}</span> <span>{escape(step['step'])}</span></li>"
        for step in steps
    )
    about = plan["explanation"]
    return (
        f'<div class="cxj-plan"><strong class="cxj-label">Plan · {done} of {len(steps)}</strong>'
        + (f'<div class="cxj-plan-about">{escape(about)}</div>' if about else "")
        + f"<ul>{lines}</ul></div>"
    )


def _item(snapshot: Snapshot, item: Item) -> str:
    outcome = outcome_of(snapshot, item)
    match item["type"]:
        case "agentMessage" | "plan":
            return f'<div class="cxj-message">{_markdown(item.get("text") or "")}</div>'
        case "userMessage":
            return (
                '<div class="cxj-added"><span class="cxj-label">You added</span> '
                f"{escape(user_text(item))}</div>"
            )
        case "reasoning":
            return _reasoning(item)
        case "commandExecution":
            return _command(item, outcome)
        case "dynamicToolCall" | "mcpToolCall":
            return _tool(item, outcome)
        case "fileChange":
            state = {"completed": ""}.get(item["status"], "not applied")
            return f'<div class="cxj-changes">{_changes(item["changes"], state)}</div>'
        case _:
            if (review := review_of(item)) is not None:
                return review_html(review)
            return f'<div class="cxj-quiet">{escape(quiet_words(item))}</div>'


def _markdown(text: str) -> str:
    return f'<div class="cxj-md">{markdown_html(text)}</div>'


def _reasoning(item: Item) -> str:
    title = last_title(item)
    label = escape(f"Thought: {title}" if title else "Thought")
    text = reasoning_text(item)
    if not text:
        return f'<div class="cxj-quiet">{label}</div>'
    return f'<details class="cxj-reasoning"><summary>{label}</summary>{_markdown(text)}</details>'


def _command(item: Item, outcome: str | None) -> str:
    full = escape(visible(item.get("command") or ""), quote=True)
    prompt = '<span class="cxj-prompt">$ </span>'
    head = f'<code class="cxj-command" title="{full}">{prompt}{escape(command_text(item))}</code>'
    output = _output(item.get("aggregatedOutput") or "")
    return _block("cxj-terminal", head + _status(*command_status(item, outcome)), output)


def _tool(item: Item, outcome: str | None) -> str:
    source = tool_source(item)
    is_python = is_kernel_python(item)
    code = _runs(python_runs(source)) if is_python else escape(source)
    body = (
        f'<div class="cxj-source"><div class="cxj-code"><pre><code>{code}</code></pre></div></div>'
        if source
        else ""
    )
    head = f'<strong class="cxj-label">{escape(tool_label(item))}</strong>'
    kind = "cxj-python" if is_python else "cxj-tool"
    head += _status(*command_status(item, outcome))
    return _block(kind, head, body + _output(result_text(item)))


def _block(kind: str, head: str, body: str) -> str:
    return f'<div class="cxj-block {kind}"><div class="cxj-block-head">{head}</div>{body}</div>'


def _status(kind: str, words: str) -> str:
    return f' <span class="cxj-status cxj-is-{kind}">{escape(words)}</span>'


def _output(text: str) -> str:
    if not text:
        return ""
    lines = styled_lines(clip(text, _OUTPUT_CHARS).removesuffix("\n"))
    shown = "\n".join(_runs(line) for line in lines)
    return f'<div class="cxj-output-box"><pre class="cxj-output">{shown}</pre></div>'


def _runs(runs: list[Run]) -> str:
    return "".join(
        f'<span class="{run.style}">{escape(run.text)}</span>' if run.style else escape(run.text)
        for run in runs
    )


def _changes(changes: list[dict[str, Any]], state: str = "") -> str:
    return "".join(_change(change, state) for change in changes)


def _change(change: dict[str, Any], state: str) -> str:
    rows = change_rows({**change, "diff": clip(change.get("diff") or "", _DIFF_CHARS)})
    added, deleted = counts(rows)
    kind = change.get("kind") or {}
    word = state or {"add": "new", "delete": "deleted"}.get(kind.get("type", ""), "changed")
    folder, slash, name = visible(change["path"]).rpartition("/")
    moved = kind.get("move_path")
    head = (
        f'<span class="cxj-path"><span class="cxj-dim">{escape(folder + slash)}</span>'
        + escape(name)
        + (f" → {escape(visible(moved))}" if moved else "")
        + "</span>"
        + (f' <span class="cxj-count cxj-is-good">+{added}</span>' if added else "")
        + (f' <span class="cxj-count cxj-is-bad">-{deleted}</span>' if deleted else "")
        + _status("muted", word)
    )
    is_open = " open" if len(rows) <= _OPEN_ROWS else ""
    return (
        f'<details class="cxj-block cxj-change"{is_open}><summary class="cxj-block-head">{head}'
        f'</summary><pre class="cxj-diff">{"".join(_row(row) for row in rows)}</pre></details>'
    )


def _row(row: Row) -> str:
    number = "" if row.number is None else row.number
    text = escape(_SIGNS[row.kind] + visible(row.text))
    return f'<span class="cxj-row cxj-{row.kind}" data-no="{number}">{text}\n</span>'


def _ending(snapshot: Snapshot, *, live: bool) -> list[str]:
    parts = [_all_changes(snapshot)]
    error = snapshot["error"]
    if error:
        details = error["details"]
        parts.append(
            '<div class="cxj-banner cxj-error">'
            f'<div class="cxj-banner-title">{escape(error["message"])}</div>'
            + (f'<div class="cxj-banner-details">{escape(details)}</div>' if details else "")
            + f"<div>{escape(error['advice'])}</div></div>"
        )
    if snapshot["status"] == "interrupted":
        parts.append(
            '<div class="cxj-interrupted">Stopped by you — the answer above is partial.</div>'
        )
    for request in snapshot["requests"]:
        if request["outcome"] is None and not live:
            asked = escape(asked_by(request))
            words = "A question was waiting when this was saved." + (f" {asked}." if asked else "")
            parts.append(f'<div class="cxj-quiet">{words}</div>')
    if snapshot["truncated"]:
        parts.append('<div class="cxj-quiet">Shortened: long texts lost their middle.</div>')
    return parts


def _all_changes(snapshot: Snapshot) -> str:
    """The diff of the whole turn, when single changes do not add up to it by themselves."""
    patches = sum(item["type"] == "fileChange" for item in snapshot["items"])
    if not snapshot["diff"] or snapshot["status"] == "inProgress" or patches == 1:
        return ""
    changes = diff_changes(snapshot["diff"])
    files = "1 file" if len(changes) == 1 else f"{len(changes)} files"
    summary = f"<summary>All changes of this turn · {files}</summary>"
    return f'<details class="cxj-all-changes">{summary}{_changes(changes)}</details>'
