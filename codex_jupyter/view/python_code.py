"""Colours Python source for reading, not for judging. Mirrors ``static/python_code.js``."""

import re
from typing import Final

from codex_jupyter.view.terminal_text import Run

__all__ = ["python_runs"]

_KEYWORDS: Final = (
    "and|as|assert|async|await|break|case|class|continue|def|del|elif|else|except|finally|for|from"
    "|global|if|import|in|is|lambda|match|nonlocal|not|or|pass|raise|return|try|while|with|yield"
    "|None|True|False"
)
_STRING: Final = (
    r"[rbfuRBFU]{0,2}(?:"
    r'"""[\s\S]*?(?:"""|$)|'
    r"'''[\s\S]*?(?:'''|$)|"
    r'"(?:\\.|[^"\\\n])*"?|'
    r"'(?:\\.|[^'\\\n])*'?)"
)
_TOKEN: Final = re.compile(
    "|".join(
        (
            r"(#[^\n]*)",
            f"({_STRING})",
            r"\b(\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)\b",
            rf"\b({_KEYWORDS})\b",
            r"([A-Za-z_]\w*)(?=\()",
            r"[A-Za-z_]\w*",
        )
    ),
    re.ASCII,
)
_STYLES: Final = (
    "",
    "cxj-py-comment",
    "cxj-py-string",
    "cxj-py-number",
    "cxj-py-keyword",
    "cxj-py-call",
)


def python_runs(source: str) -> list[Run]:
    """Return runs that concatenate to ``source``."""
    runs: list[Run] = []
    position = 0
    for match in _TOKEN.finditer(source):
        if match.lastindex is None:
            continue
        if match.start() > position:
            runs.append(Run(source[position : match.start()], ""))
        runs.append(Run(match[0], _STYLES[match.lastindex]))
        position = match.end()
    if position < len(source):
        runs.append(Run(source[position:], ""))
    return runs
