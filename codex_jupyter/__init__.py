"""A coding agent that lives in a notebook."""

from codex_jupyter._version import __version__

__all__ = ["__version__"]
