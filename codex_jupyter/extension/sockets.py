"""The two WebSockets of the extension: one for pages, one for kernels."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from jupyter_server.auth.decorator import allow_unauthenticated, authorized, ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.web import HTTPError
from tornado.websocket import WebSocketHandler

from codex_jupyter.errors import CodexError
from codex_jupyter.extension.host import CoreHost
from codex_jupyter.extension.kernel_links import KernelLink, KernelLinks
from codex_jupyter.extension.kernel_watch import KernelWatch
from codex_jupyter.extension.origins import request_origin, same_or_allowed
from codex_jupyter.server.rights import PAGE, Rights, kernel_rights

if TYPE_CHECKING:
    from codex_jupyter.transports.ws_socket import SocketStreams

__all__ = ["KERNEL_SCHEME", "MAX_FRAME_BYTES", "KernelSocket", "PageSocket"]

_log = logging.getLogger(__name__)

MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
"""Longest message taken; a longer one ends the connection with code 1009."""

KERNEL_SCHEME: Final = "codex-kernel"
"""The scheme of the Authorization header of a kernel, so that nothing else reads its token."""

_TOO_BIG: Final = 1009
_FAILED: Final = 1011
_MAX_REASON_BYTES: Final = 120
_HEAR_OUT: Final = 10.0
"""Seconds in which a connection that cannot be served may ask, and be told why."""


class _CoreSocket(WebSocketMixin, WebSocketHandler, JupyterHandler):  # pyright: ignore[reportIncompatibleMethodOverride] - tornado and Jupyter name a parameter differently
    """What both have in common: frames go to the core, a core that cannot start says why."""

    auth_resource = "codex"

    def initialize(self, **parts: Any) -> None:
        """Take the parts that `CodexExtension` made."""
        self._host: CoreHost = parts["host"]
        self._streams: SocketStreams | None = None
        self._problem: CodexError | None = None

    @property
    def max_message_size(self) -> int:
        """Twice the cap: tornado resets the connection, and our own check says goodbye first."""
        return 2 * MAX_FRAME_BYTES

    def _rights(self) -> Rights:
        raise NotImplementedError

    async def open(self, *args: str, **kwargs: str) -> None:
        """Hand the connection to the core, which may have to be started; frames wait for that."""
        WebSocketMixin.open(self, *args, **kwargs)  # pyright: ignore[reportUnknownMemberType]
        self.set_nodelay(True)
        try:
            await self._host.start()
        except CodexError as problem:
            self._problem = problem
            asyncio.get_running_loop().call_later(_HEAR_OUT, self._leave, problem)
            return
        from codex_jupyter.transports.ws_socket import SocketStreams  # noqa: PLC0415 - loaded by now

        self._streams = SocketStreams(self)
        self._host.serve(self._streams, self._rights(), self.close)

    async def on_message(self, message: str | bytes) -> None:
        """Pass a frame on; waits, and with it the other side, while the core is behind."""
        if _is_longer(message, MAX_FRAME_BYTES):
            self.close(_TOO_BIG, f"a message may have {MAX_FRAME_BYTES} bytes")
        elif self._streams is not None:
            await self._streams.take(message)
        elif self._problem is not None:
            await self._refuse(message, self._problem)

    def on_close(self) -> None:
        """Learn that the connection has ended."""
        if self._streams is not None:
            self._streams.end()

    async def _refuse(self, frame: str | bytes, problem: CodexError) -> None:
        """Answer the first request with what keeps the core from starting."""
        from codex_jupyter.protocol import jsonrpc  # noqa: PLC0415 - heavy

        message = jsonrpc.decode(frame.encode() if isinstance(frame, str) else frame)
        known = not isinstance(message, jsonrpc.Garbage) and jsonrpc.classify(message)
        if isinstance(known, jsonrpc.Request):
            answer = jsonrpc.error_message(known.id, problem.rpc_code, str(problem), problem.data)
            await self.write_message(jsonrpc.encode(answer))
        self._leave(problem)

    def _leave(self, problem: CodexError) -> None:
        reason = str(problem).encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        self.close(_FAILED, reason)


class PageSocket(_CoreSocket):
    """For pages: whoever may use this server may see, start, stop and answer."""

    @ws_authenticated
    @authorized(action="execute")  # pyright: ignore[reportUntypedFunctionDecorator]
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open the socket, unless another site's page asks for it.

        A token in the address does not lift the check of the origin: pages leak addresses.
        """
        self._check_origin()
        await super().get(*args, **kwargs)

    def check_origin(self, origin: str | None = None) -> bool:
        """Say what `get` has checked: also for requests that carry a token."""
        del origin
        return same_or_allowed(self)

    def _check_origin(self) -> None:
        if not same_or_allowed(self):
            origin, host = request_origin(self), self.request.headers.get("Host")
            _log.warning(
                "refused a page of %r at %s://%s; behind a proxy that ends TLS, let it send "
                "X-Forwarded-Proto, or state ServerApp.allow_origin",
                origin,
                self.request.protocol,
                host,
            )
            raise HTTPError(403, "cross-origin WebSockets are not allowed")

    def _rights(self) -> Rights:
        return PAGE


class KernelSocket(_CoreSocket):
    """For kernels of this server: known by the token of their link, and by nothing else."""

    def initialize(self, **parts: Any) -> None:
        """Take the parts that `CodexExtension` made."""
        super().initialize(**parts)
        self._links: KernelLinks = parts["links"]
        self._watch: KernelWatch = parts["watch"]
        self._link: KernelLink | None = None

    @allow_unauthenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open the socket for a kernel.

        No browser may: one always sends an Origin. The server's own token opens nothing here,
        because whoever holds it is the user, who has a page.
        """
        if request_origin(self) is not None:
            raise HTTPError(403, "no page may connect here")
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        link = self._links.find(token.strip()) if scheme.lower() == KERNEL_SCHEME else None
        if link is None:
            raise HTTPError(403, "not the token of a running kernel of this server")
        self._link = link
        await super().get(*args, **kwargs)

    async def open(self, *args: str, **kwargs: str) -> None:
        """Note which kernel it is, and hand it to the core."""
        if self._link is not None:
            self._watch.connected(self._link, self)
        await super().open(*args, **kwargs)

    def on_close(self) -> None:
        """Learn that the kernel has ended, or only its connection."""
        super().on_close()
        if self._link is not None:
            self._watch.disconnected(self._link, self)

    def _rights(self) -> Rights:
        return kernel_rights(self._link.kernel_id if self._link is not None else "")


def _is_longer(message: str | bytes, limit: int) -> bool:
    """Tell whether a frame has more than ``limit`` bytes, encoding it only if that can matter."""
    if len(message) > limit:
        return True
    if isinstance(message, bytes) or 4 * len(message) <= limit:
        return False
    return len(message.encode()) > limit
