"""Which kernel may connect: a fresh credential for every process a kernel is started as."""

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

__all__ = ["KernelLink", "KernelLinks", "KernelManager", "kernel_url"]

_log = logging.getLogger(__name__)

LINK_VARIABLE: Final = "CODEX_JUPYTER_LINK"
"""Where the kernel finds the path of its link file."""

KERNEL_ID_VARIABLE: Final = "CODEX_JUPYTER_KERNEL_ID"
"""Which kernel the link is for. A child process of the kernel inherits both and is not believed."""

_FILE_SAFE: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
_HOOK: Final = "_async_pre_start_kernel"
"""Runs before each start of a process: at the start, at a restart, after a death. Nothing public
does, and whatever manager or provisioner is configured passes it. A test holds it in place."""

_ANY_ADDRESS: Final = ("", "*", "0.0.0.0", "localhost")  # noqa: S104 - compared, not listened on


class KernelManager(Protocol):
    """What is used of Jupyter's manager of one kernel."""

    kernel_id: str | None

    def is_alive(self) -> Awaitable[bool] | bool:
        """Tell whether the kernel's process runs."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class KernelLink:
    """What one process of a kernel was given."""

    kernel_id: str
    digest: bytes = field(repr=False)
    """SHA-256 of the token; the token itself is not kept."""

    path: Path
    manager: KernelManager


class KernelLinks:
    """The links of all kernels of this server.

    Args:
        folder: Where link files are written; only this user may read them.
        url: Returns the address for kernels, or ``None`` if there is none they can use.
        ca: The server's certificate, where it speaks TLS.
        on_end: Called with a link that has just died.
    """

    def __init__(
        self,
        folder: Path,
        url: Callable[[], str | None],
        *,
        ca: str | None = None,
        on_end: Callable[[KernelLink], None],
    ) -> None:
        self._folder = folder
        self._url = url
        self._ca = ca
        self._on_end = on_end
        self._links: dict[str, KernelLink] = {}

    def wrap(self, factory: Callable[..., Any]) -> Callable[..., Any]:
        """Return a maker of kernel managers that give their kernels links."""

        def make(*args: Any, **options: Any) -> Any:
            manager = factory(*args, **options)
            before = getattr(manager, _HOOK, None)
            if before is None:
                _log.warning("kernels of %s get no link to this server", type(manager).__name__)
                return manager

            async def before_start(**options: Any) -> Any:
                link = self._renew(manager, options)
                try:
                    return await before(**options)
                except BaseException:
                    if link is not None:
                        self.end(link.kernel_id)
                    raise

            setattr(manager, _HOOK, before_start)
            return manager

        return make

    def find(self, token: str) -> KernelLink | None:
        """Return the link a token belongs to. Takes as long for a wrong one as for a right one."""
        digest = hashlib.sha256(token.encode()).digest()
        found: KernelLink | None = None
        for link in self._links.values():
            if hmac.compare_digest(link.digest, digest):
                found = link
        return found

    def current(self, kernel_id: str) -> KernelLink | None:
        """Return the link of a kernel, if it has one."""
        return self._links.get(kernel_id)

    def end(self, kernel_id: str) -> None:
        """Let the link of a kernel die, and its file with it."""
        link = self._links.pop(kernel_id, None)
        if link is None:
            return
        with suppress(OSError):
            link.path.unlink()
        self._on_end(link)

    def end_all(self) -> None:
        """Let every link die: the server stops."""
        for kernel_id in list(self._links):
            self.end(kernel_id)

    def _renew(self, manager: KernelManager, options: dict[str, Any]) -> KernelLink | None:
        """Give the process that is about to start a link of its own, by its environment."""
        kernel_id = manager.kernel_id or options.get("kernel_id")
        if not isinstance(kernel_id, str) or not _FILE_SAFE.fullmatch(kernel_id):
            return None
        self.end(kernel_id)
        environment = _without_link(options.get("env"))
        options["env"] = environment
        url = self._url()
        if url is None:
            return None
        token = secrets.token_urlsafe(32)
        path = self._folder / f"codex-link-{kernel_id}-{secrets.token_hex(8)}.json"
        content = {"url": url, "token": token, "kernelId": kernel_id, "ca": self._ca}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_private(path, json.dumps(content))
        except OSError as error:
            _log.warning("kernel %s gets no link to this server: %s", kernel_id, error)
            return None
        environment |= {LINK_VARIABLE: str(path), KERNEL_ID_VARIABLE: kernel_id}
        digest = hashlib.sha256(token.encode()).digest()
        link = self._links[kernel_id] = KernelLink(kernel_id, digest, path, manager)
        return link


def kernel_url(local_url: str, ip: str, base_url: str) -> str | None:
    """Return the address kernels connect to; ``None`` where the server listens on no TCP port.

    Args:
        local_url: The server's own idea of its address on this machine.
        ip: What it listens on. If that is one address that is not the loopback interface's, only
            that one answers.
        base_url: Path under which everything is.
    """
    parts = urlsplit(local_url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme)
    if scheme is None or parts.port is None:
        return None
    host = parts.netloc
    if ip not in _ANY_ADDRESS and not ip.startswith("127.") and ":" not in ip:
        host = f"{ip}:{parts.port}"
    elif ":" in ip and ip not in ("::", "::1"):
        host = f"[{ip}]:{parts.port}"
    return f"{scheme}://{host}{base_url.rstrip('/')}/codex/kernel"


def _without_link(stated: Mapping[str, str] | None) -> dict[str, str]:
    """Copy an environment, or this process's, without the link of an earlier process."""
    if stated is None:
        # Reading the settings' package costs 20 ms; sessions always state an environment.
        from codex_jupyter.settings.environment import snapshot  # noqa: PLC0415

        stated = snapshot()
    ours = (LINK_VARIABLE, KERNEL_ID_VARIABLE)
    return {name: value for name, value in stated.items() if name not in ours}


def _write_private(path: Path, text: str) -> None:
    """Write a new file that only this user may read; it never follows or replaces anything."""
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0), 0o600)
    with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
        file.write(text)
