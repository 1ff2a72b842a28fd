"""Opens connections: name resolution, the address policy, proxies, TLS."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import re
import socket
import ssl
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

import aiohappyeyeballs
import anyio
import attrs
import httpx

from wbfiles_async._http.address_policy import AddressPolicy, ForbiddenAddressError
from wbfiles_async._http.connection import Connection
from wbfiles_async._http.errors import AddressError, CertificateError, ProxyRefusedError
from wbfiles_async._http.exchange import Exchange
from wbfiles_async._http.http1 import request_head
from wbfiles_async._http.proxies import Proxy
from wbfiles_async._http.readiness import wait_until_ready
from wbfiles_async._http.tls_sessions import TlsSessions, can_resume
from wbfiles_async._threads import WorkerThreads

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType

__all__ = ["DEFAULT_PORTS", "Connector", "Origin"]

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

NEXT_ADDRESS_SECONDS: Final = 0.25
"""Seconds until a host's next address is tried in parallel (RFC 8305)."""

LONGEST_REASON: Final = 200
"""Maximum characters of a proxy's reason in messages."""

DESCRIPTORS_USED_UP: Final = frozenset({errno.EMFILE, errno.ENFILE})


@attrs.frozen
class Origin:
    """The origin of a request.

    Attributes:
        scheme: ``http`` or ``https``.
        host: Name or address, in ASCII, without brackets.
        port: Port.
    """

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> bytes:
        """Host and port."""
        return f"{self._bracketed}:{self.port}".encode("ascii")

    @property
    def prefix(self) -> bytes:
        """Scheme, host, and port if it is not the scheme's, as they precede a path."""
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self._bracketed}{port}".encode("ascii")

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


_ROUND_TRIP: Final = slice(68, 72)
"""Where Linux's ``struct tcp_info`` holds ``tcpi_rtt``, in microseconds."""

_TCP_INFO_BYTES: Final = 72

_CALL: Final = re.compile(r"\[Errno ([0-9]+)\] Connect call failed \('([^']*)', ([0-9]+)[^)]*\)")
_NUMBER: Final = re.compile(r"\[Errno -?[0-9]+\] ")


class Connector:
    """Opens connections to origins, directly or through an http proxy.

    Args:
        threads: The threads for blocking name resolution.
        tls: Returns the context that verifies servers' certificates. Called in a worker thread, at first use.
        free_descriptors: Closes idle connections, and returns whether there were any.
    """

    def __init__(
        self, threads: WorkerThreads, tls: Callable[[], ssl.SSLContext], free_descriptors: Callable[[], bool]
    ) -> None:
        self._threads = threads
        self._make_context = tls
        self._free_descriptors = free_descriptors
        self._context: ssl.SSLContext | None = None
        self._context_lock = anyio.Lock()
        self._sessions = TlsSessions()

    async def connect(
        self,
        origin: Origin,
        *,
        proxy: Proxy | None,
        policy: AddressPolicy,
        timeout: float,  # noqa: ASYNC109  # ends in an error of httpx
        read_timeout: float,
        on_round_trip: Callable[[float], None] | None = None,
    ) -> Connection:
        """Open a connection.

        Args:
            origin: The origin.
            proxy: The http proxy to go through. Its own address may be any but a forbidden one.
            policy: The policy for addresses.
            timeout: Seconds until the connection is ready.
            read_timeout: Timeout of a proxy's response in seconds.
            on_round_trip: Called with the round-trip time in seconds as soon as it is known; never if the system
                does not report it.

        Raises:
            httpx.TransportError: That failed.
            ValueError: The certificate authorities cannot be read.
        """
        context = await self._tls_context() if origin.scheme == "https" else None
        try:
            async with asyncio.timeout(timeout):
                if proxy is None:
                    opened = await self._open_socket(origin.host, origin.port, policy)
                else:
                    opened = await self._open_socket(proxy.host, proxy.port, AddressPolicy(allow_private=True))
                try:
                    with suppress(OSError):  # faster, but optional
                        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    if on_round_trip is not None and (seconds := _round_trip_of(opened)) is not None:
                        on_round_trip(seconds)
                    if context is None:
                        return _plain(opened, origin, proxy)
                    if proxy is not None:
                        await _tunnel(opened, origin, proxy, read_timeout)
                    session = self._sessions.find((origin, proxy))
                    return Connection(await _encrypt(opened, context, origin.host, session))
                except BaseException:
                    opened.close()
                    raise
        except (OSError, ValueError) as error:
            raise _connect_failure(error, proxy) from error

    def keep_session(self, origin: Origin, proxy: Proxy | None, connection: Connection) -> None:
        """Store the TLS session of a connection for later ones, after its server has sent something."""
        if isinstance(connection.socket, ssl.SSLSocket) and self._context is not None and can_resume(self._context):
            self._sessions.keep((origin, proxy), connection.socket)

    async def _tls_context(self) -> ssl.SSLContext:
        """Return the TLS context, which is created once, off the event loop."""
        if self._context is None:
            async with self._context_lock:
                if self._context is None:
                    self._context = await self._threads.run(self._make_context)
        return self._context

    async def _open_socket(self, host: str, port: int, policy: AddressPolicy) -> socket.socket:
        addresses = await self._resolve(host, port)
        open_socket = partial(_open_socket, policy)
        try:
            return await _start(addresses, open_socket)
        except OSError as error:
            if error.errno not in DESCRIPTORS_USED_UP or not self._free_descriptors():
                raise
        return await _start(addresses, open_socket)

    async def _resolve(self, host: str, port: int) -> list[AddrInfoType]:
        family = _family_of(host)
        if family is None:
            look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
            return [*await self._threads.run(look_up)]
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]  # needs no thread


