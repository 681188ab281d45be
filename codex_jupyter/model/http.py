"""The one file that knows the HTTP library: POST requests whose answers are read as they come.

Importing it costs about 0.3 s of CPU, so nobody imports it while something starts; see
`codex_jupyter.model.client.warm`.
"""

import ipaddress
import os
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from types import SimpleNamespace, TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from pydantic_core import from_json

from codex_jupyter.model.failures import TransportError
from codex_jupyter.settings import environment

__all__ = ["HttpAnswer", "HttpConnections", "fetch_json"]

_CA_VARIABLES: Final = ("CODEX_CA_CERTIFICATE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

CONNECT_TIMEOUT: Final = 15.0
"""Seconds to find the host, connect and agree on TLS."""

MAX_JSON_BYTES: Final = 1024 * 1024
"""Largest body `fetch_json` reads."""


class HttpAnswer:
    """Status and headers of an answer whose body is still on its way.

    Use it as a context manager: leaving closes the connection at once, unless the whole body was
    read, in which case it has gone back to be used again.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status: int = response.status
        self.headers: Mapping[str, str] = {
            name.lower(): value for name, value in response.headers.items()
        }

    async def read(self) -> bytes:
        """Wait for bytes and return all that have arrived; ``b""`` at the end of the body.

        Raises:
            TransportError: The connection broke before the end of the body.
        """
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise TransportError(_reason(error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._response.close()


class HttpConnections:
    """Connections to one server, kept open between requests; no cookies, no bound on their number.

    Proxies of the environment are used for every host but this machine. `aiohttp`'s own
    ``trust_env`` also reads ``~/.netrc``, and then refuses requests that carry an API key.

    Must be created inside the event loop that uses it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._proxy = _proxy_for(url)
        self._tls = _tls() if url.startswith("https:") else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=CONNECT_TIMEOUT, sock_connect=CONNECT_TIMEOUT
            ),
            trace_configs=[_noting_reuse()],
        )

    async def post(
        self, body: bytes, *, headers: Mapping[str, str], params: Mapping[str, str]
    ) -> HttpAnswer:
        """Send ``body`` and return when the status and headers of the answer are in.

        Redirects are not followed: a POST would become a GET, and the key would travel along.

        A server may close a kept connection in the moment it is used again. That says nothing
        about the server, so the request goes out again, on another connection; a new connection
        that breaks is an error.

        Raises:
            TransportError: No connection, or it broke before the headers.
        """
        connection = SimpleNamespace(was_kept=True)
        while connection.was_kept:
            connection.was_kept = False
            try:
                return HttpAnswer(await self._post(body, headers, params, connection))
            except TransportError as error:
                if error.hopeless or not connection.was_kept:
                    raise
        raise AssertionError("a new connection answers or raises")

    async def _post(
        self,
        body: bytes,
        headers: Mapping[str, str],
        params: Mapping[str, str],
        connection: SimpleNamespace,
    ) -> aiohttp.ClientResponse:
        try:
            return await self._session.post(
                self._url,
                data=body,
                headers=headers,
                params=params,
                proxy=self._proxy,
                ssl=self._tls,
                allow_redirects=False,
                trace_request_ctx=connection,
            )
        except (aiohttp.InvalidURL, aiohttp.ClientConnectorCertificateError) as error:
            raise TransportError(_reason(error), hopeless=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise TransportError(_reason(error)) from None
        except ValueError as error:
            # Headers or a proxy's address that cannot be written.
            raise TransportError(_reason(error), hopeless=True) from None

    async def aclose(self) -> None:
        """Close all connections.

        Cancel requests still under way first: the library forgets to wake those who wait.
        """
        await self._session.close()


async def fetch_json(
    url: str,
    timeout: float,  # noqa: ASYNC109 - shape of a probe
    *,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """GET ``url`` on a connection of its own and return the decoded body.

    Redirects are not followed. Cancelling closes the connection.

    Args:
        url: Of any host; proxies as for `HttpConnections`.
        timeout: Seconds for all of it.
        headers: Sent along.

    Raises:
        TransportError: No answer in time, another status than 200, a body longer than
            `MAX_JSON_BYTES`, or one that is not JSON.
    """
    limits = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(
        timeout=limits, cookie_jar=aiohttp.DummyCookieJar(), headers=headers
    ) as session:
        try:
            async with session.get(
                url, proxy=_proxy_for(url), allow_redirects=False, ssl=_tls()
            ) as response:
                if response.status != HTTPStatus.OK:
                    raise TransportError(f"{url} answered {response.status}")
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > MAX_JSON_BYTES:
                        raise TransportError(
                            f"{url} answered with more than {MAX_JSON_BYTES} bytes"
                        )
            return from_json(body)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TransportError(_reason(error)) from None


def _noting_reuse() -> aiohttp.TraceConfig:
    async def note(_session: Any, context: SimpleNamespace, _params: Any) -> None:
        context.trace_request_ctx.was_kept = True

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(note)
    return config


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.InvalidURL):
        return "the address is not a valid URL"
    if isinstance(error, aiohttp.ClientConnectorError) and (error.errno or 0) > 0:
        # The library's sentence repeats the address and what asyncio was doing.
        return os.strerror(error.errno or 0)
    return str(error) or type(error).__name__


def _tls() -> ssl.SSLContext | bool:
    """Return how servers are believed: by what the system trusts, and a stated file beside it.

    ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` replace the system's trust; OpenSSL reads them itself.
    """
    environ = environment.snapshot()
    stated = next((environ[name] for name in _CA_VARIABLES if environ.get(name)), None)
    if stated is None:
        return True
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(
            cafile=None if os.path.isdir(stated) else stated,  # noqa: PTH112
            capath=stated if os.path.isdir(stated) else None,  # noqa: PTH112
        )
    except (OSError, ssl.SSLError) as error:
        raise TransportError(
            f"the certificates in {stated} cannot be read: {error}", hopeless=True
        ) from None
    return context


def _proxy_for(url: str) -> str | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
