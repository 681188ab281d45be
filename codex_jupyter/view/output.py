"""The saved form of a turn: one mime bundle that reads everywhere a notebook is shown."""

import re
import textwrap
from collections.abc import Callable
from typing import Any, Final

from codex_jupyter.view.delegate_words import (
    DELEGATE_MARKS,
    agent_name,
    asked_by,
    delegate_depths,
    delegate_facts,
    delegate_line,
    delegates_head,
    delegates_of,
)
from codex_jupyter.view.diff_rows import change_rows
from codex_jupyter.view.output_html import html
from codex_jupyter.view.review_words import Review, review_of
from codex_jupyter.view.snapshot_size import clip
from codex_jupyter.view.terminal_text import plain, visible
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
    told_items,
    tool_label,
    tool_source,
    user_text,
)

__all__ = ["TURN_MIME", "bundle", "markdown", "transcript"]

TURN_MIME: Final = "application/vnd.codex-jupyter.turn+json"

_OUTPUT_CHARS: Final = 4_000
_SIGNS: Final = {"add": "+", "delete": "-", "same": " ", "hunk": "@@ ", "note": "  "}

Item = dict[str, Any]
Snapshot = dict[str, Any]


def bundle(snapshot: Snapshot) -> dict[str, Any]:
    """Return ``snapshot`` (`TurnState.snapshot`) with its static forms.

    There is no ``widget-view`` in it: a view without its model shows an error and hides the rest.
    """
    return {
        TURN_MIME: snapshot,
        "text/markdown": markdown(snapshot),
        "text/html": html(snapshot),
        "text/plain": transcript(snapshot),
    }


def markdown(snapshot: Snapshot) -> str:
    """Return the turn as markdown, for readers and for language models."""
    parts = [f"*{_inline(head_facts(snapshot))}*"]
    parts += [f"> {_inline(notice['text'])}" for notice in snapshot["notices"]]
    if snapshot["plan"]:
        boxes = {"completed": "x"}
        steps = snapshot["plan"]["plan"]
        parts.append(
            "\n".join(
                f"- [{boxes.get(step['status'], ' ')}] {_inline(step['step'])}" for step in steps
            )
        )
    parts.append(_markdown_delegates(delegates_of(snapshot)))
    parts += [_markdown_item(snapshot, item) for item in shown_items(snapshot)]
    parts += [f"**{_inline(line)}**" for line in _last_lines(snapshot)]
    return "\n\n".join(part for part in parts if part)


