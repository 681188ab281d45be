"""The one file that knows the HTTP library: POST requests whose answers are read as they come.

Importing it costs about 0.3 s of CPU, so nobody imports it while something starts; see
`codex_jupyter.model.client.warm`.
"""

import ipaddress
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from codex_jupyter.model.failures import TransportError

__all__ = ["HttpAnswer", "HttpConnections"]

CONNECT_TIMEOUT: Final = 15.0
"""Seconds to find the host, connect and agree on TLS."""


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
        connection = self._response.connection
        if connection is not None and connection.transport is None:
            # The library has a bare RuntimeError for this.
            raise TransportError("the connection was closed on this side")
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
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=CONNECT_TIMEOUT, sock_connect=CONNECT_TIMEOUT
            ),
        )

    async def post(
        self, body: bytes, *, headers: Mapping[str, str], params: Mapping[str, str]
    ) -> HttpAnswer:
        """Send ``body`` and return when the status and headers of the answer are in.

        Redirects are not followed: a POST would become a GET, and the key would travel along.

        Raises:
            TransportError: No connection, or it broke before the headers.
        """
        try:
            response = await self._session.post(
                self._url,
                data=body,
                headers=headers,
                params=params,
                proxy=self._proxy,
                allow_redirects=False,
            )
        except (aiohttp.InvalidURL, aiohttp.ClientConnectorCertificateError) as error:
            raise TransportError(_reason(error), hopeless=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise TransportError(_reason(error)) from None
        except ValueError as error:
            # Headers or a proxy's address that cannot be written.
            raise TransportError(_reason(error), hopeless=True) from None
        return HttpAnswer(response)

    async def aclose(self) -> None:
        """Close all connections; requests still under way break."""
        await self._session.close()


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no connection within {CONNECT_TIMEOUT:g} seconds"
    if isinstance(error, aiohttp.InvalidURL):
        return "the address is not a valid URL"
    if isinstance(error, aiohttp.ClientConnectorError) and (error.errno or 0) > 0:
        # The library's sentence repeats the address and what asyncio was doing.
        return os.strerror(error.errno or 0)
    return str(error) or type(error).__name__


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
