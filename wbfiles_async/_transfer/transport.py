"""The transport of our httpx client, on aiohttp: it asks the API, and the stores where a proxy is in the way.

Why not httpx's own: under concurrency it costs about six times the CPU a request, reads bodies in small
pieces, and a cancelled request can eat a slot of its pool for ever. Sends what it is given and nothing else:
knows no retries, no redirects, no cookies, no credentials.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING

import anyio
import httpx

from wbfiles_async._protocol.messages import clean
from wbfiles_async._transfer.disk import Disk
from wbfiles_async._transfer.exchange import Answer, Times
from wbfiles_async._transfer.network import (
    ForbiddenAddressError,
    Proxies,
    create_ssl_context,
    open_socket,
    private_peers,
)
from wbfiles_async.errors import ConfigurationError

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

READ_BUFFER = 1 << 20
"""Bytes the engine reads ahead on a connection: bodies come in pieces of up to this size."""

LONGEST_REASON = 200
"""Characters of an engine's or a proxy's reason that are shown."""

IDLE_SECONDS = 30.0
"""How long an unused connection is kept: less than stores keep theirs."""


class CertificateError(httpx.ConnectError):
    """The server's certificate is not trusted; another try would not change that."""


class AddressError(httpx.ConnectError):
    """The name leads to an address that is never spoken to."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends requests over one aiohttp session, made at the first request.

    Connections are not limited here; the caller's limiter does that. Proxies and certificate authorities
    come from the environment.

    Args:
        disk: Where the certificate authorities are read, so that the loop is not blocked.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.proxies = Proxies()
        self._session: aiohttp.ClientSession | None = None
        self._answers: weakref.WeakSet[aiohttp.ClientResponse] = weakref.WeakSet()
        self._ssl: ssl.SSLContext | None = None
        self._ssl_lock = anyio.Lock()

    async def get(self, url: str, headers: Mapping[str, str], times: Times) -> Answer:
        """Send a GET, the URL and headers exactly as given.

        Raises:
            httpx.TransportError: As httpx's own transport does; the subclass says what failed.
        """
        return _Answer(await self._send("GET", url, headers, None, times.connect, times.read))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request of httpx; the answer's body is read as it is iterated.

        Raises:
            httpx.TransportError: As httpx's own transport does; the subclass says what failed.
        """
        waits = request.extensions.get("timeout", {})
        body = await _body(request)
        with private_peers(allowed=True):  # this is how the API is asked, wherever it lies
            answer = await self._send(
                request.method, str(request.url), request.headers, body, waits.get("connect"), waits.get("read")
            )
        return httpx.Response(
            answer.status,
            headers=answer.raw_headers,
            stream=_Stream(_Answer(answer)),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": (answer.reason or "").encode("latin-1")},
        )

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes] | None,
        connect: float | None,
        read: float | None,
    ) -> aiohttp.ClientResponse:
        import aiohttp
        from yarl import URL

        session = self._session or self._open()
        try:
            target = URL(url, encoded=True)  # encoded: quoting it again would break a signature
            proxy = self._proxy(target) if self.proxies.by_scheme else None
            with private_peers(allowed=True) if proxy else nullcontext():  # a proxy is what the user chose
                answer = await session.request(
                    method,
                    target,
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                    proxy=proxy,
                    ssl=await self.ssl_context() if target.scheme == "https" else True,
                    timeout=aiohttp.ClientTimeout(connect=connect, sock_connect=connect, sock_read=read),
                )
            self._answers.add(answer)
            return answer
        except ConfigurationError:  # of the environment's proxies and authorities; a ValueError too
            raise
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            raise _as_httpx(error) from _safe_cause(error)

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, socket_factory=open_socket, keepalive_timeout=IDLE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=READ_BUFFER,
            # What is given already says all that shall be sent.
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )
        return self._session

    def _proxy(self, target: URL) -> str | None:
        return self.proxies.choose(target.scheme, f"{target.host}:{target.port}")

    async def ssl_context(self) -> ssl.SSLContext:
        """Give what checks servers' certificates; read once, off the loop."""
        if self._ssl is None:
            async with self._ssl_lock:
                if self._ssl is None:
                    self._ssl = await self._disk.run(create_ssl_context, os.environ)
        return self._ssl

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            import aiohttp

            session, self._session = self._session, None
            await session.close()
            # aiohttp tells nobody who reads a body that its connection is gone, and drops the time limit too.
            for answer in self._answers:
                answer.content.set_exception(aiohttp.ClientConnectionError("the client was closed"))
            # aiohttp closes sockets at the loop's next turn; without it they would outlive the client.
            await asyncio.sleep(0)


