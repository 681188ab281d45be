"""The result of a review as static HTML: the verdict, then a card for each finding."""

from html import escape

from codex_jupyter.view.markdown_html import markdown_html
from codex_jupyter.view.review_words import Finding, Review
from codex_jupyter.view.terminal_text import visible

__all__ = ["review_html"]


def review_html(review: Review) -> str:
    """Return the result; without the style it reads as headings and paragraphs."""
    kind = "good" if review.is_good else "bad"
    head = f'<strong class="cxj-verdict cxj-verdict-{kind}">{_shown(review.verdict)}</strong>'
    about = _markdown(review.explanation)
    cards = "".join(_card(finding) for finding in review.findings)
    return (
        '<div class="cxj-review"><div class="cxj-review-head">'
        f"{head}{_sure(review.sure)}</div>{about}{cards}</div>"
    )


def _card(finding: Finding) -> str:
    level = "" if finding.priority is None else f"P{finding.priority}"
    badge = f'<strong class="cxj-priority">{level}</strong> ' if level else ""
    place = f"<div><code>{_shown(finding.place)}</code></div>" if finding.place else ""
    return (
        f'<div class="cxj-finding cxj-finding-{level or "none"}"><div class="cxj-finding-head">'
        f'{badge}<strong class="cxj-finding-title">{_shown(finding.title)}</strong>'
        f"{_sure(finding.sure)}</div>{place}{_markdown(finding.body)}</div>"
    )


def _sure(words: str) -> str:
    return f' <span class="cxj-sure">{words} sure</span>' if words else ""


def _markdown(text: str) -> str:
    return f'<div class="cxj-md">{markdown_html(text)}</div>' if text else ""


def _shown(text: str) -> str:
    return escape(visible(text))
