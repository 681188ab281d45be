"""The documents of the project, taken apart: fenced blocks, links, headings, tables."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "DOCUMENTS",
    "ROOT",
    "Block",
    "anchors",
    "blocks",
    "command_lines",
    "links",
    "read",
    "rows",
]

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(path.relative_to(ROOT) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))

_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: what it is marked as, its text, and the line it begins at."""

    kind: str
    text: str
    line: int


def read(document: Path) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(text: str, *kinds: str) -> list[Block]:
    found = [Block(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in _FENCE.finditer(text)]
    return [block for block in found if block.kind in kinds]


def links(text: str) -> list[str]:
    """Return the targets of links and images that lie in the project."""
    targets = _LINK.findall(_FENCE.sub("", text))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """Return the fragments of all headings, as GitHub makes them."""
    headings = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def command_lines(text: str) -> list[list[str]]:
    """Return the commands of shell blocks as words, without variables that are set before them."""
    found: list[list[str]] = []
    for block in blocks(text, "sh", "bash", "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if block.kind == "console" and not line.startswith("$ "):
                continue
            words = shlex.split(line.removeprefix("$ "), comments=True)
            while words and re.match(r"[A-Z_]+=", words[0]):
                words.pop(0)
            if words:
                found.append(words)
    return found


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