@lru_cache(maxsize=256)  # each connection asks
def _family_of(host: str) -> socket.AddressFamily | None:
    """Return the family of an address; ``None`` for a name."""
    try:
        return socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        return None


async def _start(addresses: list[AddrInfoType], open_socket: Callable[[AddrInfoType], socket.socket]) -> socket.socket:
    return await aiohappyeyeballs.start_connection(
        addresses, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS, socket_factory=open_socket
    )


def _open_socket(policy: AddressPolicy, address_info: AddrInfoType) -> socket.socket:
    """Open a socket for a resolved address, which is checked, not the name.

    Raises:
        ForbiddenAddressError: It must not be connected to.
    """
    family, kind, protocol, _, endpoint = address_info
    policy.check_address(str(endpoint[0]))
    return socket.socket(family, kind, protocol)


def _round_trip_of(opened: socket.socket) -> float | None:
    """Return the round-trip time in seconds that the system measured when connecting; ``None`` if unknown.

    Only Linux reports it. The time that connecting took would include delays of the event loop.
    """
    if sys.platform != "linux":
        return None
    try:
        info = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return None
    if len(info) < _TCP_INFO_BYTES:
        return None
    return int.from_bytes(info[_ROUND_TRIP], sys.byteorder) / 1e6


def _plain(opened: socket.socket, origin: Origin, proxy: Proxy | None) -> Connection:
    if proxy is None:
        return Connection(opened)
    # The proxy parses the requests (RFC 9112 section 3.2.2).
    return Connection(opened, target_prefix=origin.prefix, extra_fields=_authorization(proxy))


def _authorization(proxy: Proxy) -> tuple[tuple[bytes, bytes], ...]:
    return () if proxy.authorization is None else ((b"Proxy-Authorization", proxy.authorization.encode("ascii")),)


async def _tunnel(opened: socket.socket, origin: Origin, proxy: Proxy, read_timeout: float) -> None:
    """Request a tunnel to the origin from the proxy (RFC 9110 section 9.3.6).

    Raises:
        httpx.ProxyError: It failed.
    """
    connection = Connection(opened)
    exchange = Exchange(connection, read_timeout)
    fields = ((b"Host", origin.authority), *_authorization(proxy))
    try:
        await exchange.send(request_head(b"CONNECT", origin.authority, fields))
        head = await exchange.receive_head(b"CONNECT")
    except httpx.TransportError as error:
        raise httpx.ProxyError(str(error)) from error
    if not 200 <= head.status < 300:
        reason = head.reason[:LONGEST_REASON].decode("ascii", "replace")
        raise ProxyRefusedError(f"the proxy answered {head.status} {reason}".rstrip(), status=head.status)
    if connection.held:
        raise httpx.ProxyError("the proxy sent more than its answer")


async def _encrypt(
    opened: socket.socket, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None
) -> ssl.SSLSocket:
    """Start TLS on a connected socket, which is closed if that fails."""
    with ExitStack() as undo:
        # A body that ends without TLS's closing message is truncated, and must not look complete.
        encrypted = context.wrap_socket(
            opened, server_hostname=host, do_handshake_on_connect=False, suppress_ragged_eofs=False, session=session
        )
        undo.callback(encrypted.close)
        while True:
            try:
                encrypted.do_handshake()
            except ssl.SSLWantReadError:
                await wait_until_ready(encrypted)
            except ssl.SSLWantWriteError:
                await wait_until_ready(encrypted, writing=True)
            else:
                undo.pop_all()
                return encrypted


def _connect_failure(error: Exception, proxy: Proxy | None) -> httpx.TransportError:
    match error:
        case TimeoutError():
            return httpx.ConnectTimeout("no connection in time")
        case ssl.SSLCertVerificationError():
            return CertificateError(error.verify_message)
        case ForbiddenAddressError():
            return AddressError(str(error))
        case OSError() if proxy is not None and not isinstance(error, ssl.SSLError):
            return httpx.ProxyError(f"{proxy} cannot be connected to: {_message_of(error)}")
        case _:
            return httpx.ConnectError(_message_of(error) or type(error).__name__)


def _message_of(error: Exception) -> str:
    """Return an error's message, without Python's numbers and tuples."""
    return _NUMBER.sub(
        "", _CALL.sub(lambda call: f"{os.strerror(int(call[1]))}: {call[2]}, port {call[3]}", str(error))
    )
