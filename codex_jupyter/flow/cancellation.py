"""Cancellation that reaches across task groups and threads."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Protocol, cast
from weakref import WeakSet

import anyio
import anyio.lowlevel

__all__ = ["CancelToken"]


class _Loop(Protocol):
    def call_soon_threadsafe(self, callback: Callable[[], object]) -> object: ...


class CancelToken:
    """A request to stop, shared by tasks that do not share a cancel scope.

    A turn hands its token to the tools, delegates and forwarders it started elsewhere: cancel it
    once, and every scope opened from it or from a descendant is cancelled. Cancelling is
    idempotent and final, the first reason wins, and it may be called from any thread: on the
    thread of the loop the scopes end at once, from another they end at the loop's next step
    (a cancel scope cannot be cancelled from a foreign thread). The reason is visible everywhere
    as soon as `cancel` returns.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._reason: str | None = None
        self._scopes: dict[anyio.CancelScope, tuple[_Loop | None, int]] = {}
        self._children: WeakSet[CancelToken] = WeakSet()
        self._parent: CancelToken | None = None
        """Held so that a cancel from above reaches here even if nobody holds what is between."""

    @property
    def reason(self) -> str | None:
        """Why the token was cancelled, or ``None`` while it is live."""
        return self._reason

    def child(self) -> "CancelToken":
        """Return a token that is cancelled with this one, but not the other way round."""
        token = CancelToken()
        token._parent = self
        with self._lock:
            self._children.add(token)
            reason = self._reason
        if reason is not None:
            token.cancel(reason)
        return token

    def adopt(self, token: "CancelToken") -> None:
        """Cancel ``token`` too when this one is cancelled, at once if it is already.

        A token may be adopted by several; unlike a child it is not kept alive by this one, nor
        does it keep this one alive.
        """
        with self._lock:
            self._children.add(token)
            reason = self._reason
        if reason is not None:
            token.cancel(reason)

    def cancel(self, reason: str) -> None:
        """Cancel every scope of this token and its descendants."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            scopes = list(self._scopes.items())
            children = list(self._children)
        for scope, (loop, thread_id) in scopes:
            if thread_id == threading.get_ident() or loop is None:
                scope.cancel(reason)
            else:
                _cancel_from_afar(loop, scope)
        for token in children:
            token.cancel(reason)

    @contextmanager
    def scope(self) -> Generator[anyio.CancelScope, None, None]:
        """Run a block that this token can cancel.

        Like `anyio.move_on_after`: leaves quietly when cancelled by the token (see
        ``cancelled_caught``), and lets any other cancellation through.
        """
        with anyio.CancelScope() as scope:
            with self._lock:
                self._scopes[scope] = (_current_loop(), threading.get_ident())
                reason = self._reason
            if reason is not None:
                scope.cancel(reason)
            try:
                yield scope
            finally:
                with self._lock:
                    self._scopes.pop(scope, None)


def _current_loop() -> _Loop | None:
    """Return asyncio's loop; trio has no counterpart that takes a call from another thread."""
    native: Any = anyio.lowlevel.current_token()
    native = getattr(native, "native_token", native)
    return cast("_Loop", native) if hasattr(native, "call_soon_threadsafe") else None


def _cancel_from_afar(loop: _Loop, scope: anyio.CancelScope) -> None:
    try:
        loop.call_soon_threadsafe(scope.cancel)
    except RuntimeError:
        # The loop has closed, and every scope on it with it.
        return
