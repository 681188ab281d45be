"""How well a path matches what somebody types: pure, and fast enough for each keystroke.

The characters of a word must occur in order, not side by side. Those side by side, at the begin of
a part or a word, and in the file's name count more; a greedy match that is tightened from its end
is taken for the best one, as finders do that must look at a hundred thousand paths.
"""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Match", "Pattern"]

_PER_CHAR: Final = 16
_SIDE_BY_SIDE: Final = 12
_AT_PART: Final = 10
_AT_WORD: Final = 8
_IN_NAME: Final = 4
_PER_GAP: Final = 1
_MAX_GAPS: Final = 24
_WORD_ENDS: Final = frozenset("_-. ")


@dataclass(frozen=True, slots=True)
class Match:
    """A path that matches."""

    score: int
    indices: tuple[int, ...]
    """Which characters, ascending."""


class Pattern:
    """What is looked for: words that must all match; case counts for one with a capital.

    Args:
        query: As typed.
    """

    def __init__(self, query: str) -> None:
        self._words = [
            (word, re.compile(".*?".join(map(re.escape, word)), _flags(word)))
            for word in query.split()
        ]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is looked for."""
        return not self._words

    def match(self, path: str) -> Match | None:
        """Return how well a path matches, or ``None`` if it does not."""
        score, indices = 0, set[int]()
        name_at = path.rstrip("/").rfind("/") + 1
        for word, forwards in self._words:
            # In the name first: `rea` shall find README.md before src/reader/a.py.
            found = forwards.search(path, name_at) or forwards.search(path)
            if found is None:
                return None
            places = _tight(word, path, found.start(), found.end())
            score += _score(path, places, name_at)
            indices.update(places)
        # Of two equal ones the shorter path is meant.
        return Match(score - len(path) // 8, tuple(sorted(indices)))


def _flags(word: str) -> re.RegexFlag:
    return re.DOTALL if word != word.lower() else re.DOTALL | re.IGNORECASE


def _tight(word: str, path: str, start: int, end: int) -> list[int]:
    """Take each character as late as it can be before ``end``."""
    fold = word == word.lower()
    text = path.lower() if fold and len(path.lower()) == len(path) else path
    places: list[int] = []
    for char in reversed(word):
        place = text.rfind(char, start, end)
        if place < 0:  # a letter whose lower case is another length; the regular expression knew
            place = end - 1
        places.append(place)
        end = place
    return places[::-1]


def _score(path: str, places: list[int], name_at: int) -> int:
    score, last = 0, None
    for place in places:
        score += _PER_CHAR
        before = path[place - 1] if place else "/"
        if last is not None and place == last + 1:
            score += _SIDE_BY_SIDE
        elif last is not None:
            score -= min(_PER_GAP * (place - last - 1), _MAX_GAPS)
        if before == "/":
            score += _AT_PART
        elif before in _WORD_ENDS or (before.islower() and path[place].isupper()):
            score += _AT_WORD
        if place >= name_at:
            score += _IN_NAME
        last = place
    return score
