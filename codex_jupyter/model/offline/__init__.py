"""The offline model: a provider that plays scripts, drives real tools and says what it is."""

from codex_jupyter.model.offline.play import Play, load_play
from codex_jupyter.model.offline.provider import OfflineModel
from codex_jupyter.model.offline.repertoire import SHIPPED_PLAYS

__all__ = ["SHIPPED_PLAYS", "OfflineModel", "Play", "load_play"]
