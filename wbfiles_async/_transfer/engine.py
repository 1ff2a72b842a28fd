"""Asks the stores over connections of our own, kept and used again. Knows no redirects and no retries.

Below httpx, since that parses and quotes each URL anew, which takes longer than all the rest of a request, and a
signed URL must reach the wire as it was signed. What a store's GET hardly ever needs, proxies and hosts beyond
ASCII, is left to the transport.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import attrs
import httpx

from wbfiles_async._protocol.http1 import Head, fields_text, request_text
from wbfiles_async._protocol.low_speed import LowSpeed
from wbfiles_async._protocol.urls import origin, target_of
from wbfiles_async._transfer.connection import Connection, StaleError
from wbfiles_async._transfer.exchange import Answer, Take, Times
from wbfiles_async._transfer.kept_connections import KeptConnections
from wbfiles_async._transfer.kept_threads import KeptThreads
from wbfiles_async._transfer.lane import Lane
from wbfiles_async._transfer.loop_reader import LoopReader
from wbfiles_async._transfer.network import ForbiddenAddressError, open_socket
from wbfiles_async._transfer.series import Series
from wbfiles_async._transfer.transport import AddressError, AiohttpTransport, CertificateError

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType

PATIENCE_BETWEEN_ADDRESSES = 0.25
"""Seconds until a host's next address is tried beside the first (RFC 8305)."""


LANES = 2
"""Threads for small files: most of the work on one of a hundred kilobytes, its md5 and its writing, is done without
Python's lock. More of them were slower again."""

LIGHT_BYTES = 64 << 10
"""Files up to this size all go in one thread: two would spend more time on Python's lock than on their bytes."""

WORTH_A_THREAD = 1 << 20
"""Bytes of a body that are received in a thread; fewer are there before it has begun."""


class Engine:
    """Sends GETs, the URL and headers exactly as given.

    Connections are not limited here; the caller's limiter does that.

    Args:
        transport: Knows proxies and certificates, and asks in our place where we cannot.

    Attributes:
        kept: Connections that can be used again.
    """

    def __init__(self, transport: AiohttpTransport) -> None:
        self._transport = transport
        self._lanes = [Lane() for _ in range(LANES)]
        self._threads = KeptThreads()
        self.kept = KeptConnections()

    async def get(self, url: str, headers: Mapping[str, str], times: Times) -> Answer:
        """Send a GET.

        Raises:
            httpx.TransportError: It failed; the subclass says how.
        """
        if not url.isascii() or self._transport.proxies.by_scheme:
            return await self._transport.get(url, headers, times)
        where = origin(url)
        request = self.request(url, fields_text(headers))
        while True:
            connection = self.kept.take(where) or await self.connect(url, times)
            reader = LoopReader(connection, self._threads, times.read)
            try:
                head = await reader.ask(request)
            except StaleError:
                connection.close()
            except BaseException:
                connection.close()
                raise
            else:
                return _Answer(self, where, reader, head)

    def takes_series(self, url: str) -> bool:
        """Tell whether ``series`` can be used for a URL."""
        return url.isascii() and not self._transport.proxies.by_scheme

    def request(self, url: str, fields: str) -> bytes:
        """Write the request for a URL, with header fields in the form of ``fields_text``."""
        before, target = target_of(url)
        return request_text(target, before.partition("://")[2], fields)

    def begin(self, series: Series) -> None:
        """Have small files fetched over a connection of ours. ``take_back`` it at its end, or ``abandon`` it."""
        light = all(errand.length <= LIGHT_BYTES for errand in series.errands)
        lane = self._lanes[0] if light else min(self._lanes, key=lambda lane: lane.series)
        lane.begin(series)

    def take_back(self, series: Series, where: str, times: Times) -> None:
        """Take the connection of a series that has ended by itself."""
        if series.head is not None:
            reader = LoopReader(series.connection, self._threads, times.read)
            series.answer = _Answer(self, where, reader, series.head)
        elif series.keeps_alive:
            self.kept.keep(where, series.connection)
        else:
            series.connection.close()

    async def abandon(self, series: Series) -> None:
        """End a series, and close its connection."""
        try:
            await series.end()
        finally:
            series.connection.close()

    async def connect(self, url: str, times: Times) -> Connection:
        """Make a connection to the URL's origin.

        Raises:
            httpx.TransportError: That failed.
        """
        import aiohappyeyeballs

        parts = urlsplit(url)
        host = parts.hostname or ""
        context = await self._transport.ssl_context() if parts.scheme == "https" else None
        try:
            async with asyncio.timeout(times.connect):
                addresses = await _look_up(host, parts.port or (443 if context else 80))
                opened = await aiohappyeyeballs.start_connection(
                    addresses, happy_eyeballs_delay=PATIENCE_BETWEEN_ADDRESSES, socket_factory=open_socket
                )
                try:
                    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    if context is not None:
                        opened = await _encrypted(opened, context, host)
                except BaseException:
                    opened.close()
                    raise
        except (OSError, ValueError) as error:
            raise _connect_failure(error) from error
        return Connection(opened)

    def close(self) -> None:
        """Close the connections that are kept; those in use are closed when they are given back."""
        self.kept.close()
        self._threads.close()
        for lane in self._lanes:
            lane.close()


@attrs.define(eq=False)
class _Answer:
    _engine: Engine
    _where: str
    _reader: LoopReader
    _head: Head

    @property
    def status(self) -> int:
        return self._head.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._head.headers

    def arrived(self) -> bytes | None:
        whole = None if self._head.length is None else self._reader.connection.arrived(self._head.length)
        return None if whole is None else bytes(whole)

    def pieces(self) -> AsyncIterator[memoryview | bytes]:
        return self._reader.body(self._head)

    @property
    def drain(self) -> Callable[[Take, LowSpeed], Awaitable[None]] | None:
        length = self._head.length
        if length is None or length < WORTH_A_THREAD:
            return None
        return partial(self._reader.drain, length)

    async def aclose(self) -> None:
        connection = self._reader.connection
        if self._head.keep_alive and connection.is_free:
            self._engine.kept.keep(self._where, connection)
        else:
            connection.close()


async def _look_up(host: str, port: int) -> list[AddrInfoType]:
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        return [*await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]  # needs no thread


async def _encrypted(opened: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """Begin TLS on a connected socket, which is closed where that fails."""
    with ExitStack() as undo:
        # A body that ends without TLS's farewell has been cut, and must not look as if it were whole.
        encrypted = context.wrap_socket(
            opened, server_hostname=host, do_handshake_on_connect=False, suppress_ragged_eofs=False
        )
        undo.callback(encrypted.close)
        while True:
            try:
                encrypted.do_handshake()
            except ssl.SSLWantReadError:
                await anyio.wait_readable(encrypted)
            except ssl.SSLWantWriteError:
                await anyio.wait_writable(encrypted)
            else:
                undo.pop_all()
                return encrypted


def _connect_failure(error: Exception) -> httpx.TransportError:
    match error:
        case TimeoutError():
            return httpx.ConnectTimeout("no connection in time")
        case ssl.SSLCertVerificationError():
            return CertificateError(error.verify_message)
        case ForbiddenAddressError():
            return AddressError(str(error))
        case _:
            return httpx.ConnectError(str(error) or type(error).__name__)
