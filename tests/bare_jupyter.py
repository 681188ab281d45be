"""A Jupyter server without what others have added to it, which takes seconds to load."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["without_others"]

_OURS = "codex_jupyter"


def without_others(**stated: bool) -> str:
    """Return the option that turns off every extension that this environment turns on but ours.

    Args:
        stated: More extensions, and whether they are on.
    """
    states = {**dict.fromkeys(_enabled(), False), **stated}
    return f"--ServerApp.jpserver_extensions={states}"


def _enabled() -> Iterator[str]:
    folder = Path(sys.prefix) / "etc" / "jupyter" / "jupyter_server_config.d"
    for path in sorted(folder.glob("*.json")):
        app = json.loads(path.read_text(encoding="utf-8")).get("ServerApp", {})
        yield from (name for name in app.get("jpserver_extensions", {}) if name != _OURS)
