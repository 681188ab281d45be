"""`CodexExtension`: what Jupyter Server loads. Light until the first connection."""

import logging
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Float, TraitError, Unicode

from codex_jupyter.errors import UsageError
from codex_jupyter.extension.host import CoreHost
from codex_jupyter.extension.kernel_links import KernelLinks, kernel_url
from codex_jupyter.extension.kernel_watch import KERNEL_ACTIONS, KernelWatch
from codex_jupyter.extension.sockets import KernelSocket, PageSocket
from codex_jupyter.notebook.headless import HeadlessPolicy, parse_headless

__all__ = ["CodexExtension"]

_log = logging.getLogger(__name__)


class CodexExtension(ExtensionApp):
    """Hosts one core for the pages and kernels of a Jupyter server."""

    name = "codex_jupyter"
    _parts: "tuple[CoreHost, KernelWatch, KernelLinks] | None" = None
    load_other_extensions = True

    headless = Unicode(
        "",
        help="What is answered to approvals where no page is connected: deny, allow RULES (e.g. "
        "'allow run_python, command:ls'), or fail, which ends the turn with an error and is the "
        "default. A kernel cannot change it.",
    ).tag(config=True)
    headless_wait = Float(
        default_value=None,
        allow_none=True,
        min=0.0,
        help="Seconds an approval waits for a page before that answer is given. Default: 2 where "
        "no page ever connected, else 15.",
    ).tag(config=True)

    def initialize_handlers(self) -> None:
        """Make the parts, offer the two sockets, and let kernels have their links."""
        host = CoreHost(self._policy(), self.headless_wait)
        watch = KernelWatch(lambda: host.app)
        server = self._server()
        _log_into(server.log)
        links = watch.links = KernelLinks(
            Path(server.runtime_dir),
            lambda: kernel_url(server.local_url, server.ip, server.base_url),
            ca=str(Path(server.certfile).absolute()) if server.certfile else None,
            on_end=watch.link_ended,
        )
        self._parts = host, watch, links
        kernels: Any = server.kernel_manager
        kernels.kernel_manager_factory = links.wrap(kernels.kernel_manager_factory)
        events: Any = server.event_logger
        events.add_listener(schema_id=KERNEL_ACTIONS, listener=watch.on_action)
        self.handlers.extend(
            [
                (r"/codex/page", PageSocket, {"host": host}),
                (r"/codex/kernel", KernelSocket, {"host": host, "links": links, "watch": watch}),
            ]
        )

    def current_activity(self) -> Any:
        """Tell whether somebody is connected, which keeps an idle server from shutting down."""
        return self._parts is not None and self._parts[0].connections > 0

    async def stop_extension(self) -> None:
        """End every turn and connection, and forget every kernel; takes 5 s at most."""
        if self._parts is None:
            return
        host, watch, links = self._parts
        await host.stop()
        watch.stop()
        links.end_all()

    def _policy(self) -> "HeadlessPolicy":
        try:
            return parse_headless(self.headless or "fail")
        except UsageError as problem:
            _log.error("CodexExtension.headless: %s", problem)
            raise TraitError(f"CodexExtension.headless: {problem}") from problem

    def _server(self) -> ServerApp:
        server = self.serverapp
        if server is None:
            raise RuntimeError("the extension is not linked to a server")
        return server


def _log_into(server_log: Any) -> None:
    """Let what this package logs stand in the server's log, in the server's form and level."""
    ours = logging.getLogger("codex_jupyter")
    if not ours.handlers:
        ours.setLevel(server_log.getEffectiveLevel())
        ours.propagate = False
        for handler in server_log.handlers:
            ours.addHandler(handler)
