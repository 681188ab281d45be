"""The process environment: the one place that reads it."""

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["home_dir", "snapshot", "take"]


def snapshot() -> dict[str, str]:
    """Copy the environment of this process."""
    return dict(os.environ)  # noqa: TID251 - the one place


def take(*names: str) -> dict[str, str]:
    """Take variables out of the environment of this process, so that no child inherits them.

    Returns:
        Those that were set.
    """
    environ = os.environ  # noqa: TID251 - the one place
    return {name: environ.pop(name) for name in names if name in environ}


def home_dir(environ: Mapping[str, str]) -> Path:
    """Return where this package keeps its files, as an absolute path that may not exist yet.

    ``CODEX_JUPYTER_HOME``, else ``codex-jupyter`` in Jupyter's data directory.
    """
    stated = environ.get("CODEX_JUPYTER_HOME", "").strip()
    if stated:
        return Path(stated).expanduser().absolute()
    data = environ.get("JUPYTER_DATA_DIR", "")
    if not data:
        # Costs 30 ms and pulls in platformdirs, for a value that servers and tests state.
        from jupyter_core.paths import jupyter_data_dir  # noqa: PLC0415

        data = jupyter_data_dir()
    return Path(data).absolute() / "codex-jupyter"