def _markdown_delegates(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    lines = [
        "  " * depth + f"- {_delegate_words(row, _inline)}" for row, depth in delegate_depths(rows)
    ]
    return "\n".join([f"**Delegates · {delegates_head(rows)}**", "", *lines])


def _delegate_words(row: dict[str, Any], escaped: Callable[[str], str]) -> str:
    head = f"{DELEGATE_MARKS.get(row['status'], '○')} {agent_name(row['name'], row['role'])}"
    facts, gist = delegate_facts(row), delegate_line(row)
    words = " · ".join(part for part in (head, facts) if part)
    return escaped(words) + (f" — {escaped(gist)}" if gist else "")


def _markdown_item(snapshot: Snapshot, item: Item) -> str:
    match item["type"]:
        case "agentMessage" | "plan":
            return visible(item.get("text") or "")
        case "userMessage":
            return "\n".join(f"> {line}" for line in _inline(user_text(item), "\n").split("\n"))
        case "reasoning":
            title = last_title(item)
            return f"*{_inline(f'Thought: {title}' if title else 'Thought')}*"
        case "commandExecution":
            _, words = command_status(item, outcome_of(snapshot, item))
            text = f"$ {command_text(item)}\n{_output(item.get('aggregatedOutput'))}"
            return f"{_fenced(text, 'console')}\n\n*{_inline(words)}*"
        case "dynamicToolCall" | "mcpToolCall":
            _, words = command_status(item, outcome_of(snapshot, item))
            source, result = tool_source(item), _output(result_text(item))
            language = "python" if is_kernel_python(item) else "json"
            parts = [f"*{_inline(tool_label(item))} · {_inline(words)}*"]
            parts += [_fenced(source, language)] if source else []
            parts += [_fenced(result, "text")] if result else []
            return "\n\n".join(parts)
        case "fileChange":
            return "\n\n".join(_markdown_change(change) for change in item["changes"])
        case _:
            review = review_of(item)
            return _markdown_review(review) if review else f"*{_inline(quiet_words(item))}*"


def _markdown_change(change: dict[str, Any]) -> str:
    return f"{_code(visible(change['path']))}\n\n{_fenced(_diff_text(change), 'diff')}"


def _markdown_review(review: Review) -> str:
    sure = f" · {review.sure} sure" if review.sure else ""
    parts = [f"**{_inline(review.verdict)}**{sure}", visible(review.explanation)]
    for finding in review.findings:
        head = "- " + ("" if finding.priority is None else f"**P{finding.priority}** ")
        head += f"**{_inline(finding.title)}**"
        head += f" — {_code(visible(finding.place))}" if finding.place else ""
        head += f" · {finding.sure} sure" if finding.sure else ""
        body = textwrap.indent(visible(finding.body), "  ")
        parts.append(f"{head}\n\n{body}" if body else head)
    return "\n\n".join(part for part in parts if part)


def _transcript_review(review: Review) -> str:
    sure = f" ({review.sure} sure)" if review.sure else ""
    lines = [f"review: {visible(review.verdict)}{sure}"]
    lines += [textwrap.indent(visible(review.explanation), "  ")] if review.explanation else []
    for finding in review.findings:
        level = "" if finding.priority is None else f"[P{finding.priority}] "
        place = f" — {visible(finding.place)}" if finding.place else ""
        lines.append(f"  {level}{visible(finding.title)}{place}")
        lines += [textwrap.indent(visible(finding.body), "    ")] if finding.body else []
    return "\n".join(lines)


def transcript(snapshot: Snapshot) -> str:
    """Return the turn as a terminal would show it, without colours."""
    parts = [_transcript_item(snapshot, item) for item in told_items(snapshot)]
    parts.insert(1, _transcript_delegates(delegates_of(snapshot)))  # below the prompt
    if snapshot["plan"]:
        steps = snapshot["plan"]["plan"]
        plan = "\n".join(
            f"  {PLAN_MARKS.get(s['status'], '○')} {visible(s['step'])}" for s in steps
        )
        parts.append(f"plan\n{plan}")
    parts += [f"! {visible(notice['text'])}" for notice in snapshot["notices"]]
    parts += [f"! {line}" for line in _last_lines(snapshot)]
    parts.append(f"[{visible(head_facts(snapshot))}]")
    return "\n\n".join(part for part in parts if part)


def _transcript_delegates(rows: list[dict[str, Any]]) -> str:
    placed = delegate_depths(rows)
    lines = [f"{'  ' * (depth + 1)}{_delegate_words(row, visible)}" for row, depth in placed]
    return "\n".join([f"delegates · {delegates_head(rows)}", *lines]) if rows else ""


def _transcript_item(snapshot: Snapshot, item: Item) -> str:
    match item["type"]:
        case "agentMessage" | "plan":
            return visible(item.get("text") or "").strip()
        case "userMessage":
            return textwrap.indent(user_text(item), "> ", lambda _: True)
        case "reasoning":
            return (
                f"~ {visible(last_title(item) or _first_line(reasoning_text(item)) or 'thought')}"
            )
        case "commandExecution":
            _, words = command_status(item, outcome_of(snapshot, item))
            return _joined(f"$ {command_text(item)}", item.get("aggregatedOutput"), words)
        case "dynamicToolCall" | "mcpToolCall":
            _, words = command_status(item, outcome_of(snapshot, item))
            source = tool_source(item)
            head = f"{tool_label(item)}:" + (
                f"\n{textwrap.indent(source, '>>> ')}" if source else ""
            )
            return _joined(head, result_text(item), words)
        case "fileChange":
            return "\n".join(
                f"± {visible(change['path'])}\n{textwrap.indent(_diff_text(change), '  ')}"
                for change in item["changes"]
            )
        case _:
            review = review_of(item)
            return _transcript_review(review) if review else f"· {quiet_words(item)}"


def _joined(head: str, output: str | None, words: str) -> str:
    lines = [head, textwrap.indent(_output(output), "  "), f"  [{words}]"]
    return "\n".join(line for line in lines if line)


def _last_lines(snapshot: Snapshot) -> list[str]:
    lines: list[str] = []
    error = snapshot["error"]
    if error:
        words = (error["message"], error["details"], error["advice"])
        lines.append(" ".join(visible(word) for word in words if word))
    lines += [
        f"{asked_by(request)}: a question was waiting when this was saved."
        for request in snapshot["requests"]
        if request["outcome"] is None and asked_by(request)
    ]
    if snapshot["status"] == "interrupted":
        lines.append("Stopped by you — the answer above is partial.")
    if snapshot["truncated"]:
        lines.append("Shortened: long texts lost their middle.")
    return lines


def _output(text: str | None) -> str:
    return plain(clip(text or "", _OUTPUT_CHARS)).strip("\n")


def _diff_text(change: dict[str, Any]) -> str:
    rows = change_rows({**change, "diff": clip(change.get("diff") or "", _OUTPUT_CHARS)})
    return "\n".join(_SIGNS[row.kind] + visible(row.text) for row in rows)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:80]


def _fenced(text: str, language: str) -> str:
    """Fence ``text`` with more backticks than it contains, so that nothing in it ends the block."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.strip(chr(10))}\n{fence}"


def _code(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    mark = "`" * (longest + 1)
    return f"{mark} {text} {mark}" if longest else f"`{text}`"


def _inline(text: str, newline: str = " ") -> str:
    """Escape what markdown would read as markup."""
    return re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", visible(text)).replace("\n", newline)
