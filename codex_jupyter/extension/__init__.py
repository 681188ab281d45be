"""The Jupyter Server extension: one core for the pages and kernels of a server."""

from typing import Any

__all__ = ["_jupyter_server_extension_points"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Tell Jupyter Server what to load."""
    from codex_jupyter.extension.app import CodexExtension  # noqa: PLC0415 - needs jupyter_server

    return [{"module": "codex_jupyter.extension", "app": CodexExtension}]
