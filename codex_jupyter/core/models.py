"""What is known of models by their names; a setting always outranks it. Pure."""

from typing import Final

__all__ = ["known_window"]

_WINDOWS: Final = (
    ("gpt-5", 272_000),
    ("codex", 272_000),
    ("gpt-4.1", 1_047_576),
    ("gpt-4o", 128_000),
    ("o3", 200_000),
    ("o4-mini", 200_000),
    ("gpt-oss", 131_072),
)
"""Input tokens, by how the name begins; the provider's published numbers. First match wins."""


def known_window(model: str) -> int | None:
    """Return how many tokens fit into a request to ``model``, or ``None`` if nobody said.

    Names of routers (``openai/gpt-5``) count by their last part.
    """
    name = model.rsplit("/", 1)[-1].lower()
    return next((window for start, window in _WINDOWS if name.startswith(start)), None)
