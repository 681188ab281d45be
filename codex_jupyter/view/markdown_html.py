"""A model's markdown as HTML that can be trusted: escaped, only web and mail links, no images."""

import re
from collections.abc import Callable
from functools import cache
from html import escape
from typing import Any, Final

from codex_jupyter.view.python_code import python_runs
from codex_jupyter.view.snapshot_size import clip

__all__ = ["markdown_html"]

_SAFE: Final = re.compile(r"(?:https?://|mailto:)[^\s\x00-\x1f]+", re.IGNORECASE)
_PYTHON: Final = frozenset({"py", "python", "python3", "ipython"})
_MAX_CHARS: Final = 100_000
"""A longer answer loses its middle in the static form."""


def markdown_html(text: str) -> str:
    """Return ``text`` as HTML; raw HTML in it stays visible as text."""
    return _renderer()(clip(text, _MAX_CHARS))


@cache
def _renderer() -> Callable[[str], str]:
    """Build the parser at first use: its import costs a kernel 50 ms."""
    import mistune  # noqa: PLC0415

    class Renderer(mistune.HTMLRenderer):
        def link(self, text: str, url: str, title: str | None = None) -> str:
            if not _SAFE.fullmatch(url):
                return f"<span>{text}</span>"
            about = f' title="{escape(title)}"' if title else ""
            href = escape(url, quote=True)
            return f'<a href="{href}"{about} target="_blank" rel="noopener noreferrer">{text}</a>'

        def image(self, text: str, url: str, title: str | None = None) -> str:  # noqa: ARG002
            return f'<span class="cxj-image">[image: {text or "no description"}]</span>'

        def block_code(self, code: str, info: str | None = None) -> str:
            words = (info or "").split()
            return _code_block(code.removesuffix("\n"), words[0].lower() if words else "")

        def heading(self, text: str, level: int, **attrs: Any) -> str:  # noqa: ARG002
            tag = f"h{min(6, level + 1)}"
            return f"<{tag}>{text}</{tag}>"

        def task_list_item(self, text: str, checked: bool = False) -> str:
            return f'<li class="cxj-task-item">{"☑" if checked else "☐"} {text}</li>'

    return mistune.create_markdown(
        escape=True,
        renderer=Renderer(escape=True),
        plugins=["table", "strikethrough", "task_lists", "url"],
    )  # pyright: ignore[reportReturnType]  # a renderer of strings makes a parser to strings


def _code_block(code: str, language: str) -> str:
    if language in _PYTHON:
        shown = "".join(
            f'<span class="{run.style}">{escape(run.text)}</span>'
            if run.style
            else escape(run.text)
            for run in python_runs(code)
        )
    else:
        shown = escape(code)
    return f'<div class="cxj-code"><pre><code>{shown}</code></pre></div>'
