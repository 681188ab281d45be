"""Unified diffs of two texts, in time that hostile input cannot blow up; pure."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final

__all__ = ["unified_hunks"]

_EXACT_CELLS: Final = 40_000
"""Old lines times new lines up to which a region is compared in full, about 0.05 s at worst."""

_Block = tuple[int, int, int]
_Edit = tuple[int, int, int, int]


def unified_hunks(old: str, new: str, context: int = 3) -> str:
    r"""Return the ``@@`` hunks that lead from ``old`` to ``new``, without file headers.

    Lines end at ``\n`` only. A last line without one is followed by the usual remark. Equal texts
    give an empty string.

    Args:
        old: Text before.
        new: Text after.
        context: Unchanged lines around each change.
    """
    a, b = _lines(old), _lines(new)
    out: list[str] = []
    for group in _groups(list(_edits(a, b)), context):
        low_a, low_b = max(group[0][0] - context, 0), max(group[0][2] - context, 0)
        high_a, high_b = min(group[-1][1] + context, len(a)), min(group[-1][3] + context, len(b))
        out.append(f"@@ -{_range(low_a, high_a)} +{_range(low_b, high_b)} @@\n")
        at = low_a
        for i1, i2, j1, j2 in group:
            out += [_shown(" ", line) for line in a[at:i1]]
            out += [_shown("-", line) for line in a[i1:i2]]
            out += [_shown("+", line) for line in b[j1:j2]]
            at = i2
        out += [_shown(" ", line) for line in a[at:high_a]]
    return "".join(out)


def _lines(text: str) -> list[str]:
    parts = text.split("\n")
    last = parts.pop()
    return [part + "\n" for part in parts] + ([last] if last else [])


def _shown(mark: str, line: str) -> str:
    return mark + (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")


def _range(low: int, high: int) -> str:
    length = high - low
    if length == 1:
        return f"{low + 1}"
    return f"{low + 1 if length else low},{length}"


def _groups(edits: list[_Edit], context: int) -> Iterator[list[_Edit]]:
    group: list[_Edit] = []
    for edit in edits:
        if group and edit[0] - group[-1][1] > 2 * context:
            yield group
            group = []
        group.append(edit)
    if group:
        yield group


def _edits(a: list[str], b: list[str]) -> Iterator[_Edit]:
    i = j = 0
    for block_i, block_j, length in [*sorted(_blocks(a, b)), (len(a), len(b), 0)]:
        if i < block_i or j < block_j:
            yield i, block_i, j, block_j
        i, j = block_i + length, block_j + length


def _blocks(a: list[str], b: list[str]) -> list[_Block]:
    """Return runs of equal lines, in order and apart: small regions in full, large by anchors."""
    found: list[_Block] = []
    regions = [(0, len(a), 0, len(b))]
    while regions:
        i1, i2, j1, j2 = regions.pop()
        head = 0
        while i1 + head < i2 and j1 + head < j2 and a[i1 + head] == b[j1 + head]:
            head += 1
        found.append((i1, j1, head))
        i1, j1 = i1 + head, j1 + head
        tail = 0
        while i2 - tail > i1 and j2 - tail > j1 and a[i2 - tail - 1] == b[j2 - tail - 1]:
            tail += 1
        i2, j2 = i2 - tail, j2 - tail
        found.append((i2, j2, tail))
        if (i2 - i1) * (j2 - j1) <= _EXACT_CELLS:
            matcher = SequenceMatcher(None, a[i1:i2], b[j1:j2], autojunk=False)
            found += [(i1 + i, j1 + j, n) for i, j, n in matcher.get_matching_blocks()]
            continue
        anchors = [(i1 + i, j1 + j) for i, j in _anchors(a[i1:i2], b[j1:j2])]
        for i, j in anchors:
            regions.append((i1, i, j1, j))
            found.append((i, j, 1))
            i1, j1 = i + 1, j + 1
        if anchors:
            regions.append((i1, i2, j1, j2))
    return [block for block in found if block[2]]


def _anchors(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """Return the longest rising run of lines that occur once in each text."""
    once_a, once_b = Counter(a), Counter(b)
    where = {line: j for j, line in enumerate(b) if once_b[line] == 1}
    # chain[n] is the entry of `best` that ends the run of n + 1 pairs with the smallest j, ends[n]
    ends: list[int] = []
    best: list[tuple[int, int, int]] = []
    chain: list[int] = []
    for i, line in enumerate(a):
        if once_a[line] != 1 or line not in where:
            continue
        j = where[line]
        length = bisect_left(ends, j)
        best.append((i, j, chain[length - 1] if length else -1))
        if length == len(ends):
            ends.append(j)
            chain.append(len(best) - 1)
        else:
            ends[length], chain[length] = j, len(best) - 1
    run: list[tuple[int, int]] = []
    at = chain[-1] if chain else -1
    while at >= 0:
        i, j, at = best[at]
        run.append((i, j))
    return run[::-1]
