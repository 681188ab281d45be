"""How a kernel finds the Jupyter server it belongs to: a file that the server wrote for it alone.

The server names the file in the kernel's environment. Whatever this kernel starts inherits the
variables, so they are taken out at the first look, and a kernel believes them only if they speak
of its own connection file.
"""

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any, Final, Literal

from codex_jupyter.embedding import ServerLink
from codex_jupyter.errors import ConfigError
from codex_jupyter.settings import environment

__all__ = [
    "CORE",
    "KERNEL_ID",
    "LINK",
    "LinkFile",
    "own_connection_file",
    "stated_core",
    "take_link",
]

Json = dict[str, Any]

LINK: Final = "CODEX_JUPYTER_LINK"
KERNEL_ID: Final = "CODEX_JUPYTER_KERNEL_ID"
CORE: Final = "CODEX_JUPYTER_CORE"

_OPEN: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_MAX_BYTES: Final = 65_536
_LEAST_ID: Final = 8
"""Characters; a shorter id would be part of too many names."""

NO_LINK: Final = "no Jupyter server with the codex_jupyter extension started this kernel"


class LinkFile:
    """The file with a kernel's link, read anew for each connection."""

    def __init__(self, path: Path, kernel_id: str) -> None:
        self.path = path
        self.kernel_id = kernel_id
        self._last: ServerLink | None = None

    def read(self) -> ServerLink:
        """Return the link; what was read before, if the server has put the file away since.

        Raises:
            ConfigError: Others can read it, or it is not what it should be.
        """
        try:
            text = _read_private(self.path)
        except FileNotFoundError:
            if self._last is not None:
                return self._last
            raise ConfigError(self.path, "the link to the Jupyter server is not there") from None
        self._last = _parse(self.path, text, self.kernel_id)
        return self._last


def take_link(connection_file: str | None) -> tuple[LinkFile | None, str]:
    """Take the link out of the environment, if it is this kernel's.

    Args:
        connection_file: The kernel's own, ``None`` outside of kernels.

    Returns:
        The link, and why there is none.
    """
    found = environment.take(LINK, KERNEL_ID)
    path, kernel_id = found.get(LINK, ""), found.get(KERNEL_ID, "")
    if not path or not kernel_id:
        return None, NO_LINK
    name = Path(connection_file).name if connection_file else ""
    if len(kernel_id) < _LEAST_ID or kernel_id not in name:
        return None, "the link in its environment was given to another kernel"
    return LinkFile(Path(path), kernel_id), ""


def own_connection_file() -> str | None:
    """Return the connection file of this kernel, ``None`` in a terminal or script."""
    if "ipykernel.kernelapp" not in sys.modules:  # importing it here would cost a script 0.2 s
        return None
    from ipykernel.connect import get_connection_file  # noqa: PLC0415 - kernels have it

    try:
        return str(get_connection_file())
    except RuntimeError:  # no kernel runs in this process
        return None


def stated_core() -> Literal["auto", "embedded", "server"]:
    """Return where the core shall be, as the environment states it now.

    Raises:
        ConfigError: It states something else.
    """
    stated = environment.snapshot().get(CORE, "").strip() or "auto"
    if stated not in ("auto", "embedded", "server"):
        raise ConfigError(CORE, f"must be auto, embedded or server, not {stated!r}")
    return stated


def _read_private(path: Path) -> bytes:
    """Read a small file that belongs to this user and that nobody else can read."""
    try:
        descriptor = os.open(path, _OPEN)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigError(path, f"cannot be read: {error.strerror}") from error
    try:
        about = os.fstat(descriptor)
        owner = os.getuid() if hasattr(os, "getuid") else about.st_uid
        if not stat.S_ISREG(about.st_mode) or about.st_uid != owner:
            raise ConfigError(path, "is not a file of this user")
        if sys.platform != "win32" and about.st_mode & 0o077:
            raise ConfigError(path, "can be read by others; a link must have mode 0600")
        return os.read(descriptor, _MAX_BYTES)
    finally:
        os.close(descriptor)


def _parse(path: Path, text: bytes, kernel_id: str) -> ServerLink:
    try:
        found: Json = json.loads(text)
        url, token, ca = found["url"], found["token"], found.get("ca")
        whose = found["kernelId"]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ConfigError(path, "is not a link to a Jupyter server") from None
    if whose != kernel_id:
        raise ConfigError(path, "is the link of another kernel")
    if not str(url).startswith(("ws://", "wss://")) or not token:
        raise ConfigError(path, "names no WebSocket address, or no token")
    return ServerLink(str(url), str(token), None if ca is None else str(ca))