class _Answer:
    """An answer of the engine."""

    __slots__ = ("_answer", "headers", "status")

    drain = None

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers

    def arrived(self) -> bytes | None:
        return None

    async def pieces(self) -> AsyncIterator[bytes]:
        import aiohttp

        while True:
            try:
                piece = await self._answer.content.readany()
            except RuntimeError as error:  # aiohttp's word for a client that was closed meanwhile
                raise httpx.ReadError("the connection was closed") from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise _as_httpx(error) from _safe_cause(error)
            if not piece:
                return
            yield piece

    async def aclose(self) -> None:
        # After a whole body the connection went back to the pool already; a partly read one is dropped.
        self._answer.close()


class _Stream(httpx.AsyncByteStream):
    def __init__(self, answer: _Answer) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._answer.pieces()

    async def aclose(self) -> None:
        await self._answer.aclose()


async def _body(request: httpx.Request) -> bytes | AsyncIterator[bytes] | None:
    if isinstance(request.stream, httpx.ByteStream):
        return await request.aread() or None
    if isinstance(request.stream, httpx.AsyncByteStream):
        return aiter(request.stream)
    return None


def _as_httpx(error: Exception) -> httpx.TransportError:
    """Translate the engine's errors; the only place that knows both vocabularies."""
    import aiohttp

    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    text = str(cause) or type(cause).__name__
    kind: type[httpx.TransportError]
    match error:
        case aiohttp.ConnectionTimeoutError():
            kind, text = httpx.ConnectTimeout, "no connection in time"
        case TimeoutError():
            kind, text = httpx.ReadTimeout, "no bytes in time"
        case aiohttp.ClientProxyConnectionError():
            kind = httpx.ProxyError
        case aiohttp.ClientHttpProxyError():
            kind, text = httpx.ProxyError, f"the proxy answered {error.status} {_first_line(error.message)}"
        case aiohttp.ClientConnectorCertificateError():
            kind = CertificateError
        case aiohttp.ClientConnectorError() if isinstance(cause, ForbiddenAddressError):
            kind = AddressError
        case aiohttp.ClientConnectorError():
            kind = httpx.ConnectError
        case aiohttp.ServerDisconnectedError():
            kind, text = httpx.RemoteProtocolError, "the server closed the connection without an answer"
        case aiohttp.ClientPayloadError():
            kind, text = httpx.ReadError, "the body ended before it was whole"
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            kind, text = httpx.UnsupportedProtocol, "not a URL that can be fetched"
        case aiohttp.ClientResponseError():
            kind, text = httpx.RemoteProtocolError, f"not HTTP as it should be: {_first_line(error.message)}"
        case ValueError():
            kind, text = httpx.LocalProtocolError, "a request that cannot be sent"
        case _:
            kind = httpx.ReadError
    return kind(text)


def _first_line(text: str) -> str:
    """Leave out what the engine quotes of the other side's bytes, which may be megabytes of anything."""
    return clean(text.partition("\n")[0].rstrip(":"), LONGEST_REASON)


def _safe_cause(error: Exception) -> Exception | None:
    """Give the cause to chain, unless its text would show the URL and so a signature."""
    import aiohttp

    telling = aiohttp.ClientResponseError | aiohttp.InvalidURL | aiohttp.ServerTimeoutError
    return None if isinstance(error, telling) else error
