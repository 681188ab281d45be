"""Which page may open a WebSocket: browsers leave that question to the server."""

import re
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from jupyter_server.base.handlers import JupyterHandler

__all__ = ["request_origin", "same_or_allowed"]

_PORTS: Final = {"http": 80, "https": 443}
_HEADERS: Final = ("Origin", "Sec-WebSocket-Origin")


def request_origin(handler: JupyterHandler) -> str | None:
    """Return the origin a request names, several joined; ``None`` for what is no browser."""
    named = [value for name in _HEADERS for value in handler.request.headers.get_list(name)]
    return " ".join(named) if named else None


def same_or_allowed(handler: JupyterHandler) -> bool:
    """Tell whether a request comes from no page, a page of this server, or one that is allowed.

    The same means: scheme, host and port. Behind a proxy that ends TLS the scheme is what the
    proxy says; no page can set that header. Neither a token nor ``Sec-Fetch-Site`` counts.
    """
    origin = request_origin(handler)
    if origin is None:
        return True
    origin = origin.lower()
    allowed = handler.allow_origin
    if allowed == "*" or (allowed and allowed.lower() == origin):
        return True
    pattern: Any = handler.allow_origin_pat
    if not allowed and pattern and re.fullmatch(pattern, origin):
        return True
    ours = _parts(f"{_scheme(handler)}://{handler.request.headers.get('Host', '').lower()}")
    return ours is not None and _parts(origin) == ours


def _scheme(handler: JupyterHandler) -> str:
    said = handler.request.headers.get("X-Forwarded-Proto", "").split(",")[0].strip().lower()
    return said if said in _PORTS else handler.request.protocol


def _parts(origin: str) -> tuple[str, str, int] | None:
    """Split an origin; ``None`` if it is none: a path, a user or nonsense is not ignored."""
    try:
        parts: SplitResult = urlsplit(origin)
        port = parts.port
    except ValueError:
        return None
    plain = f"{parts.scheme}://{parts.netloc}" == origin and "@" not in parts.netloc
    if not plain or parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]
