"""All plays at hand: finds the one for a prompt, and says honestly what is known and what not."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from codex_jupyter.errors import PlayError
from codex_jupyter.model.offline.fields import words
from codex_jupyter.model.offline.play import Play, load_play

__all__ = ["SHIPPED_PLAYS", "Repertoire", "load_repertoire"]

SHIPPED_PLAYS: Final = Path(__file__).with_name("plays")
"""The folder with the plays of the quickstart; every file in it may be opened and copied."""

_CONNECT: Final = """\
- set `OPENAI_API_KEY` where Jupyter is started, and start it again;
- or start Ollama, LM Studio, vLLM or llama.cpp on this machine and run `%codex use`;
- or write a `config.toml` into the folder that `CODEX_JUPYTER_HOME` names.

`%codex status` shows what is in use."""

_WHO: Final = (
    "I am the offline stand-in that is built into codex_jupyter, not a language model. "
    "I can only play scripts that were written beforehand"
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Repertoire:
    """The plays that could be read, and what was wrong with the others."""

    own: tuple[Play, ...]
    """The user's; they are asked first."""

    shipped: tuple[Play, ...]
    broken: tuple[PlayError, ...] = ()

    def find(self, prompt: str) -> Play | None:
        """Return the play for ``prompt``, or ``None``.

        The user's plays come before the shipped ones. Among each, a whole prompt goes before
        single words, more words go before fewer, and otherwise the first file wins.
        """
        said = words(prompt)
        return _best(self.own, said) or _best(self.shipped, said)

    def values(self) -> Mapping[str, Mapping[str, str]]:
        """Return what the built-in placeholders stand for."""
        return {"offline": {"prompts": self._prompts(), "connect": _CONNECT}}

    def stranger(self) -> str:
        """Word the answer to a prompt that no play is for."""
        parts = [f"{_WHO}, and I have none for this prompt."]
        if self.own or self.shipped:
            parts.append(f"These prompts I know:\n\n{self._prompts()}")
        parts.append(f"To connect a real model:\n\n{_CONNECT}")
        if self.broken:
            lines = "\n".join(f"- {error}" for error in self.broken)
            parts.append(f"I could not read these plays:\n\n{lines}")
        return "\n\n".join(parts)

    def _prompts(self) -> str:
        # A line of its own between quotes keeps Markdown from joining them into one paragraph.
        return "\n\n".join(f"> {play.prompt}" for play in (*self.own, *self.shipped))


def load_repertoire(play_dirs: Sequence[Path]) -> Repertoire:
    """Read every ``*.toml`` of the user's folders and of the shipped one. Blocking, a few ms.

    A folder that does not exist is empty. A file whose name was met in an earlier folder is
    hidden, so that a copy of a shipped play replaces it. A file that cannot be read is logged
    and kept in `Repertoire.broken`; it does not keep the others from playing.
    """
    seen: set[str] = set()
    broken: list[PlayError] = []
    own = [play for folder in play_dirs for play in _load(_files(folder), seen, broken)]
    shipped = _load(_files(SHIPPED_PLAYS), seen, broken)
    return Repertoire(tuple(own), tuple(shipped), tuple(broken))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.toml"))


def _load(files: Iterable[Path], seen: set[str], broken: list[PlayError]) -> list[Play]:
    plays: list[Play] = []
    for path in files:
        if path.name in seen:
            continue
        seen.add(path.name)
        try:
            plays.append(load_play(path))
        except PlayError as error:
            _log.warning("the offline model leaves out a play: %s", error)
            broken.append(error)
    return plays


def _best(plays: Sequence[Play], said: tuple[str, ...]) -> Play | None:
    scored = [(score, play) for play in plays if (score := _score(play, said)) > 0]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def _score(play: Play, said: tuple[str, ...]) -> float:
    """Rank how well ``play`` fits: 0 is not at all, infinity is the whole prompt."""
    if said in play.exact:
        return float("inf")
    return max((len(needed) for needed in play.match if needed <= set(said)), default=0)
